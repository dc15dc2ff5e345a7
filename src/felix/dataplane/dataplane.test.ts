// The dataplane on the fake kernel: from resources to what the kernel holds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, systemClock, VirtualClock } from '../../lib/clock.ts';
import { until } from '../../lib/wait.ts';
import { expect } from '../../lib/result.ts';
import type { Address, Prefix } from '../../lib/ip/mod.ts';
import {
  FakeHost,
  type Kernel,
  type KernelEvent,
  mainTable,
  type Route,
  type RouteChange,
} from '../../kernel/mod.ts';
import { CalculationGraph, type CalcUpdate } from '../calc/mod.ts';
import { Dataplane, endpointKeys, type EndpointKeys } from './dataplane.ts';
import { nftOperations, type NftRow } from './nftables.ts';

const set = (kind: string, metadata: object, spec: object): CalcUpdate =>
  ({
    type: 'set',
    kind,
    object: { apiVersion: 'projectcalico.org/v3', kind, metadata, spec },
  }) as unknown as CalcUpdate;
const pool = (natOutgoing: boolean) => set('IPPool', { name: 'p' }, { cidr: '10.244.0.0/16', natOutgoing });
const block = set('BlockAffinity', { name: 'a' }, { cidr: '10.244.1.0/26', node: 'n1', state: 'confirmed' });
const pod = (name: string, address: string) =>
  set(
    'WorkloadEndpoint',
    { name, namespace: 'default' },
    { node: 'n1', interfaceName: `cali${name}`, ipNetworks: [`${address}/32`], containerID: name },
  );
const withoutPod = (name: string): CalcUpdate => ({
  type: 'delete',
  kind: 'WorkloadEndpoint',
  name: { name, namespace: 'default' },
});

class Bench {
  readonly host: FakeHost;
  readonly kernel: Kernel;
  readonly graph = new CalculationGraph({ nodeName: 'n1', blackholeProtocol: 12 });
  readonly dataplane: Dataplane;
  readonly events: KernelEvent[] = [];

  constructor(host = new FakeHost(), clock: Clock = systemClock) {
    this.host = host;
    this.kernel = host.kernel();
    this.dataplane = new Dataplane({ kernel: this.kernel, clock });
    this.kernel.subscribe(['links', 'routes', 'nftables'], (event) => this.events.push(event));
  }

  update(...updates: CalcUpdate[]): void {
    for (const update of updates) this.graph.update(update);
    this.dataplane.apply(this.graph.flush());
  }

  async start(): Promise<void> {
    expect(await this.dataplane.start(), 'start');
    await this.settled();
  }

  /** Nothing was done for longer than a difference may settle. */
  async settled(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 60));
    await this.dataplane.idle();
  }

  async link(name: string): Promise<number> {
    const link = expect(
      await this.kernel.links.create({ name, kind: 'veth', up: true, peer: { name: `p${name}` } }),
      'create link',
    );
    return link.index;
  }

  async routes(): Promise<string[]> {
    const routes = expect(await this.kernel.routes.list({ table: mainTable, family: 4 }), 'list');
    return routes
      .filter((r) => r.protocol !== 2)
      .map(describe)
      .toSorted(byText);
  }

  keys(name: string): EndpointKeys {
    const { routes, interfaces } = this.graph.state().tables;
    const own = [...routes.values()].filter(
      (r) => r.target.type === 'endpoint' && r.target.interfaceName === `cali${name}`,
    );
    return endpointKeys(own, interfaces.get(`cali${name}`));
  }
}

const byText = (a: string, b: string): number => (a < b ? -1 : 1);
const describe = (route: Route): string =>
  `${route.type} ${route.dst} proto ${route.protocol} metric ${route.priority} dev ${route.nextHops[0]?.linkIndex ?? '-'}`;
const cali = (linkIndex: number, dst: string, protocol = 3): RouteChange => ({
  op: 'add',
  route: {
    dst: dst as Prefix,
    table: mainTable,
    type: 'unicast',
    scope: 'link',
    priority: 1024,
    protocol,
    nextHops: [{ linkIndex }],
  },
});

