// A program made ready for compiling: what its rules ask about the peer became atoms, what they ask about the endpoint
// itself is answered, and what remains asks for protocol, port, and type and code of ICMP. Answers are those of
// src/policy/match.ts, with its third truth value: `certain` false means that a rule that holds otherwise is unknown.
import type { Family } from '../../../../lib/ip/mod.ts';
import type {
  Action,
  IcmpMatch,
  PolicyId,
  PolicyProgram,
  PortRange,
  Rule,
  SetId,
  SideMatch,
} from '../../../../policy/mod.ts';
import type { Decider, GroupProgram, LogStep } from '../types.ts';
import type { Atom, AtomSource } from './atoms.ts';
import type { Port } from './members.ts';
import type { LinearReason } from './types.ts';

/** One list of ports: numbers, and names or services. */
export type PortTest = {
  readonly negated: boolean;
  readonly ranges: readonly PortRange[];
  /** Ports of the endpoint itself that are in the sets. */
  readonly own: readonly Port[];
  /** Sets in which the peer's ports are looked up. */
  readonly peer: readonly AtomSource[];
  /** One of the sets is not known. */
  readonly unknown: boolean;
};

export type PreparedRule = {
  readonly action: Action;
  readonly certain: boolean;
  readonly inAll: readonly Atom[];
  readonly inNone: readonly Atom[];
  readonly protocol: number | undefined;
  readonly notProtocol: number | undefined;
  readonly icmp: IcmpMatch | undefined;
  readonly notIcmp: IcmpMatch | undefined;
  readonly ports: readonly PortTest[];
  /** What it decides when it allows or denies, or when a Pass cannot be resolved. */
  readonly decider: Decider;
  readonly log: LogStep;
  /** It can match only where one of these has an atom; undefined: anywhere. */
  readonly sources: readonly AtomSource[] | undefined;
};

/** Whose rules they are: a policy in its tier, or a profile. */
export type PartOwner =
  | { readonly tier: string; readonly policy: PolicyId }
  | { readonly tier: undefined; readonly profile: string };

/** The rules of one policy or profile. It stays the same object while they read the same and nothing that they ask for
 *  has other answers. */
export type Part = {
  readonly owner: PartOwner;
  readonly rules: readonly Rule[];
  readonly prepared: readonly PreparedRule[];
  /** Sources that its rules ask. */
  readonly asked: ReadonlySet<AtomSource>;
  /** Some rule may match addresses of any class. */
  readonly isAlways: boolean;
  /** Sources where some rule can match only with an atom of them. */
  readonly needed: ReadonlySet<AtomSource>;
  /** Answers about the endpoint itself, as text; they change with the members of sets. */
  readonly ownAnswers: string;
  /** Number of the section, and place among all parts. */
  section: number;
  place: number;
};

/** A tier or a profile. */
export type Section = {
  readonly name: string;
  /** What ends it; undefined: the packet goes on to the next. */
  readonly end: Decider | undefined;
};

export type PreparedProgram = {
  readonly sections: readonly Section[];
  readonly otherwise: Decider;
  /** Parts with rules that may match addresses of any class. */
  readonly always: ReadonlySet<Part>;
  /** Parts with rules that can match only where an atom of the source is. */
  readonly bySource: ReadonlyMap<AtomSource, ReadonlySet<Part>>;
};

type Side = 'source' | 'destination';
export const peerSide = ({ direction }: Pick<GroupProgram, 'direction'>): Side =>
  direction === 'ingress' ? 'source' : 'destination';
export const ownSide = ({ direction }: Pick<GroupProgram, 'direction'>): Side =>
  direction === 'ingress' ? 'destination' : 'source';

const asksAddress = ({ nets, notNets, sets, notSets, portSets, notPortSets, serviceSets }: SideMatch) =>
  [nets, notNets, sets, notSets, portSets, notPortSets, serviceSets].some((field) => field !== undefined);

const asksPorts = ({ ports, portSets, notPorts, notPortSets, serviceSets }: SideMatch) =>
  [ports, portSets, notPorts, notPortSets, serviceSets].some((field) => field !== undefined);

