// What a Calico object must be beside the other objects: pools that do not overlap (RS-020, RS-021), tiers that exist
// (RS-113) and are not deleted with policies in them (RS-126, RS-127), profiles that nobody writes (RS-085).
import {
  containsPrefix,
  parseNetwork,
  prefixFamily,
  prefixLength,
  prefixesOverlap,
} from '../../lib/ip/mod.ts';
import type { Prefix } from '../../lib/ip/mod.ts';
import { builtInTiers, type KindName } from '../../model/mod.ts';
import { listAt, numberAt, textAt } from '../json.ts';
import type { ApiObject, Issue, ServedKind, World } from '../types.ts';

type Admission = Pick<ServedKind, 'admit' | 'keep' | 'finalizeWith'>;

const group = 'projectcalico.org';
export const poolResource = `ippools.${group}`;
export const blockResource = `ipamblocks.${group}`;
export const affinityResource = `blockaffinities.${group}`;
export const tierResource = `tiers.${group}`;
/** Keeps a deleted pool until its last address is given back (RS-030). */
export const poolFinalizer = 'projectcalico.org/ippool';

const policyKinds = [
  'NetworkPolicy',
  'GlobalNetworkPolicy',
  'StagedNetworkPolicy',
  'StagedGlobalNetworkPolicy',
] as const;
const policyResources = policyKinds.map(
  (kind) => `${kind.toLowerCase().replace(/policy$/, 'policies')}.${group}`,
);

export function rangeOf(object: ApiObject): Prefix | undefined {
  const parsed = parseNetwork(textAt(object, 'spec', 'cidr') ?? '');
  return parsed.ok ? parsed.value : undefined;
}

function poolIssues(pool: ApiObject, previous: ApiObject | undefined, world: World): readonly Issue[] {
  const range = rangeOf(pool);
  if (previous !== undefined || range === undefined) return [];
  const issue = (field: string, reason: string): readonly Issue[] => [
    { field: `spec.${field}`, value: textAt(pool, 'spec', field) ?? numberAt(pool, 'spec', field), reason },
  ];
  for (const other of world.objects(poolResource)) {
    const taken = rangeOf(other);
    if (taken !== undefined && prefixesOverlap(taken, range))
      return issue('cidr', `overlaps with the range ${taken} of IPPool ${other.metadata.name}`);
  }
  const blockSize = numberAt(pool, 'spec', 'blockSize') ?? (prefixFamily(range) === 4 ? 26 : 122);
  for (const block of world.objects(blockResource)) {
    const taken = rangeOf(block);
    if (taken !== undefined && prefixLength(taken) !== blockSize && prefixesOverlap(taken, range))
      return issue('blockSize', `the block ${taken} of another size is in the range already`);
  }
  return [];
}

export const blocksOf = (pool: ApiObject, world: World): readonly ApiObject[] => {
  const range = rangeOf(pool);
  if (range === undefined) return [];
  return [...world.objects(blockResource)].filter((block) => {
    const own = rangeOf(block);
    return own !== undefined && containsPrefix(range, own);
  });
};

/** Whether any address of the block is given out. */
export const isInUse = (block: ApiObject): boolean =>
  listAt(block, 'spec', 'allocations').some((one) => one !== null);

const tierOf = (policy: ApiObject): string => textAt(policy, 'spec', 'tier') ?? 'default';

function tierIssues(policy: ApiObject, previous: ApiObject | undefined, world: World): readonly Issue[] {
  const tier = tierOf(policy);
  // Policies of a tier that is gone can still be changed, so that they can be moved and finalized.
  if (previous !== undefined && tierOf(previous) === tier) return [];
  const found = world.get({ resource: tierResource, namespace: '', name: tier });
  const at = { field: 'spec.tier', value: tier };
  if (found === undefined) return [{ ...at, reason: `tier "${tier}" does not exist` }];
  return found.object.metadata.deletionTimestamp === undefined
    ? []
    : [{ ...at, reason: `tier "${tier}" is being deleted` }];
}

function whyKept(tier: ApiObject, world: World): string | undefined {
  const { name } = tier.metadata;
  if (Object.hasOwn(builtInTiers, name)) return `the tier ${name} is built in and cannot be deleted`;
  for (const resource of policyResources) {
    for (const policy of world.objects(resource)) {
      if (tierOf(policy) === name)
        return `a non-empty tier cannot be deleted: it has ${policy.kind} ${policy.metadata.name}`;
    }
  }
  return undefined;
}

/** Profiles of namespaces and service accounts are made of these, and of nothing else (RS-085). */
function profileIssues(profile: ApiObject, previous: ApiObject | undefined): readonly Issue[] {
  const { name } = profile.metadata;
  if (previous !== undefined || !/^(kns|ksa)\./.test(name)) return [];
  const origin = name.startsWith('kns.') ? 'namespace' : 'service account';
  return [
    {
      field: 'metadata.name',
      value: name,
      reason: `profiles called ${name.slice(0, 3)}… are read-only: they are made of the labels of their ${origin}`,
    },
  ];
}

export function admissionOf(name: KindName): Admission {
  if (name === 'IPPool')
    return {
      admit: poolIssues,
      finalizeWith: (pool, world) => (blocksOf(pool, world).length > 0 ? poolFinalizer : undefined),
    };
  if (name === 'Tier') return { keep: whyKept };
  if (name === 'Profile') return { admit: profileIssues };
  return policyKinds.some((kind) => kind === name) ? { admit: tierIssues } : {};
}
