// BGPFilter: ordered rules on the routes of BGP sessions.
import { filterOperationValidations, filterRuleValidations } from './expressions.ts';
import { defineKind } from '../kind-definition.ts';
import { array, integer, object, oneOf, optional, string, longestRange } from '../schema.ts';
import type { Issue } from '../types.ts';

/** Filters compare communities as text, so each has one spelling only: no leading zeros. */
const communityText = (description: string) =>
  string({ format: 'community', pattern: '^(0|[1-9][0-9]*)(:(0|[1-9][0-9]*)){1,2}$', description });

const operation = object(
  {
    addCommunity: optional(object({ value: communityText('Community to add.') })),
    prependASPath: optional(
      object({
        prefix: array(integer({ format: 'as-number' }), {
          minItems: 1,
          maxItems: 10,
          description: 'AS numbers to put before the path.',
        }),
      }),
    ),
    setPriority: optional(
      object({ value: integer({ minimum: 1, maximum: 2147483646, description: 'The route’s new metric.' }) }),
    ),
  },
  { validations: filterOperationValidations },
);

const rule = (family: 4 | 6) => {
  const bits = family === 4 ? 32 : 128;
  return object(
    {
      cidr: optional(
        string({
          format: family === 4 ? 'network-v4' : 'network-v6',
          maxLength: longestRange,
          description: 'Range to compare with.',
        }),
      ),
      prefixLength: optional(
        object({
          min: optional(integer({ minimum: 0, maximum: bits })),
          max: optional(integer({ minimum: 0, maximum: bits })),
        }),
      ),
      source: optional(oneOf(['RemotePeers'], { description: 'Only routes learned from BGP peers.' })),
      interface: optional(
        string({ format: 'interface-glob', description: 'Only routes leaving by such an interface.' }),
      ),
      matchOperator: optional(
        oneOf(['Equal', 'NotEqual', 'In', 'NotIn'], { description: 'How the route compares with cidr.' }),
      ),
      peerType: optional(oneOf(['eBGP', 'iBGP'], { description: 'Only sessions of this type.' })),
      communities: optional(
        object({
          values: array(communityText('The community.'), {
            minItems: 1,
            maxItems: 1,
            description: 'Only routes with this community.',
          }),
        }),
      ),
      asPathPrefix: optional(
        array(integer({ format: 'as-number' }), { description: 'Only routes whose AS path starts so.' }),
      ),
      priority: optional(
        integer({ minimum: 1, maximum: 2147483646, description: 'Only routes with this metric.' }),
      ),
      action: oneOf(['Accept', 'Reject'], { description: 'What becomes of a route that matches.' }),
      operations: optional(
        array(operation, { minItems: 1, maxItems: 10, description: 'Changes to an accepted route.' }),
      ),
    },
    { validations: filterRuleValidations },
  );
};
const ruleV4 = rule(4);
const ruleV6 = rule(6);

export const bgpfilter = defineKind({
  kind: 'BGPFilter',
  plural: 'bgpfilters',
  description: 'Rules for the routes of BGP sessions: the first that matches decides.',
  fields: {
    spec: object({
      exportV4: optional(array(ruleV4, { description: 'Rules for announced IPv4 routes.' })),
      importV4: optional(array(ruleV4, { description: 'Rules for received IPv4 routes.' })),
      exportV6: optional(array(ruleV6, { description: 'Rules for announced IPv6 routes.' })),
      importV6: optional(array(ruleV6, { description: 'Rules for received IPv6 routes.' })),
    }),
  },
  rules: [filterIssues],
});

type FilterRule = {
  readonly cidr?: string;
  readonly prefixLength?: { readonly min?: number; readonly max?: number };
  readonly matchOperator?: string;
  readonly action: string;
  readonly operations?: readonly object[];
};
const lists = ['exportV4', 'importV4', 'exportV6', 'importV6'] as const;
type Filter = { readonly spec: { readonly [L in (typeof lists)[number]]?: readonly FilterRule[] } };

function filterIssues({ spec }: Filter): readonly Issue[] {
  return lists.flatMap((list) =>
    (spec[list] ?? []).flatMap((rule, i) => ruleIssues(rule, `spec.${list}[${i}]`)),
  );
}

function ruleIssues(rule: FilterRule, path: string): readonly Issue[] {
  const { cidr, matchOperator, prefixLength, operations = [] } = rule;
  const tests: readonly (readonly [unknown, string, unknown, string])[] = [
    [cidr && !matchOperator, 'matchOperator', matchOperator, 'must be given with cidr'],
    [matchOperator && !cidr, 'cidr', cidr, 'must be given with matchOperator'],
    [prefixLength && !cidr, 'prefixLength', prefixLength, 'needs cidr'],
    [
      operations.length > 0 && rule.action !== 'Accept',
      'operations',
      operations,
      'can only change accepted routes',
    ],
  ];
  return [
    ...tests.flatMap(([isBroken, field, value, reason]) =>
      isBroken ? [{ field: `${path}.${field}`, value, reason }] : [],
    ),
    ...operations.flatMap((operation, i) =>
      Object.values(operation).filter((value) => value !== undefined && value !== null).length === 1
        ? []
        : [{ field: `${path}.operations[${i}]`, value: operation, reason: 'must be exactly one operation' }],
    ),
  ];
}
