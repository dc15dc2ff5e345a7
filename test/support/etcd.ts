// A real etcd for tests: one member or several, with TLS and users where a test wants them. Ports are free ones of this
// network namespace; the data is in a directory of its own.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../../src/lib/wait.ts';

export type EtcdTls = { readonly ca: string; readonly cert: string; readonly key: string };
export type EtcdOptions = {
  /** Members of the cluster; 1 by default. */
  readonly members?: number;
  /** Files for the client side; clients must show a certificate of the same CA. */
  readonly tls?: EtcdTls;
  readonly address?: string;
};
export type Member = {
  readonly endpoint: string;
  stop(): Promise<void>;
  start(): Promise<void>;
  /** It ended by itself: mostly because somebody took its port meanwhile. */
  hasFailed(): boolean;
};
export type Etcd = {
  readonly endpoints: string;
  readonly members: readonly Member[];
  /** Etcd's own client: exit code 0 or an exception. */
  etcdctl(...args: readonly string[]): string;
  stop(): Promise<void>;
};

export const hasEtcd = (): boolean => existsSync('/usr/bin/etcd') && existsSync('/usr/bin/etcdctl');

/** Another program may take a port between its choice and its use: then others are chosen. */
export async function startEtcd(options: EtcdOptions = {}): Promise<Etcd> {
  for (let attempt = 1; ; attempt++) {
    const etcd = await tryEtcd(options);
    if (etcd !== undefined) return etcd;
    if (attempt >= 3) throw new Error('etcd does not start.');
  }
}

async function tryEtcd(options: EtcdOptions): Promise<Etcd | undefined> {
  const directory = mkdtempSync(join(tmpdir(), 'etcd-'));
  const address = options.address ?? '127.0.0.1';
  const scheme = options.tls === undefined ? 'http' : 'https';
  const count = options.members ?? 1;
  const ports = await freePorts(address, 2 * count);
  const peers = Array.from({ length: count }, (_, i) => `m${i}=http://${address}:${ports[2 * i + 1]}`).join(
    ',',
  );
  const members = Array.from({ length: count }, (_, i) => {
    const endpoint = `${scheme}://${address}:${ports[2 * i]}`;
    const peer = `http://${address}:${ports[2 * i + 1]}`;
    return memberOf(
      endpoint,
      [
        '--name',
        `m${i}`,
        '--data-dir',
        join(directory, `m${i}`),
        '--listen-client-urls',
        endpoint,
        '--advertise-client-urls',
        endpoint,
        '--listen-peer-urls',
        peer,
        '--initial-advertise-peer-urls',
        peer,
        '--initial-cluster',
        peers,
        '--unsafe-no-fsync',
        '--log-level',
        'warn',
        '--logger',
        'zap',
        '--log-outputs',
        'stderr',
        ...(options.tls === undefined
          ? []
          : [
              '--cert-file',
              options.tls.cert,
              '--key-file',
              options.tls.key,
              '--trusted-ca-file',
              options.tls.ca,
              '--client-cert-auth',
            ]),
      ],
      join(directory, `m${i}.log`),
    );
  });
  const endpoints = members.map(({ endpoint }) => endpoint).join(',');
  const tlsArguments =
    options.tls === undefined
      ? []
      : ['--cacert', options.tls.ca, '--cert', options.tls.cert, '--key', options.tls.key];
  const etcdctl = (...args: readonly string[]): string => {
    const ran = spawnSync('etcdctl', ['--endpoints', endpoints, ...tlsArguments, ...args], {
      env: { ...process.env, ETCDCTL_API: '3' },
      encoding: 'utf8',
    });
    if (ran.status !== 0) throw new Error(`etcdctl ${args.join(' ')}: ${ran.stderr}`);
    return ran.stdout;
  };
  const stop = async (): Promise<void> => {
    await Promise.all(members.map((member) => member.stop()));
    rmSync(directory, { recursive: true, force: true });
  };
  await Promise.all(members.map((member) => member.start()));
  const isUp = await until(
    () => {
      if (members.some((member) => member.hasFailed())) return false;
      try {
        etcdctl('endpoint', 'health');
        return true;
      } catch {
        return undefined;
      }
    },
    { timeoutMs: 60_000, everyMs: 100 },
  );
  if (isUp) return { endpoints, members, etcdctl, stop };
  await stop();
  return undefined;
}

function memberOf(endpoint: string, args: readonly string[], log: string): Member {
  let running: ChildProcess | undefined;
  return {
    endpoint,
    hasFailed: () => running?.exitCode != null,
    start: () => {
      const output = openSync(log, 'a');
      running = spawn('etcd', args, { stdio: ['ignore', output, output] });
      return Promise.resolve();
    },
    stop: async () => {
      const child = running;
      running = undefined;
      if (child === undefined || child.exitCode !== null) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    },
  };
}

async function freePorts(address: string, count: number): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer();
          server.once('error', reject);
          server.listen(0, address, () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
