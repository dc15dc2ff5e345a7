// The agent over a datastore in memory and a kernel in memory.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Logger, silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import type { Address } from '../../lib/ip/mod.ts';
import { FakeHost } from '../../kernel/mod.ts';
import type { IPPool } from '../../model/mod.ts';
import { liveness, readiness } from './health.ts';
import { renderMetrics, samples } from './metrics.ts';
import { isOlder } from './resources.ts';
import { Cluster, object, pod } from './testing.ts';

test('SR-070, SR-071, SR-077, SR-078, RS-023: a first start: files, node, defaults; then endpoints as they come', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  await cluster.link('calia');
  const agent = cluster.start();
  expect(await agent.ready, 'ready');
  assert.equal(cluster.file('nodename'), 'n1');
  assert.equal(cluster.file('mtu'), '1400');
  const store = cluster.store.open();
  const node = expect(await store.get('Node', { name: 'n1' }), 'node');
  assert.equal(node.spec.bgp?.ipv4Address, '10.0.0.1/24');
  const pools = expect(await store.list('IPPool'), 'pools').items;
  // RS-023, SR-077, SR-078: what is not asked for otherwise.
  const [pool] = pools;
  assert.equal(pool?.spec.natOutgoing, true);
  assert.equal(pool?.spec.blockSize, 26);
  assert.equal(pool?.spec.nodeSelector, 'all()');
  assert.deepEqual(pool?.spec.allowedUses, ['Workload', 'Tunnel']);
  const ipam = expect(await store.get('IPAMConfiguration', { name: 'default' }), 'IPAM');
  assert.deepEqual(
    [ipam.spec.strictAffinity, ipam.spec.autoAllocateBlocks, ipam.spec.maxBlocksPerHost],
    [false, true, 0],
  );
  assert.deepEqual(
    pools.map((p) => [p.metadata.name, p.spec.cidr]),
    [['default-ipv4-ippool', '192.168.0.0/16']],
  );
  for (const kind of ['ClusterInformation', 'FelixConfiguration', 'IPAMConfiguration'] as const) {
    expect(await store.get(kind, { name: 'default' }), kind);
  }
  assert.deepEqual(readiness(agent.status()), { ok: true, reasons: [] });
  for (const [name, table] of Object.entries(agent.status().dataplane)) {
    assert.deepEqual(table.unfinished, [], name);
  }
  const nft = expect(await cluster.host.kernel().nftables.read({ family: 'ip', name: 'calico' }), 'nftables');
  assert.deepEqual(nft?.chains.map((c) => c.chain.name).toSorted(), [
    'filter-forward',
    'filter-input',
    'from-workload',
    'invalid',
    'nat-postrouting',
    'raw-prerouting',
    'source-check',
    'to-workload',
    'workload-to-host',
  ]);
  await store.create('WorkloadEndpoint', pod('a', '192.168.1.2'));
  await until(async () => ((await cluster.routes()).includes('192.168.1.2/32') ? true : undefined), {
    timeoutMs: 2000,
  });
  assert.deepEqual(await cluster.routes(), ['192.168.1.2/32']);
  const metric = samples(agent.status()).find((s) => s.name === 'felix_active_local_endpoints');
  assert.equal(metric?.value, 1);
  await agent.stop();
  assert.deepEqual(await cluster.routes(), ['192.168.1.2/32'], 'the dataplane stays');
});

