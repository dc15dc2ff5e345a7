// Public face of the API server: start it, stop it, and the keys of its cluster. See docs/apiserver.md.
export { adminKubeconfig, type ClusterKeys, clusterKeys } from './pki.ts';
export { startApiServer } from './server.ts';
export { defaultLimits } from './types.ts';
export type { ApiServer, ApiServerOptions, Limits, Security, ServerError, ServerErrorCode } from './types.ts';
