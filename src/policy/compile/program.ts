// Puts together what holds for one endpoint in one direction at one place: the policies that select it, in their tiers, in
// order. Pure over lists, so that the same function serves one question about one packet and the agent's incremental graph.
import type { Direction, PolicyProgram, Rule, TierRules } from '../types.ts';
import type { CompiledPolicy } from './policy.ts';
import type { CompiledProfile } from './profile.ts';
import { comparePolicies, compareTiers, type CompiledTier } from './tier.ts';

/** Where a packet meets an endpoint's rules. */
export type Stage =
  /** A workload's own policy, and a host's for what begins or ends there. */
  | 'normal'
  /** A host's policy for what passes through it. */
  | 'forward'
  | 'untracked'
  | 'preDnat';

export type ProgramInput = {
  readonly stage: Stage;
  readonly direction: Direction;
  readonly tiers: readonly CompiledTier[];
  /** The policies that select the endpoint, in any order. Staged ones are left out. */
  readonly policies: readonly CompiledPolicy[];
  /** The endpoint's profiles, in its order; used at the stage `normal` only. */
  readonly profiles: readonly CompiledProfile[];
};

export function assembleProgram(input: ProgramInput): PolicyProgram {
  const { stage, direction, profiles } = input;
  const policies = input.policies.filter(
    (policy) => policy.staged === undefined && isAt(policy, stage) && policy.directions.includes(direction),
  );
  const tiers = tiersOf(policies, input);
  if (stage === 'normal')
    return {
      tiers,
      profiles: profiles.map((profile) => ({ name: profile.name, rules: profile[direction] })),
      otherwise: 'deny',
    };
  // What passes through a host that no policy speaks of is none of its business (FX-051, RS-143). Before connection tracking
  // and before translation nothing denies but a rule: later stages decide on the rest.
  return { tiers, profiles: [], otherwise: stage === 'forward' ? 'allow' : 'none' };
}

function isAt(policy: CompiledPolicy, stage: Stage): boolean {
  if (stage === 'forward') return policy.place === 'normal' && policy.applyOnForward;
  return policy.place === stage;
}

function tiersOf(policies: readonly CompiledPolicy[], input: ProgramInput): readonly TierRules[] {
  const { tiers, direction, stage } = input;
  const byTier = Map.groupBy(policies, ({ tier }) => tier);
  const known = tiers
    .filter(({ name }) => byTier.has(name))
    .toSorted(compareTiers)
    .map(
      ({ name, defaultAction }): TierRules => ({
        name,
        policies: (byTier.get(name) ?? [])
          .toSorted(comparePolicies)
          .map((policy) => ({ id: policy.id, rules: policy[direction] })),
        endAction: stage === 'untracked' || stage === 'preDnat' ? 'pass' : defaultAction,
      }),
    );
  const names = new Set(tiers.map(({ name }) => name));
  const lost = [...byTier.keys()].filter((name) => !names.has(name)).toSorted();
  return [...lost.map((name) => lostTier(name, byTier.get(name) ?? [])), ...known];
}

/** The policies of a tier that does not exist are not enforced (RS-113). What they would have said is not known, nor what
 *  they would have come before: what they are for is closed until the tier exists. */
const lostTier = (name: string, policies: readonly CompiledPolicy[]): TierRules => {
  const rules: readonly Rule[] = [
    { action: 'deny', source: {}, destination: {}, unresolved: [`tier ${name || '""'} does not exist`] },
  ];
  return {
    name,
    policies: policies.toSorted(comparePolicies).map(({ id }) => ({ id, rules })),
    endAction: 'deny',
  };
};
