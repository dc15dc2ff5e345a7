// Plain Linux hosts, without Kubernetes: agents and speakers that know of each other by etcd alone.
//
//   etcd 10.77.0.254 ── bridge ── h1 10.77.0.1
//                          └───── h2 10.77.0.2
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatastore } from '../../src/datastore/mod.ts';
import { createIpam } from '../../src/ipam/mod.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { address } from '../../src/lib/ip/mod.ts';
import { askLine } from '../../src/lib/json-line.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { expect } from '../../src/lib/result.ts';
import { until } from '../../src/lib/wait.ts';
import { hasEtcd, startEtcd } from '../support/etcd.ts';
import { bundled } from '../support/lab.ts';

const hosts = [
  { name: 'h1', address: '10.77.0.1' },
  { name: 'h2', address: '10.77.0.2' },
] as const;
const waitMs = 60_000;

function ip(namespace: string | undefined, words: string): void {
  const argv = [...(namespace === undefined ? [] : ['-n', namespace]), ...words.split(' ')];
  const ran = spawnSync('ip', argv, { encoding: 'utf8' });
  assert.equal(ran.status, 0, `ip ${argv.join(' ')}: ${ran.stderr}`);
}

/** Whether a port of a host answers to the other host. */
function reaches(from: string, to: string, port: number): 'open' | 'silent' {
  const ran = spawnSync('ip', ['netns', 'exec', from, 'nc', '-z', '-w', '2', to, String(port)]);
  return ran.status === 0 ? 'open' : 'silent';
}

async function eventually<T>(what: string, probe: () => T | undefined | Promise<T | undefined>): Promise<T> {
  const value = await until(probe, { timeoutMs: waitMs, everyMs: 200 });
  assert.ok(value !== undefined, what);
  return value;
}

