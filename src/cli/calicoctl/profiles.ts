// Profiles as users see them: those that were created, those that namespaces and service accounts make (RS-081, RS-082), and
// the one that every cluster has.
import type { Datastore, ListResult, StoreError } from '../../datastore/mod.ts';
import { ok, type Result } from '../../lib/result.ts';
import { namespaceToProfile, type Profile, serviceAccountToProfile } from '../../model/mod.ts';

const allowAll: Profile = {
  apiVersion: 'projectcalico.org/v3',
  kind: 'Profile',
  metadata: { name: 'projectcalico-default-allow', resourceVersion: '1' },
  spec: { ingress: [{ action: 'Allow' }], egress: [{ action: 'Allow' }] },
};

export async function listProfiles(store: Datastore): Promise<Result<ListResult<Profile>, StoreError>> {
  const [stored, namespaces, accounts] = await Promise.all([
    store.list('Profile'),
    store.list('Namespace'),
    store.list('ServiceAccount'),
  ]);
  // The group crd.projectcalico.org/v1 stores no profiles; etcd knows no namespaces and no service accounts.
  const failed = [stored, namespaces, accounts].find(
    (one) => !one.ok && one.error.code !== 'NotSupported' && one.error.code !== 'NotFound',
  );
  if (failed !== undefined && !failed.ok) return failed;
  const revision = namespaces.ok ? namespaces.value.revision : stored.ok ? stored.value.revision : '';
  return ok({
    items: [
      ...(stored.ok ? stored.value.items : []),
      ...(namespaces.ok ? namespaces.value.items.map(namespaceToProfile) : []),
      ...(accounts.ok ? accounts.value.items.map(serviceAccountToProfile) : []),
      allowAll,
    ],
    revision,
  });
}

export async function getProfile(store: Datastore, name: string): Promise<Result<Profile, StoreError>> {
  const stored = await store.get('Profile', { name });
  if (stored.ok || !['NotFound', 'NotSupported'].includes(stored.error.code)) return stored;
  const all = await listProfiles(store);
  if (!all.ok) return all;
  const found = all.value.items.find((profile) => profile.metadata.name === name);
  return found === undefined
    ? { ok: false, error: { code: 'NotFound', message: `Profile "${name}" does not exist.` } }
    : ok(found);
}
