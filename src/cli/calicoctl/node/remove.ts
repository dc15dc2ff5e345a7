// What goes with a node where nodes are stored by Calico itself, in etcd (RS-063): its endpoints and their addresses, its
// tunnels' addresses, its claims on blocks, its peers, its configurations, its host endpoints. With Kubernetes the
// controllers do this when the Kubernetes node is gone.
import type { Datastore, StoreError } from '../../../datastore/mod.ts';
import { type Address, parseInterfaceAddress } from '../../../lib/ip/mod.ts';
import { err, ok, type Failure, type Result } from '../../../lib/result.ts';
import type { KindName, Node } from '../../../model/mod.ts';
import { openIpam } from '../ipam/open.ts';

type Done = Result<void, Failure>;

/** Nothing when the datastore does not store nodes: then the deletion itself is refused. */
export async function removeBelongings(store: Datastore, name: string): Promise<Done> {
  const probed = await store.delete('Node', { name }, { dryRun: true });
  if (!probed.ok && probed.error.code !== 'NotFound')
    return probed.error.code === 'NotSupported' ? ok(undefined) : probed;
  const node = await store.get('Node', { name });
  if (!node.ok && node.error.code !== 'NotFound') return node;
  const endpoints = await store.list('WorkloadEndpoint', { fieldSelector: `spec.node=${name}` });
  if (!endpoints.ok) return endpoints;
  const texts = [
    ...endpoints.value.items.flatMap(({ spec }) => spec.ipNetworks ?? []),
    ...(node.ok ? tunnelAddresses(node.value) : []),
  ];
  const ipam = await openIpam(store);
  const released = await ipam.releaseAddresses(texts.flatMap(addressOf).map((address) => ({ address })));
  if (!released.ok) return released;
  for (const { metadata } of endpoints.value.items) {
    const gone = await remove(store, 'WorkloadEndpoint', metadata.name, metadata.namespace);
    if (!gone.ok) return gone;
  }
  const claims = await ipam.releaseHost(name);
  if (!claims.ok) return claims;
  for (const kind of ['BGPPeer', 'HostEndpoint'] as const) {
    const listed = await store.list(kind, { fieldSelector: `spec.node=${name}` });
    if (!listed.ok) return listed;
    for (const { metadata } of listed.value.items) {
      const gone = await remove(store, kind, metadata.name);
      if (!gone.ok) return gone;
    }
  }
  for (const kind of ['FelixConfiguration', 'BGPConfiguration'] as const) {
    const gone = await remove(store, kind, `node.${name}`);
    if (!gone.ok) return gone;
  }
  return ok(undefined);
}

const tunnelAddresses = ({ spec }: Node): readonly string[] =>
  [
    spec.bgp?.ipv4IPIPTunnelAddr,
    spec.ipv4VXLANTunnelAddr,
    spec.ipv6VXLANTunnelAddr,
    spec.wireguard?.interfaceIPv4Address,
    spec.wireguard?.interfaceIPv6Address,
  ].filter((text) => text !== undefined);

function addressOf(text: string): readonly Address[] {
  const parsed = parseInterfaceAddress(
    text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`,
  );
  return parsed.ok ? [parsed.value.address] : [];
}

async function remove(
  store: Datastore,
  kind: KindName,
  name: string,
  namespace?: string,
): Promise<Result<void, StoreError>> {
  const deleted = await store.delete(kind, namespace === undefined ? { name } : { name, namespace });
  return deleted.ok || deleted.error.code === 'NotFound' ? ok(undefined) : err(deleted.error);
}
