// How to reach etcd: endpoints given or discovered by DNS, TLS from files or inline, a user. As Calico reads them (RS-196):
// the same words in the environment, in CalicoAPIConfig and as Felix's parameters.
import { readFile } from 'node:fs/promises';
import type { SrvRecord } from 'node:dns';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';

export type EtcdSettings = {
  /** `http://host:port` or `https://…`, separated by commas. */
  readonly endpoints?: string;
  /** A domain whose SRV records name the endpoints; in place of `endpoints`. */
  readonly discoveryDomain?: string;
  readonly username?: string;
  readonly password?: string;
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
  /** The same as PEM text; files and texts cannot be mixed. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
};
export type EtcdConnection = {
  readonly endpoints: readonly URL[];
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly user?: { readonly name: string; readonly password: string };
};
export type EtcdSettingsError = Failure<'BadConfig'>;
export type ResolveServices = (name: string) => Promise<readonly Pick<SrvRecord, 'name' | 'port'>[]>;

/** For each setting its names in the environment; each also with CALICO_ and, for Felix alone, FELIX_ before it. */
const variables: Readonly<Record<keyof EtcdSettings, readonly string[]>> = {
  endpoints: ['ETCD_ENDPOINTS', 'FELIX_ETCDENDPOINTS', 'FELIX_ETCDADDR'],
  discoveryDomain: ['ETCD_DISCOVERY_SRV'],
  username: ['ETCD_USERNAME'],
  password: ['ETCD_PASSWORD'],
  caFile: ['ETCD_CA_CERT_FILE', 'FELIX_ETCDCAFILE'],
  certFile: ['ETCD_CERT_FILE', 'FELIX_ETCDCERTFILE'],
  keyFile: ['ETCD_KEY_FILE', 'FELIX_ETCDKEYFILE'],
  ca: ['ETCD_CA_CERT'],
  cert: ['ETCD_CERT'],
  key: ['ETCD_KEY'],
};

/** What is given counts, then the environment; empty texts count as absent. */
export function etcdSettings(given: EtcdSettings, env: NodeJS.ProcessEnv): EtcdSettings {
  const found: Partial<Record<keyof EtcdSettings, string>> = {};
  for (const [setting, names] of Object.entries(variables) as [keyof EtcdSettings, readonly string[]][]) {
    const text =
      given[setting] || names.map((name) => env[name] || env[`CALICO_${name}`]).find((value) => value);
    if (text) found[setting] = text;
  }
  // One way to find the endpoints that is given is not joined by the other one of the environment.
  if (given.endpoints && !given.discoveryDomain) delete found.discoveryDomain;
  if (given.discoveryDomain && !given.endpoints) delete found.endpoints;
  return found;
}

/** Whether anything says where etcd is. */
export const namesEtcd = (given: EtcdSettings, env: NodeJS.ProcessEnv): boolean => {
  const { endpoints, discoveryDomain } = etcdSettings(given, env);
  return endpoints !== undefined || discoveryDomain !== undefined;
};

export async function resolveConnection(
  settings: EtcdSettings,
  resolveServices: ResolveServices = resolveWithDns,
): Promise<Result<EtcdConnection, EtcdSettingsError>> {
  const endpoints = await endpointsOf(settings, resolveServices);
  if (!endpoints.ok) return endpoints;
  const tls = await tlsOf(settings);
  if (!tls.ok) return tls;
  const { username, password } = settings;
  return ok({
    endpoints: endpoints.value,
    tls: tls.value,
    ...(username && password ? { user: { name: username, password } } : {}),
  });
}

const bad = (message: string, hint?: string): Result<never, EtcdSettingsError> =>
  err(failure('BadConfig', message, hint));

async function endpointsOf(
  { endpoints, discoveryDomain }: EtcdSettings,
  resolveServices: ResolveServices,
): Promise<Result<readonly URL[], EtcdSettingsError>> {
  if (endpoints && discoveryDomain)
    return bad('Endpoints of etcd and a domain to discover them in cannot both be given.');
  if (discoveryDomain) return discover(discoveryDomain, resolveServices);
  if (!endpoints)
    return bad(
      'The etcdv3 datastore needs the endpoints of etcd.',
      'Set ETCD_ENDPOINTS, for example http://127.0.0.1:2379.',
    );
  const urls: URL[] = [];
  for (const text of endpoints.split(',').map((part) => part.trim())) {
    // A host and port alone mean plain HTTP, as etcd's own clients have it.
    const url = URL.parse(text.includes('://') ? text : `http://${text}`);
    if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.hostname === '')
      return bad(`"${text}" is not an endpoint of etcd.`, 'Use http://host:2379 or https://host:2379.');
    if (url.port === '' && !/:\d+\/?$/.test(text)) url.port = '2379';
    urls.push(url);
  }
  return ok(urls);
}

/** `_etcd-client-ssl._tcp` names endpoints with TLS, `_etcd-client._tcp` those without. */
async function discover(
  domain: string,
  resolveServices: ResolveServices,
): Promise<Result<readonly URL[], EtcdSettingsError>> {
  const found: URL[] = [];
  for (const [service, scheme] of [
    ['_etcd-client-ssl', 'https'],
    ['_etcd-client', 'http'],
  ] as const) {
    try {
      for (const { name, port } of await resolveServices(`${service}._tcp.${domain}`))
        found.push(new URL(`${scheme}://${name.replace(/\.$/, '')}:${port}`));
    } catch {
      // A domain need not have both; that it has neither is told below.
    }
  }
  return found.length > 0 ? ok(found) : bad(`The domain ${domain} names no endpoints of etcd (SRV records).`);
}

const resolveWithDns: ResolveServices = async (name) => (await import('node:dns/promises')).resolveSrv(name);

async function tlsOf(settings: EtcdSettings): Promise<Result<EtcdConnection['tls'], EtcdSettingsError>> {
  const { ca, cert, key, caFile, certFile, keyFile } = settings;
  const inline = { ca, cert, key };
  const files = { ca: caFile, cert: certFile, key: keyFile };
  const isInline = Object.values(inline).some(Boolean);
  if (isInline && Object.values(files).some(Boolean))
    return bad('Certificates of etcd cannot be given partly as files and partly as text.');
  const parts: { ca?: string; cert?: string; key?: string } = {};
  for (const part of ['ca', 'cert', 'key'] as const) {
    const path = files[part];
    const text = isInline ? inline[part] : undefined;
    if (text) parts[part] = text;
    if (!path) continue;
    try {
      parts[part] = await readFile(path, 'utf8');
    } catch (error) {
      return bad(`The file ${path} for etcd cannot be read: ${(error as Error).message}.`);
    }
  }
  if ((parts.cert === undefined) !== (parts.key === undefined))
    return bad('A certificate for etcd needs its key, and a key its certificate.');
  return ok(parts);
}
