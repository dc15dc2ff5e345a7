// IPPool: a range that addresses of pods and tunnels come from, and how packets between its addresses travel.
import { poolValidations } from './expressions.ts';
import {
  parsePrefix,
  prefix,
  prefixesOverlap,
  prefixFamily,
  prefixLength,
  type Prefix,
} from '../../lib/ip/mod.ts';
import { defineKind } from '../kind-definition.ts';
import { array, boolean, integer, object, oneOf, optional, string, longestRange } from '../schema.ts';
import { conditionsStatus } from './conditions.ts';
import { hasGlobal } from './selector-fields.ts';
import type { Issue } from '../types.ts';

const modes = ['Never', 'Always', 'CrossSubnet'] as const;

export const ippool = defineKind({
  kind: 'IPPool',
  plural: 'ippools',
  shortNames: ['ipp', 'pool'],
  description: 'A range of addresses for pods and tunnels, and how packets between its addresses travel.',
  fields: {
    spec: object(
      {
        cidr: string({
          format: 'cidr',
          maxLength: longestRange,
          description: 'The range. Cannot be changed.',
        }),
        blockSize: optional(
          integer({
            description:
              'Prefix length of the blocks that nodes take from the pool: 20 to 32, or 116 to 128 for IPv6. 26 and 122 when absent. Cannot be changed.',
          }),
        ),
        ipipMode: optional(
          oneOf(modes, { default: 'Never', description: 'When packets between nodes travel inside IPIP.' }),
        ),
        vxlanMode: optional(
          oneOf(modes, { default: 'Never', description: 'When packets between nodes travel inside VXLAN.' }),
        ),
        natOutgoing: optional(
          boolean({
            description:
              'Whether traffic from the pool to addresses in no pool leaves with the node’s address.',
          }),
        ),
        disabled: optional(boolean({ description: 'No new addresses are given out.' })),
        disableBGPExport: optional(boolean({ description: 'Routes of the pool are not announced by BGP.' })),
        nodeSelector: optional(
          string({ format: 'selector', default: 'all()', description: 'The nodes that may use the pool.' }),
        ),
        namespaceSelector: optional(
          string({
            format: 'selector',
            description: 'The namespaces whose pods may use the pool; all when absent.',
          }),
        ),
        allowedUses: optional(
          array(oneOf(['Workload', 'Tunnel', 'LoadBalancer']), {
            description:
              'What addresses of the pool may be used for. Workload and Tunnel when absent; Workload with namespaceSelector.',
          }),
        ),
        assignmentMode: optional(
          oneOf(['Automatic', 'Manual'], {
            default: 'Automatic',
            description: 'Manual: only when the pool or the address is asked for.',
          }),
        ),
      },
      { validations: poolValidations },
    ),
    status: conditionsStatus,
  },
  rules: [poolIssues],
  changeRules: [poolChangeIssues],
  complete: (pool) => ({
    ...pool,
    spec: {
      ...pool.spec,
      blockSize: blockSizeOf(pool.spec),
      // Addresses of tunnels belong to nodes, not to namespaces.
      allowedUses: pool.spec.allowedUses?.length ? pool.spec.allowedUses : usualUses(pool.spec),
    },
  }),
  columns: [
    { name: 'CIDR', type: 'string', path: '.spec.cidr' },
    { name: 'VXLAN', type: 'string', path: '.spec.vxlanMode' },
    { name: 'IPIP', type: 'string', path: '.spec.ipipMode' },
    { name: 'NAT', type: 'boolean', path: '.spec.natOutgoing' },
    { name: 'Allocatable', type: 'string', path: '.status.conditions[?(@.type=="Allocatable")].status' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp' },
  ],
});

type Spec = {
  readonly cidr: string;
  readonly blockSize?: number;
  readonly ipipMode?: string;
  readonly vxlanMode?: string;
  readonly disabled?: boolean;
  readonly disableBGPExport?: boolean;
  readonly nodeSelector?: string;
  readonly namespaceSelector?: string;
  readonly allowedUses?: readonly string[];
};
type Pool = { readonly spec: Spec };

const linkLocal: readonly Prefix[] = [prefix('169.254.0.0/16'), prefix('fe80::/10')];
/** Allowed prefix lengths of blocks, and the usual one. */
const blockSizes = {
  4: { least: 20, most: 32, usual: 26 },
  6: { least: 116, most: 128, usual: 122 },
} as const;

const blockSizeOf = ({ cidr, blockSize }: Spec): number =>
  blockSize || blockSizes[cidr.includes(':') ? 6 : 4].usual;
const usualUses = (spec: Spec): readonly ('Workload' | 'Tunnel')[] =>
  spec.namespaceSelector ? ['Workload'] : ['Workload', 'Tunnel'];
const isTunnelled = (mode: string | undefined): boolean => mode === 'Always' || mode === 'CrossSubnet';

function poolIssues({ spec }: Pool): readonly Issue[] {
  const parsed = parsePrefix(spec.cidr);
  if (!parsed.ok) return [{ field: 'spec.cidr', value: spec.cidr, reason: parsed.error.message }];
  return [
    ...rangeIssues(spec, parsed.value),
    ...encapsulationIssues(spec, parsed.value),
    ...selectorIssues(spec),
    ...usesIssues(spec),
  ];
}

function rangeIssues(spec: Spec, cidr: Prefix): readonly Issue[] {
  const { least, most } = blockSizes[prefixFamily(cidr)];
  const blockSize = blockSizeOf(spec);
  const overlapped = linkLocal.find((range) => prefixesOverlap(range, cidr));
  return [
    ...(overlapped === undefined
      ? []
      : [
          {
            field: 'spec.cidr',
            value: spec.cidr,
            reason: `must not overlap the link-local range ${overlapped}`,
          },
        ]),
    ...(blockSize >= least && blockSize <= most
      ? []
      : [{ field: 'spec.blockSize', value: spec.blockSize, reason: `must be ${least} to ${most}` }]),
    ...(!spec.disabled && prefixLength(cidr) > blockSize
      ? [
          {
            field: 'spec',
            reason:
              'IP pool size is too small for use with Calico IPAM. It must be equal to or greater than the block size.',
          },
        ]
      : []),
  ];
}

function encapsulationIssues({ ipipMode, vxlanMode }: Spec, cidr: Prefix): readonly Issue[] {
  if (isTunnelled(ipipMode) && isTunnelled(vxlanMode))
    return [{ field: 'spec.ipipMode', value: ipipMode, reason: 'cannot be used together with vxlanMode' }];
  return isTunnelled(ipipMode) && prefixFamily(cidr) === 6
    ? [{ field: 'spec.ipipMode', value: ipipMode, reason: 'must be Never: IPIP carries no IPv6' }]
    : [];
}

const selectorIssues = (spec: Spec): readonly Issue[] =>
  (['nodeSelector', 'namespaceSelector'] as const).flatMap((field) =>
    hasGlobal(spec[field])
      ? [{ field: `spec.${field}`, value: spec[field], reason: 'must not use global()' }]
      : [],
  );

function usesIssues(spec: Spec): readonly Issue[] {
  const uses = spec.allowedUses ?? [];
  const isForServices = uses.includes('LoadBalancer');
  const tests: readonly (readonly [boolean, keyof Spec, string])[] = [
    [isForServices && uses.length > 1, 'allowedUses', 'LoadBalancer must stand alone'],
    [isForServices && isTunnelled(spec.ipipMode), 'ipipMode', 'must be Never for LoadBalancer'],
    [isForServices && isTunnelled(spec.vxlanMode), 'vxlanMode', 'must be Never for LoadBalancer'],
    [isForServices && spec.disableBGPExport === true, 'disableBGPExport', 'must be false for LoadBalancer'],
    [
      isForServices && !['', 'all()'].includes(spec.nodeSelector ?? ''),
      'nodeSelector',
      'must be all() for LoadBalancer',
    ],
    [
      uses.includes('Tunnel') && Boolean(spec.namespaceSelector),
      'namespaceSelector',
      'cannot be combined with the use Tunnel',
    ],
  ];
  return tests.flatMap(([isBroken, field, reason]) =>
    isBroken ? [{ field: `spec.${field}`, value: spec[field], reason }] : [],
  );
}

function poolChangeIssues({ spec }: Pool, before: Pool | undefined): readonly Issue[] {
  if (before === undefined) return [];
  const old = before.spec;
  const forServices = ({ allowedUses }: Spec): boolean => allowedUses?.includes('LoadBalancer') ?? false;
  const tests: readonly (readonly [boolean, keyof Spec, string])[] = [
    [canonical(spec.cidr) !== canonical(old.cidr), 'cidr', `cannot be changed; it is ${old.cidr}`],
    [blockSizeOf(spec) !== blockSizeOf(old), 'blockSize', `cannot be changed; it is ${blockSizeOf(old)}`],
    [
      forServices(spec) !== forServices(old),
      'allowedUses',
      'cannot change between LoadBalancer and other uses',
    ],
  ];
  return tests.flatMap(([isBroken, field, reason]) =>
    isBroken ? [{ field: `spec.${field}`, value: spec[field], reason }] : [],
  );
}

function canonical(cidr: string): string {
  const parsed = parsePrefix(cidr);
  return parsed.ok ? parsed.value : cidr;
}
