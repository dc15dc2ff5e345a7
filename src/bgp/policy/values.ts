// Values that programs handle: communities, priorities, and the subject made from text.
import {
  addressToBytes,
  prefixAddress,
  prefixFamily,
  prefixLength,
  type Address,
  type Prefix,
} from '../../lib/ip/mod.ts';
import type { PeerType, PolicyAttributes, PolicySubject, RouteSource } from './types.ts';

/** Priority + local preference. Calico's convention: a lower kernel metric is a higher local preference. */
export const maxPriority = 2147483647;
export const defaultLocalPref = 100;
export const localPrefOf = (priority: number): number => maxPriority - priority;
/** In the unsigned arithmetic of BIRD: a preference beyond the scale is no elevated route, but one far behind. */
export const priorityOf = (localPref: number): number => (maxPriority - localPref) >>> 0;

export type Community =
  | { readonly kind: 'standard'; readonly value: number }
  | { readonly kind: 'large'; readonly value: string };

/** `asn:value` or `a:b:c`; undefined when it is neither. */
export function parseCommunity(text: string): Community | undefined {
  const parts = text.split(':');
  if (parts.length !== 2 && parts.length !== 3) return undefined;
  const limit = parts.length === 2 ? 0xffff : 0xffffffff;
  const numbers: number[] = [];
  for (const part of parts) {
    if (!/^[0-9]{1,10}$/.test(part) || Number(part) > limit) return undefined;
    numbers.push(Number(part));
  }
  if (numbers.length === 3) return { kind: 'large', value: numbers.join(':') };
  return { kind: 'standard', value: (((numbers[0] ?? 0) << 16) | (numbers[1] ?? 0)) >>> 0 };
}

export const formatCommunity = (value: number): string => `${value >>> 16}:${value & 0xffff}`;

const noAttributes: PolicyAttributes = { asPath: [], communities: [], largeCommunities: [] };

/** A subject from text: for probes, explanations and tests. */
export function subjectOf(route: {
  readonly prefix: Prefix;
  readonly source: RouteSource;
  readonly interfaceName?: string | undefined;
  readonly nextHop?: Address | undefined;
  readonly peerType?: PeerType | undefined;
  readonly attributes?: PolicyAttributes;
}): PolicySubject {
  const subject: PolicySubject = {
    family: 4,
    w0: 0,
    w1: 0,
    w2: 0,
    w3: 0,
    length: 0,
    source: route.source,
    interfaceName: route.interfaceName,
    nextHop: route.nextHop,
    peerType: route.peerType,
    attributes: route.attributes ?? noAttributes,
  };
  setSubjectPrefix(subject, route.prefix);
  return subject;
}

export function setSubjectPrefix(subject: PolicySubject, p: Prefix): void {
  const words = prefixWords(p);
  subject.family = prefixFamily(p);
  subject.w0 = words[0] ?? 0;
  subject.w1 = words[1] ?? 0;
  subject.w2 = words[2] ?? 0;
  subject.w3 = words[3] ?? 0;
  subject.length = prefixLength(p);
}

/** One or four unsigned 32-bit words. */
export function prefixWords(p: Prefix): number[] {
  const bytes = addressToBytes(prefixAddress(p));
  const words: number[] = [];
  for (let i = 0; i < bytes.length; i += 4) {
    words.push(
      (((bytes[i] ?? 0) << 24) |
        ((bytes[i + 1] ?? 0) << 16) |
        ((bytes[i + 2] ?? 0) << 8) |
        (bytes[i + 3] ?? 0)) >>>
        0,
    );
  }
  return words;
}
