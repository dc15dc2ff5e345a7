// Public face of the API server: start it, stop it. See docs/apiserver.md.
export { startApiServer } from './server.ts';
export { defaultLimits } from './types.ts';
export type { ApiServer, ApiServerOptions, Limits, ServerError, ServerErrorCode } from './types.ts';
