// First match over what a packet of one class can still differ in: its protocol, and its port or its type and code of ICMP.
// Rules paint what they decide onto the parts that nothing decided yet; what is left goes on to the next tier.
//
//   protocols     other · 6 · 17 · …     `other` stands for all that no rule tells apart; a protocol is split off when the
//   each          0 ······ 65535         first rule names it, with what happened to `other` before
import { hasPorts } from '../../../../policy/mod.ts';
import type { PortRange } from '../../../../policy/mod.ts';
import type { Decider, LogStep, ProgramDecision } from '../types.ts';
import type { Atom, AtomSource } from './atoms.ts';
import type { Part, PortTest, PreparedProgram, PreparedRule } from './prepared.ts';
import {
  allPorts,
  complement,
  icmpRanges,
  intersection,
  lastPort,
  noPorts,
  normalised,
  type Ranges,
} from './ranges.ts';

export type Cell = { readonly first: number; readonly last: number; readonly decision: ProgramDecision };
/** What becomes of every packet of a class. */
export type DecisionPlane = {
  readonly other: ProgramDecision;
  /** In order and without gaps; protocols without ports and types have one cell. */
  readonly protocols: ReadonlyMap<number, readonly Cell[]>;
  /** The rules that were looked at, in order. */
  readonly rules: readonly PreparedRule[];
  /** With the end of this section all was decided, and what comes behind it is of no account. */
  readonly lastSection: number;
};

type Logs = { readonly before: Logs | undefined; readonly step: LogStep };
type Piece = { readonly first: number; readonly last: number; readonly logs: Logs | undefined };
type Lane = { open: Piece[]; passed: Piece[]; readonly cells: Cell[]; readonly isWide: boolean };

/** What of a lane a rule surely matches, and what it does not surely miss. */
type Match = { readonly yes: Ranges; readonly maybe: Ranges };

const portProtocols = [6, 17, 33, 132, 136] as const;
const icmpProtocols = [1, 58] as const;
export const isIcmp = (protocol: number): boolean => protocol === 1 || protocol === 58;
export const isWide = (protocol: number): boolean => hasPorts(protocol) || isIcmp(protocol);

/** Decisions of one prepared program: equal ones are one object. */
export class DecisionCache {
  readonly #decisions = new WeakMap<Decider, Map<Logs | undefined, ProgramDecision>>();
  readonly #logs = new WeakMap<LogStep, Map<Logs | undefined, Logs>>();

  of(decider: Decider, logs: Logs | undefined): ProgramDecision {
    let byLogs = this.#decisions.get(decider);
    if (byLogs === undefined) this.#decisions.set(decider, (byLogs = new Map()));
    let decision = byLogs.get(logs);
    if (decision === undefined) byLogs.set(logs, (decision = { logs: stepsOf(logs), decider }));
    return decision;
  }

  logged(before: Logs | undefined, step: LogStep): Logs {
    let byBefore = this.#logs.get(step);
    if (byBefore === undefined) this.#logs.set(step, (byBefore = new Map()));
    let logs = byBefore.get(before);
    if (logs === undefined) byBefore.set(before, (logs = { before, step }));
    return logs;
  }
}

/** `atoms` are those of the class that the program asks about. */
export function decidePlane(
  program: PreparedProgram,
  atoms: readonly Atom[],
  cache: DecisionCache,
): DecisionPlane {
  return new Painter(program, atoms, cache).run();
}

/** Whether a plane of the program as it was before, with the same sections, is that of the program as it is. */
export function isStillPlane(
  plane: DecisionPlane,
  program: PreparedProgram,
  atoms: readonly Atom[],
): boolean {
  let at = 0;
  for (const { rule, section } of fittingRules(program, new Set(atoms))) {
    if (section > plane.lastSection) break;
    if (plane.rules[at] !== rule) return false;
    at++;
  }
  return at === plane.rules.length;
}

/** Rules whose questions about the peer a class with these atoms answers. */
function* fittingRules(
  program: PreparedProgram,
  atoms: ReadonlySet<Atom>,
): Generator<{ readonly rule: PreparedRule; readonly section: number }> {
  const sources = new Set<AtomSource>();
  for (const { source } of atoms) sources.add(source);
  for (const { prepared, section } of candidates(program, sources))
    for (const rule of prepared) {
      if (rule.sources?.some((source) => sources.has(source)) === false) continue;
      const { inAll, inNone } = rule;
      if (inAll.every((atom) => atoms.has(atom)) && !inNone.some((atom) => atoms.has(atom)))
        yield { rule, section };
    }
}

