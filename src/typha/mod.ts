// Public face of the fan-out between the datastore and many nodes. See docs/typha.md.
export { startTyphaServer, type ServerStatus, type TyphaServer } from './server.ts';
export { connectTypha, type TyphaClient, type TyphaClientStatus } from './client.ts';
export { clientSettings, serverSettings, type ClientSettings, type ServerSettings } from './settings.ts';
export { serversOf } from './discovery.ts';
export { metricsOf } from './metrics.ts';
export type {
  ClientOptions,
  ClientType,
  ServerOptions,
  ServerTimers,
  TlsSettings,
  TyphaError,
} from './types.ts';
