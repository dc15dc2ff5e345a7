// What the kinds of policy have in common: fields, checks, defaults.
import { array, number, oneOf, optional, string } from '../schema.ts';
import type { Issue, ObjectMeta } from '../types.ts';
import { policyRules, rulesIssues, type PolicyRule } from './policy-rule.ts';
import { hasGlobal, policySelector } from './selector-fields.ts';

export const tierLabel = 'projectcalico.org/tier';
export const defaultTier = 'default';

const typeWords = ['Ingress', 'Egress'] as const;

export const policyTypes = () =>
  optional(
    array(oneOf(typeWords), {
      uniqueItems: true,
      description: 'The directions that the policy decides on; by its rules when absent.',
    }),
  );

export const policyFields = {
  tier: optional(string({ format: 'name', description: 'The tier. `default` when absent.' })),
  order: optional(number({ description: 'Lower comes first; last when absent. Equals go by name.' })),
  selector: optional(policySelector('The endpoints that the policy is for; all when absent.')),
  types: policyTypes(),
  ingress: policyRules('Rules for packets towards the endpoints; the first that matches decides.', 'ingress'),
  egress: policyRules('Rules for packets from the endpoints.', 'egress'),
  serviceAccountSelector: optional(policySelector('Only endpoints whose service account has such labels.')),
  performanceHints: optional(
    array(oneOf(['AssumeNeededOnEveryNode']), {
      uniqueItems: true,
      description: 'What helps the agent to be quick.',
    }),
  ),
};

export const stagedAction = optional(
  oneOf(['Set', 'Delete', 'Learn', 'Ignore'], {
    default: 'Set',
    description: 'What shall become of the enforced policy of the same name.',
  }),
);

type Spec = {
  readonly tier?: string;
  readonly selector?: string;
  readonly namespaceSelector?: string;
  readonly serviceAccountSelector?: string;
  readonly types?: readonly ('Ingress' | 'Egress')[];
  readonly ingress?: readonly PolicyRule[];
  readonly egress?: readonly PolicyRule[];
  readonly doNotTrack?: boolean;
  readonly preDNAT?: boolean;
  readonly applyOnForward?: boolean;
  readonly stagedAction?: string;
};
type Policy = { readonly metadata: ObjectMeta; readonly spec: Spec };

const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
/** One label, or two with a dot between: `<tier>.<name>`, as policies were named before. */
const policyName = new RegExp(`^(${label}\\.)?${label}$`);
/** Names that policies made of Kubernetes' and OpenStack's objects have. */
const reservedName = new RegExp(`^(knp|ossg)\\.default\\.${label}(\\.${label})*$`);

/** Checks of NetworkPolicy and its staged form. */
export const namespacedPolicyIssues = (policy: Policy): readonly Issue[] => [
  ...nameIssues(policy.metadata.name, true),
  ...specIssues(policy.spec, true),
];

/** Checks of GlobalNetworkPolicy and its staged form. */
export const globalPolicyIssues = (policy: Policy): readonly Issue[] => [
  ...nameIssues(policy.metadata.name, false),
  ...specIssues(policy.spec, false),
];

function nameIssues(name: string | undefined, mayBeReserved: boolean): readonly Issue[] {
  if (name === undefined || policyName.test(name) || (mayBeReserved && reservedName.test(name))) return [];
  return [
    { field: 'metadata.name', value: name, reason: 'must have at most one dot, between label and label' },
  ];
}

function specIssues(spec: Spec, isInNamespace: boolean): readonly Issue[] {
  if (spec.stagedAction === 'Delete') return deletionIssues(spec);
  return [
    ...(['selector', 'namespaceSelector', 'serviceAccountSelector'] as const).flatMap((field) =>
      hasGlobal(spec[field])
        ? [
            {
              field: `spec.${field}`,
              value: spec[field],
              reason: 'must not use global(): only namespaceSelector of a rule can',
            },
          ]
        : [],
    ),
    ...hostPolicyIssues(spec),
    ...rulesIssues(spec.ingress, 'ingress', isInNamespace),
    ...rulesIssues(spec.egress, 'egress', isInNamespace),
  ];
}

/** A staged deletion names what shall go, and says nothing else. */
export function deletionIssues(spec: object): readonly Issue[] {
  const isEmpty = (value: unknown): boolean =>
    value === undefined ||
    value === null ||
    value === '' ||
    value === false ||
    (typeof value === 'object' && Object.keys(value).length === 0);
  return Object.entries(spec).flatMap(([field, value]) =>
    field === 'tier' || field === 'stagedAction' || isEmpty(value)
      ? []
      : [{ field: `spec.${field}`, value, reason: 'must be absent when stagedAction is Delete' }],
  );
}

function hostPolicyIssues(spec: Spec): readonly Issue[] {
  const { doNotTrack, preDNAT, applyOnForward } = spec;
  const tests: readonly (readonly [unknown, keyof Spec, string])[] = [
    [doNotTrack && preDNAT, 'preDNAT', 'cannot be combined with doNotTrack'],
    [
      preDNAT && (spec.egress?.length ?? 0) > 0,
      'egress',
      'must be empty with preDNAT, which sees only what comes in',
    ],
    [preDNAT && spec.types?.includes('Egress'), 'types', 'must not have Egress with preDNAT'],
    [
      (doNotTrack || preDNAT) && !applyOnForward,
      'applyOnForward',
      'must be true with doNotTrack and preDNAT',
    ],
  ];
  return tests.flatMap(([isBroken, field, reason]) =>
    isBroken ? [{ field: `spec.${field}`, value: spec[field], reason }] : [],
  );
}

/** Tier, types and the label by which policies of a tier are found. */
export function completePolicy<P extends Policy>(policy: P): P {
  const { spec, metadata } = policy;
  const tier = spec.tier || defaultTier;
  const isDeletion = spec.stagedAction === 'Delete';
  return {
    ...policy,
    metadata: { ...metadata, labels: { ...metadata.labels, [tierLabel]: tier } },
    spec: { ...spec, tier, ...(isDeletion || spec.types?.length ? {} : { types: typesOf(spec) }) },
  };
}

/** Ingress, unless the policy has rules for egress only. */
function typesOf({ ingress, egress }: Spec): readonly ('Ingress' | 'Egress')[] {
  if (!egress?.length) return ['Ingress'];
  return ingress?.length ? ['Ingress', 'Egress'] : ['Egress'];
}
