// All compiled programs of a node, and the classes of addresses under them. Calls gather; `flush` gives the rows that
// became different, which together lead from the last flush to this one and belong into one transaction.
//
//   set, delete ─► stale programs ─┐
//   members of sets ─► sources ────┴─► classes that came, moved, went ─► elements of the programs that ask about them
import type { Family } from '../../../../lib/ip/mod.ts';
import type { SetDefinition, SetId } from '../../../../policy/mod.ts';
import type { GroupProgram, RuleChains, SetMembers } from '../types.ts';
import { AddressClasses } from './classes.ts';
import type { Atom, AtomSet, AtomSource } from './atoms.ts';
import { DecisionChains } from './decisions.ts';
import { Members } from './members.ts';
import type { PartChanges } from './parts.ts';
import type { Knowledge } from './prepare.ts';
import { linearReason } from './prepared.ts';
import { Program, programChain } from './program.ts';
import { RowCollector } from './rows.ts';
import { Sources } from './sources.ts';
import type { CompiledOutcome, CompiledStats, RowChanges } from './types.ts';

export class CompiledPrograms implements SetMembers {
  readonly #rows = new RowCollector();
  readonly #members: Members;
  readonly #families: Record<Family, FamilyPrograms>;

  constructor(chains: RuleChains) {
    this.#members = new Members({
      net: (id, net, added) => {
        for (const family of this.#all()) family.sources.changeNet(id, net, added);
      },
      port: (id, member, added) => {
        for (const family of this.#all()) family.sources.changePort(id, member, added);
      },
    });
    this.#families = {
      4: new FamilyPrograms(4, this.#members, this.#rows, chains),
      6: new FamilyPrograms(6, this.#members, this.#rows, chains),
    };
  }

  #all(): readonly FamilyPrograms[] {
    return [this.#families[4], this.#families[6]];
  }

  // ── sets ───────────────────────────────────────────────────────────────────────────────────────────────────────────
  setSet(set: SetDefinition, members: readonly string[]): void {
    const isNew = !this.#members.has(set.id);
    this.#members.set(set.id, members);
    for (const family of this.#all()) family.noteSet(set.id, isNew);
  }

  changeMembers(id: SetId, added: readonly string[], removed: readonly string[]): void {
    this.#members.change(id, added, removed);
    for (const family of this.#all()) family.noteSet(id, false);
  }

  removeSet(id: SetId): void {
    if (!this.#members.has(id)) return;
    this.#members.delete(id);
    for (const family of this.#all()) family.noteSet(id, true);
  }

  // ── programs ───────────────────────────────────────────────────────────────────────────────────────────────────────
  /** Compiles the program with the next flush, in place of the one with its key. What cannot be compiled is not here. */
  set(group: GroupProgram): CompiledOutcome {
    const reason = linearReason(group);
    if (reason !== undefined) {
      this.delete(group.family, group.key);
      return { compiled: false, reason };
    }
    this.#families[group.family].set(group);
    return { compiled: true, chain: programChain(group.key) };
  }

  delete(family: Family, key: string): void {
    this.#families[family].delete(key);
  }

  flush(): RowChanges {
    for (const family of this.#all()) family.flush();
    return this.#rows.take();
  }

  stats(): CompiledStats {
    const [a, b] = this.#all().map((family) => family.stats()) as [CompiledStats, CompiledStats];
    return {
      programs: a.programs + b.programs,
      classes: a.classes + b.classes,
      hosts: a.hosts + b.hosts,
      nets: a.nets + b.nets,
      planes: a.planes + b.planes,
      atoms: a.atoms + b.atoms,
      atomSets: a.atomSets + b.atomSets,
    };
  }
}

class FamilyPrograms {
  readonly sources: Sources;
  readonly #members: Members;
  readonly #rows: RowCollector;
  readonly #classes: AddressClasses;
  readonly #chains: DecisionChains;
  readonly #programs = new Map<string, Program>();
  /** Of programs that went; given back once others had the chance to ask for the same. */
  readonly #abandoned: Program[] = [];
  /** To be prepared anew with the next flush. */
  readonly #stale = new Set<Program>();
  /** Programs whose rules name a set. */
  readonly #naming = new Map<SetId, Set<Program>>();
  readonly #touchedSets = new Set<SetId>();

  constructor(family: Family, members: Members, rows: RowCollector, chains: RuleChains) {
    this.#members = members;
    this.#rows = rows;
    this.#classes = new AddressClasses(family, rows);
    this.sources = new Sources(family, this.#classes, members);
    this.#chains = new DecisionChains(family, chains);
  }

  /** The set came, went, or changed. */
  noteSet(id: SetId, cameOrWent: boolean): void {
    const naming = this.#naming.get(id);
    if (naming === undefined) return;
    if (!cameOrWent) this.#touchedSets.add(id);
    else
      for (const program of naming) {
        program.parts.outdate(id);
        this.#stale.add(program);
      }
  }

  set(group: GroupProgram): void {
    let program = this.#programs.get(group.key);
    if (program === undefined) {
      program = new Program(group, this.#rows, this.#chains);
      this.#programs.set(group.key, program);
    } else {
      const { direction, own } = program.group;
      if (direction !== group.direction || own[0] !== group.own[0]) program.parts.outdate();
      program.group = group;
    }
    this.#stale.add(program);
  }

  delete(key: string): void {
    const program = this.#programs.get(key);
    if (program === undefined) return;
    this.#programs.delete(key);
    this.#stale.delete(program);
    for (const set of program.parts.sets) this.#unname(program, set);
    program.remove();
    this.#abandoned.push(program);
  }

  #name(program: Program, set: SetId): void {
    const naming = this.#naming.get(set);
    if (naming === undefined) this.#naming.set(set, new Set([program]));
    else naming.add(program);
  }

  #unname(program: Program, set: SetId): void {
    const naming = this.#naming.get(set);
    naming?.delete(program);
    if (naming?.size === 0) this.#naming.delete(set);
  }

  flush(): void {
    this.#checkOwnAnswers();
    const renewed = [...this.#stale].map((program) => {
      const changes = program.parts.update(program.group, this.#knowledgeOf(program));
      for (const set of changes.unnamed) this.#unname(program, set);
      for (const set of changes.named) this.#name(program, set);
      const touched = new Set<AtomSet>();
      noteClasses(changes, touched);
      return { program, changes, touched };
    });
    // Only now, when everybody has asked for what is needed: a source that changes hands stays.
    for (const { program, changes } of renewed)
      for (const source of changes.unused) this.sources.release(source, program);
    for (const program of this.#abandoned.splice(0))
      for (const source of program.parts.sources) this.sources.release(source, program);
    this.sources.settle();
    const { born, died, moved } = this.#classes.settle();
    const changed = new Set<Program>(this.#stale);
    for (const set of died)
      for (const program of usersOf(set)) {
        if (!program.knows(set)) continue;
        program.forget(set);
        changed.add(program);
      }
    for (const set of moved)
      for (const program of usersOf(set)) {
        program.move(set);
        changed.add(program);
      }
    for (const { program, changes, touched } of renewed) {
      noteClasses(changes, touched);
      program.renew(changes, ownAtoms(program, touched), () => classesOf(program));
    }
    for (const set of born)
      for (const [program, atoms] of projections(set)) {
        program.learn(set, atoms);
        changed.add(program);
      }
    for (const program of changed) program.settle();
    this.#classes.bury(died);
    this.#stale.clear();
  }

  /** A member that came or went may be an answer about an endpoint itself. */
  #checkOwnAnswers(): void {
    for (const id of this.#touchedSets)
      for (const program of this.#naming.get(id) ?? [])
        if (
          program.group.own.length > 0 &&
          program.parts.recheck(id, program.group, this.#knowledgeOf(program))
        )
          this.#stale.add(program);
    this.#touchedSets.clear();
  }

  #knowledgeOf(program: Program): Knowledge {
    return {
      isKnown: (set) => this.#members.has(set),
      source: (wish) => this.sources.acquire(wish, program),
      atomOf: (source) => this.sources.atomOf(source),
      ownIsIn: (set, own) => this.#members.hasAddress(set, own),
      ownPorts: (set, own) => this.#members.portsOfAddress(set, own),
    };
  }

  stats(): CompiledStats {
    let planes = 0;
    for (const program of this.#programs.values()) planes += program.planeCount;
    return {
      programs: this.#programs.size,
      ...this.#classes.counts,
      planes,
      atoms: this.sources.atomCount,
    };
  }
}

function usersOf(set: AtomSet): Set<Program> {
  const users = new Set<Program>();
  for (const { source } of set.atoms) for (const user of source.users) users.add(user);
  return users;
}

/** For each program that asks about atoms of the class: those atoms, in order. */
function projections(set: AtomSet): Map<Program, Atom[]> {
  const found = new Map<Program, Atom[]>();
  for (const atom of set.atoms)
    for (const program of atom.source.users) {
      const atoms = found.get(program);
      if (atoms === undefined) found.set(program, [atom]);
      else atoms.push(atom);
    }
  return found;
}

/** Classes with atoms that parts ask for that changed. */
function noteClasses({ added, removed }: PartChanges, into: Set<AtomSet>): void {
  for (const parts of [added, removed])
    for (const { asked } of parts) for (const source of asked) addClasses(source, into);
}

function addClasses(source: AtomSource, into: Set<AtomSet>): void {
  for (const atom of source.atoms.values()) for (const set of atom.classes) into.add(set);
}

/** Atoms of the classes about which the program asks; none of a class that is no more. */
function ownAtoms(program: Program, sets: Iterable<AtomSet>): Map<AtomSet, Atom[]> {
  const found = new Map<AtomSet, Atom[]>();
  for (const set of sets)
    found.set(set, isInUse(set) ? set.atoms.filter(({ source }) => program.parts.asks(source)) : []);
  return found;
}

const isInUse = ({ hosts, intervals }: AtomSet): boolean => hosts > 0 || intervals > 0;

/** All classes in use of which the program asks something. */
function classesOf(program: Program): Map<AtomSet, Atom[]> {
  const sets = new Set<AtomSet>();
  for (const source of program.parts.sources) addClasses(source, sets);
  return ownAtoms(program, sets);
}
