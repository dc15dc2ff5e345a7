// Tier: a group of policies that is decided on as a whole, before the tiers after it.
import { builtInTierValidation, tierValidations } from './expressions.ts';
import { defineKind } from '../kind-definition.ts';
import { number, object, oneOf, optional } from '../schema.ts';
import type { Issue } from '../types.ts';

/** Tiers that always exist, as they must be. */
export const builtInTiers: Readonly<
  Record<string, { readonly order: number; readonly defaultAction: 'Pass' | 'Deny' }>
> = {
  'kube-admin': { order: 1_000, defaultAction: 'Pass' },
  default: { order: 1_000_000, defaultAction: 'Deny' },
  'kube-baseline': { order: 10_000_000, defaultAction: 'Pass' },
};

export const tier = defineKind({
  kind: 'Tier',
  plural: 'tiers',
  description: 'A group of policies: decided on before the tiers after it.',
  fields: {
    spec: object({
      order: optional(number({ description: 'Lower comes first; last when absent. Equals go by name.' })),
      defaultAction: optional(
        oneOf(['Pass', 'Deny'], {
          description:
            'What becomes of a packet that policies of the tier were for and that none of their rules matched. Deny when absent.',
        }),
      ),
    }),
  },
  rules: [tierIssues],
  validations: [
    ...tierValidations,
    ...Object.entries(builtInTiers).map(([name, { order, defaultAction }]) =>
      builtInTierValidation(name, order, defaultAction),
    ),
  ],
  complete: (object) => ({
    ...object,
    spec: {
      ...object.spec,
      defaultAction: object.spec.defaultAction ?? builtInTiers[object.metadata.name]?.defaultAction ?? 'Deny',
    },
  }),
  columns: [
    { name: 'Order', type: 'number', path: '.spec.order' },
    { name: 'DefaultAction', type: 'string', path: '.spec.defaultAction' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp' },
  ],
});

type Tier = {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly order?: number; readonly defaultAction?: string };
};

function tierIssues({ metadata: { name }, spec }: Tier): readonly Issue[] {
  if (name !== undefined && (name.length > 63 || name.includes('.')))
    return [
      { field: 'metadata.name', value: name, reason: 'must be one label: at most 63 characters, no dot' },
    ];
  const fixed = Object.hasOwn(builtInTiers, name) ? builtInTiers[name] : undefined;
  if (fixed === undefined) return [];
  return [
    ...(spec.order === fixed.order
      ? []
      : [{ field: 'spec.order', value: spec.order, reason: `must be ${fixed.order} for the tier ${name}` }]),
    ...((spec.defaultAction ?? fixed.defaultAction) === fixed.defaultAction
      ? []
      : [
          {
            field: 'spec.defaultAction',
            value: spec.defaultAction,
            reason: `must be ${fixed.defaultAction} for the tier ${name}`,
          },
        ]),
  ];
}
