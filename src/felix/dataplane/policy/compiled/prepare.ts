// Makes the rules of one policy or profile ready for compiling (prepared.ts says what that is).
import { containsAddress, prefixLength, type Address, type Prefix } from '../../../../lib/ip/mod.ts';
import type { PortRange, Rule, SetId, SideMatch } from '../../../../policy/mod.ts';
import type { Decider, GroupProgram, LogStep } from '../types.ts';
import type { Atom, AtomSource } from './atoms.ts';
import type { Port } from './members.ts';
import {
  netsOfFamily,
  ownSide,
  peerSide,
  setsNamed,
  type Part,
  type PartOwner,
  type PortTest,
  type PreparedRule,
} from './prepared.ts';
import type { SourceWish } from './sources.ts';

/** What preparing asks of the world. Answers about sets are undefined when nobody knows the set. */
export type Knowledge = {
  isKnown(set: SetId): boolean;
  source(wish: SourceWish): AtomSource;
  atomOf(source: AtomSource): Atom;
  ownIsIn(set: SetId, own: Address): boolean | undefined;
  ownPorts(set: SetId, own: Address): readonly Port[] | undefined;
};

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

/** `section` and `place` are for the caller to fill in. */
export function preparePart(
  group: GroupProgram,
  knowledge: Knowledge,
  owner: PartOwner,
  rules: readonly Rule[],
): Part {
  return new Preparation(group, knowledge, owner).run(rules);
}

/** What members of sets say about the endpoint itself. */
export function ownAnswers(
  group: GroupProgram,
  knowledge: Pick<Knowledge, 'ownIsIn' | 'ownPorts'>,
  rules: readonly Rule[],
): string {
  const [own] = group.own;
  if (own === undefined) return '';
  const answers: string[] = [];
  for (const id of setsNamed(rules, ownSide(group))) {
    const ports = knowledge.ownPorts(id, own) ?? [];
    const numbers = ports.map(({ protocol, number }) => `${protocol}:${number}`).sort();
    answers.push(`${id} ${String(knowledge.ownIsIn(id, own))} ${numbers.join(' ')}`);
  }
  return answers.join('\n');
}

class Preparation {
  readonly #group: GroupProgram;
  readonly #knowledge: Knowledge;
  readonly #owner: PartOwner;
  readonly #asked = new Set<AtomSource>();

  constructor(group: GroupProgram, knowledge: Knowledge, owner: PartOwner) {
    this.#group = group;
    this.#knowledge = knowledge;
    this.#owner = owner;
  }

  run(rules: readonly Rule[]): Part {
    const prepared = rules.flatMap((rule, index) => this.#rule(rule, this.#placeOf(index)));
    return {
      owner: this.#owner,
      rules,
      prepared,
      asked: this.#asked,
      isAlways: prepared.some(({ sources }) => sources === undefined),
      needed: new Set(prepared.flatMap(({ sources }) => sources ?? [])),
      ownAnswers: ownAnswers(this.#group, this.#knowledge, rules),
      section: 0,
      place: 0,
    };
  }

  #placeOf(index: number): RulePlace {
    const { direction } = this.#group;
    const owner = this.#owner;
    if (owner.tier === undefined) {
      const { profile } = owner;
      return {
        decider: (action) => ({ by: 'profile-rule', profile, direction, index, action }),
        log: { profile, direction, index },
      };
    }
    const { tier, policy } = owner;
    return {
      decider: (action) => ({ by: 'rule', tier, policy, direction, index, action }),
      log: { tier, policy, direction, index },
    };
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
    return this.#knowledge.atomOf(this.#source(wish));
  }

  #source(wish: SourceWish): AtomSource {
    const source = this.#knowledge.source(wish);
    this.#asked.add(source);
    return source;
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
      else if (isPeer) peer.push(this.#source({ kind: 'ports', set }));
      else if (address !== undefined) own.push(...(this.#knowledge.ownPorts(set, address) ?? []));
    }
    return { negated, ranges, own, peer, unknown };
  }
}
