// The programs of one endpoint of a world, and the world as it would be with its staged policies enforced.
import { matchesLookup } from '../../selector/mod.ts';
import type { CompiledPolicy } from '../compile/policy.ts';
import { assembleProgram, type Stage } from '../compile/program.ts';
import { missingProfile } from '../compile/profile.ts';
import { comparePolicies } from '../compile/tier.ts';
import type { Direction, PolicyProgram } from '../types.ts';
import type { Endpoint, World } from './types.ts';

/** The policies that select the endpoint, staged ones too, in the order of their tier. */
export const policiesOf = (world: World, endpoint: Endpoint): readonly CompiledPolicy[] =>
  world.policies.filter(({ selector }) => matchesLookup(selector, endpoint.label)).toSorted(comparePolicies);

/** The endpoints that a policy selects. */
export const endpointsOf = (world: World, { selector }: CompiledPolicy): readonly Endpoint[] =>
  [...world.workloads, ...world.hostEndpoints].filter(({ label }) => matchesLookup(selector, label));

/** What holds for the endpoint at a stage in a direction. */
export const programOf = (
  world: World,
  endpoint: Endpoint,
  stage: Stage,
  direction: Direction,
): PolicyProgram =>
  assembleProgram({
    stage,
    direction,
    tiers: world.tiers,
    policies: policiesOf(world, endpoint),
    profiles: endpoint.profiles.map((name) => world.profiles.get(name) ?? missingProfile(name)),
  });

const enforcedKind = {
  StagedNetworkPolicy: 'NetworkPolicy',
  StagedGlobalNetworkPolicy: 'GlobalNetworkPolicy',
  StagedKubernetesNetworkPolicy: 'KubernetesNetworkPolicy',
} as const;

/** The world after all staged policies were put into force: a set one takes the place of the policy of its kind and name, a
 *  deletion removes it; what is to be learned or ignored changes nothing (RS-120, RS-121). */
export function withStaged(world: World): World {
  const key = ({ kind, namespace, name }: CompiledPolicy['id']): string =>
    `${kind} ${namespace ?? ''}/${name}`;
  const result = new Map<string, CompiledPolicy>();
  for (const policy of world.policies) if (policy.staged === undefined) result.set(key(policy.id), policy);
  for (const policy of world.policies) {
    const { kind } = policy.id;
    if (policy.staged === undefined || !isStagedKind(kind)) continue;
    const id = { ...policy.id, kind: enforcedKind[kind] };
    if (policy.staged === 'Delete') result.delete(key(id));
    if (policy.staged !== 'Set') continue;
    const { staged: _staged, ...rules } = policy;
    result.set(key(id), { ...rules, id });
  }
  return { ...world, policies: [...result.values()] };
}

const isStagedKind = (kind: string): kind is keyof typeof enforcedKind => Object.hasOwn(enforcedKind, kind);
