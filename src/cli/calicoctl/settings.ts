// Where the datastore is (CT-001): the file of kind CalicoAPIConfig, over it the environment, over that the flags.
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { DatastoreConfig } from '../../datastore/mod.ts';
import { ok, type Result } from '../../lib/result.ts';
import { fail, type CliError } from './program.ts';

const usualFile = '/etc/calico/calicoctl.cfg';

type FileSpec = Readonly<Record<string, unknown>>;

export async function datastoreSettings(
  file: string | undefined,
  context: string | undefined,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Result<DatastoreConfig, CliError>> {
  const read = file === undefined && !existsSync(usualFile) ? ok({}) : await readFileSpec(file ?? usualFile);
  if (!read.ok) return read;
  const spec: FileSpec = read.value;
  /** A setting is named alike in the file and, in capitals with and without CALICO_, in the environment. */
  const setting = (name: string, ...variables: readonly string[]): string | undefined => {
    for (const variable of variables.flatMap((one) => [one, `CALICO_${one}`])) {
      const value = env[variable];
      if (value !== undefined && value !== '') return value;
    }
    const value = spec[name];
    return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
      ? String(value) || undefined
      : undefined;
  };
  const kubeconfig = setting('kubeconfig', 'KUBECONFIG');
  const server = setting('k8sAPIEndpoint', 'K8S_API_ENDPOINT');
  const type = setting('datastoreType', 'DATASTORE_TYPE');
  const apiGroup = setting('calicoAPIGroup', 'CALICO_API_GROUP');
  const currentContext = context ?? setting('k8sCurrentContext', 'K8S_CURRENT_CONTEXT');
  const usualKubeconfig = join(homedir(), '.kube', 'config');
  const useUsual =
    kubeconfig === undefined &&
    server === undefined &&
    env['KUBERNETES_SERVICE_HOST'] === undefined &&
    existsSync(usualKubeconfig);
  // Of a list, as kubectl allows it, the first file counts.
  const path = kubeconfig?.split(':')[0] ?? (useUsual ? usualKubeconfig : undefined);
  const files = {
    caFile: setting('k8sCAFile', 'K8S_CA_FILE'),
    certFile: setting('k8sCertFile', 'K8S_CERT_FILE'),
    keyFile: setting('k8sKeyFile', 'K8S_KEY_FILE'),
    token: setting('k8sAPIToken', 'K8S_API_TOKEN'),
  };
  const etcd = withoutUndefined({
    endpoints: setting('etcdEndpoints', 'ETCD_ENDPOINTS'),
    discoveryDomain: setting('etcdDiscoverySrv', 'ETCD_DISCOVERY_SRV'),
    username: setting('etcdUsername', 'ETCD_USERNAME'),
    password: setting('etcdPassword', 'ETCD_PASSWORD'),
    keyFile: setting('etcdKeyFile', 'ETCD_KEY_FILE'),
    certFile: setting('etcdCertFile', 'ETCD_CERT_FILE'),
    caFile: setting('etcdCACertFile', 'ETCD_CA_CERT_FILE'),
    key: setting('etcdKey', 'ETCD_KEY'),
    cert: setting('etcdCert', 'ETCD_CERT'),
    ca: setting('etcdCACert', 'ETCD_CA_CERT'),
  });
  return ok({
    userAgent: 'calicoctl',
    ...(type === undefined ? {} : { type }),
    ...(apiGroup === undefined ? {} : { apiGroup }),
    ...(currentContext === undefined ? {} : { context: currentContext }),
    // A kubeconfig that lies where all do says nothing against etcd.
    ...(path === undefined || (useUsual && Object.keys(etcd).length > 0) ? {} : { kubeconfig: path }),
    ...(Object.keys(etcd).length === 0 ? {} : { etcd }),
    ...(server === undefined || path !== undefined
      ? {}
      : {
          endpoint: {
            server,
            ...withoutUndefined(files),
            insecure: /^(1|t|true)$/i.test(
              setting('k8sInsecureSkipTLSVerify', 'K8S_INSECURE_SKIP_TLS_VERIFY') ?? '',
            ),
          },
        }),
  });
}

function withoutUndefined<T extends object>(object: T): { [P in keyof T]?: NonNullable<T[P]> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as {
    [P in keyof T]?: NonNullable<T[P]>;
  };
}

async function readFileSpec(path: string): Promise<Result<FileSpec, CliError>> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why =
      code === 'ENOENT' ? 'no such file or directory' : code === 'EACCES' ? 'permission denied' : message;
    return fail(`The configuration ${path} cannot be read: ${why}.`);
  }
  const { parseDocuments } = await import('./input/documents.ts');
  const parsed = await parseDocuments(path, text);
  if (!parsed.ok) return parsed;
  const value = parsed.value[0]?.value as { kind?: unknown; spec?: unknown } | undefined;
  if (value?.kind !== 'CalicoAPIConfig')
    return fail(`${path} does not hold an object of kind CalicoAPIConfig.`);
  const spec = value.spec ?? {};
  return typeof spec === 'object' ? ok(spec as FileSpec) : fail(`${path}: spec must be an object.`);
}