test('SR-043: a restart changes nothing, and other settings do not change the pool that is there', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  await cluster.link('calia');
  const store = cluster.store.open();
  await store.create('WorkloadEndpoint', pod('a', '192.168.1.2'));
  const first = cluster.start();
  expect(await first.ready, 'ready');
  await first.stop();
  const events: unknown[] = [];
  cluster.host
    .kernel()
    .subscribe(['links', 'routes', 'nftables', 'addresses'], (event) => events.push(event));
  const revision = expect(await store.list('Node'), 'list').revision;
  const second = cluster.start({ CALICO_IPV4POOL_CIDR: '10.99.0.0/16', CALICO_IPV4POOL_BLOCK_SIZE: '24' });
  expect(await second.ready, 'ready');
  await second.stop();
  assert.deepEqual(events, []);
  const pools = expect(await store.list('IPPool'), 'pools').items;
  assert.deepEqual(
    pools.map((p) => [p.spec.cidr, p.spec.blockSize]),
    [['192.168.0.0/16', 26]],
  );
  assert.equal(
    expect(await store.list('Node'), 'list').revision,
    revision,
    'nothing is written to the datastore either',
  );
});

test('SR-230: a datastore that comes late is waited for, and says so in readiness', async () => {
  using cluster = new Cluster();
  const agent = cluster.start();
  await until(() => (agent.status().phase === 'starting' ? true : undefined), { timeoutMs: 1000 });
  assert.equal(readiness(agent.status()).ok, false);
  await cluster.prepare();
  expect(await agent.ready, 'ready');
  await agent.stop();
});

test('RS-181, FX-006: datastoreReady false holds Felix back: nothing is written to the kernel', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const events: unknown[] = [];
  cluster.host.kernel().subscribe(['links', 'routes', 'nftables'], (event) => events.push(event));
  const store = cluster.store.open();
  await store.create(
    'ClusterInformation',
    object('ClusterInformation', 'default', { datastoreReady: false }),
  );
  const agent = cluster.start();
  await until(
    () => (agent.status().phase === 'waiting' && agent.status().datastore === 'in-sync' ? true : undefined),
    { timeoutMs: 2000 },
  );
  assert.match(readiness(agent.status()).reasons.join(), /not ready/);
  assert.deepEqual(events, []);
  const information = expect(await store.get('ClusterInformation', { name: 'default' }), 'get');
  await store.update('ClusterInformation', {
    ...information,
    spec: { ...information.spec, datastoreReady: true },
  });
  expect(await agent.ready, 'ready');
  assert.ok(await until(() => (events.length > 0 ? true : undefined), { timeoutMs: 2000 }));
  await agent.stop();
});

test('CT-002: the version of the cluster follows an upgrade; that of Calico, or of a newer agent, stays', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const store = cluster.store.open();
  const version = async (): Promise<string | undefined> =>
    expect(await store.get('ClusterInformation', { name: 'default' }), 'get').spec.calicoVersion;
  await store.create(
    'ClusterInformation',
    object('ClusterInformation', 'default', { datastoreReady: true, calicoVersion: 'v0.0.9' }),
  );
  const agent = cluster.start();
  expect(await agent.ready, 'ready');
  assert.match((await version()) ?? '', /^\d+\.[1-9]\d*\.\d+$/);
  await agent.stop();
  assert.ok(isOlder('0.9.1', '0.10.0') && isOlder('v1.2.3-rc1', '1.3.0'));
  for (const before of ['v3.30.1', '0.1.0', 'v0.1.0-2-gab', '0.1.1', '', 'master', '0.0'])
    assert.ok(!isOlder(before, '0.1.0'), before);
});