test('SR-032, SR-040, RS-063, FX-101: hosts on etcd make themselves known, peer by BGP and enforce a host endpoint', {
  skip: hasEtcd() ? false : 'etcd is not installed',
}, async () => {
  const main = await bundled();
  const directory = mkdtempSync(join(tmpdir(), 'etcd-hosts-'));
  const running: ChildProcess[] = [];
  ip(undefined, 'link add fabric type bridge');
  ip(undefined, 'addr add 10.77.0.254/24 dev fabric');
  ip(undefined, 'link set fabric up');
  for (const host of hosts) {
    ip(undefined, `netns add ${host.name}`);
    ip(undefined, `link add ${host.name} type veth peer name eth0 netns ${host.name}`);
    ip(undefined, `link set ${host.name} master fabric up`);
    ip(host.name, 'link set lo up');
    ip(host.name, 'link set eth0 up');
    ip(host.name, `addr add ${host.address}/24 dev eth0`);
    ip(host.name, 'route add default via 10.77.0.254');
  }
  const etcd = await startEtcd({ address: '10.77.0.254' });
  const store = expect(
    await openDatastore({ type: 'etcdv3', etcd: { endpoints: etcd.endpoints } }, {}),
    'opening',
  );
  const environment = (host: string): NodeJS.ProcessEnv => ({
    PATH: process.env['PATH'],
    DATASTORE_TYPE: 'etcdv3',
    ETCD_ENDPOINTS: etcd.endpoints,
    NODENAME: host,
    CALICO_IPV4POOL_CIDR: '10.244.0.0/16',
    CALICO_IPV4POOL_IPIP: 'Never',
    CLUSTER_TYPE: 'bgp',
    FELIX_REPORTINGINTERVALSECS: '1',
  });
  const start = (host: string, what: string, argv: readonly string[]): void => {
    const log = openSync(join(directory, `${host}-${what}.log`), 'a');
    const child = spawn('ip', ['netns', 'exec', host, ...argv], {
      stdio: ['ignore', log, log],
      env: environment(host),
    });
    running.push(child);
  };
  const logs = (): string =>
    hosts
      .flatMap(({ name }) => ['agent', 'speaker'].map((what) => join(directory, `${name}-${what}.log`)))
      .map((path) => `${path}:\n${readFileSync(path, 'utf8').slice(-2000)}`)
      .join('\n');
  try {
    for (const { name } of hosts) {
      const state = join(directory, name);
      mkdirSync(state);
      const socket = join(state, 'bgp.sock');
      start(name, 'agent', [process.execPath, main, 'agent', '--no-cni', '--state-directory', state]);
      start(name, 'speaker', [process.execPath, main, 'speaker', '--nodename', name, '--socket', socket]);
      for (const port of [8080, 8081]) start(name, 'listener', ['nc', '-lk', '-p', String(port)]);
    }
    // Each made its own Node, with the address it found.
    for (const { name, address: own } of hosts)
      await eventually(`node ${name}: ${logs()}`, async () => {
        const node = await store.get('Node', { name });
        return node.ok && node.value.spec.bgp?.ipv4Address === `${own}/24` ? true : undefined;
      });
    // A host that says it has the address of another is refused.
    const double = spawnSync(
      'ip',
      [
        'netns',
        'exec',
        'h2',
        process.execPath,
        main,
        'agent',
        '--no-cni',
        '--nodename',
        'h3',
        '--state-directory',
        join(directory, 'h3'),
      ],
      { env: { ...environment('h3'), IP: '10.77.0.2/24' }, encoding: 'utf8', timeout: waitMs },
    );
    assert.equal(double.status, 1, double.stderr);
    assert.match(double.stderr, /10\.77\.0\.2.*h2|h2.*10\.77\.0\.2/);
    assert.equal((await store.get('Node', { name: 'h3' })).ok, false, 'and leaves no Node behind');
    // The mesh comes up, and the block of one reaches the other.
    const ipam = createIpam(store, { clock: systemClock, logger: silentLogger });
    const assigned = await ipam.assignAddress({
      address: address('10.244.7.7'),
      nodeName: 'h1',
      handleId: 'x',
      attributes: { node: 'h1' },
    });
    assert.ok(assigned.ok, assigned.ok ? '' : assigned.error.message);
    await eventually(`route to h1's block: ${logs()}`, () => {
      const routes = spawnSync('ip', ['-n', 'h2', 'route'], { encoding: 'utf8' }).stdout;
      return /10\.244\.7\.0\/26 via 10\.77\.0\.1 dev eth0 proto bird/.test(routes) ? true : undefined;
    });
    const peers = await askLine<unknown>(join(directory, 'h2', 'bgp.sock'), { op: 'peers' }, 10_000);
    assert.match(JSON.stringify(peers), /"10\.77\.0\.1"[\s\S]*Established/i);

    // A host endpoint with a policy.
    await eventually(
      'ports of h1 without policy',
      () => reaches('h2', '10.77.0.1', 8081) === 'open' || undefined,
    );
    const apiVersion = 'projectcalico.org/v3';
    expect(
      await store.create('GlobalNetworkPolicy', {
        apiVersion,
        kind: 'GlobalNetworkPolicy',
        metadata: { name: 'web' },
        spec: {
          selector: "role == 'web'",
          types: ['Ingress', 'Egress'],
          ingress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [8080, 179] } }],
          egress: [{ action: 'Allow' }],
        },
      }),
      'policy',
    );
    expect(
      await store.create('HostEndpoint', {
        apiVersion,
        kind: 'HostEndpoint',
        metadata: { name: 'h1-eth0', labels: { role: 'web' } },
        spec: { node: 'h1', interfaceName: 'eth0', expectedIPs: ['10.77.0.1'] },
      }),
      'host endpoint',
    );
    await eventually(`8081 of h1 is closed: ${logs()}`, () =>
      reaches('h2', '10.77.0.1', 8081) === 'silent' ? true : undefined,
    );
    assert.equal(reaches('h2', '10.77.0.1', 8080), 'open');
    assert.equal(reaches('h1', '10.77.0.2', 8081), 'open', 'the other host has no endpoint');
    const deleted = await store.delete('HostEndpoint', { name: 'h1-eth0' });
    assert.ok(deleted.ok);
    await eventually('open again', () => reaches('h2', '10.77.0.1', 8081) === 'open' || undefined);

    // Each agent tells that it is alive, for as long as the lease lasts.
    for (const { name } of hosts) {
      const key = `/calico/felix/v2/no-region/host/${name}/status`;
      const told = await eventually(`${key}: ${logs()}`, () => {
        const text = etcd.etcdctl('get', key, '--print-value-only');
        return text.trim() === '' ? undefined : (JSON.parse(text) as Record<string, unknown>);
      });
      assert.equal(typeof told['uptime'], 'number');
      assert.match(String(told['time']), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
      const hasLease = (one: string): boolean => {
        const { kvs = [] } = JSON.parse(etcd.etcdctl('get', one, '-w', 'json')) as {
          kvs?: readonly { readonly lease?: number }[];
        };
        assert.equal(kvs.length, 1, one);
        return (kvs[0]?.lease ?? 0) !== 0;
      };
      assert.equal(hasLease(key), true);
      assert.equal(hasLease(key.replace(/status$/, 'last_reported_status')), false);
    }
  } finally {
    const ended = running.map((child) => new Promise((resolve) => child.once('exit', resolve)));
    for (const child of running) child.kill('SIGTERM');
    await Promise.all(ended);
    await store.close();
    await etcd.stop();
    for (const { name } of hosts) spawnSync('ip', ['netns', 'del', name]);
    spawnSync('ip', ['link', 'del', 'fabric']);
    rmSync(directory, { recursive: true, force: true });
  }
});