test('SR-059, FX-021, FX-075, FX-076: endpoints and blocks become routes and settings; whenDone says when', async () => {
  const bench = new Bench();
  const index = await bench.link('calia');
  bench.update(pool(true), block, pod('a', '10.244.1.2'));
  await bench.start();
  expect(await bench.dataplane.whenDone(bench.keys('a'), 1000), 'done');
  assert.deepEqual(await bench.routes(), [
    'blackhole 10.244.1.0/26 proto 12 metric 0 dev -',
    `unicast 10.244.1.2/32 proto 3 metric 1024 dev ${index}`,
  ]);
  for (const [path, value] of [
    ['net/ipv4/conf/calia/forwarding', '1'],
    ['net/ipv4/conf/calia/proxy_arp', '1'],
    ['net/ipv4/neigh/calia/proxy_delay', '0'],
    ['net/ipv4/conf/calia/route_localnet', '1'],
    ['net/ipv4/conf/calia/rp_filter', '1'],
    ['net/ipv4/ip_forward', '1'],
    ['net/ipv6/conf/calia/forwarding', '1'],
    ['net/ipv6/conf/calia/proxy_ndp', '1'],
    ['net/ipv6/conf/calia/accept_ra', '0'],
    ['net/ipv6/conf/all/forwarding', '1'],
    ['net/netfilter/nf_conntrack_acct', '1'],
  ] as const) {
    assert.equal(expect(await bench.kernel.sysctls.read(path), path), value);
  }
  const gateway = expect(await bench.kernel.routes.list({ table: 255, protocol: 80 }), 'list');
  assert.deepEqual(
    gateway.map((r) => [r.dst, r.nextHops]),
    [['169.254.1.1/32', [{ linkIndex: 1 }]]],
  );
  await bench.dataplane.stop();
});

test('a second agent finds everything right and writes nothing', async () => {
  const host = new FakeHost();
  const first = new Bench(host);
  await first.link('calia');
  const state = [pool(true), block, pod('a', '10.244.1.2')];
  first.update(...state);
  await first.start();
  await first.dataplane.stop();
  const second = new Bench(host);
  second.update(...state);
  await second.start();
  assert.deepEqual(second.events, []);
  assert.equal(second.dataplane.synced, true);
  for (const table of Object.values(second.dataplane.status())) {
    assert.equal(table.counters.puts + table.counters.removes, 0);
    assert.equal(table.counts.done, table.counts.rows);
  }
  await second.dataplane.stop();
});

test('FX-006: orphans of an earlier run go, routes of others stay', async () => {
  const bench = new Bench();
  const index = await bench.link('calia');
  const other = await bench.link('eth7');
  const blackhole = (dst: string, protocol: number): RouteChange => ({
    op: 'add',
    route: {
      dst: dst as Prefix,
      table: mainTable,
      type: 'blackhole',
      scope: 'global',
      priority: 0,
      protocol,
      nextHops: [],
    },
  });
  await bench.kernel.routes.apply([
    cali(index, '10.244.1.9/32'),
    cali(other, '192.0.2.0/24'),
    cali(other, '10.244.7.0/26', 12),
    blackhole('10.244.5.0/26', 12),
    blackhole('10.66.0.0/16', 4),
  ]);
  bench.update(pool(true), block);
  await bench.start();
  assert.deepEqual(await bench.routes(), [
    'blackhole 10.244.1.0/26 proto 12 metric 0 dev -',
    'blackhole 10.66.0.0/16 proto 4 metric 0 dev -',
    `unicast 10.244.7.0/26 proto 12 metric 1024 dev ${other}`,
    `unicast 192.0.2.0/24 proto 3 metric 1024 dev ${other}`,
  ]);
  await bench.dataplane.stop();
});

test('SR-021, FX-022: an interface that comes late, goes down, or is made anew gets its rows back', async () => {
  const bench = new Bench();
  bench.update(pool(true), pod('a', '10.244.1.2'));
  await bench.start();
  const waiting = await bench.dataplane.whenDone(bench.keys('a'), 10);
  assert.ok(!waiting.ok && waiting.error.message.includes('interface calia does not exist'));
  let index = await bench.link('calia');
  expect(await bench.dataplane.whenDone(bench.keys('a'), 1000), 'appeared');
  await bench.kernel.links.change(index, { up: false });
  await bench.settled();
  assert.deepEqual(await bench.routes(), []);
  await bench.kernel.links.change(index, { up: true });
  await bench.settled();
  assert.deepEqual(await bench.routes(), [`unicast 10.244.1.2/32 proto 3 metric 1024 dev ${index}`]);
  await bench.kernel.links.delete([index]);
  index = await bench.link('calia');
  await bench.settled();
  assert.deepEqual(await bench.routes(), [`unicast 10.244.1.2/32 proto 3 metric 1024 dev ${index}`]);
  assert.equal(expect(await bench.kernel.sysctls.read('net/ipv4/conf/calia/proxy_arp'), 'read'), '1');
  await bench.dataplane.stop();
});