test('BG-074: an address that moves is followed; one that another node has is refused unless that is allowed', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const agent = cluster.start({ IP: 'autodetect', AUTODETECT_POLL_INTERVAL: '1s' });
  expect(await agent.ready, 'ready');
  const kernel = cluster.host.kernel();
  const eth0 = expect(await kernel.links.get('eth0'), 'eth0');
  const at = (address: string) => ({ address: address as Address, length: 24, linkIndex: eth0?.index ?? 0 });
  await kernel.addresses.apply([
    { op: 'delete', address: at('10.0.0.1') },
    { op: 'add', address: at('10.0.0.7') },
  ]);
  const store = cluster.store.open();
  const moved = await until(
    async () => {
      const node = expect(await store.get('Node', { name: 'n1' }), 'node');
      return node.spec.bgp?.ipv4Address === '10.0.0.7/24' ? true : undefined;
    },
    { timeoutMs: 10_000, everyMs: 50 },
  );
  assert.ok(moved);
  await agent.stop();
  await store.create('Node', object('Node', 'n2', { bgp: { ipv4Address: '10.0.0.8/24' } }));
  const refused = cluster.start({ IP: '10.0.0.8/24' });
  const result = await refused.ready;
  assert.ok(!result.ok && result.error.code === 'AddressConflict');
  assert.match(result.error.message, /10\.0\.0\.8.*n2|n2.*10\.0\.0\.8/);
  await refused.stop();
  const allowed = cluster.start({ IP: '10.0.0.8/24', DISABLE_NODE_IP_CHECK: 'true' });
  expect(await allowed.ready, 'ready');
  await allowed.stop();
});

test('SR-228: a machine that calls itself as another one that lives is refused; one that moved or replaces a dead one is not', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const first = cluster.start();
  expect(await first.ready, 'ready');
  await first.stop();
  // Another host with the same datastore.
  const other = new FakeHost();
  const eth0 = expect(
    await other.kernel().links.create({
      name: 'eth0',
      kind: 'veth',
      mac: '02:00:00:00:00:99',
      up: true,
      peer: { name: 'far' },
    }),
    'eth0',
  );
  const own = { address: '10.0.0.9' as Address, length: 24, linkIndex: eth0.index };
  await other.kernel().addresses.apply([{ op: 'add', address: own }]);
  const env = { IP: 'autodetect' };
  const refused = cluster.start(env, { kernel: other.kernel(), isHostAt: () => Promise.resolve(true) });
  const result = await refused.ready;
  assert.ok(!result.ok && result.error.code === 'DuplicateName');
  assert.match(result.error.message, /the node n1, and lives at 10\.0\.0\.1\./);
  await refused.stop();
  const addressOf = async (): Promise<string | undefined> =>
    expect(await cluster.store.open().get('Node', { name: 'n1' }), 'node').spec.bgp?.ipv4Address;
  assert.equal(await addressOf(), '10.0.0.1/24');
  const replacing = cluster.start(env, { kernel: other.kernel(), isHostAt: () => Promise.resolve(false) });
  expect(await replacing.ready, 'ready');
  assert.equal(await addressOf(), '10.0.0.9/24');
  await replacing.stop();
});

test('FX-092 OT-080 FX-113: the key of WireGuard is on the Node while the device is there, the same after a restart; metrics', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const store = cluster.store.open();
  const on = { FELIX_WIREGUARDENABLED: 'true' };
  const key = async (): Promise<string | undefined> =>
    expect(await store.get('Node', { name: 'n1' }), 'node').status?.wireguardPublicKey;
  const first = cluster.start(on);
  expect(await first.ready, 'ready');
  const published = await until(key, { timeoutMs: 3000 });
  assert.match(published ?? '', /^[\w+/]{43}=$/);
  const other = object('Node', 'n2', { bgp: { ipv4Address: '10.0.0.2/24' } });
  cluster.store.put('Node', {
    ...other,
    status: { wireguardPublicKey: 'xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=' },
  } as typeof other);
  const kernel = cluster.host.kernel();
  const peers = async () => expect(await kernel.wireguard.read('wireguard.cali'), 'device')?.peers ?? [];
  await until(async () => ((await peers()).length > 0 ? true : undefined), { timeoutMs: 3000 });
  assert.deepEqual(
    (await peers()).map((peer) => peer.endpoint),
    [{ address: '10.0.0.2', port: 51820 }],
  );
  const status = first.status();
  assert.equal(status.encryption[4].state, 'on');
  assert.equal(status.encryption[6].state, 'off');
  const device = expect(await kernel.wireguard.read('wireguard.cali'), 'device');
  const text = await renderMetrics(status, device === undefined ? [] : [device]);
  assert.match(text, /wireguard_bytes_sent\{.*peer_endpoint="10\.0\.0\.2:51820"\} 0/);
  assert.match(text, /wireguard_meta\{.*listen_port="51820",peer_count="1"/);
  assert.match(text, /margay_encryption_state\{family="ipv4"\} 2/);
  await first.stop();
  const second = cluster.start(on);
  expect(await second.ready, 'ready');
  assert.equal(await key(), published);
  await second.stop();
  const third = cluster.start();
  expect(await third.ready, 'ready');
  const isGone = async (): Promise<true | undefined> => ((await key()) === undefined ? true : undefined);
  assert.ok(await until(isGone, { timeoutMs: 3000 }));
  assert.equal(expect(await kernel.links.get('wireguard.cali'), 'link'), undefined);
  await third.stop();
});

