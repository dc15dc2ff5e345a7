// Opening the datastore that flags and environment name. The drivers are loaded when they are chosen.
import { err, failure, ok, type Failure, type Result } from '../lib/result.ts';
import type { ApiGroup, Endpoint } from './kubernetes/mod.ts';
import { etcdSettings, namesEtcd, resolveConnection, type EtcdSettings } from './etcd/settings.ts';
import type { Datastore } from './types.ts';

export type DatastoreConfig = {
  /** `kubernetes` or `etcdv3`; otherwise from DATASTORE_TYPE, otherwise etcdv3 when only where etcd is is known. */
  readonly type?: string;
  /** Otherwise KUBECONFIG, otherwise the pod's service account. */
  readonly kubeconfig?: string;
  readonly context?: string;
  /** Where the server is when there is no kubeconfig. */
  readonly endpoint?: Endpoint;
  /** Otherwise CALICO_API_GROUP. */
  readonly apiGroup?: string;
  /** For etcdv3: what is not given is taken from ETCD_ENDPOINTS and its like. */
  readonly etcd?: EtcdSettings;
  readonly userAgent?: string;
  readonly timeoutMs?: number;
  /** Called with what the server warns of, and for values in etcd that cannot be read. */
  readonly onWarning?: (text: string) => void;
};
export type OpenError = Failure<'BadConfig' | 'BadKubeconfig' | 'NoKubeconfig'>;

/** Nothing is asked of the server here: an API server that is down is found by the first request. */
export async function openDatastore(
  config: DatastoreConfig = {},
  env: NodeJS.ProcessEnv = process.env,
): Promise<Result<Datastore, OpenError>> {
  const variables = ['DATASTORE_TYPE', 'CALICO_DATASTORE_TYPE', 'FELIX_DATASTORETYPE'];
  const named = config.type || variables.map((name) => env[name]).find((text) => text);
  const type = (named || usualType(config, env)).toLowerCase();
  if (type === 'etcdv3') return openEtcd(config, env);
  if (type !== 'kubernetes')
    return err(
      failure(
        'BadConfig',
        `There is no datastore type "${type}".`,
        'Use DATASTORE_TYPE=kubernetes or etcdv3.',
      ),
    );
  const apiGroup = groupOf(config.apiGroup ?? env['CALICO_API_GROUP'] ?? '');
  if (apiGroup === undefined)
    return err(
      failure(
        'BadConfig',
        `There is no API group "${config.apiGroup ?? env['CALICO_API_GROUP']}".`,
        'Use projectcalico.org/v3 or crd.projectcalico.org/v1.',
      ),
    );
  const { KubernetesDatastore, readEndpoint, readInCluster, readKubeconfig } = await import(
    './kubernetes/mod.ts'
  );
  const path = config.kubeconfig || env['KUBECONFIG'];
  const connection = path
    ? await readKubeconfig(path, config.context)
    : config.endpoint === undefined
      ? await readInCluster(env)
      : await readEndpoint(config.endpoint);
  if (!connection.ok) return connection;
  return ok(
    new KubernetesDatastore(connection.value, {
      apiGroup,
      ...(config.userAgent === undefined ? {} : { userAgent: config.userAgent }),
      ...(config.timeoutMs === undefined ? {} : { timeoutMs: config.timeoutMs }),
      ...(config.onWarning === undefined ? {} : { onWarning: config.onWarning }),
    }),
  );
}

function usualType(config: DatastoreConfig, env: NodeJS.ProcessEnv): string {
  const namesKubernetes = config.kubeconfig || env['KUBECONFIG'] || config.endpoint !== undefined;
  return !namesKubernetes && namesEtcd(config.etcd ?? {}, env) ? 'etcdv3' : 'kubernetes';
}

async function openEtcd(
  config: DatastoreConfig,
  env: NodeJS.ProcessEnv,
): Promise<Result<Datastore, OpenError>> {
  const { EtcdDatastore } = await import('./etcd/mod.ts');
  const connection = await resolveConnection(etcdSettings(config.etcd ?? {}, env));
  if (!connection.ok) return connection;
  const { userAgent, timeoutMs, onWarning } = config;
  return ok(
    new EtcdDatastore(connection.value, {
      ...(userAgent === undefined ? {} : { userAgent }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
      ...(onWarning === undefined ? {} : { onWarning }),
    }),
  );
}

function groupOf(text: string): ApiGroup | undefined {
  if (text === '' || text === 'projectcalico.org' || text === 'projectcalico.org/v3')
    return 'projectcalico.org/v3';
  return text === 'crd.projectcalico.org' || text === 'crd.projectcalico.org/v1'
    ? 'crd.projectcalico.org/v1'
    : undefined;
}