test('FX-085: a route somebody removed or bent is repaired on the event; lost events are made good by reading', async () => {
  const bench = new Bench();
  const index = await bench.link('calia');
  const eth = await bench.link('eth7');
  bench.update(pool(true), pod('a', '10.244.1.2'));
  await bench.start();
  const right = [`unicast 10.244.1.2/32 proto 3 metric 1024 dev ${index}`];
  const key = { dst: '10.244.1.2/32' as Prefix, table: mainTable, priority: 1024 };
  const remove: RouteChange = { op: 'delete', key };
  await bench.kernel.routes.apply([remove]);
  await bench.settled();
  assert.deepEqual(await bench.routes(), right);
  await bench.kernel.routes.apply([{ ...cali(eth, '10.244.1.2/32'), op: 'replace' } as RouteChange]);
  await bench.settled();
  assert.deepEqual(await bench.routes(), right);
  await bench.kernel.routes.apply([remove]);
  bench.host.loseEvents();
  await bench.settled();
  assert.deepEqual(await bench.routes(), right);
  await bench.dataplane.stop();
});

test('FX-082: flows of an address end when its endpoint goes, not before', async () => {
  const bench = new Bench();
  await bench.link('calia');
  bench.update(pool(true), pod('a', '10.244.1.2'));
  await bench.start();
  bench.host.addConnection(['10.244.1.2' as Address, '10.9.9.9' as Address]);
  bench.host.addConnection(['10.244.1.3' as Address]);
  bench.update(pod('b', '10.244.1.3'));
  await bench.settled();
  bench.update(withoutPod('a'));
  await bench.settled();
  const left = async (address: string): Promise<number> =>
    expect(await bench.kernel.conntrack.deleteByAddress(address as Address), 'count');
  assert.equal(await left('10.244.1.2'), 0);
  assert.equal(await left('10.244.1.3'), 1);
  await bench.dataplane.stop();
});

test('SR-162, FX-018, FX-019: natOutgoing is switched by an element and a chain in one transaction, and somebody’s flush is repaired', async () => {
  const bench = new Bench();
  bench.update(pool(true));
  await bench.start();
  const table = { family: 'ip' as const, name: 'calico' };
  const chains = async (): Promise<string[]> =>
    (expect(await bench.kernel.nftables.read(table), 'read')?.chains ?? [])
      .map((c) => `${c.chain.name} ${c.rules.length}`)
      .toSorted(byText);
  const members = async (name: string): Promise<unknown[]> =>
    expect(await bench.kernel.nftables.elements(table, name), 'elements').map((e) => e.key);
  assert.deepEqual(await chains(), ['filter-forward 1', 'nat-postrouting 1']);
  const rules = expect(await bench.kernel.nftables.read(table), 'read')?.chains.flatMap((c) => c.rules) ?? [];
  for (const rule of rules) assert.match(rule.comment ?? '', /^cali:[\w-]{16}$/);
  assert.deepEqual(await members('masq-pools'), ['10.244.0.0/16']);
  const before = bench.events.filter((e) => e.type === 'nftables').length;
  bench.update(pool(false));
  await bench.settled();
  assert.equal(bench.events.filter((e) => e.type === 'nftables').length, before + 1, 'one transaction');
  assert.deepEqual(await chains(), ['filter-forward 1']);
  assert.deepEqual(await members('masq-pools'), []);
  assert.deepEqual(await members('all-pools'), ['10.244.0.0/16']);
  bench.update(pool(true));
  await bench.settled();
  // Another process: its own Kernel on the same namespace.
  const stranger = bench.host.kernel();
  expect(await stranger.nftables.apply([{ op: 'flush-chain', table, chain: 'nat-postrouting' }]), 'flush');
  await bench.settled();
  assert.deepEqual(await chains(), ['filter-forward 1', 'nat-postrouting 1']);
  expect(await stranger.nftables.apply([{ op: 'delete-table', table }]), 'delete');
  await bench.settled();
  assert.deepEqual(await chains(), ['filter-forward 1', 'nat-postrouting 1']);
  assert.deepEqual(await members('masq-pools'), ['10.244.0.0/16']);
  await bench.dataplane.stop();
});

