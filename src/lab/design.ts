// The resources of a BGP design in a running cluster: the node mesh, BGPPeers, and what Nodes say of themselves. A fresh
// lab and `margay lab design`, which changes a running one, both come through here; a user would use calicoctl or kubectl.
import type { Datastore, StoreError } from '../datastore/mod.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { sleep } from '../lib/wait.ts';
import type { BGPFilter, BGPPeer } from '../model/mod.ts';
import { clusterObjects, designLabel } from './supervisor/cluster-objects.ts';
import { type NodeBgp, reflectorLabel, type Topology } from './topology/mod.ts';

/** Changes what differs: new peers first, the old ones last. */
export async function applyDesign(
  datastore: Datastore,
  topology: Topology,
): Promise<Result<void, StoreError>> {
  const objects = clusterObjects(topology);
  for (const filter of objects.filters) {
    const put = await putFilter(datastore, filter);
    if (!put.ok) return put;
  }
  for (const peer of objects.peers) {
    const put = await putPeer(datastore, peer);
    if (!put.ok) return put;
  }
  for (const node of topology.nodeBgp) {
    const told = await tellNode(datastore, node);
    if (!told.ok) return told;
  }
  const mesh = await datastore.patch(
    'BGPConfiguration',
    { name: 'default' },
    { type: 'merge', body: { spec: { nodeToNodeMeshEnabled: topology.mesh } } },
  );
  if (!mesh.ok) return mesh;
  return removeOthers(datastore, new Set(objects.peers.map((p) => p.metadata.name)));
}

/** For a fresh lab: waits for nodes that have not registered yet. Nodes without a word about BGP are left alone. */
export async function tellNewNodes(
  datastore: Datastore,
  nodes: readonly NodeBgp[],
  signal: AbortSignal,
): Promise<void> {
  const telling = nodes.filter((n) => n.asNumber !== undefined || n.routeReflectorClusterID !== undefined);
  for (const node of telling)
    while (!signal.aborted && !(await tellNode(datastore, node)).ok) await sleep(200, signal);
}

/** AS number and reflector of a node, in the annotations where Calico keeps them (RS-061), and the reflectors' label. */
async function tellNode(datastore: Datastore, node: NodeBgp): Promise<Result<void, StoreError>> {
  const { asNumber, routeReflectorClusterID } = node;
  const patched = await datastore.patch(
    'KubernetesNode',
    { name: node.node },
    {
      type: 'merge',
      body: {
        metadata: {
          labels: { [reflectorLabel]: routeReflectorClusterID === undefined ? null : 'true' },
          annotations: {
            'projectcalico.org/ASNumber': asNumber?.toString() ?? null,
            'projectcalico.org/RouteReflectorClusterID': routeReflectorClusterID ?? null,
          },
        },
      },
    },
  );
  return patched.ok ? ok(undefined) : patched;
}

async function putFilter(datastore: Datastore, filter: BGPFilter): Promise<Result<void, StoreError>> {
  const created = await datastore.create('BGPFilter', filter);
  return created.ok || created.error.code === 'AlreadyExists' ? ok(undefined) : created;
}

async function putPeer(datastore: Datastore, peer: BGPPeer): Promise<Result<void, StoreError>> {
  const created = await datastore.create('BGPPeer', peer);
  if (created.ok || created.error.code !== 'AlreadyExists') return created.ok ? ok(undefined) : created;
  const stored = await datastore.get('BGPPeer', { name: peer.metadata.name });
  if (!stored.ok) return stored;
  const updated = await datastore.update('BGPPeer', {
    ...peer,
    metadata: { ...stored.value.metadata, ...peer.metadata },
  });
  return updated.ok ? ok(undefined) : updated;
}

async function removeOthers(
  datastore: Datastore,
  wanted: ReadonlySet<string>,
): Promise<Result<void, StoreError>> {
  const stored = await datastore.list('BGPPeer', { labelSelector: designLabel });
  if (!stored.ok) return stored;
  for (const { metadata } of stored.value.items) {
    if (wanted.has(metadata.name)) continue;
    const removed = await datastore.delete('BGPPeer', { name: metadata.name });
    if (!removed.ok && removed.error.code !== 'NotFound') return err(removed.error);
  }
  return ok(undefined);
}
