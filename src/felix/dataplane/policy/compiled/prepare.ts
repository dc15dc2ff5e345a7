// Makes a program ready for compiling (prepared.ts says what that is).
import { containsAddress, prefixLength, type Address, type Prefix } from '../../../../lib/ip/mod.ts';
import { policyText, type PortRange, type Rule, type SetId, type SideMatch } from '../../../../policy/mod.ts';
import type { Decider, GroupProgram, LogStep } from '../types.ts';
import type { Atom, AtomSource } from './atoms.ts';
import type { Port } from './members.ts';
import {
  netsOfFamily,
  ownSide,
  peerSide,
  type PortTest,
  type PreparedProgram,
  type PreparedRule,
  type Section,
} from './prepared.ts';
import type { SourceWish } from './sources.ts';

/** What preparing asks of the world. Answers about sets are undefined when nobody knows the set. */
export type Knowledge = {
  isKnown(set: SetId): boolean;
  source(wish: SourceWish): AtomSource;
  /** A source that was asked for before is needed still. */
  keep(source: AtomSource): void;
  atomOf(source: AtomSource): Atom;
  ownIsIn(set: SetId, own: Address): boolean | undefined;
  ownPorts(set: SetId, own: Address): readonly Port[] | undefined;
};

/** Rules of policies as they were prepared before: they serve again while the policy is the same and nothing else that they
 *  ask for changed (who sees to that clears the cache). */
export class PreparedPolicies {
  #last = new Map<string, readonly [rules: readonly Rule[], prepared: readonly PreparedRule[]]>();
  #next = new Map<string, readonly [rules: readonly Rule[], prepared: readonly PreparedRule[]]>();

  /** Ends of tiers, and of the program. */
  #lastEnds = new Map<string, Decider>();
  #nextEnds = new Map<string, Decider>();

  clear(): void {
    this.#last.clear();
  }

  /** What ends a section; the same object as before, so that equal decisions stay one. */
  end(key: string, make: () => Decider): Decider {
    const end = this.#lastEnds.get(key) ?? make();
    this.#nextEnds.set(key, end);
    return end;
  }

  of(key: string, rules: readonly Rule[], make: () => readonly PreparedRule[]): readonly PreparedRule[] {
    const known = this.#last.get(key);
    const prepared = known?.[0] === rules ? known[1] : make();
    this.#next.set(key, [rules, prepared]);
    return prepared;
  }

  /** Forgets policies that the program just prepared does not have. */
  turn(): void {
    this.#last = this.#next;
    this.#next = new Map();
    this.#lastEnds = this.#nextEnds;
    this.#nextEnds = new Map();
  }
}

export function prepare(
  group: GroupProgram,
  knowledge: Knowledge,
  policies = new PreparedPolicies(),
): PreparedProgram {
  const program = new Preparation(group, knowledge, policies).run();
  policies.turn();
  return program;
}

/** Where the peer must have an atom, the rule is looked at for classes with it only. */
function neededSources(
  inAll: readonly Atom[],
  ports: readonly PortTest[],
): readonly AtomSource[] | undefined {
  if (inAll[0] !== undefined) return [inAll[0].source];
  return ports.find(
    ({ negated, ranges, own, peer, unknown }) =>
      !negated && !unknown && ranges.length === 0 && own.length === 0 && peer.length > 0,
  )?.peer;
}

/** What is said of one side's address: never, or surely, or unknown. */
type Truth = boolean | undefined;
const and = (a: Truth, b: Truth): Truth => (a === false || b === false ? false : a && b);

type PeerQuestion = {
  readonly truth: Truth;
  readonly inAll: readonly SourceWish[];
  readonly inNone: readonly SourceWish[];
};
const never: PeerQuestion = { truth: false, inAll: [], inNone: [] };

type RulePlace = {
  readonly decider: (action: 'allow' | 'deny') => Decider;
  readonly log: LogStep;
};

class Preparation {
  readonly #group: GroupProgram;
  readonly #knowledge: Knowledge;
  readonly #sections: Section[] = [];
  readonly #policies: PreparedPolicies;
  readonly #rules: PreparedProgram['rules'][number][] = [];
  readonly #always: number[] = [];
  readonly #bySource = new Map<AtomSource, number[]>();

  constructor(group: GroupProgram, knowledge: Knowledge, policies: PreparedPolicies) {
    this.#group = group;
    this.#knowledge = knowledge;
    this.#policies = policies;
  }

