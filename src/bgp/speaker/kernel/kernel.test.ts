import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { VirtualClock } from '../../../lib/clock.ts';
import { address, parseInterfaceAddress, prefix, type Prefix } from '../../../lib/ip/mod.ts';
import { silentLogger } from '../../../lib/log.ts';
import { expect } from '../../../lib/result.ts';
import { FakeHost, mainTable, type Kernel, type Route } from '../../../kernel/mod.ts';
import { createRib, type BestChange, type PathView } from '../../rib/mod.ts';
import { localPrefOf, type PolicyProgram } from '../../policy/mod.ts';
import { KernelLearner } from './learn.ts';
import { PrefixQueue } from './prefix-queue.ts';
import { KernelProgram } from './program.ts';
import { KernelSync } from './sync.ts';

const route = (dst: string, more: Partial<Route>): Route => ({
  dst: prefix(dst),
  type: 'unicast',
  table: mainTable,
  protocol: 4,
  scope: 'global',
  priority: 0,
  nextHops: [],
  ...more,
});

/** eth0 with 10.0.0.11/24 and fd00::11/64, a default route by 10.0.0.254, a veth to a pod. */
async function machine(): Promise<{
  kernel: Kernel;
  clock: VirtualClock;
  sync: KernelSync;
  eth: number;
  cali: number;
}> {
  const kernel = new FakeHost().kernel();
  const eth = expect(await kernel.links.create({ kind: 'dummy', name: 'eth0', up: true }), 'eth0').index;
  const cali = expect(await kernel.links.create({ kind: 'dummy', name: 'cali1', up: true }), 'cali1').index;
  for (const [text, linkIndex] of [
    ['10.0.0.11/24', eth],
    ['fd00::11/64', eth],
  ] as const)
    await kernel.addresses.apply([
      {
        op: 'add',
        address: { ...expect(parseInterfaceAddress(text), 'address'), linkIndex, scope: 'global' },
      },
    ]);
  await write(
    kernel,
    route('0.0.0.0/0', { nextHops: [{ gateway: address('10.0.0.254'), linkIndex: eth }] }),
    route('10.244.1.5/32', { protocol: 3, scope: 'link', priority: 1024, nextHops: [{ linkIndex: cali }] }),
    route('10.244.1.0/26', { protocol: 12, type: 'blackhole' }),
    route('192.168.7.0/24', { priority: 50, nextHops: [{ gateway: address('10.0.0.7'), linkIndex: eth }] }),
  );
  const clock = new VirtualClock();
  const sync = new KernelSync({ kernel, clock, logger: silentLogger, onForeignChange: () => {} });
  expect(await sync.start(), 'start');
  return { kernel, clock, sync, eth, cali };
}

async function write(kernel: Kernel, ...routes: readonly Route[]): Promise<void> {
  for (const outcome of await kernel.routes.apply(routes.map((r) => ({ op: 'add', route: r }) as const)))
    expect(outcome, 'write');
}

describe('next hops', () => {
  const resolved = async (text: string): Promise<string> => {
    const { sync, eth, cali } = await machine();
    const r = sync.resolve(address(text));
    await sync.stop();
    if (!r.reachable) return r.why;
    const hop = r.nextHops[0];
    const dev = hop?.linkIndex === eth ? 'eth0' : hop?.linkIndex === cali ? 'cali1' : '?';
    return `via ${hop?.gateway} dev ${dev} metric ${r.metric}`;
  };
  test('on a connected network: directly', async () =>
    assert.equal(await resolved('10.0.0.21'), 'via 10.0.0.21 dev eth0 metric 0'));
  test('in another subnet: by the default gateway', async () =>
    assert.equal(await resolved('30.0.0.23'), 'via 10.0.0.254 dev eth0 metric 1'));
  test('behind a static route: by its gateway, farther than next door', async () =>
    assert.equal(await resolved('192.168.7.9'), 'via 10.0.0.7 dev eth0 metric 51'));
  test('a local pod: by its veth', async () =>
    assert.equal(await resolved('10.244.1.5'), 'via 10.244.1.5 dev cali1 metric 0'));
  test('inside an own block without the pod: the blackhole wins over the default route', async () =>
    assert.equal(await resolved('10.244.1.6'), '10.244.1.0/26 is blackhole'));
  test('our own address: never', async () =>
    assert.equal(await resolved('10.0.0.11'), 'it is our own address'));
  test('the broadcast address: not by the default gateway either', async () =>
    assert.equal(await resolved('255.255.255.255'), 'it is the broadcast address'));
  test('IPv6', async () => {
    assert.equal(await resolved('fd00::21'), 'via fd00::21 dev eth0 metric 0');
    assert.equal(await resolved('fd01::1'), 'no route leads there');
  });
});

