// A program made ready for compiling: what its rules ask about the peer became atoms, what they ask about the endpoint
// itself is answered, and what remains asks for protocol, port, and type and code of ICMP. Answers are those of
// src/policy/match.ts, with its third truth value: `certain` false means that a rule that holds otherwise is unknown.
import type { Family } from '../../../../lib/ip/mod.ts';
import type {
  Action,
  IcmpMatch,
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
  /** All sources that it asks. */
  readonly asked: readonly AtomSource[];
};

/** A tier or a profile. */
export type Section = {
  readonly name: string;
  /** What ends it; undefined: the packet goes on to the next. */
  readonly end: Decider | undefined;
};

export type PreparedProgram = {
  readonly sections: readonly Section[];
  /** In order, with the number of the section. */
  readonly rules: readonly { readonly rule: PreparedRule; readonly section: number }[];
  readonly otherwise: Decider;
  /** Numbers of rules that may match addresses of any class. */
  readonly always: readonly number[];
  /** Rules that can match only where an atom of the source is. */
  readonly bySource: ReadonlyMap<AtomSource, readonly number[]>;
};

type Side = 'source' | 'destination';
export const peerSide = ({ direction }: Pick<GroupProgram, 'direction'>): Side =>
  direction === 'ingress' ? 'source' : 'destination';
export const ownSide = ({ direction }: Pick<GroupProgram, 'direction'>): Side =>
  direction === 'ingress' ? 'destination' : 'source';

function* rulesOf(program: PolicyProgram): Generator<Rule> {
  for (const tier of program.tiers) for (const policy of tier.policies) yield* policy.rules;
  for (const profile of program.profiles) yield* profile.rules;
}

const asksAddress = ({ nets, notNets, sets, notSets, portSets, notPortSets, serviceSets }: SideMatch) =>
  [nets, notNets, sets, notSets, portSets, notPortSets, serviceSets].some((field) => field !== undefined);

const asksPorts = ({ ports, portSets, notPorts, notPortSets, serviceSets }: SideMatch) =>
  [ports, portSets, notPorts, notPortSets, serviceSets].some((field) => field !== undefined);

/** Whether a rule asks for the address of the endpoint itself. */
export const asksOwnAddress = ({
  program,
  direction,
}: Pick<GroupProgram, 'program' | 'direction'>): boolean => {
  const side = ownSide({ direction });
  for (const rule of rulesOf(program)) if (asksAddress(rule[side])) return true;
  return false;
};

/** Why the lookups cannot say what the program says. */
export function linearReason(group: GroupProgram): LinearReason | undefined {
  if (group.program.otherwise === 'none') return 'undecided';
  for (const rule of rulesOf(group.program)) {
    if (rule.http !== undefined) return 'http';
    if (asksPorts(rule.source)) return 'source-ports';
  }
  if (group.own.length !== 1 && asksOwnAddress(group)) return 'own-addresses';
  return undefined;
}

/** Sets that the program's rules name, all of them or those they ask about the endpoint itself. */
export function setsOf(group: GroupProgram, side: 'all' | 'own' = 'all'): Set<SetId> {
  const found = new Set<SetId>();
  const own = ownSide(group);
  for (const rule of rulesOf(group.program))
    for (const name of ['source', 'destination'] as const) {
      if (side === 'own' && name !== own) continue;
      const { sets, notSets, portSets, notPortSets, serviceSets } = rule[name];
      for (const ids of [sets, notSets, portSets, notPortSets, serviceSets])
        for (const id of ids ?? []) found.add(id);
    }
  return found;
}

/** Fields about the peer's address that a list of networks of one family leaves. */
export const netsOfFamily = <P extends string>(nets: readonly P[], family: Family): P[] =>
  [...new Set(nets.filter((net) => net.includes(':') === (family === 6)))].sort();
