// Public face of the etcd driver.
export { EtcdDatastore, type EtcdOptions } from './driver.ts';
export { entryOf, objectOf, type Entry } from './entries.ts';
export type { Renamed } from './policy-names.ts';
export type { Change, Condition, KeyValueStore, Written } from './kv.ts';
export {
  etcdSettings,
  namesEtcd,
  resolveConnection,
  type EtcdConnection,
  type EtcdSettings,
  type EtcdSettingsError,
  type ResolveServices,
} from './settings.ts';