  run(): PreparedProgram {
    const { program, direction } = this.#group;
    for (const { name: tier, policies, endAction } of program.tiers) {
      if (policies.length === 0) continue;
      const end = this.#policies.end(`${direction} tier ${tier}`, () => ({
        by: 'end-of-tier',
        tier,
        direction,
        action: 'deny',
      }));
      this.#sections.push({ name: `tier ${tier}`, end: endAction === 'deny' ? end : undefined });
      for (const { id: policy, rules } of policies)
        this.#place(`tier ${tier} ${policyText(policy)}`, rules, (index) => ({
          decider: (action) => ({ by: 'rule', tier, policy, direction, index, action }),
          log: { tier, policy, direction, index },
        }));
    }
    for (const { name: profile, rules } of program.profiles) {
      this.#sections.push({ name: `profile ${profile}`, end: undefined });
      this.#place(`profile ${profile}`, rules, (index) => ({
        decider: (action) => ({ by: 'profile-rule', profile, direction, index, action }),
        log: { profile, direction, index },
      }));
    }
    const action = program.otherwise === 'allow' ? 'allow' : 'deny';
    return {
      sections: this.#sections,
      rules: this.#rules,
      otherwise: this.#policies.end(`${direction} ${action}`, () => ({ by: 'end', direction, action })),
      always: this.#always,
      bySource: this.#bySource,
    };
  }

  #place(key: string, rules: readonly Rule[], placeOf: (index: number) => RulePlace): void {
    let isMade = false;
    const prepared = this.#policies.of(key, rules, () => {
      isMade = true;
      return rules.flatMap((rule, index) => this.#rule(rule, placeOf(index)));
    });
    for (const rule of prepared) {
      if (!isMade) for (const source of rule.asked) this.#knowledge.keep(source);
      const number = this.#rules.push({ rule, section: this.#sections.length - 1 }) - 1;
      if (rule.sources === undefined) this.#always.push(number);
      for (const source of rule.sources ?? []) {
        const numbers = this.#bySource.get(source);
        if (numbers === undefined) this.#bySource.set(source, [number]);
        else numbers.push(number);
      }
    }
  }

  /** Rules that match no packet of this endpoint and family are left out. */
  #rule(rule: Rule, { decider, log }: RulePlace): readonly PreparedRule[] {
    const { family } = this.#group;
    if (rule.ipVersion !== undefined && rule.ipVersion !== family) return [];
    const own = this.#ownTruth(rule[ownSide(this.#group)]);
    if (own === false) return [];
    const peer = this.#peer(rule[peerSide(this.#group)]);
    if (peer.truth === false) return [];
    const { action, icmp, notIcmp } = rule;
    const certain = rule.unresolved === undefined && own === true && peer.truth === true;
    // What never allows and only counts as unknown has no effect.
    if (!certain && (action === 'allow' || action === 'log')) return [];
    // Only now: what is left out asks for nothing.
    const ports = this.#portTests(rule.destination);
    const inAll = peer.inAll.map((wish) => this.#atom(wish));
    const inNone = peer.inNone.map((wish) => this.#atom(wish));
    const asked = [...inAll, ...inNone].map(({ source }) => source);
    return [
      {
        action,
        certain,
        inAll,
        inNone,
        protocol: rule.protocol,
        notProtocol: rule.notProtocol,
        icmp: icmp?.type === undefined && icmp?.code === undefined ? undefined : icmp,
        notIcmp: notIcmp?.type === undefined && notIcmp?.code === undefined ? undefined : notIcmp,
        ports,
        decider: decider(action === 'allow' ? 'allow' : 'deny'),
        log,
        sources: neededSources(inAll, ports),
        asked: [...asked, ...ports.flatMap((test) => test.peer)],
      },
    ];
  }

  #peer({ nets, notNets, sets = [], notSets = [] }: SideMatch): PeerQuestion {
    const inAll: SourceWish[] = [];
    const inNone: SourceWish[] = [];
    let truth: Truth = true;
    for (const [ids, into] of [
      [sets, inAll],
      [notSets, inNone],
    ] as const)
      for (const set of ids)
        if (this.#knowledge.isKnown(set)) into.push({ kind: 'addresses', set });
        else truth = undefined;
    for (const [list, into] of [
      [nets, inAll],
      [notNets, inNone],
    ] as const) {
      if (list === undefined) continue;
      const ours = netsOfFamily(list, this.#group.family);
      const isAll = ours.some((net) => prefixLength(net) === 0);
      if (ours.length === 0 || (isAll && list === notNets)) return never;
      if (!isAll) into.push({ kind: 'nets', nets: ours });
    }
    return { truth, inAll, inNone };
  }

  #atom(wish: SourceWish): Atom {
    return this.#knowledge.atomOf(this.#knowledge.source(wish));
  }

  #ownTruth({ nets, notNets, sets = [], notSets = [] }: SideMatch): Truth {
    let truth: Truth = true;
    const [own] = this.#group.own;
    if (own === undefined) return truth;
    const contains = (list: readonly Prefix[]): boolean => list.some((net) => containsAddress(net, own));
    if (nets !== undefined && !contains(nets)) return false;
    if (notNets !== undefined) {
      if (netsOfFamily(notNets, this.#group.family).length === 0 || contains(notNets)) return false;
    }
    for (const set of sets) truth = and(truth, this.#knowledge.ownIsIn(set, own));
    for (const set of notSets) {
      const isIn = this.#knowledge.ownIsIn(set, own);
      truth = and(truth, isIn === undefined ? undefined : !isIn);
    }
    return truth;
  }

  #portTests({ ports, portSets, notPorts, notPortSets, serviceSets }: SideMatch): readonly PortTest[] {
    const tests: PortTest[] = [];
    if (ports !== undefined || portSets !== undefined)
      tests.push(this.#portTest(false, ports ?? [], portSets ?? []));
    if (notPorts !== undefined || notPortSets !== undefined)
      tests.push(this.#portTest(true, notPorts ?? [], notPortSets ?? []));
    for (const set of serviceSets ?? []) tests.push(this.#portTest(false, [], [set]));
    return tests;
  }

  #portTest(negated: boolean, ranges: readonly PortRange[], sets: readonly SetId[]): PortTest {
    const own: Port[] = [];
    const peer: AtomSource[] = [];
    let unknown = false;
    for (const set of sets) {
      const isPeer = this.#group.direction === 'egress';
      const [address] = this.#group.own;
      if (!this.#knowledge.isKnown(set)) unknown = true;
      else if (isPeer) peer.push(this.#knowledge.source({ kind: 'ports', set }));
      else if (address !== undefined) own.push(...(this.#knowledge.ownPorts(set, address) ?? []));
    }
    return { negated, ranges, own, peer, unknown };
  }
}
