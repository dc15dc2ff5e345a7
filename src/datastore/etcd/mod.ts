// Public face of the etcd driver.
export { EtcdDatastore, type EtcdOptions } from './driver.ts';
export type { Change, Condition, KeyValueStore, Written } from './kv.ts';
export {
  etcdSettings,
  resolveConnection,
  type EtcdConnection,
  type EtcdSettings,
  type EtcdSettingsError,
  type ResolveServices,
} from './settings.ts';
