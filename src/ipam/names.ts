// Names and labels of the stored objects, exactly as Calico makes them: changing one would strand every existing object.
import { type Family, type Prefix, prefixFamily } from '../lib/ip/mod.ts';
import { hex, sha256 } from '../lib/hash.ts';
import { base32, sha3 } from './digest.ts';

export type AffinityType = 'host' | 'virtual';
/** Who owns a block: a node, or something that is no node (load balancer addresses). */
export type Owner = { readonly type: AffinityType; readonly name: string };

/** `10.0.0.0/26` → `10-0-0-0-26`, `fd00::/122` → `fd00---122`. */
export const blockName = (cidr: Prefix): string => cidr.replaceAll(/[.:/]/g, '-');

/** `<node>-<block>`; from 253 characters on the node's part is cut and a digest tells it apart. */
export function affinityName(owner: Owner, cidr: Prefix): string {
  const block = blockName(cidr);
  const name = `${owner.name}-${block}`;
  if (name.length < 253) return name;
  const digest = hex(sha256(`${owner.name}+${block}`)).slice(0, 11);
  return `${owner.name.slice(0, 252 - block.length - 13)}-${block}-${digest}`;
}

/** Handles are found by their lower-cased id. */
export const handleName = (handleId: string): string => handleId.toLowerCase();

/** Old migrations left a carriage return and what follows it in some stored ids. */
export const cleanHandleId = (handleId: string): string => handleId.split('\r', 1)[0] ?? '';

export const ownerText = (owner: Owner): string => `${owner.type}:${owner.name}`;

export function ownerOf(affinity: string | undefined): Owner | undefined {
  const match = /^(host|virtual):(.+)$/.exec(affinity ?? '');
  return match === null ? undefined : { type: match[1] as AffinityType, name: match[2] ?? '' };
}

/** Node names may be longer than label values: 256 bits in 52 characters stand for them. */
const hostnameHashes = new Map<string, string>();
export function hostnameHash(name: string): string {
  const known = hostnameHashes.get(name);
  if (known !== undefined) return known;
  const hash = base32(sha3(name));
  if (hostnameHashes.size >= 10_000) hostnameHashes.clear();
  hostnameHashes.set(name, hash);
  return hash;
}

export const affinityLabels = (owner: Owner, cidr: Prefix): Record<string, string> => ({
  'projectcalico.org/hostname-hash': hostnameHash(owner.name),
  'projectcalico.org/affinity-type': owner.type,
  'projectcalico.org/ip-version': String(prefixFamily(cidr)),
});

export const affinitySelector = (owner: Owner, family?: Family): string =>
  [
    `projectcalico.org/hostname-hash=${hostnameHash(owner.name)}`,
    `projectcalico.org/affinity-type=${owner.type}`,
    ...(family === undefined ? [] : [`projectcalico.org/ip-version=${family}`]),
  ].join(',');

export const windowsReservedHandle = 'windows-reserved-ipam-handle';
/** Addresses of load balancers belong to a node that does not exist. */
export const loadBalancerOwner: Owner = { type: 'virtual', name: 'load-balancer' };
