// Names in the kernel as Calico gives them, so that its users find what they know (FX-030…FX-036): chains of at most 28
// characters, sets of at most 31; what is longer ends in a hash.
import { createHash } from 'node:crypto';
import type { Family } from '../../../lib/ip/mod.ts';
import { policyText, type Direction, type PolicyId } from '../../../policy/mod.ts';

const chainNameLength = 28;
const setNameLength = 31;
/** Marks a hash. A name that could be taken for one is hashed, too. */
const hashMark = '_';

const hashOf = (text: string): string => createHash('sha256').update(text).digest('base64url');

/** Prefix and suffix, or the prefix and a hash of the suffix where that would be too long (FX-034). */
export function limitedName(prefix: string, suffix: string, length = chainNameLength): string {
  const total = prefix.length + suffix.length;
  if (suffix !== '' && total < length) return prefix + suffix;
  if (total === length && !suffix.startsWith(hashMark)) return prefix + suffix;
  if (suffix === '') return prefix + hashMark;
  return prefix + hashMark + hashOf(suffix).slice(0, length - 1 - prefix.length);
}

/** `np/shop/web`, `gnp/all`: how chains name a policy. */
const policyName = (id: PolicyId): string => policyText(id).replace(':', '/');

/** Towards the endpoint or away from it, as chain names say it: `i` and `o`. */
const letter = (direction: Direction): string => (direction === 'ingress' ? 'i' : 'o');

export const policyChain = (id: PolicyId, direction: Direction): string =>
  limitedName(`cali-p${letter(direction)}-`, policyName(id));
export const profileChain = (name: string, direction: Direction): string =>
  limitedName(`cali-pr${letter(direction)}-`, name);

/** Whether rules of policies or profiles are in the chain. */
export const isRuleChain = (name: string): boolean => /^cali-p(r?)[io]-/.test(name);

/** The chain of a run of policies that always stand together. */
export function groupChain(tier: string, direction: Direction, policies: readonly PolicyId[]): string {
  const prefix = `cali-g${letter(direction)}-`;
  const text = JSON.stringify([tier, direction, policies.map(policyName)]);
  return prefix + hashOf(text).slice(0, chainNameLength - prefix.length);
}

/** Beginnings of the names of an endpoint's chains. `to` and `from` are seen from the host. */
export const endpointPrefixes = {
  toWorkload: 'cali-tw-',
  fromWorkload: 'cali-fw-',
  toHost: 'cali-th-',
  fromHost: 'cali-fh-',
  toHostForward: 'cali-thfw-',
  fromHostForward: 'cali-fhfw-',
} as const;
export type EndpointChainKind = keyof typeof endpointPrefixes;

export const endpointChain = (kind: EndpointChainKind, interfaceName: string): string =>
  limitedName(endpointPrefixes[kind], interfaceName);

/** Stands in chain names for the host endpoint of all interfaces. */
export const anyInterface = 'any-interface-at-all';

export const dispatchChains = {
  toWorkload: 'cali-to-wl-dispatch',
  fromWorkload: 'cali-from-wl-dispatch',
  toHost: 'cali-to-host-endpoint',
  fromHost: 'cali-from-host-endpoint',
  toHostForward: 'cali-to-hep-forward',
  fromHostForward: 'cali-from-hep-forward',
} as const satisfies Record<EndpointChainKind, string>;

/** The set with the members of an identifier: `cali40s:…`, `cali60masq-ipam-pools`. */
export const setName = (family: Family, id: string): string => `cali${family}0${id}`.slice(0, setNameLength);

/** A set that lives while another one is being rewritten. */
export const temporarySetName = (family: Family, number: number): string => `cali${family}t${number}`;

/** Chains and sets of ours, of Calico's, and of those before it. */
export const isOurChain = (name: string): boolean => /^(cali-|cali(fw|tw|fh|th|pi|po)-|felix-)/.test(name);
export const isOurSet = (name: string): boolean => /^(cali[46][0t-]|felix-)/.test(name);
