// Public face of the CNI plugin: what the agent serves, and what a node gets installed. See docs/cni.md.
export type { CniServer, CniServerOptions, EndpointProgrammer, EndpointRecord } from './types.ts';
export { endpointStatusFile } from './endpoint-status.ts';
export { startCniServer } from './server.ts';
export {
  conflist,
  type ConflistOptions,
  installCniPlugins,
  type InstallOptions,
  pluginNames,
  writeConflist,
} from './install.ts';