test('OT-080: where WireGuard is not to be had, traffic is clear, no key is told, and it is said', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  cluster.host.withoutKind('wireguard');
  const agent = cluster.start({ FELIX_WIREGUARDENABLED: 'true' });
  expect(await agent.ready, 'ready');
  const state = agent.status().encryption[4];
  assert.equal(state.state, 'waiting');
  assert.match('reason' in state ? (state.reason ?? '') : '', /WireGuard/);
  assert.deepEqual(readiness(agent.status()).ok, true);
  const store = cluster.store.open();
  const told = async (): Promise<string | undefined> =>
    expect(await store.list('Event'), 'events').items.find((event) => event.reason === 'NotEncrypted')
      ?.message;
  assert.match((await until(told, { timeoutMs: 3000 })) ?? '', /IPv4 between nodes is not encrypted here/);
  assert.equal(expect(await store.get('Node', { name: 'n1' }), 'node').status?.wireguardPublicKey, undefined);
  assert.match(await renderMetrics(agent.status()), /margay_encryption_state\{family="ipv4"\} 1/);
  await agent.stop();
});

test('FX-093: a way that carries less is told; the MTU follows it when that is asked for', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const store = cluster.store.open();
  await store.create('Node', object('Node', 'n2', { bgp: { ipv4Address: '10.0.0.2/24' } }));
  cluster.host.setPathMtu('10.0.0.2' as Address, 1300);
  const warned = async (): Promise<string | undefined> =>
    expect(await store.list('Event'), 'events').items.find((event) => event.reason === 'PathMtu')?.message;
  const told = cluster.start({ PATH_MTU_INTERVAL: '0.05' });
  expect(await told.ready, 'ready');
  assert.match(
    (await until(warned, { timeoutMs: 10_000 })) ?? '',
    /node n2 \(10\.0\.0\.2\) carries packets of 1300 bytes, and this node sends up to 1400: .* MTU of 1300 for pods would fit; it is 1400/,
  );
  assert.equal(cluster.file('mtu'), '1400');
  assert.match(
    await renderMetrics(told.status()),
    /margay_path_mtu_bytes\{node="n2",address="10\.0\.0\.2"\} 1300/,
  );
  await told.stop();
  const lowered = cluster.start({ PATH_MTU_INTERVAL: '0.05', PATH_MTU_PROBE: 'lower' });
  expect(await lowered.ready, 'ready');
  const isLower = (): true | undefined => (cluster.file('mtu') === '1300' ? true : undefined);
  assert.ok(await until(isLower, { timeoutMs: 10_000 }));
  await lowered.stop();
});

