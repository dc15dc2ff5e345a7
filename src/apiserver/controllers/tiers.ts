// The tiers that every cluster has (RS-010, RS-126).
import { ok } from '../../lib/result.ts';
import { builtInTiers } from '../../model/mod.ts';
import { type Api, keyOf } from '../api.ts';
import { tierResource } from '../kinds/calico-admission.ts';
import { createIn } from '../verbs/write.ts';

/** Creates those that are missing. */
export async function createTiers({ store, registry }: Api): Promise<void> {
  const kind = registry.byKey(tierResource);
  if (kind === undefined) return;
  const missing = Object.entries(builtInTiers).filter(
    ([name]) => store.get(keyOf(kind, '', name)) === undefined,
  );
  if (missing.length === 0) return;
  await store.write((tx) => {
    for (const [name, spec] of missing) {
      const tier = { apiVersion: 'projectcalico.org/v3', kind: 'Tier', metadata: { name }, spec };
      createIn(tx, kind, '', tier);
    }
    return ok(undefined);
  });
}