test('the queue gives each prefix once, in order, however it is filled and emptied', () => {
  const queue = new PrefixQueue();
  const waiting: Prefix[] = [];
  const known = new Set<Prefix>();
  const numbered = (n: number): Prefix => prefix(`10.${n >> 8}.${n & 255}.0/24`);
  let next = 0;
  for (let round = 0; round < 400; round++) {
    for (let i = 0; i < 300; i++) {
      const one = numbered((next += 7) % 60_000);
      queue.add(one);
      queue.add(one);
      if (!known.has(one)) waiting.push(one);
      known.add(one);
    }
    const taken = queue.take(295);
    assert.deepEqual(taken, waiting.splice(0, 295));
    for (const one of taken) known.delete(one);
  }
  assert.equal(queue.size, waiting.length);
  assert.deepEqual(queue.take(Number.POSITIVE_INFINITY), waiting);
  assert.equal(queue.size, 0);
  queue.add(numbered(1));
  queue.clear();
  assert.deepEqual(queue.take(10), []);
});

test('rows that come while writing is held are written when it is released', async () => {
  const { kernel, clock, sync } = await machine();
  sync.hold(true);
  sync.setDesired(prefix('10.244.9.0/26'), {
    prefix: prefix('10.244.9.0/26'),
    metric: 1024,
    nextHops: [{ address: address('10.0.0.21') }],
  });
  // The timer fires while there is nothing to be done.
  clock.advance(1000);
  await sync.settled();
  sync.hold(false);
  clock.advance(1000);
  await sync.settled();
  const list = expect(await kernel.routes.list({ table: mainTable, protocol: 12 }), 'list');
  assert.ok(list.some((r) => r.dst === '10.244.9.0/26'));
  await sync.stop();
});

test('BG-037: rows are written with next hops resolved, through a tunnel when asked, and taken away', async () => {
  const { kernel, clock, sync, eth } = await machine();
  const settle = async (): Promise<string[]> => {
    for (let i = 0; i < 4; i++) {
      clock.advance(20);
      await sync.settled();
      await new Promise((resolve) => setImmediate(resolve));
    }
    const list = expect(await kernel.routes.list({ table: mainTable, protocol: 12 }), 'list');
    return list
      .filter((r) => r.type === 'unicast')
      .map(
        (r) =>
          `${r.dst} ${r.nextHops.map((h) => `${h.gateway}${h.onlink ? ' onlink' : ''}`).join(',')} ${r.priority}`,
      )
      .sort();
  };
  const row = (dst: string, to: string, metric = 1024, tunnel?: string): void =>
    sync.setDesired(prefix(dst), {
      prefix: prefix(dst),
      metric,
      nextHops: [tunnel === undefined ? { address: address(to) } : { address: address(to), tunnel }],
    });
  row('10.244.2.0/26', '10.0.0.21');
  row('10.244.3.0/26', '30.0.0.23');
  row('10.244.4.0/26', '10.0.0.24', 1024, 'cali1');
  row('10.244.5.0/26', '10.0.0.25', 1024, 'tunl0');
  assert.deepEqual(await settle(), [
    '10.244.2.0/26 10.0.0.21 1024',
    '10.244.3.0/26 10.0.0.254 1024',
    '10.244.4.0/26 10.0.0.24 onlink 1024',
  ]);
  assert.deepEqual(sync.status().problems, [
    { prefix: '10.244.5.0/26', problem: 'next hop 10.0.0.25: there is no device tunl0' },
  ]);
  // Another metric: the new route comes before the old one goes.
  const order: string[] = [];
  kernel.subscribe(['routes'], (e) => {
    if ('route' in e && e.route.dst === '10.244.2.0/26') order.push(`${e.type} ${e.route.priority}`);
  });
  row('10.244.2.0/26', '10.0.0.21', 512);
  sync.setDesired(prefix('10.244.3.0/26'), undefined);
  assert.deepEqual(await settle(), ['10.244.2.0/26 10.0.0.21 512', '10.244.4.0/26 10.0.0.24 onlink 1024']);
  assert.deepEqual(order, ['route 512', 'route-deleted 1024']);
  // The default gateway changes: what resolved by it follows.
  row('10.244.3.0/26', '30.0.0.23');
  await settle();
  await kernel.routes.apply([
    {
      op: 'replace',
      route: route('0.0.0.0/0', { nextHops: [{ gateway: address('10.0.0.253'), linkIndex: eth }] }),
    },
  ]);
  assert.ok((await settle()).includes('10.244.3.0/26 10.0.0.253 1024'));
  // The tunnel's device comes: what waited for it is written.
  expect(await kernel.links.create({ kind: 'dummy', name: 'tunl0', up: true }), 'tunl0');
  assert.ok((await settle()).includes('10.244.5.0/26 10.0.0.25 onlink 1024'));
  assert.deepEqual(sync.status().problems, []);
  await sync.stop();
});

