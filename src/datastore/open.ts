// Opening the datastore that flags and environment name. The drivers are loaded when they are chosen.
import { err, failure, ok, type Failure, type Result } from '../lib/result.ts';
import type { ApiGroup, Endpoint } from './kubernetes/mod.ts';
import type { Datastore } from './types.ts';

export type DatastoreConfig = {
  /** `kubernetes` by default; otherwise from DATASTORE_TYPE. */
  readonly type?: string;
  /** Otherwise KUBECONFIG, otherwise the pod's service account. */
  readonly kubeconfig?: string;
  readonly context?: string;
  /** Where the server is when there is no kubeconfig. */
  readonly endpoint?: Endpoint;
  /** Otherwise CALICO_API_GROUP. */
  readonly apiGroup?: string;
  readonly userAgent?: string;
  readonly timeoutMs?: number;
  /** Called with what the server warns of. */
  readonly onWarning?: (text: string) => void;
};
export type OpenError = Failure<'NotBuilt' | 'BadConfig' | 'BadKubeconfig' | 'NoKubeconfig'>;

/** Nothing is asked of the server here: an API server that is down is found by the first request. */
export async function openDatastore(
  config: DatastoreConfig = {},
  env: NodeJS.ProcessEnv = process.env,
): Promise<Result<Datastore, OpenError>> {
  const type = (
    config.type ??
    env['DATASTORE_TYPE'] ??
    env['CALICO_DATASTORE_TYPE'] ??
    'kubernetes'
  ).toLowerCase();
  if (type === 'etcdv3')
    return err(
      failure('NotBuilt', 'The etcdv3 datastore is not built yet.', 'Use DATASTORE_TYPE=kubernetes.'),
    );
  if (type !== 'kubernetes')
    return err(
      failure('BadConfig', `There is no datastore type "${type}".`, 'Use DATASTORE_TYPE=kubernetes.'),
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

function groupOf(text: string): ApiGroup | undefined {
  if (text === '' || text === 'projectcalico.org' || text === 'projectcalico.org/v3')
    return 'projectcalico.org/v3';
  return text === 'crd.projectcalico.org' || text === 'crd.projectcalico.org/v1'
    ? 'crd.projectcalico.org/v1'
    : undefined;
}