function candidates(
  { always, bySource }: PreparedProgram,
  sources: ReadonlySet<AtomSource>,
): readonly Part[] {
  const parts = new Set(always);
  for (const source of sources) for (const part of bySource.get(source) ?? []) parts.add(part);
  return [...parts].sort((a, b) => a.place - b.place);
}

class Painter {
  readonly #program: PreparedProgram;
  readonly #atoms: ReadonlySet<Atom>;
  readonly #other: Lane = {
    open: [{ first: 0, last: 0, logs: undefined }],
    passed: [],
    cells: [],
    isWide: false,
  };
  readonly #lanes = new Map<number, Lane>();
  readonly #cache: DecisionCache;

  constructor(program: PreparedProgram, atoms: readonly Atom[], cache: DecisionCache) {
    this.#program = program;
    this.#cache = cache;
    this.#atoms = new Set(atoms);
  }

  run(): DecisionPlane {
    const { sections, otherwise } = this.#program;
    const seen: PreparedRule[] = [];
    const fitting = fittingRules(this.#program, this.#atoms);
    let next = fitting.next();
    let lastSection = sections.length;
    for (const [index, { end }] of sections.entries()) {
      while (next.done !== true && next.value.section === index) {
        seen.push(next.value.rule);
        this.#apply(next.value.rule);
        next = fitting.next();
      }
      this.#endSection(end);
      if (this.#isDecided()) {
        lastSection = index;
        break;
      }
    }
    this.#endSection(otherwise);
    const protocols = new Map<number, readonly Cell[]>();
    for (const [protocol, { cells }] of this.#lanes) protocols.set(protocol, joined(cells));
    return { other: (this.#other.cells[0] as Cell).decision, protocols, rules: seen, lastSection };
  }

  #isDecided(): boolean {
    if (this.#other.open.length > 0) return false;
    for (const { open } of this.#lanes.values()) if (open.length > 0) return false;
    return true;
  }

  #endSection(end: Decider | undefined): void {
    for (const lane of [this.#other, ...this.#lanes.values()]) {
      if (end !== undefined) {
        for (const piece of lane.open) this.#decide(lane, piece, end);
        lane.open = lane.passed;
      } else lane.open.push(...lane.passed);
      lane.passed = [];
      lane.open.sort((a, b) => a.first - b.first);
    }
  }

  // ── one rule ───────────────────────────────────────────────────────────────────────────────────────────────────────
  #apply(rule: PreparedRule): void {
    for (const protocol of this.#protocolsOf(rule)) {
      const lane = protocol === undefined ? this.#other : this.#lane(protocol);
      const match = protocol === undefined ? allOfIt : this.#matchOf(rule, protocol);
      const yes = rule.certain ? match.yes : noPorts;
      if (rule.action === 'allow') this.#paint(lane, yes, (piece) => this.#decide(lane, piece, rule.decider));
      else if (rule.action === 'deny')
        this.#paint(lane, match.maybe, (piece) => this.#decide(lane, piece, rule.decider));
      else if (rule.action === 'pass') {
        this.#paint(lane, yes, (piece) => void lane.passed.push(piece));
        // What is left of it is unknown, and what might pass is denied.
        this.#paint(lane, match.maybe, (piece) => this.#decide(lane, piece, rule.decider));
      } else this.#log(lane, yes, rule.log);
    }
  }

  /** Protocols that the rule may match; undefined stands for all that no rule names. */
  #protocolsOf(rule: PreparedRule): readonly (number | undefined)[] {
    const { protocol, notProtocol, ports, icmp, notIcmp } = rule;
    const asksIcmp = icmp !== undefined || notIcmp !== undefined;
    const fits = (candidate: number): boolean =>
      (protocol === undefined || candidate === protocol) &&
      candidate !== notProtocol &&
      (ports.length === 0 || hasPorts(candidate)) &&
      (!asksIcmp || isIcmp(candidate));
    if (protocol !== undefined) return protocol <= 255 && fits(protocol) ? [protocol] : [];
    if (ports.length > 0) return portProtocols.filter(fits);
    if (asksIcmp) return icmpProtocols.filter(fits);
    if (notProtocol !== undefined && notProtocol <= 255) this.#lane(notProtocol);
    return [undefined, ...[...this.#lanes.keys()].filter(fits)];
  }

  #lane(protocol: number): Lane {
    const known = this.#lanes.get(protocol);
    if (known !== undefined) return known;
    const last = isWide(protocol) ? lastPort : 0;
    const widened = <T extends Piece | Cell>(parts: readonly T[]): T[] =>
      parts.map((part) => ({ ...part, first: 0, last }));
    const lane: Lane = {
      open: widened(this.#other.open),
      passed: widened(this.#other.passed),
      cells: widened(this.#other.cells),
      isWide: isWide(protocol),
    };
    this.#lanes.set(protocol, lane);
    return lane;
  }

  #matchOf(rule: PreparedRule, protocol: number): Match {
    let { yes, maybe } = allOfIt;
    const narrow = (match: Match): void => {
      yes = intersection(yes, match.yes);
      maybe = intersection(maybe, match.maybe);
    };
    for (const test of rule.ports) narrow(this.#portMatch(test, protocol));
    if (rule.icmp !== undefined) narrow(sure(icmpRanges(rule.icmp)));
    if (rule.notIcmp !== undefined) narrow(sure(complement(icmpRanges(rule.notIcmp))));
    return { yes, maybe };
  }

  #portMatch({ negated, ranges, own, peer, unknown }: PortTest, protocol: number): Match {
    const found: PortRange[] = [...ranges];
    for (const port of own) if (port.protocol === protocol) found.push(only(port.number));
    if (peer.length > 0)
      for (const { source, port } of this.#atoms)
        if (port?.protocol === protocol && peer.includes(source)) found.push(only(port.number));
    const yes = normalised(found);
    const maybe = unknown ? allPorts : yes;
    return negated ? { yes: complement(maybe), maybe: complement(yes) } : { yes, maybe };
  }

  // ── painting ───────────────────────────────────────────────────────────────────────────────────────────────────────
  /** Takes the ranges out of what is open, and gives each piece of them away. */
  #paint(lane: Lane, ranges: Ranges, take: (piece: Piece) => void): void {
    for (const range of lane.isWide ? ranges : ranges.length > 0 ? singleCell : noPorts)
      cut(lane.open, range, (piece) => {
        take(piece);
        return undefined;
      });
  }

  #log(lane: Lane, ranges: Ranges, step: LogStep): void {
    for (const range of lane.isWide ? ranges : ranges.length > 0 ? singleCell : noPorts)
      cut(lane.open, range, (piece) => ({ ...piece, logs: this.#cache.logged(piece.logs, step) }));
  }

  #decide(lane: Lane, { first, last, logs }: Piece, decider: Decider): void {
    lane.cells.push({ first, last, decision: this.#cache.of(decider, logs) });
  }
}

const allOfIt: Match = { yes: allPorts, maybe: allPorts };
const singleCell: Ranges = [{ first: 0, last: 0 }];
const sure = (ranges: Ranges): Match => ({ yes: ranges, maybe: ranges });
const only = (port: number): PortRange => ({ first: port, last: port });

function stepsOf(logs: Logs | undefined): LogStep[] {
  const steps: LogStep[] = [];
  for (let at = logs; at !== undefined; at = at.before) steps.unshift(at.step);
  return steps;
}

/** Replaces the part of the pieces that lies in the range by what `change` makes of each piece of it. */
function cut(pieces: Piece[], range: PortRange, change: (piece: Piece) => Piece | undefined): void {
  let low = 0;
  let high = pieces.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((pieces[middle] as Piece).last < range.first) low = middle + 1;
    else high = middle;
  }
  let end = low;
  const fresh: Piece[] = [];
  for (; end < pieces.length; end++) {
    const piece = pieces[end] as Piece;
    if (piece.first > range.last) break;
    const first = Math.max(piece.first, range.first);
    const last = Math.min(piece.last, range.last);
    if (piece.first < first) fresh.push({ ...piece, last: first - 1 });
    const changed = change({ ...piece, first, last });
    if (changed !== undefined) fresh.push(changed);
    if (last < piece.last) fresh.push({ ...piece, first: last + 1 });
  }
  if (end > low) pieces.splice(low, end - low, ...fresh);
}

/** In order, neighbours with one decision as one. */
function joined(cells: readonly Cell[]): Cell[] {
  const sorted = cells.toSorted((a, b) => a.first - b.first);
  const result: Cell[] = [];
  for (const cell of sorted) {
    const before = result.at(-1);
    if (before?.decision === cell.decision) result[result.length - 1] = { ...before, last: cell.last };
    else result.push(cell);
  }
  return result;
}