test('BG-019: a host route to a peer behind a gateway is written, and the next hops of that peer go by it', async () => {
  const { kernel, clock, sync } = await machine();
  const settle = async (): Promise<string[]> => {
    for (let i = 0; i < 4; i++) {
      clock.advance(20);
      await sync.settled();
    }
    const list = expect(await kernel.routes.list({ table: mainTable, protocol: 12 }), 'list');
    return list.flatMap((r) => (r.type === 'unicast' ? [`${r.dst} ${r.nextHops[0]?.gateway}`] : [])).sort();
  };
  sync.setStatics([{ prefix: prefix('172.20.0.5/32'), gateway: address('10.0.0.7') }]);
  sync.setDesired(prefix('10.244.6.0/26'), {
    prefix: prefix('10.244.6.0/26'),
    metric: 1024,
    nextHops: [{ address: address('172.20.0.5') }],
  });
  assert.deepEqual(await settle(), ['10.244.6.0/26 10.0.0.7', '172.20.0.5/32 10.0.0.7']);
  sync.setStatics([]);
  assert.deepEqual(await settle(), ['10.244.6.0/26 10.0.0.254']);
  await sync.stop();
});

test('BG-038: the learner tells differences: routes of others and networks, not the kernel’s own', async () => {
  const { kernel, clock, sync, cali } = await machine();
  const rib = createRib({ routerId: address('10.0.0.11') });
  const learner = new KernelLearner(rib, { kernel: true, connected: true, excludedInterfaces: ['cali*'] });
  const told = (): string[] => {
    learner.update(sync.view);
    return [...rib.paths(4), ...rib.paths(6)].map((p) => `${p.source} ${p.prefix} ${p.interfaceName}`).sort();
  };
  const base = [
    'direct 10.0.0.0/24 eth0',
    'direct fd00::/64 eth0',
    'kernel 0.0.0.0/0 eth0',
    'kernel 10.244.1.5/32 cali1',
    'kernel 192.168.7.0/24 eth0',
  ];
  assert.deepEqual(told(), base);
  await write(
    kernel,
    route('10.244.77.7/32', { protocol: 3, scope: 'link', priority: 1024, nextHops: [{ linkIndex: cali }] }),
  );
  clock.advance(20);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(told(), [...base, 'kernel 10.244.77.7/32 cali1'].sort());
  learner.configure({ kernel: false, connected: false, excludedInterfaces: [] });
  assert.deepEqual(told(), []);
  await sync.stop();
});

describe('what is written', () => {
  const program: PolicyProgram = {
    name: 'kernel',
    rules: [
      {
        name: 'services',
        when: [{ match: 'prefix', any: [{ prefix: prefix('10.96.0.0/12'), min: 12, max: 32 }] }],
        actions: [{ do: 'reject' }],
      },
      {
        name: 'ipip',
        when: [{ match: 'prefix', any: [{ prefix: prefix('10.245.0.0/16'), min: 16, max: 32 }] }],
        actions: [{ do: 'setTunnel', device: 'tunl0' }, { do: 'accept' }],
      },
    ],
    otherwise: 'accept',
  };
  const kernelProgram = new KernelProgram({ 4: program, 6: program });
  const change = (dst: string, more: Partial<PathView> = {}): BestChange => {
    const best: PathView = {
      peer: 1,
      peerName: 'n2',
      source: 'bgp',
      prefix: prefix(dst),
      pathId: 0,
      nextHop: address('10.0.0.2'),
      attributes: { origin: 0, asPath: [] },
      localPref: 100,
      preference: 100,
      stale: false,
      best: true,
      multipath: true,
      ...more,
    };
    return { prefix: best.prefix, best, paths: [best] };
  };
  test('BG-036, NM-007: BGP routes, at the metric that their local preference was made of', () => {
    const metric = (localPref: number): number | undefined =>
      kernelProgram.row(change('10.244.2.0/26', { localPref }))?.metric;
    assert.equal(metric(localPrefOf(1024)), 1024);
    assert.equal(metric(localPrefOf(512)), 512);
    assert.equal(metric(localPrefOf(100_000)), 100_000);
    // Preferences of other worlds, by the same rule: from eBGP (100), above Calico's base, and what would be metric 0.
    assert.equal(metric(100), 2147483547);
    assert.equal(metric(0), 2147483647);
    assert.equal(metric(4294967295), 2147483648);
    assert.equal(metric(2147483647), 1);
    assert.deepEqual(kernelProgram.row(change('10.245.2.0/26'))?.nextHops, [
      { address: '10.0.0.2', tunnel: 'tunl0' },
    ]);
  });
  test('BG-037: not what policy rejects, what is ours, or what is gone', () => {
    assert.equal(kernelProgram.row(change('10.96.0.10/32')), undefined);
    assert.equal(kernelProgram.row(change('10.244.1.0/26', { source: 'static' })), undefined);
    assert.equal(kernelProgram.row({ prefix: prefix('10.244.1.0/26'), paths: [] }), undefined);
  });
});
