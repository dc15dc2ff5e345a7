// Where the API server is and how to be trusted by it: from a kubeconfig file, or from the pod this process runs in. The
// usual contents (server, certificates, token, basic auth) are read here; credential plug-ins are left to the Kubernetes
// client library, which is loaded only for them.
import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import type { ClientTls } from '../http.ts';

export type ConnectionError = Failure<'BadKubeconfig' | 'NoKubeconfig'>;
/** Headers and certificates of a request, asked for again and again because they may expire. */
export type Credentials = { readonly headers: Readonly<Record<string, string>>; readonly tls?: ClientTls };
export type Connection = {
  readonly server: URL;
  readonly tls: ClientTls;
  readonly credentials: () => Promise<Credentials>;
};

type Cluster = {
  readonly server?: string;
  readonly 'certificate-authority'?: string;
  readonly 'certificate-authority-data'?: string;
  readonly 'insecure-skip-tls-verify'?: boolean;
  readonly 'tls-server-name'?: string;
};
type User = {
  readonly token?: string;
  readonly tokenFile?: string;
  readonly username?: string;
  readonly password?: string;
  readonly 'client-certificate'?: string;
  readonly 'client-certificate-data'?: string;
  readonly 'client-key'?: string;
  readonly 'client-key-data'?: string;
  readonly exec?: unknown;
  readonly 'auth-provider'?: unknown;
};
type Named<Field extends string, T> = readonly ({ readonly name: string } & Readonly<Record<Field, T>>)[];
type Kubeconfig = {
  readonly 'current-context'?: string;
  readonly contexts?: Named<'context', { readonly cluster: string; readonly user?: string }>;
  readonly clusters?: Named<'cluster', Cluster>;
  readonly users?: Named<'user', User>;
};

const serviceAccount = '/var/run/secrets/kubernetes.io/serviceaccount';
/** Tokens in files are rotated: read again when older than this. */
const tokenAgeMs = 60_000;

export async function readKubeconfig(
  path: string,
  context?: string,
): Promise<Result<Connection, ConnectionError>> {
  const bad = (why: string) => err(failure('BadKubeconfig', `kubeconfig ${path}: ${why}`) as ConnectionError);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    return err(failure('NoKubeconfig', `kubeconfig ${path} cannot be read: ${(error as Error).message}`));
  }
  const parsed = await parse(text);
  if (parsed === undefined) return bad('it is neither YAML nor JSON.');
  const wanted = context ?? parsed['current-context'] ?? '';
  const chosen = parsed.contexts?.find(({ name }) => name === wanted)?.context;
  if (chosen === undefined) return bad(`there is no context "${wanted}".`);
  const cluster = parsed.clusters?.find(({ name }) => name === chosen.cluster)?.cluster;
  if (cluster?.server === undefined) return bad(`there is no cluster "${chosen.cluster}" with a server.`);
  if (!URL.canParse(cluster.server)) return bad(`"${cluster.server}" is not a URL.`);
  const user = parsed.users?.find(({ name }) => name === chosen.user)?.user ?? {};
  try {
    const file = fileReader(dirname(path));
    const ca = await file(cluster['certificate-authority-data'], cluster['certificate-authority']);
    const cert = await file(user['client-certificate-data'], user['client-certificate']);
    const key = await file(user['client-key-data'], user['client-key']);
    const servername = cluster['tls-server-name'];
    const tls: ClientTls = {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(servername === undefined ? {} : { servername }),
      ...(cluster['insecure-skip-tls-verify'] ? { rejectUnauthorized: false } : {}),
    };
    const plugin = user.exec !== undefined || user['auth-provider'] !== undefined;
    const credentials = plugin ? pluginCredentials(text, wanted) : plainCredentials(user, dirname(path));
    return ok({ server: new URL(cluster.server), tls, credentials });
  } catch (error) {
    return bad((error as Error).message);
  }
}

/** A server that is named alone, with files and a token beside it. */
export type Endpoint = {
  readonly server: string;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  readonly token?: string;
  readonly insecure?: boolean;
};

