// What only etcd has, for those who must know: loaded when it is asked for.
import type { Datastore } from './types.ts';

/** The datastore as etcd, undefined when it is another one. */
export async function asEtcd(store: Datastore) {
  const { EtcdDatastore } = await import('./etcd/mod.ts');
  return store instanceof EtcdDatastore ? store : undefined;
}

/** The form of objects in etcd. */
export async function etcdEntries() {
  const { entryOf, objectOf } = await import('./etcd/mod.ts');
  return { entryOf, objectOf };
}
