// Public face of the datastore: typed resources under optimistic concurrency, over whichever driver. See docs/datastore.md.
export type {
  Datastore,
  DeleteOptions,
  ListOptions,
  ListResult,
  ObjectName,
  PatchType,
  Revision,
  StoreError,
  StoreErrorCode,
  SyncUpdate,
  WatchEvent,
  WatchSource,
  WriteOptions,
} from './types.ts';
export {
  alreadyExists,
  conflict,
  describeObject,
  invalid,
  isTransient,
  notFound,
  storeError,
} from './errors.ts';
export {
  parseFieldSelector,
  parseLabelSelector,
  type FieldMatcher,
  type LabelMatcher,
} from './selectors.ts';
export { applyPatch, mergePatch, type PatchError } from './patch.ts';
export {
  faultAt,
  isWrite,
  MemoryStore,
  SimulatedCrash,
  type Fault,
  type FaultPlan,
  type MemoryClient,
  type MemoryClientOptions,
  type StoreCall,
  type StoreVerb,
} from './memory/mod.ts';
export { startSyncer, type Syncer, type SyncerOptions, type SyncKind, type SyncStatus } from './syncer.ts';
export { asEtcd, etcdEntries } from './etcd-access.ts';
export { openDatastore, type DatastoreConfig, type OpenError } from './open.ts';
export type { Endpoint } from './kubernetes/mod.ts';