test('a refused route is reported with its reason and tried again', async () => {
  const bench = new Bench();
  await bench.link('calia');
  await bench.link('calib');
  bench.host.fail({ operation: 'routes.apply', subject: '10.244.1.2/32', errno: 105, times: 1 });
  bench.update(pool(true), pod('a', '10.244.1.2'), pod('b', '10.244.1.3'));
  await bench.start();
  expect(await bench.dataplane.whenDone(bench.keys('b'), 1000), 'the other one is not held up');
  expect(await bench.dataplane.whenDone(bench.keys('a'), 2000), 'tried again');
  assert.equal(bench.dataplane.status().routes.counters.failures, 1);
  await bench.dataplane.stop();
});

test('the metric may change without a gap: the new route comes before the old one goes', async () => {
  const bench = new Bench();
  const index = await bench.link('calia');
  bench.update(pod('a', '10.244.1.2'));
  await bench.start();
  bench.events.length = 0;
  bench.host.addConnection(['10.244.1.2' as Address]);
  bench.update(set('FelixConfiguration', { name: 'default' }, { ipv4NormalRoutePriority: 77 }));
  await until(async () => ((await bench.routes())[0]?.includes('metric 77') ? true : undefined), {
    timeoutMs: 1000,
  });
  await bench.settled();
  assert.deepEqual(await bench.routes(), [`unicast 10.244.1.2/32 proto 3 metric 77 dev ${index}`]);
  assert.deepEqual(
    bench.events.flatMap((e) =>
      e.type === 'route' || e.type === 'route-deleted' ? [`${e.type} ${e.route.priority}`] : [],
    ),
    ['route 77', 'route-deleted 1024'],
  );
  const flows = expect(await bench.kernel.conntrack.deleteByAddress('10.244.1.2' as Address), 'count');
  assert.equal(flows, 1, 'the endpoint is the same: its flows live on');
  await bench.dataplane.stop();
});

test('FX-081: a foreign route on an endpoint’s interface has ten seconds to be explained', async () => {
  const clock = new VirtualClock();
  const bench = new Bench(new FakeHost(), clock);
  const index = await bench.link('calia');
  bench.update(pool(true));
  expect(await bench.dataplane.start(), 'start');
  await bench.settled();
  await bench.kernel.routes.apply([cali(index, '10.244.1.2/32'), cali(index, '10.244.1.7/32')]);
  await bench.settled();
  clock.advance(5_000);
  await bench.settled();
  assert.equal((await bench.routes()).length, 2);
  // The news of the first one's endpoint arrives.
  bench.update(pod('a', '10.244.1.2'));
  await bench.settled();
  clock.advance(6_000);
  await bench.settled();
  assert.deepEqual(await bench.routes(), [`unicast 10.244.1.2/32 proto 3 metric 1024 dev ${index}`]);
  bench.update(set('FelixConfiguration', { name: 'default' }, { removeExternalRoutes: false }));
  await bench.kernel.routes.apply([cali(index, '10.244.1.7/32', 4)]);
  await bench.settled();
  clock.advance(60_000);
  await bench.settled();
  assert.equal((await bench.routes()).length, 2, 'RemoveExternalRoutes=false lets it be');
  await bench.dataplane.stop();
});

test('a transaction that is too large for the kernel is divided: new sets are filled before rules look at them', async () => {
  const host = new FakeHost();
  const kernel = host.kernel();
  const operations = nftOperations(kernel);
  host.fail({ operation: 'nftables.apply', subject: 'calico', errno: 105, times: 1 });
  const rows: readonly NftRow[] = [
    { kind: 'table', family: 'ip' },
    { kind: 'set', family: 'ip', set: { name: 's', key: ['ipv4_addr'] } },
    ...Array.from(
      { length: 9_000 },
      (_, i): NftRow => ({
        kind: 'element',
        family: 'ip',
        set: 's',
        element: { key: `10.0.${i >> 8}.${i & 255}` },
      }),
    ),
    { kind: 'chain', family: 'ip', chain: { name: 'c' }, rules: ['ip saddr @s drop'] },
  ];
  const outcomes = await operations.apply(
    rows.map((row) => ({ op: 'put', key: operations.keyOf(row), row, actual: undefined })),
  );
  assert.ok(outcomes.every(({ ok }) => ok));
  const elements = expect(await kernel.nftables.elements({ family: 'ip', name: 'calico' }, 's'), 'elements');
  assert.equal(elements.length, 9_000);
});
