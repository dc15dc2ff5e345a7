// What must be there before resources are written: the identity of the cluster and the built-in tiers (RS-010). A user who
// may not write these may still write others, so nothing here fails.
import { randomBytes } from 'node:crypto';
import type { Datastore } from '../../datastore/mod.ts';
import { builtInTiers, type Tier } from '../../model/mod.ts';

const apiVersion = 'projectcalico.org/v3';

export async function ensureInitialised(store: Datastore): Promise<void> {
  await Promise.all([ensureClusterInformation(store), ensureTiers(store)]);
}

async function ensureClusterInformation(store: Datastore): Promise<void> {
  const name = { name: 'default' };
  const found = await store.get('ClusterInformation', name);
  const clusterGUID = randomBytes(16).toString('hex');
  if (found.ok) {
    if (found.value.spec.clusterGUID) return;
    await store.update('ClusterInformation', { ...found.value, spec: { ...found.value.spec, clusterGUID } });
  } else if (found.error.code === 'NotFound') {
    await store.create('ClusterInformation', {
      apiVersion,
      kind: 'ClusterInformation',
      metadata: name,
      spec: { clusterGUID, datastoreReady: true },
    });
  }
}

async function ensureTiers(store: Datastore): Promise<void> {
  const listed = await store.list('Tier');
  if (!listed.ok) return;
  const there = new Set(listed.value.items.map((tier) => tier.metadata.name));
  for (const [name, { order, defaultAction }] of Object.entries(builtInTiers)) {
    const tier: Tier = { apiVersion, kind: 'Tier', metadata: { name }, spec: { order, defaultAction } };
    if (!there.has(name)) await store.create('Tier', tier);
  }
}