export async function readEndpoint(endpoint: Endpoint): Promise<Result<Connection, ConnectionError>> {
  if (!URL.canParse(endpoint.server))
    return err(failure('BadKubeconfig', `"${endpoint.server}" is not the URL of an API server.`));
  const file = fileReader('.');
  try {
    const [ca, cert, key] = await Promise.all([
      file(undefined, endpoint.caFile),
      file(undefined, endpoint.certFile),
      file(undefined, endpoint.keyFile),
    ]);
    const tls: ClientTls = {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(endpoint.insecure ? { rejectUnauthorized: false } : {}),
    };
    const user = endpoint.token === undefined ? {} : { token: endpoint.token };
    return ok({ server: new URL(endpoint.server), tls, credentials: plainCredentials(user, '.') });
  } catch (error) {
    return err(failure('NoKubeconfig', (error as Error).message));
  }
}

/** From the service account of the pod this process runs in. */
export async function readInCluster(env: NodeJS.ProcessEnv): Promise<Result<Connection, ConnectionError>> {
  const host = env['KUBERNETES_SERVICE_HOST'];
  if (!host)
    return err(failure('NoKubeconfig', 'No kubeconfig is given.', 'Use --kubeconfig or set KUBECONFIG.'));
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443';
  try {
    const ca = await readFile(join(serviceAccount, 'ca.crt'), 'utf8');
    const server = new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`);
    return ok({
      server,
      tls: { ca },
      credentials: plainCredentials({ tokenFile: join(serviceAccount, 'token') }, '/'),
    });
  } catch (error) {
    return err(
      failure('NoKubeconfig', `The pod's service account cannot be read: ${(error as Error).message}`),
    );
  }
}

/** JSON is YAML too, and needs no library. */
async function parse(text: string): Promise<Kubeconfig | undefined> {
  try {
    if (text.trimStart().startsWith('{')) return JSON.parse(text) as Kubeconfig;
    const yaml = await import('./yaml.ts');
    const value: unknown = yaml.parse(text);
    return typeof value === 'object' && value !== null ? (value as Kubeconfig) : undefined;
  } catch {
    return undefined;
  }
}

const fileReader =
  (directory: string) =>
  async (data: string | undefined, path: string | undefined): Promise<string | undefined> => {
    if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8');
    if (path === undefined) return undefined;
    return readFile(isAbsolute(path) ? path : join(directory, path), 'utf8');
  };

function plainCredentials(user: User, directory: string): Connection['credentials'] {
  const { tokenFile } = user;
  if (tokenFile !== undefined) {
    const path = isAbsolute(tokenFile) ? tokenFile : join(directory, tokenFile);
    let known: { readonly token: string; readonly atMs: number } | undefined;
    return async () => {
      if (known === undefined || performance.now() - known.atMs > tokenAgeMs)
        known = { token: (await readFile(path, 'utf8')).trim(), atMs: performance.now() };
      return { headers: { authorization: `Bearer ${known.token}` } };
    };
  }
  const headers: Record<string, string> = {};
  if (user.token !== undefined) headers['authorization'] = `Bearer ${user.token}`;
  else if (user.username !== undefined)
    headers['authorization'] =
      `Basic ${Buffer.from(`${user.username}:${user.password ?? ''}`).toString('base64')}`;
  const fixed: Credentials = { headers };
  return () => Promise.resolve(fixed);
}

/** Whatever a plug-in says, in the form the library puts it into request options; it keeps what has not expired. */
function pluginCredentials(text: string, context: string): Connection['credentials'] {
  type Options = { headers?: Record<string, string>; cert?: string; key?: string };
  type Config = {
    loadFromString(text: string): void;
    setCurrentContext(name: string): void;
    applyToHTTPSOptions(options: Options): Promise<void>;
  };
  let config: Promise<Config> | undefined;
  return async () => {
    config ??= import('@kubernetes/client-node').then(({ KubeConfig }) => {
      const loaded = new KubeConfig() as unknown as Config;
      loaded.loadFromString(text);
      loaded.setCurrentContext(context);
      return loaded;
    });
    const options: Options = {};
    await (await config).applyToHTTPSOptions(options);
    const { cert, key } = options;
    const tls = {
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    };
    return { headers: { ...options.headers }, tls };
  };
}