test('FX-093: a pool that comes while the first synchronisation is under way counts for the MTU file', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const kernel = cluster.host.kernel();
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const list: typeof kernel.routes.list = async (...filter) => {
    await released;
    return kernel.routes.list(...filter);
  };
  const held = { ...kernel, routes: { ...kernel.routes, list } };
  const agent = cluster.start({}, { kernel: held });
  const fileSays = (mtu: string) => (): true | undefined =>
    existsSync(join(cluster.directory, 'mtu')) && cluster.file('mtu') === mtu ? true : undefined;
  assert.ok(await until(fileSays('1400'), { timeoutMs: 10_000 }));
  const store = cluster.store.open();
  const pool = expect(await store.get('IPPool', { name: 'default-ipv4-ippool' }), 'pool');
  expect(await store.update('IPPool', { ...pool, spec: { ...pool.spec, ipipMode: 'Always' } }), 'update');
  assert.ok(await until(fileSays('1380'), { timeoutMs: 10_000 }));
  assert.notEqual(agent.status().phase, 'ready');
  release();
  expect(await agent.ready, 'ready');
  assert.equal(cluster.file('mtu'), '1380');
  await agent.stop();
});

test('FX-002: a pool without a range, as no API server would take it, counts as absent and is named', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const junk = { apiVersion: 'projectcalico.org/v3', kind: 'IPPool', metadata: { name: 'junk' } };
  cluster.store.put('IPPool', junk as unknown as IPPool);
  const lines: string[] = [];
  const logger: Logger = {
    ...silentLogger,
    warn: (message, fields) => void lines.push(`${message} ${JSON.stringify(fields)}`),
  };
  const agent = cluster.start({}, { logger });
  expect(await agent.ready, 'ready');
  assert.ok(
    lines.some((line) => /without a range counts as absent.*"junk"/.test(line)),
    lines.join('\n'),
  );
  const pools = expect(await cluster.store.open().list('IPPool'), 'pools').items;
  assert.deepEqual(pools.map(({ metadata }) => metadata.name).sort(), ['default-ipv4-ippool', 'junk']);
  await agent.stop();
});

test('SR-226: FELIX_LOGSEVERITYSCREEN and FELIX_IPV6SUPPORT; without the one the level of the log follows FelixConfiguration', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const levels: string[] = [];
  const log = {
    setLevel: (level: string): void => void levels.push(level),
    setFile: () => undefined,
    errors: () => 0,
  };
  const env = { FELIX_LOGSEVERITYSCREEN: 'Warning', FELIX_IPV6SUPPORT: 'false' };
  const first = cluster.start(env, { log });
  expect(await first.ready, 'ready');
  assert.equal(levels.at(-1), 'warn');
  const store = cluster.store.open();
  const pools = async (): Promise<readonly string[]> =>
    expect(await store.list('IPPool'), 'pools').items.map(({ metadata }) => metadata.name);
  assert.deepEqual(await pools(), ['default-ipv4-ippool']);
  await first.stop();
  const second = cluster.start({ FELIX_IPV6SUPPORT: 'true' }, { log });
  expect(await second.ready, 'ready');
  assert.equal(levels.at(-1), 'info');
  assert.deepEqual([...(await pools())].sort(), ['default-ipv4-ippool', 'default-ipv6-ippool']);
  const felix = expect(await store.get('FelixConfiguration', { name: 'default' }), 'get');
  await store.update('FelixConfiguration', { ...felix, spec: { ...felix.spec, logSeverityScreen: 'Debug' } });
  assert.ok(await until(() => (levels.at(-1) === 'debug' ? true : undefined), { timeoutMs: 5_000 }));
  await second.stop();
});

test('BG-077: AS number, cluster type and the switch for pools come from the environment', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const agent = cluster.start({ AS: '65011', CLUSTER_TYPE: 'k8s,kubeadm', NO_DEFAULT_POOLS: 'true' });
  expect(await agent.ready, 'ready');
  const store = cluster.store.open();
  assert.equal(expect(await store.get('Node', { name: 'n1' }), 'node').spec.bgp?.asNumber, 65011);
  const { spec } = expect(await store.get('ClusterInformation', { name: 'default' }), 'information');
  assert.deepEqual(spec?.clusterType?.split(','), ['k8s', 'bgp', 'kubeadm']);
  assert.equal(spec?.datastoreReady, true);
  assert.deepEqual(expect(await store.list('IPPool'), 'pools').items, []);
  await agent.stop();
});

