// The keys of a cluster on disk: its authority, what the server shows, what signs tokens. Made at the first start, below
// the data directory, and kept: clients trust the authority.
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { CertificateAuthority, type KeyPair, newPrivateKey, nodeClientName } from '../lib/certificates.ts';
import { kubeconfig } from '../lib/kubeconfig.ts';
import type { Security } from './types.ts';

const authorityName = 'margay-ca';
const masters = 'system:masters';

/** Names under which a server of a cluster is known. */
const serviceNames = [
  'localhost',
  'kubernetes',
  'kubernetes.default',
  'kubernetes.default.svc',
  'kubernetes.default.svc.cluster.local',
  '127.0.0.1',
  '::1',
  '10.96.0.1',
];

function kept(path: string, make: () => string): string {
  if (existsSync(path)) return readFileSync(path, 'utf8');
  const text = make();
  writeFileSync(path, text, { mode: 0o600 });
  return text;
}

function keptPair(directory: string, name: string, make: () => KeyPair): KeyPair {
  const [cert, key] = [join(directory, `${name}.crt`), join(directory, `${name}.key`)];
  if (existsSync(cert) && existsSync(key))
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  const pair = make();
  writeFileSync(key, pair.key, { mode: 0o600 });
  writeFileSync(cert, pair.cert, { mode: 0o644 });
  return pair;
}

function made(directory: string): string {
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o700);
  return directory;
}

/** Signs tokens of a server without TLS. */
export const tokenKey = (data: string): string =>
  data === ':memory:' ? newPrivateKey() : kept(join(made(join(data, 'pki')), 'sa.key'), newPrivateKey);

const ownAddresses = (): readonly string[] =>
  Object.values(networkInterfaces()).flatMap((list) =>
    (list ?? []).filter((one) => !one.address.startsWith('fe80:')).map((one) => one.address),
  );

export type ClusterKeys = { readonly authority: CertificateAuthority; readonly security: Security };

/** Reads the keys of a cluster, or makes them; `hosts` are further names of the server. */
export function clusterKeys(directory: string, hosts: readonly string[], nowMs: number): ClusterKeys {
  made(directory);
  const authority = CertificateAuthority.load(
    keptPair(directory, 'ca', () => CertificateAuthority.create(authorityName, nowMs)),
  );
  const all = [...new Set([...serviceNames, ...ownAddresses(), ...hosts])];
  // Made anew at each start: addresses change.
  const serving = authority.issue({ commonName: 'kube-apiserver', hosts: all, purposes: ['server'] }, nowMs);
  const nodeClient = keptPair(directory, 'apiserver-kubelet-client', () =>
    authority.issue(
      { commonName: nodeClientName, organizations: [masters], purposes: ['client'], days: 3650 },
      nowMs,
    ),
  );
  return {
    authority,
    security: {
      ...serving,
      clientCa: authority.cert,
      tokenKey: kept(join(directory, 'sa.key'), newPrivateKey),
      nodeClient,
    },
  };
}

/** A kubeconfig with the administrator's certificate. */
export function adminKubeconfig(authority: CertificateAuthority, server: string, nowMs: number): string {
  const admin = authority.issue(
    { commonName: 'kubernetes-admin', organizations: [masters], purposes: ['client'] },
    nowMs,
  );
  return kubeconfig({ cluster: 'margay', server, ca: authority.cert, user: 'kubernetes-admin', ...admin });
}
