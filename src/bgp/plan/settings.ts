// BGPConfiguration read for one node: `default` for the cluster, `node.<name>` over it where Calico allows that.
import {
  familyOf,
  parseAddress,
  parseNetwork,
  prefixFamily,
  type Address,
  type Family,
  type Prefix,
} from '../../lib/ip/mod.ts';
import { sha256 } from '../../lib/hash.ts';
import type { BgpConfigurationInput, NodeInput, PlanInput } from './types.ts';

export const defaultAs = 64512;
export const defaultPort = 179;
export const defaultPriority = 1024;
/** Graceful restart time that BIRD announces when nothing is said. */
export const defaultRestartTimeSeconds = 120;
/** What the field of the capability holds: 12 bits (RFC 4724). */
export const longestRestartTimeSeconds = 4095;
/** A third of the longest hold time, which has 16 bits. */
export const longestKeepaliveSeconds = 21_845;

export type Spec = NonNullable<BgpConfigurationInput['spec']>;

export type Settings = {
  readonly cluster: Spec;
  /** The effective value: the node's own, else the cluster's. */
  forNode<K extends keyof Spec>(node: string, field: K): Spec[K] | undefined;
  asOf(node: NodeInput): number;
  portOf(node: string): number;
  readonly normalPriority: { readonly 4: number; readonly 6: number };
};

export function readSettings(input: PlanInput): Settings {
  const byName = new Map((input.bgpConfigurations ?? []).map((c) => [c.metadata.name, c.spec ?? {}]));
  const cluster = byName.get('default') ?? {};
  const forNode: Settings['forNode'] = (node, field) => byName.get(`node.${node}`)?.[field] ?? cluster[field];
  return {
    cluster,
    forNode,
    asOf: (node) =>
      parseAs(node.spec?.bgp?.asNumber) ?? parseAs(forNode(node.metadata.name, 'asNumber')) ?? defaultAs,
    portOf: (node) => forNode(node, 'listenPort') ?? defaultPort,
    normalPriority: {
      4: cluster.ipv4NormalRoutePriority ?? defaultPriority,
      6: cluster.ipv6NormalRoutePriority ?? defaultPriority,
    },
  };
}

/** 64512, "64512" or dotted "1.10"; undefined for what is no AS number, 0 among it (RFC 7607). */
export function parseAs(value: number | string | undefined): number | undefined {
  const [, high = '', low] = /^([0-9]{1,10})(?:\.([0-9]{1,5}))?$/.exec(String(value ?? '')) ?? [];
  if (high === '' || (low !== undefined && (Number(high) > 0xffff || Number(low) > 0xffff))) return undefined;
  const as = low === undefined ? Number(high) : Number(high) * 65536 + Number(low);
  return as > 0 && as <= 0xffffffff ? as : undefined;
}

/** Router and cluster ids are 32 bits that are not all zero, written as an IPv4 address (RFC 6286). */
export function parseRouterId(text: string | undefined): Address | undefined {
  const parsed = parseAddress(text ?? '');
  return parsed.ok && familyOf(parsed.value) === 4 && parsed.value !== '0.0.0.0' ? parsed.value : undefined;
}

/** A duration as the API has it: `90s`, `1m30s`, `1h`. Seconds, rounded. */
export function parseDurationSeconds(text: string | undefined): number | undefined {
  if (text === undefined || !/^([0-9]+(\.[0-9]+)?(h|m|s|ms|us|µs|ns))+$/.test(text)) return undefined;
  const units: Record<string, number> = { h: 3600, m: 60, s: 1, ms: 1e-3, us: 1e-6, µs: 1e-6, ns: 1e-9 };
  let seconds = 0;
  for (const [, number = '0', , unit = 's'] of text.matchAll(/([0-9]+(\.[0-9]+)?)(h|ms|us|µs|ns|m|s)/g)) {
    seconds += Number(number) * (units[unit] ?? 0);
  }
  return Math.round(seconds);
}

/** The first four bytes of the name's hash, kept out of the multicast and reserved range. */
export function hashedRouterId(nodeName: string): Address {
  const [a = 0, b = 0, c = 0, d = 0] = sha256(nodeName);
  return `${a > 223 ? a - 32 : a}.${b}.${c}.${d}` as Address;
}

/** The address of a node in a family, without its mask. */
export function nodeAddress(node: NodeInput, family: Family): Address | undefined {
  const text = family === 4 ? node.spec?.bgp?.ipv4Address : node.spec?.bgp?.ipv6Address;
  if (text === undefined || text === '') return undefined;
  const parsed = parseAddress(text.split('/')[0] ?? '');
  return parsed.ok ? parsed.value : undefined;
}

/** Canonical prefixes of the family; an entry without a CIDR (which the API allows) says nothing, like one that does not
 *  parse (validation has refused it before). */
export function prefixesOf(
  list: readonly { readonly cidr?: string | undefined }[] | undefined,
  family: Family,
): Prefix[] {
  return (list ?? []).flatMap(({ cidr = '' }) => {
    const parsed = parseNetwork(cidr);
    return parsed.ok && prefixFamily(parsed.value) === family ? [parsed.value] : [];
  });
}