test('FX-166: what makes a start impossible is said: root namespace, address of another node, bad variable', async () => {
  const outcome = async (cluster: Cluster, environment: Record<string, string> = {}): Promise<string> => {
    const agent = cluster.start(environment);
    const result = await agent.ready;
    await agent.stop();
    return result.ok ? 'ok' : result.error.code;
  };
  using cluster = new Cluster();
  await cluster.prepare();
  await cluster.store.open().create('Node', object('Node', 'n2', { bgp: { ipv4Address: '10.0.0.1/24' } }));
  assert.equal(await outcome(cluster), 'AddressConflict');
  assert.equal(await outcome(cluster, { IP: '10.0.0.2/24', CALICO_IPV4POOL_CIDR: 'x' }), 'BadEnvironment');
  assert.equal(await outcome(cluster, { IP: 'not-an-address' }), 'NoAddress');
  assert.equal(
    await outcome(cluster, { FELIX_DEFAULTENDPOINTTOHOSTACTION: 'perhaps' }),
    'BadEnvironment',
    'FX-166',
  );
  using machine = new (class extends Cluster {
    override readonly host = new FakeHost({ root: true });
  })();
  assert.equal(await outcome(machine), 'RootNamespaceRefused');
});

test('FX-103, FX-159: an agent whose kernel does not come back within the watchdog’s time is not live', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const agent = cluster.start({ FELIX_DATAPLANEWATCHDOGTIMEOUT: '60' });
  expect(await agent.ready, 'ready');
  const status = agent.status();
  const stuck = (stuckForMs: number) => ({
    ...status,
    dataplane: { ...status.dataplane, routes: { ...status.dataplane.routes, stuckForMs } },
  });
  assert.deepEqual(liveness(stuck(60_000)), { ok: true, reasons: [] });
  const late = liveness(stuck(61_000));
  assert.equal(late.ok, false);
  assert.match(late.reasons.join(), /table routes has been stuck for 61 s/);
  await agent.stop();
  const patient = cluster.start({
    FELIX_HEALTHTIMEOUTOVERRIDES: 'InternalDataplaneMainLoop=5m',
    FELIX_DATAPLANEWATCHDOGTIMEOUT: '60',
  });
  const { config } = patient.status();
  assert.equal(liveness({ ...stuck(61_000), config }).ok, true, 'FX-159');
  assert.equal(liveness({ ...stuck(301_000), config }).ok, false, 'FX-159');
  await patient.stop();
});

test('FX-102, FX-113: health and metrics are served where the configuration says, and follow it', async () => {
  using cluster = new Cluster();
  await cluster.prepare();
  const port = 20_000 + (process.pid % 20_000);
  const agent = cluster.start({
    FELIX_HEALTHENABLED: 'true',
    FELIX_HEALTHPORT: String(port),
    FELIX_HEALTHHOST: '127.0.0.1',
  });
  expect(await agent.ready, 'ready');
  const get = async (path: string): Promise<[number, string]> => {
    const response = await fetch(`http://127.0.0.1:${path}`);
    return [response.status, await response.text()];
  };
  assert.deepEqual(await get(`${port}/readiness`), [200, 'ok\n']);
  assert.deepEqual(await get(`${port}/liveness`), [200, 'ok\n']);
  const store = cluster.store.open();
  const felix = expect(await store.get('FelixConfiguration', { name: 'default' }), 'get');
  const spec = {
    ...felix.spec,
    prometheusMetricsEnabled: true,
    prometheusMetricsPort: port + 1,
    prometheusMetricsHost: '127.0.0.1',
  };
  await store.update('FelixConfiguration', { ...felix, spec });
  const scraped = await until(() => get(`${port + 1}/metrics`).catch(() => undefined), { timeoutMs: 3000 });
  assert.match(scraped?.[1] ?? '', /felix_resync_state 2/);
  await agent.stop();
});
