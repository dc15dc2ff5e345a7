// The version of the cluster beside this program's: a cluster of another version is left alone unless --allow-version-mismatch
// is given (CT-002).
import type { Datastore } from '../../datastore/mod.ts';
import { ok, type Result } from '../../lib/result.ts';
import { type CliError, fail, type Flags, isSet, withDatastore } from './program.ts';

/** As a release is named; `package.json` says the same. */
export const clientVersion = 'v0.1.0';

/** Opens the datastore for work on a cluster of this program's version, or of one that the user lets pass. */
export const withCluster = <T>(
  flags: Flags,
  work: (store: Datastore) => Promise<Result<T, CliError>>,
): Promise<Result<T, CliError>> =>
  withDatastore(flags, async (store) => {
    const checked = isSet(flags, 'allowVersionMismatch') ? ok(undefined) : await checkVersion(store);
    return checked.ok ? work(store) : checked;
  });

/** A cluster that says no version may have any. Whoever may not read it is told by the work what is wrong. */
async function checkVersion(store: Datastore): Promise<Result<void, CliError>> {
  const found = await store.get('ClusterInformation', { name: 'default' });
  if (!found.ok && found.error.code === 'Timeout')
    return fail(`Unable to get Cluster Information to verify version mismatch: ${found.error.message}`);
  const version = found.ok ? found.value.spec.calicoVersion : undefined;
  return version === undefined || isSameVersion(version)
    ? ok(undefined)
    : fail(
        `Version mismatch.\nClient Version:   ${clientVersion}\nCluster Version:  ${version}\nUse --allow-version-mismatch to override.`,
      );
}

/** `v3.30.1-12-gabcdef` is `3.30.1` here; nothing is no version. */
export const isSameVersion = (version: string, own: string = clientVersion): boolean =>
  version === '' || release(version) === release(own);

const release = (version: string): string => version.replace(/^v/, '').replace(/-.*$/s, '');
