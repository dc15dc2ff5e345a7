// Policies that versions before Calico 3.32 stored with the name of the tier `default` before their own move to the key of
// their name (`calicoctl datastore migrate-policy-names`).
import { ok, type Result } from '../../lib/result.ts';
import type { KindName } from '../../model/mod.ts';
import type { StoreError } from '../types.ts';
import type { KeyValueStore } from './kv.ts';
import { placeOf } from './places.ts';

export type Renamed = { readonly moved: number; readonly taken: readonly string[] };

const policyKinds: readonly KindName[] = [
  'NetworkPolicy',
  'GlobalNetworkPolicy',
  'StagedNetworkPolicy',
  'StagedGlobalNetworkPolicy',
];

/** `taken`: keys whose policy stays where it is, because another one has its name. May be run again at any time. */
export async function renameOldPolicies(store: KeyValueStore): Promise<Result<Renamed, StoreError>> {
  let moved = 0;
  const taken: string[] = [];
  for (const kind of policyKinds) {
    const place = placeOf(kind);
    if (place === undefined) continue;
    const listed = await store.list(place.range(undefined));
    if (!listed.ok) return listed;
    for (const stored of listed.value.items) {
      const policy = place.nameOf(stored.key) === undefined ? undefined : place.decode(stored);
      const key = policy?.ok ? place.keyOf(policy.value) : undefined;
      if (!policy?.ok || key === undefined || key === stored.key) continue;
      const written = await store.write([
        { key, change: { put: place.encode(policy.value) }, condition: { absent: true } },
        { key: stored.key, change: { delete: true }, condition: { modRevision: stored.modRevision } },
      ]);
      if (!written.ok) return written;
      if (written.value.done) moved++;
      else taken.push(stored.key);
    }
  }
  return ok({ moved, taken });
}
