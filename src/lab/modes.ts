// Routing modes of a lab's pools: how packets to other nodes travel. A fresh lab and `margay lab mode`, which changes a
// running one, both come through here; a user would edit the IPPools.
import type { Datastore, StoreError } from '../datastore/mod.ts';
import { ok, type Result } from '../lib/result.ts';
import type { IPPool } from '../model/mod.ts';

export const modeNames = ['bgp', 'ipip', 'ipip-crosssubnet', 'vxlan', 'vxlan-crosssubnet'] as const;
export type ModeName = (typeof modeNames)[number];

export const isMode = (text: string): text is ModeName => (modeNames as readonly string[]).includes(text);

/** IP in IP is for IPv4; IPv6 pools go without it. */
export function poolModes(mode: ModeName, cidr: string): Pick<IPPool['spec'], 'ipipMode' | 'vxlanMode'> {
  const how = mode.endsWith('crosssubnet') ? 'CrossSubnet' : 'Always';
  return {
    ipipMode: mode.startsWith('ipip') && !cidr.includes(':') ? how : 'Never',
    vxlanMode: mode.startsWith('vxlan') ? how : 'Never',
  };
}

/** Edits every pool of the cluster. */
export async function applyMode(datastore: Datastore, mode: ModeName): Promise<Result<void, StoreError>> {
  const pools = await datastore.list('IPPool');
  if (!pools.ok) return pools;
  for (const { metadata, spec } of pools.value.items) {
    const body = { spec: poolModes(mode, spec.cidr) };
    const patched = await datastore.patch('IPPool', { name: metadata.name }, { type: 'merge', body });
    if (!patched.ok) return patched;
  }
  return ok(undefined);
}
