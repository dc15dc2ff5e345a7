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
      (tier): TierRules => ({
        name: tier.name,
        policies: tier.policies.map((id) => ({ id, rules: rulesOf(id, tier, direction, mirror) })),
        endAction: tier.endAction,
      }),
    ),
    profiles: profiles.map((name) => ({
      name,
      rules: (mirror.profiles.get(name) ?? missingProfile(name))[direction],
    })),
    otherwise,
  };
}

function rulesOf(
  id: PolicyId,
  { name, exists }: PlannedTier,
  direction: Direction,
  { policies }: Pick<PolicyMirror, 'policies'>,
): readonly Rule[] {
  if (!exists) return closed(`tier ${name || '""'} does not exist`);
  return policies.get(keyOfPolicy(id))?.[direction] ?? closed('the policy is not known');
}

/** A list of rules of a program that made way for another. */
export type RulesEdit = { readonly before: readonly Rule[]; readonly after: readonly Rule[] };

/** `program`, which was of the plan, when no more than these policies (keys) read otherwise since. The others are not looked
 *  at, so that an edit costs little among many policies. */
export function editedProgram(
  program: PolicyProgram,
  plan: ProgramPlan,
  edited: Iterable<string>,
  mirror: Pick<PolicyMirror, 'policies'>,
): { readonly program: PolicyProgram; readonly edits: readonly RulesEdit[] } {
  const lists = new Map<number, PolicyRules[]>();
  const edits: RulesEdit[] = [];
  const places = placesIn(plan);
  for (const key of edited) {
    const place = places.get(key);
    if (place === undefined) continue;
    const { tier, at } = place;
    let list = lists.get(tier);
    if (list === undefined) lists.set(tier, (list = [...(program.tiers[tier] as TierRules).policies]));
    const { id, rules: before } = list[at] as PolicyRules;
    const after = rulesOf(id, plan.tiers[tier] as PlannedTier, plan.direction, mirror);
    list[at] = { id, rules: after };
    edits.push({ before, after });
  }
  const tiers = program.tiers.map((tier, t) => ({ ...tier, policies: lists.get(t) ?? tier.policies }));
  return { program: { ...program, tiers }, edits };
}

type PolicyRules = TierRules['policies'][number];
type PolicyPlace = { readonly tier: number; readonly at: number };
const knownPlaces = new WeakMap<ProgramPlan, ReadonlyMap<string, PolicyPlace>>();
function placesIn(plan: ProgramPlan): ReadonlyMap<string, PolicyPlace> {
  let places = knownPlaces.get(plan);
  if (places === undefined) {
    places = new Map(
      plan.tiers.flatMap(({ policies }, tier) =>
        policies.map((id, at): [string, PolicyPlace] => [keyOfPolicy(id), { tier, at }]),
      ),
    );
    knownPlaces.set(plan, places);
  }
  return places;
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
