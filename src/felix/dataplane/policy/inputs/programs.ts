// From an endpoint's policy to its programs: a plan names what a program is made of, and `programOf` fills in what the
// policies and profiles say now. Endpoints with equal plans share a program; its key is stable across restarts, and editing
// a policy changes the program under the same key.
import { createHash } from 'node:crypto';
import { policyKey, type EndpointPolicy } from '../../../calc/mod.ts';
import {
  missingProfile,
  type Direction,
  type PolicyId,
  type PolicyProgram,
  type Rule,
  type Stage,
  type TierRules,
} from '../../../../policy/mod.ts';
import type { PolicyMirror } from './mirror.ts';

export type PlannedTier = {
  readonly name: string;
  /** False: the tier does not exist, and what its policies are for is closed. */
  readonly exists: boolean;
  readonly endAction: 'deny' | 'pass';
  readonly policies: readonly PolicyId[];
};

/** What a program is made of, by name. */
export type ProgramPlan = {
  readonly stage: Stage;
  readonly direction: Direction;
  readonly tiers: readonly PlannedTier[];
  readonly profiles: readonly string[];
  readonly otherwise: PolicyProgram['otherwise'];
  /** A hash of all the above. */
  readonly key: string;
};

/** Stages of workloads and hosts. `preDnat` has no way out. */
export const endpointStages = (endpoint: EndpointPolicy): readonly Stage[] =>
  endpoint.type === 'workload' ? ['normal'] : ['normal', 'forward', 'untracked', 'preDnat'];

export function planOf(endpoint: EndpointPolicy, stage: Stage, direction: Direction): ProgramPlan {
  const isEarly = stage === 'untracked' || stage === 'preDnat';
  const tiers = endpoint[stage]
    .map(
      ({ tier, exists, defaultAction, ...policies }): PlannedTier => ({
        name: tier,
        exists,
        // Before connection tracking and before translation nothing denies but a rule (FX-051).
        endAction: exists && isEarly ? 'pass' : defaultAction,
        policies: policies[direction],
      }),
    )
    .filter(({ policies }) => policies.length > 0);
  const profiles = stage === 'normal' ? endpoint.profiles : [];
  const otherwise = stage === 'normal' ? 'deny' : stage === 'forward' ? 'allow' : 'none';
  const named = { stage, direction, tiers, profiles, otherwise } as const;
  return { ...named, key: keyOf(named) };
}

const keyOf = (named: Omit<ProgramPlan, 'key'>): string =>
  createHash('sha256').update(JSON.stringify(named)).digest('hex').slice(0, 12);

const closed = (reason: string): readonly Rule[] => [
  { action: 'deny', source: {}, destination: {}, unresolved: [reason] },
];

/** What the plan says now. A policy or profile that nobody told of denies (FX-008). */
export function programOf(
  { tiers, profiles, direction, otherwise }: ProgramPlan,
  mirror: Pick<PolicyMirror, 'policies' | 'profiles'>,
): PolicyProgram {
  return {
    tiers: tiers.map(
      ({ name, exists, endAction, policies }): TierRules => ({
        name,
        policies: policies.map((id) => ({
          id,
          rules: exists
            ? (mirror.policies.get(keyOfPolicy(id))?.[direction] ?? closed('the policy is not known'))
            : closed(`tier ${name || '""'} does not exist`),
        })),
        endAction,
      }),
    ),
    profiles: profiles.map((name) => ({
      name,
      rules: (mirror.profiles.get(name) ?? missingProfile(name))[direction],
    })),
    otherwise,
  };
}

/** Endpoints name the same policies again and again. */
const policyKeys = new WeakMap<PolicyId, string>();
function keyOfPolicy(id: PolicyId): string {
  let key = policyKeys.get(id);
  if (key === undefined) policyKeys.set(id, (key = policyKey(id)));
  return key;
}

/** Keys of the policies that a plan names, as `PolicyMirror` has them. */
export const policiesOf = (plan: ProgramPlan): readonly string[] =>
  plan.tiers.flatMap(({ policies }) => policies.map(keyOfPolicy));
