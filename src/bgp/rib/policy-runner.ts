// Runs policies over paths: one subject object for all, programs compiled once per content, changed attribute sets
// remembered per (set, changes).
import { encodeAttributes } from '../packet/mod.ts';
import {
  compilePolicy,
  hashProgram,
  noChanges,
  subjectOf,
  type CompiledPolicy,
  type PolicyAttributes,
  type PolicyOutcome,
  type PolicyProgram,
  type PolicySubject,
} from '../policy/mod.ts';
import { applyChanges, touchesAttributes } from './changes.ts';
import type { RibContext } from './context.ts';
import type { FamilyTable } from './family-table.ts';
import type { PeerType, PolicyChanges } from '../policy/mod.ts';
import { prefix } from '../../lib/ip/mod.ts';

const accepted: PolicyOutcome = { verdict: 'accept', changes: noChanges };

export class PolicyRunner {
  readonly #context: RibContext;
  readonly #compiled = new Map<string, CompiledPolicy>();
  /** Per policy: (set, changes) → changed set. Entries do not count as users; a sweep drops those it makes wrong. */
  readonly #changed = new Map<CompiledPolicy, Map<number, number>>();
  readonly #subject: PolicySubject;
  readonly #attributes: LazyAttributes;

  constructor(context: RibContext) {
    this.#context = context;
    this.#attributes = new LazyAttributes(context);
    this.#subject = subjectOf({ prefix: prefix('0.0.0.0/0'), source: 'bgp', attributes: this.#attributes });
  }

  compile(program: PolicyProgram): CompiledPolicy {
    const hash = hashProgram(program);
    let compiled = this.#compiled.get(hash);
    if (compiled === undefined) this.#compiled.set(hash, (compiled = compilePolicy(program)));
    return compiled;
  }

  run(
    policy: CompiledPolicy | undefined,
    table: FamilyTable,
    path: number,
    set: number,
    peerType: PeerType | undefined,
  ): PolicyOutcome {
    return policy === undefined ? accepted : policy.run(this.subject(table, path, set, peerType));
  }

  /** The subject for a path with the given attribute set: valid until the next call. */
  subject(table: FamilyTable, path: number, set: number, peerType: PeerType | undefined): PolicySubject {
    const { peers, attributes, nextHops } = this.#context;
    const { prefixes, paths } = table;
    const s = this.#subject;
    const dest = paths.dest[path]!;
    s.family = table.family;
    s.w0 = prefixes.w0[dest]!;
    s.w1 = prefixes.w1[dest] ?? 0;
    s.w2 = prefixes.w2[dest] ?? 0;
    s.w3 = prefixes.w3[dest] ?? 0;
    s.length = prefixes.length(dest);
    const peer = peers[paths.peer[path]!]!;
    s.source = peer.config.source;
    const hop = attributes.nextHop[set]!;
    const local = peer.isBgp ? undefined : paths.local.get(path);
    s.nextHop = hop === 0 ? local?.gateway : nextHops.address(hop);
    s.interfaceName = peer.isBgp ? nextHops.interfaceName(hop) : local?.interfaceName;
    s.peerType = peerType;
    this.#attributes.set = set;
    return s;
  }

  /** The set with the changes applied; `set` itself when they touch no attribute. */
  changed(policy: CompiledPolicy | undefined, set: number, changes: PolicyChanges): number {
    if (policy === undefined || changes.id === 0 || !touchesAttributes(changes)) return set;
    let memory = this.#changed.get(policy);
    if (memory === undefined) this.#changed.set(policy, (memory = new Map()));
    const key = set * 65536 + changes.id;
    const known = memory.get(key);
    if (known !== undefined) return known;
    const { attributes } = this.#context;
    const next = applyChanges(attributes.decoded(set), changes);
    const form = next.nextHop === undefined ? 'omit' : next.nextHop.includes(':') ? 'mp-reach' : 'attribute';
    const id = attributes.intern(encodeAttributes(next, { as4: true, nextHop: form }));
    memory.set(key, id);
    return id;
  }

  get compiledCount(): number {
    return this.#compiled.size;
  }

  /** Forgets programs that nobody runs any more: every new block or service makes a new one. */
  keepOnly(used: ReadonlySet<CompiledPolicy>): void {
    for (const [hash, policy] of this.#compiled) {
      if (used.has(policy)) continue;
      this.#compiled.delete(hash);
      this.#changed.delete(policy);
    }
  }

  /** Before a sweep: drops results that it is going to free, or whose origin it is. */
  forgetUnused(): void {
    const { refs } = this.#context.attributes.sets;
    for (const memory of this.#changed.values()) {
      for (const [key, id] of memory) {
        if (refs[id] === 0 || refs[Math.floor(key / 65536)] === 0) memory.delete(key);
      }
    }
  }
}

/** Decodes an attribute set only when a program looks at it. */
class LazyAttributes implements PolicyAttributes {
  readonly #context: RibContext;
  set = 0;

  constructor(context: RibContext) {
    this.#context = context;
  }

  get localPref(): number {
    return this.#context.attributes.localPref[this.set]!;
  }
  get asPath(): readonly number[] {
    return this.#context.attributes.forPolicy(this.set).asPath;
  }
  get communities(): readonly number[] {
    return this.#context.attributes.forPolicy(this.set).communities;
  }
  get largeCommunities(): readonly string[] {
    return this.#context.attributes.forPolicy(this.set).largeCommunities;
  }
}
