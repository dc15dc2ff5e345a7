// `datastore migrate lock` and `unlock`: while the datastore is locked, no pods are added and agents wait (CT-050).
import type { Datastore } from '../../../datastore/mod.ts';
import { ok, type Result } from '../../../lib/result.ts';
import { ensureInitialised } from '../initialise.ts';
import { type CliError, fail, printLine, verb, withDatastore } from '../program.ts';

export async function isLocked(store: Datastore): Promise<Result<boolean, CliError>> {
  const found = await store.get('ClusterInformation', { name: 'default' });
  if (!found.ok) return fail(`Error retrieving ClusterInformation: ${found.error.message}`);
  return ok(found.value.spec.datastoreReady === false);
}

export async function setReady(store: Datastore, datastoreReady: boolean): Promise<Result<void, CliError>> {
  await ensureInitialised(store);
  const patched = await store.patch(
    'ClusterInformation',
    { name: 'default' },
    { type: 'merge', body: { spec: { datastoreReady } } },
  );
  return patched.ok ? ok(undefined) : fail(`Error retrieving ClusterInformation: ${patched.error.message}`);
}

const commandFor = (name: 'lock' | 'unlock', summary: string, isReady: boolean) =>
  verb({ name: `datastore migrate ${name}`, summary, flags: [] }, ({ flags }) =>
    withDatastore(flags, async (store) => {
      const set = await setReady(store, isReady);
      if (!set.ok) return set;
      printLine(`Datastore ${name}ed.`);
      return ok(undefined);
    }),
  );

export const lock = commandFor('lock', 'Lock the datastore: no pods are added, agents wait.', false);
export const unlock = commandFor('unlock', 'Unlock the datastore.', true);