/** What a list of rules asks for, found out once. */
type RuleFacts = {
  readonly asksAddress: Readonly<Record<Side, boolean>>;
  readonly reason: Extract<LinearReason, 'http' | 'source-ports'> | undefined;
  /** Sets that the rules name on a side. */
  readonly sets: Readonly<Record<Side, ReadonlySet<SetId>>>;
};
const knownFacts = new WeakMap<readonly Rule[], RuleFacts>();

function factsOf(rules: readonly Rule[]): RuleFacts {
  const known = knownFacts.get(rules);
  if (known !== undefined) return known;
  const http = rules.some((rule) => rule.http !== undefined);
  const facts: RuleFacts = {
    asksAddress: {
      source: rules.some((rule) => asksAddress(rule.source)),
      destination: rules.some((rule) => asksAddress(rule.destination)),
    },
    reason: http ? 'http' : rules.some((rule) => asksPorts(rule.source)) ? 'source-ports' : undefined,
    sets: { source: setsOn(rules, 'source'), destination: setsOn(rules, 'destination') },
  };
  knownFacts.set(rules, facts);
  return facts;
}

function setsOn(rules: readonly Rule[], side: Side): Set<SetId> {
  const found = new Set<SetId>();
  for (const rule of rules) {
    const { sets, notSets, portSets, notPortSets, serviceSets } = rule[side];
    for (const ids of [sets, notSets, portSets, notPortSets, serviceSets])
      for (const id of ids ?? []) found.add(id);
  }
  return found;
}

export const setsNamed = (rules: readonly Rule[], side: Side): ReadonlySet<SetId> =>
  factsOf(rules).sets[side];

function* ruleLists({ tiers, profiles }: PolicyProgram): Generator<readonly Rule[]> {
  for (const tier of tiers) for (const policy of tier.policies) yield policy.rules;
  for (const profile of profiles) yield profile.rules;
}

/** How many lists of rules of a program ask for something. */
type ProgramFacts = Record<Side | 'http' | 'source-ports', number>;
const knownPrograms = new WeakMap<PolicyProgram, ProgramFacts>();

function programFacts(program: PolicyProgram): ProgramFacts {
  let facts = knownPrograms.get(program);
  if (facts === undefined) {
    facts = { source: 0, destination: 0, http: 0, 'source-ports': 0 };
    for (const rules of ruleLists(program)) countFacts(facts, rules, 1);
    knownPrograms.set(program, facts);
  }
  return facts;
}

function countFacts(facts: ProgramFacts, rules: readonly Rule[], by: 1 | -1): void {
  const { asksAddress: asked, reason } = factsOf(rules);
  if (asked.source) facts.source += by;
  if (asked.destination) facts.destination += by;
  if (reason !== undefined) facts[reason] += by;
}

/** `after` is `before` but for these lists of rules, and only they are looked at. */
export function noteEdits(
  before: PolicyProgram,
  after: PolicyProgram,
  edits: readonly { readonly before: readonly Rule[]; readonly after: readonly Rule[] }[],
): void {
  const known = knownPrograms.get(before);
  if (known === undefined) return;
  const facts = { ...known };
  for (const edit of edits) {
    countFacts(facts, edit.before, -1);
    countFacts(facts, edit.after, 1);
  }
  knownPrograms.set(after, facts);
}

/** Whether a rule asks for the address of the endpoint itself. */
export const asksOwnAddress = ({
  program,
  direction,
}: Pick<GroupProgram, 'program' | 'direction'>): boolean => programFacts(program)[ownSide({ direction })] > 0;

/** Why the lookups cannot say what the program says. */
export function linearReason(group: GroupProgram): LinearReason | undefined {
  if (group.program.otherwise === 'none') return 'undecided';
  const facts = programFacts(group.program);
  if (facts.http > 0) return 'http';
  if (facts['source-ports'] > 0) return 'source-ports';
  if (group.own.length !== 1 && asksOwnAddress(group)) return 'own-addresses';
  return undefined;
}

/** Fields about the peer's address that a list of networks of one family leaves. */
export const netsOfFamily = <P extends string>(nets: readonly P[], family: Family): P[] =>
  [...new Set(nets.filter((net) => net.includes(':') === (family === 6)))].sort();
