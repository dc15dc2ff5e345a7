// Public face of the Kubernetes driver.
export { KubernetesDatastore, type KubernetesOptions } from './driver.ts';
export {
  readEndpoint,
  readInCluster,
  readKubeconfig,
  type Connection,
  type ConnectionError,
  type Credentials,
  type Endpoint,
} from './kubeconfig.ts';
export type { ApiGroup } from './resources.ts';
