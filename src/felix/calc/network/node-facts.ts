// What routes and overlay need of resources: of nodes their addresses and tunnels, of blocks whom their addresses belong to.
import { sha1 } from '../../../lib/hash.ts';
import {
  addressAt,
  familyOf,
  hostPrefix,
  parseAddress,
  parseInterfaceAddress,
  parsePrefix,
  prefixOf,
  prefixSize,
  type Address,
  type Family,
  type Prefix,
} from '../../../lib/ip/mod.ts';
import type { IPAMBlock, IPPool, Node } from '../../../model/mod.ts';
import type {
  HostAddress,
  NodeFacts,
  PoolType,
  Vtep,
  VtepSide,
  WireGuardEnd,
  WireGuardSide,
} from './types.ts';

export function nodeFacts(node: Node): NodeFacts {
  const { name } = node.metadata;
  const { bgp, addresses = [], wireguard, ...tunnelled } = node.spec ?? {};
  const listed = addresses.flatMap(({ address, type }) => {
    const parsed = hostAddress(address);
    return parsed === undefined ? [] : [{ ...parsed, type }];
  });
  const own = (family: Family, text: string | undefined): HostAddress | undefined =>
    hostAddress(text) ??
    (['CalicoNodeIP', 'InternalIP'] as const)
      .map((type) => listed.find((a) => a.type === type && familyOf(a.address) === family))
      .find((found) => found !== undefined);
  const v4 = own(4, bgp?.ipv4Address);
  const v6 = own(6, bgp?.ipv6Address);
  const all = [v4, v6, ...listed].flatMap((a) => (a === undefined ? [] : [a.address]));
  const tunnels = (
    [
      ['ipip', bgp?.ipv4IPIPTunnelAddr],
      ['vxlan', tunnelled.ipv4VXLANTunnelAddr],
      ['vxlan', tunnelled.ipv6VXLANTunnelAddr],
      ['wireguard', wireguard?.interfaceIPv4Address],
      ['wireguard', wireguard?.interfaceIPv6Address],
    ] as const
  ).flatMap(([type, text]) => {
    const address = addressOrNone(text);
    return address === undefined ? [] : [{ type, address }];
  });
  return {
    ...(v4 === undefined ? {} : { v4: { address: v4.address, network: v4.network } }),
    ...(v6 === undefined ? {} : { v6: { address: v6.address, network: v6.network } }),
    addresses: [...new Set(all)],
    tunnels,
    vtep: vtepOf(
      name,
      side(tunnelled.ipv4VXLANTunnelAddr, tunnelled.vxlanTunnelMACAddr, vtepMac(name), v4),
      side(tunnelled.ipv6VXLANTunnelAddr, tunnelled.vxlanTunnelMACAddrV6, vtepMac(`${name}-v6`), v6),
    ),
    wireguard: wireguardOf(
      name,
      wireguardSide(node.status?.wireguardPublicKey, v4, wireguard?.interfaceIPv4Address),
      wireguardSide(node.status?.wireguardPublicKeyV6, v6, wireguard?.interfaceIPv6Address),
    ),
  };
}

function wireguardOf(
  node: string,
  v4: WireGuardSide | undefined,
  v6: WireGuardSide | undefined,
): WireGuardEnd | undefined {
  if (v4 === undefined && v6 === undefined) return undefined;
  return { node, ...(v4 === undefined ? {} : { v4 }), ...(v6 === undefined ? {} : { v6 }) };
}

function wireguardSide(
  publicKey: string | undefined,
  parent: HostAddress | undefined,
  tunnelText: string | undefined,
): WireGuardSide | undefined {
  if (!publicKey || parent === undefined) return undefined;
  const tunnel = addressOrNone(tunnelText);
  return { publicKey, address: parent.address, ...(tunnel === undefined ? {} : { tunnel }) };
}

/** MAC of a node's VXLAN device: 66 and the start of a digest of its name (FX-090). */
export const vtepMac = (text: string): string =>
  ['66', ...Array.from(sha1(text).subarray(0, 5), (byte) => byte.toString(16).padStart(2, '0'))].join(':');

function vtepOf(node: string, v4: VtepSide | undefined, v6: VtepSide | undefined): Vtep | undefined {
  if (v4 === undefined && v6 === undefined) return undefined;
  return { node, ...(v4 === undefined ? {} : { v4 }), ...(v6 === undefined ? {} : { v6 }) };
}

function side(
  text: string | undefined,
  mac: string | undefined,
  usualMac: string,
  parent: HostAddress | undefined,
): VtepSide | undefined {
  if (text === undefined || addressOrNone(text) === undefined || parent === undefined) return undefined;
  return { mac: mac || usualMac, address: text, parentAddress: parent.address };
}

function addressOrNone(text: string | undefined): Address | undefined {
  const parsed = text ? parseAddress(text) : undefined;
  return parsed?.ok ? parsed.value : undefined;
}

/** An address, alone or with the length of its network; undefined for names and nonsense. */
function hostAddress(text: string | undefined): HostAddress | undefined {
  if (!text) return undefined;
  const parsed = parseInterfaceAddress(
    text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`,
  );
  if (!parsed.ok) return undefined;
  const { address, length } = parsed.value;
  return { address, network: prefixOf(address, length) };
}

/** A pool as routes see it; undefined when its range is none. */
export type PoolFacts = {
  readonly cidr: Prefix;
  readonly type: PoolType;
  readonly natOutgoing: boolean;
  readonly crossSubnet: boolean;
};
export function poolFacts({ spec }: IPPool): PoolFacts | undefined {
  const cidr = parsePrefix(spec.cidr);
  if (!cidr.ok) return undefined;
  const tunnels = (mode: string | undefined): boolean => mode === 'Always' || mode === 'CrossSubnet';
  return {
    cidr: cidr.value,
    // A pool that names both (validation refuses it) is a VXLAN pool to everyone.
    type: tunnels(spec.vxlanMode) ? 'vxlan' : tunnels(spec.ipipMode) ? 'ipip' : 'no-encap',
    natOutgoing: spec.natOutgoing === true,
    crossSubnet: spec.ipipMode === 'CrossSubnet' || spec.vxlanMode === 'CrossSubnet',
  };
}

/** Whom a block, and single addresses of it that others hold, belong to. */
export type BlockOwner = { readonly prefix: Prefix; readonly node: string };
export function blockOwners({ spec }: IPAMBlock): readonly BlockOwner[] {
  const cidr = parsePrefix(spec.cidr);
  if (!cidr.ok || spec.deleted === true) return [];
  const { value } = cidr;
  const size = prefixSize(value);
  const node = /^host:(.+)$/.exec(spec.affinity ?? '')?.[1];
  const owners: BlockOwner[] = node === undefined ? [] : [{ prefix: value, node }];
  for (const [ordinal, index] of (spec.allocations ?? []).entries()) {
    const holder = index === null ? undefined : spec.attributes?.[index]?.secondary?.['node'];
    if (holder === undefined || holder === '' || holder === node || BigInt(ordinal) >= size) continue;
    // Of a block of one address the holder is all there is to know.
    if (size === 1n) return [{ prefix: value, node: holder }];
    owners.push({ prefix: hostPrefix(addressAt(value, ordinal)), node: holder });
  }
  return owners;
}
