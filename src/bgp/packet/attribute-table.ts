// The path attributes this speaker knows, one row each: what flags and length are right, what a wrong one costs (RFC 7606)
// and how its content is checked. The walk over an UPDATE, the documentation and the tools read this table.
import { asPathProblem } from './as-path.ts';
import { attributeCode, attributeFlag, type DecodeContext, type ErrorClass } from './types.ts';

export type LengthRule =
  | { readonly exactly: number }
  /** At least one, and a whole number of them. */
  | { readonly multipleOf: number }
  | { readonly any: true };

export type AttributeDescriptor = {
  readonly code: number;
  readonly name: string;
  /** The Optional and Transitive bits it must carry. */
  readonly flags: number;
  readonly length: LengthRule | ((context: DecodeContext) => LengthRule);
  /** What a wrong length or content costs. */
  readonly onError: ErrorClass;
  /** Means something inside an AS only: from an eBGP peer it is dropped unread. */
  readonly insideAsOnly?: true;
  /** Why the content is wrong; undefined when it is right. */
  readonly problem?: (
    bytes: Uint8Array,
    start: number,
    end: number,
    context: DecodeContext,
  ) => string | undefined;
};

const wellKnown = attributeFlag.transitive;
const optional = attributeFlag.optional;
const optionalTransitive = attributeFlag.optional | attributeFlag.transitive;

export const attributeTable: readonly AttributeDescriptor[] = [
  {
    code: attributeCode.origin,
    name: 'ORIGIN',
    flags: wellKnown,
    length: { exactly: 1 },
    onError: 'withdraw',
    problem: (bytes, start) => ((bytes[start] ?? 0) > 2 ? `unknown origin ${bytes[start]}` : undefined),
  },
  {
    code: attributeCode.asPath,
    name: 'AS_PATH',
    flags: wellKnown,
    length: { any: true },
    onError: 'withdraw',
    problem: (bytes, start, end, context) => asPathProblem(bytes, start, end, context.as4, !context.ebgp),
  },
  {
    code: attributeCode.nextHop,
    name: 'NEXT_HOP',
    flags: wellKnown,
    length: { exactly: 4 },
    onError: 'withdraw',
    problem: (bytes, start) => nextHopProblem(bytes, start, 4),
  },
  {
    code: attributeCode.med,
    name: 'MULTI_EXIT_DISC',
    flags: optional,
    length: { exactly: 4 },
    onError: 'withdraw',
  },
  {
    code: attributeCode.localPref,
    name: 'LOCAL_PREF',
    flags: wellKnown,
    length: { exactly: 4 },
    onError: 'withdraw',
    insideAsOnly: true,
  },
  {
    code: attributeCode.atomicAggregate,
    name: 'ATOMIC_AGGREGATE',
    flags: wellKnown,
    length: { exactly: 0 },
    onError: 'discard',
  },
  {
    code: attributeCode.aggregator,
    name: 'AGGREGATOR',
    flags: optionalTransitive,
    length: (context) => ({ exactly: context.as4 ? 8 : 6 }),
    onError: 'discard',
    problem: (bytes, start, _end, context) =>
      allZero(bytes, start, start + (context.as4 ? 4 : 2)) ? 'AS 0 as aggregator' : undefined,
  },
  {
    code: attributeCode.communities,
    name: 'COMMUNITIES',
    flags: optionalTransitive,
    length: { multipleOf: 4 },
    onError: 'withdraw',
  },
  {
    code: attributeCode.originatorId,
    name: 'ORIGINATOR_ID',
    flags: optional,
    length: { exactly: 4 },
    onError: 'withdraw',
    insideAsOnly: true,
  },
  {
    code: attributeCode.clusterList,
    name: 'CLUSTER_LIST',
    flags: optional,
    length: { multipleOf: 4 },
    onError: 'withdraw',
    insideAsOnly: true,
  },
  {
    code: attributeCode.mpReach,
    name: 'MP_REACH_NLRI',
    flags: optional,
    length: { any: true },
    onError: 'reset',
  },
  {
    code: attributeCode.mpUnreach,
    name: 'MP_UNREACH_NLRI',
    flags: optional,
    length: { any: true },
    onError: 'reset',
  },
  {
    code: attributeCode.extendedCommunities,
    name: 'EXTENDED_COMMUNITIES',
    flags: optionalTransitive,
    length: { multipleOf: 8 },
    onError: 'withdraw',
  },
  {
    code: attributeCode.as4Path,
    name: 'AS4_PATH',
    flags: optionalTransitive,
    length: { any: true },
    onError: 'discard',
    problem: (bytes, start, end) => asPathProblem(bytes, start, end, true, true),
  },
  {
    code: attributeCode.as4Aggregator,
    name: 'AS4_AGGREGATOR',
    flags: optionalTransitive,
    length: { exactly: 8 },
    onError: 'discard',
  },
  {
    code: attributeCode.largeCommunities,
    name: 'LARGE_COMMUNITIES',
    flags: optionalTransitive,
    length: { multipleOf: 12 },
    onError: 'withdraw',
  },
];

const byCode: (AttributeDescriptor | undefined)[] = [];
for (const row of attributeTable) byCode[row.code] = row;

export const attributeDescriptor = (code: number): AttributeDescriptor | undefined => byCode[code];
export const attributeName = (code: number): string => byCode[code]?.name ?? `attribute ${code}`;

/** Why the length is wrong; undefined when it is right. */
export function lengthProblem(
  row: AttributeDescriptor,
  length: number,
  context: DecodeContext,
): string | undefined {
  const rule = typeof row.length === 'function' ? row.length(context) : row.length;
  if ('exactly' in rule && length !== rule.exactly) return `${length} octets instead of ${rule.exactly}`;
  if ('multipleOf' in rule && (length === 0 || length % rule.multipleOf !== 0))
    return `${length} octets, not a multiple of ${rule.multipleOf}`;
  return undefined;
}

/** A next hop that no route can use: unspecified or multicast. What lies above (240.0.0.0/4) is unicast to the kernel, and
 *  whether a router has such an address is for the resolution of next hops to say. */
export function nextHopProblem(bytes: Uint8Array, start: number, size: number): string | undefined {
  if (allZero(bytes, start, start + size)) return 'the next hop is the unspecified address';
  const first = bytes[start] ?? 0;
  if (size === 4 ? first >> 4 === 0xe : first === 0xff) return 'the next hop is a multicast address';
  return undefined;
}

function allZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] !== 0) return false;
  return true;
}
