// What every Kernel does, whichever machine it belongs to: run on the fake beside the unit tests and on the real kernel in
// private namespaces. Each test gets fresh namespaces `a` and `b` of its machine.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import {
  address,
  hostPrefix,
  parseInterfaceAddress,
  prefix,
  prefixFamily,
  type Address,
  type Prefix,
} from '../lib/ip/mod.ts';
import { expect, type Result } from '../lib/result.ts';
import { until } from '../lib/wait.ts';
import { nftablesConformance } from './conformance-nftables.ts';
import type {
  EventGroup,
  Kernel,
  KernelError,
  KernelEvent,
  Link,
  LinkAddress,
  NextHop,
  Outcome,
  Route,
  RouteChange,
  Subscription,
} from './types.ts';

export interface ConformanceMachine {
  createNamedNamespace(name: string): Promise<Result<string, KernelError>>;
  deleteNamedNamespace(name: string): Promise<Outcome>;
  openKernel(options: { netns: string }): Promise<Result<Kernel, KernelError>>;
}

export type ConformanceHost = { readonly a: Kernel; readonly b: Kernel; readonly pathOfB: string };

export function kernelConformance(name: string, machine: () => ConformanceMachine): void {
  describe(`Kernel conformance: ${name}`, () => {
    const host = freshNamespaces(machine);
    linkTests(host, machine);
    addressTests(host);
    routeTests(host);
    neighbourTests(host);
    ruleTests(host);
    sysctlTests(host);
    eventTests(host);
    nftablesConformance(host);
  });
}

let counter = 0;

function freshNamespaces(machine: () => ConformanceMachine): () => ConformanceHost {
  let host: ConformanceHost | undefined;
  let names: string[] = [];
  beforeEach(async () => {
    const n = ++counter;
    names = [`margay-${process.pid}-${n}-a`, `margay-${process.pid}-${n}-b`];
    const kernels: Kernel[] = [];
    let pathOfB = '';
    for (const name of names) {
      pathOfB = expect(await machine().createNamedNamespace(name), 'create a namespace');
      kernels.push(expect(await machine().openKernel({ netns: pathOfB }), 'open its kernel'));
    }
    host = { a: kernels[0] as Kernel, b: kernels[1] as Kernel, pathOfB };
  });
  afterEach(async () => {
    await host?.a.close();
    await host?.b.close();
    for (const name of names) await machine().deleteNamedNamespace(name);
  });
  return () => host as ConformanceHost;
}

// ── ways to say it shortly ───────────────────────────────────────────────────────────────────────────────────────────
const value = <T>(result: Result<T, KernelError>): T => expect(result, 'kernel');
const codes = (outcomes: readonly Outcome[]): string[] => outcomes.map((o) => (o.ok ? 'ok' : o.error.code));

async function veth({ a, pathOfB }: ConformanceHost, up = true): Promise<Link> {
  return value(
    await a.links.create({ kind: 'veth', name: 'cali1', up, peer: { name: 'eth0', netns: pathOfB } }),
  );
}

/** A veth whose both ends are up, with an address on the one in `a`. */
async function wired(host: ConformanceHost, text = '10.0.0.1/24'): Promise<Link> {
  const link = await veth(host);
  const peer = value(await host.b.links.get('eth0')) as Link;
  assert.ok((await host.b.links.change(peer.index, { up: true })).ok);
  assert.deepEqual(codes(await host.a.addresses.apply([{ op: 'add', address: on(link, text) }])), ['ok']);
  return link;
}

function on(link: Link, text: string, extra: Partial<LinkAddress> = {}): LinkAddress {
  const parsed = parseInterfaceAddress(text);
  assert.ok(parsed.ok);
  return { ...parsed.value, linkIndex: link.index, ...extra };
}

const route = (dst: string, nextHops: readonly NextHop[], extra: Partial<Route> = {}): Route => ({
  dst: prefix(dst),
  type: 'unicast',
  table: 254,
  protocol: 80,
  scope: 'global',
  priority: 0,
  nextHops,
  ...extra,
});
const add = (r: Route): RouteChange => ({ op: 'add', route: r });
const via = (gateway: string, extra: Partial<NextHop> = {}): NextHop => ({
  gateway: address(gateway),
  ...extra,
});
const gone = (dst: string, extra: Partial<Route> = {}): RouteChange => ({
  op: 'delete',
  key: { dst: prefix(dst), table: 254, priority: 0, ...extra },
});

/** Routes of everyone but the kernel itself. */
async function added(kernel: Kernel): Promise<Route[]> {
  return value(await kernel.routes.list()).filter((r) => r.protocol !== 2 && r.protocol !== 3);
}
const destinations = async (kernel: Kernel): Promise<string[]> =>
  (await added(kernel)).map((r) => r.dst).sort();

type Host = () => ConformanceHost;

// ── links ────────────────────────────────────────────────────────────────────────────────────────────────────────────
function linkTests(host: Host, machine: () => ConformanceMachine): void {
  describe('links', () => {
    test('a new namespace has lo, down', async () => {
      const [lo, ...rest] = value(await host().a.links.list());
      assert.deepEqual(rest, []);
      assert.deepEqual(lo && { ...lo, mtu: 0 }, {
        index: 1,
        name: 'lo',
        kind: 'loopback',
        mac: '00:00:00:00:00:00',
        mtu: 0,
        up: false,
        running: false,
        group: 0,
      });
    });

    test('a veth comes with its other end in another namespace', async () => {
      const { a, b, pathOfB } = host();
      const made = value(
        await a.links.create({
          kind: 'veth',
          name: 'cali1',
          mac: 'EE:ee:ee:ee:ee:ee',
          mtu: 1450,
          up: true,
          group: 7,
          peer: { name: 'eth0', mac: '02:00:00:00:00:01', netns: pathOfB },
        }),
      );
      const peer = value(await b.links.get('eth0')) as Link;
      assert.deepEqual(made, {
        index: made.index,
        name: 'cali1',
        kind: 'veth',
        mac: 'ee:ee:ee:ee:ee:ee',
        mtu: 1450,
        up: true,
        running: false,
        peerIndex: peer.index,
        group: 7,
      });
      assert.equal(peer.peerIndex, made.index);
      assert.equal(peer.mac, '02:00:00:00:00:01');
      assert.equal(peer.mtu, 1450);
      assert.equal(peer.up, false);
      assert.ok((await b.links.change(peer.index, { up: true })).ok);
      assert.equal(value(await a.links.get('cali1'))?.running, true);
      assert.equal(value(await b.links.get('eth0'))?.running, true);
    });

    test('a name that is taken, wrong or missing', async () => {
      const { a, b, pathOfB } = host();
      await veth(host());
      const again = await a.links.create({
        kind: 'veth',
        name: 'cali1',
        peer: { name: 'eth1', netns: pathOfB },
      });
      assert.equal(again.ok ? '' : again.error.code, 'AlreadyExists');
      const peerTaken = await a.links.create({
        kind: 'veth',
        name: 'cali2',
        peer: { name: 'eth0', netns: pathOfB },
      });
      assert.equal(peerTaken.ok ? '' : peerTaken.error.code, 'AlreadyExists');
      const long = await a.links.create({ kind: 'bridge', name: 'a-name-of-16-byt' });
      assert.equal(long.ok ? '' : long.error.code, 'InvalidArgument');
      const nowhere = await a.links.create({
        kind: 'veth',
        name: 'cali3',
        peer: { name: 'eth0', netns: '/run/netns/margay-none' },
      });
      assert.equal(nowhere.ok ? '' : nowhere.error.code, 'NoSuchObject');
      assert.equal(value(await b.links.get('eth1')), undefined);
      assert.equal(value(await a.links.get('nothing')), undefined);
    });

    test('bridge, vxlan and tun', async () => {
      const { a } = host();
      const bridge = value(await a.links.create({ kind: 'bridge', name: 'br0', up: true }));
      assert.equal(bridge.kind, 'bridge');
      const vxlan = { vni: 4096, port: 4789, learning: false, local: address('10.0.0.1') };
      const made = value(
        await a.links.create({
          kind: 'vxlan',
          name: 'vxlan.calico',
          mac: '66:00:00:00:00:01',
          mtu: 1450,
          vxlan,
        }),
      );
      assert.deepEqual(made.vxlan, vxlan);
      assert.deepEqual([made.kind, made.mac, made.mtu, made.up], ['vxlan', '66:00:00:00:00:01', 1450, false]);
      const tun = value(await a.links.create({ kind: 'tun', name: 'tun0', mtu: 1400, up: true }));
      assert.deepEqual(
        [tun.kind, tun.mac, tun.mtu, tun.up, tun.running],
        ['tun', undefined, 1400, true, false],
      );
      const again = await a.links.create({ kind: 'tun', name: 'tun0' });
      assert.equal(again.ok ? '' : again.error.code, 'AlreadyExists');
    });

    test('changes of name, MAC, MTU, group, alias, bridge', async () => {
      const { a } = host();
      const link = await veth(host(), false);
      const bridge = value(await a.links.create({ kind: 'bridge', name: 'br0' }));
      const change = { name: 'cali9', mac: 'ee:ee:ee:ee:ee:01', mtu: 1400, group: 3, alias: 'pod', up: true };
      assert.ok((await a.links.change(link.index, { ...change, masterIndex: bridge.index })).ok);
      const changed = value(await a.links.get('cali9')) as Link;
      for (const [key, wanted] of Object.entries({ ...change, masterIndex: bridge.index }))
        assert.deepEqual(changed[key as keyof Link], wanted, key);
      assert.ok((await a.links.change(link.index, { masterIndex: null, alias: '' })).ok);
      const freed = value(await a.links.get('cali9')) as Link;
      assert.deepEqual([freed.masterIndex, freed.alias], [undefined, undefined]);
      const missing = await a.links.change(4711, { up: true });
      assert.equal(missing.ok ? '' : missing.error.code, 'NoSuchObject');
    });

    test('a link moves to another namespace', async () => {
      const { a, b, pathOfB } = host();
      const made = value(
        await a.links.create({ kind: 'veth', name: 'left', up: true, peer: { name: 'right' } }),
      );
      const right = value(await a.links.get('right')) as Link;
      assert.ok((await a.links.change(right.index, { netns: pathOfB, name: 'eth5' })).ok);
      assert.equal(value(await a.links.get('right')), undefined);
      const moved = value(await b.links.get('eth5')) as Link;
      assert.equal(moved.peerIndex, made.index);
    });

    test('deleting one takes its other end; the missing are no failure', async () => {
      const { a, b } = host();
      const link = await veth(host());
      assert.deepEqual(codes(await a.links.delete([link.index, 4711])), ['ok', 'ok']);
      assert.equal(value(await a.links.get('cali1')), undefined);
      assert.equal(value(await b.links.get('eth0')), undefined);
    });

    test('many are deleted at once', async () => {
      const { a, b, pathOfB } = host();
      const indexes: number[] = [];
      for (let i = 0; i < 6; i++) {
        const peer = { name: `eth${i}`, netns: pathOfB };
        indexes.push(value(await a.links.create({ kind: 'veth', name: `cali${i}`, peer })).index);
      }
      assert.deepEqual(codes(await a.links.delete([...indexes, 4711])), Array(7).fill('ok'));
      assert.equal(value(await a.links.list()).length, 1);
      assert.equal(value(await b.links.list()).length, 1);
    });

    test('lo stays, also among others', async () => {
      const { a, pathOfB } = host();
      const made: Link[] = [];
      for (const name of ['cali1', 'cali2'])
        made.push(
          value(await a.links.create({ kind: 'veth', name, peer: { name: `p${name}`, netns: pathOfB } })),
        );
      const outcomes = await a.links.delete([1, ...made.map((link) => link.index)]);
      assert.deepEqual(codes(outcomes), ['NotSupported', 'ok', 'ok']);
      const [lo, ...rest] = value(await a.links.list());
      assert.deepEqual([lo?.group, rest], [0, []]);
    });

    test('a namespace takes its links with it', async () => {
      const { a } = host();
      const path = expect(await machine().createNamedNamespace(`margay-${process.pid}-gone`), 'create');
      value(await a.links.create({ kind: 'veth', name: 'cali7', peer: { name: 'eth0', netns: path } }));
      assert.ok((await machine().deleteNamedNamespace(`margay-${process.pid}-gone`)).ok);
      const disappeared = await until(
        async () => value(await a.links.get('cali7')) === undefined || undefined,
        {
          timeoutMs: 5000,
        },
      );
      assert.ok(disappeared);
      const opened = await machine().openKernel({ netns: path });
      assert.equal(opened.ok ? '' : opened.error.code, 'NoSuchObject');
    });
  });
}

// ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────────────
function addressTests(host: Host): void {
  describe('addresses', () => {
    const own = (list: LinkAddress[]) => list.filter((a) => !a.address.startsWith('fe80'));

    test('come and go; again is no failure', async () => {
      const { a } = host();
      const link = await veth(host());
      const v4 = on(link, '10.0.0.1/24');
      const v6 = on(link, 'fd00::1/64', { noDad: true });
      const adding = [v4, v4, v6, v6].map((one) => ({ op: 'add', address: one }) as const);
      assert.deepEqual(codes(await a.addresses.apply(adding)), ['ok', 'ok', 'ok', 'ok']);
      assert.deepEqual(own(value(await a.addresses.list())), [
        { ...v4, scope: 'global' },
        { ...v6, scope: 'global' },
      ]);
      const deleting = [v4, v4, v6, v6].map((one) => ({ op: 'delete', address: one }) as const);
      assert.deepEqual(codes(await a.addresses.apply(deleting)), ['ok', 'ok', 'ok', 'ok']);
      assert.deepEqual(own(value(await a.addresses.list())), []);
    });

    test('bring the routes to themselves and to their network', async () => {
      const { a } = host();
      const link = await wired(host());
      const routes = value(await a.routes.list({ family: 4 }));
      const find = (dst: string) => routes.find((r) => r.dst === dst);
      assert.deepEqual(find('10.0.0.0/24'), {
        dst: '10.0.0.0/24',
        type: 'unicast',
        table: 254,
        protocol: 2,
        scope: 'link',
        priority: 0,
        source: '10.0.0.1',
        nextHops: [{ linkIndex: link.index }],
      });
      assert.deepEqual([find('10.0.0.1/32')?.type, find('10.0.0.1/32')?.table], ['local', 255]);
      assert.ok((await a.addresses.apply([{ op: 'delete', address: on(link, '10.0.0.1/24') }]))[0]?.ok);
      assert.deepEqual(value(await a.routes.list({ family: 4 })), []);
    });

    test('the scope is kept; a link that is missing is not', async () => {
      const { a } = host();
      const link = await veth(host());
      const scoped = on(link, '10.0.0.1/32', { scope: 'link' });
      const outcomes = await a.addresses.apply([
        { op: 'add', address: scoped },
        { op: 'add', address: { ...scoped, linkIndex: 4711 } },
      ]);
      assert.deepEqual(codes(outcomes), ['ok', 'NoSuchObject']);
      assert.deepEqual(own(value(await a.addresses.list())), [scoped]);
    });
  });
}

// ── routes ───────────────────────────────────────────────────────────────────────────────────────────────────────────
function routeTests(host: Host): void {
  describe('routes', () => {
    test('of all kinds are listed as they were added', async () => {
      const { a } = host();
      const link = await wired(host());
      const hop = { linkIndex: link.index };
      const routes = [
        route('10.1.0.1/32', [hop], { scope: 'link', priority: 1024, protocol: 3 }),
        route('10.2.0.0/26', [via('10.0.0.9', hop)], { protocol: 12 }),
        route('10.3.0.0/26', [via('99.0.0.9', { ...hop, onlink: true })]),
        route('10.4.0.0/26', [], { type: 'blackhole' }),
        route('10.5.0.0/26', [], { type: 'unreachable', priority: 7 }),
        route('10.6.0.0/26', [], { type: 'prohibit' }),
        route('10.7.0.0/26', [via('10.0.0.9', { ...hop, weight: 3 }), via('10.0.0.8', hop)]),
        route('10.8.0.0/26', [via('10.0.0.9', hop)], { table: 1000, source: address('10.0.0.1') }),
        route('0.0.0.0/0', [via('10.0.0.254', hop)]),
      ];
      assert.deepEqual(
        codes(await a.routes.apply(routes.map(add))),
        routes.map(() => 'ok'),
      );
      const listed = value(await a.routes.list({ family: 4 })).filter((r) => r.protocol !== 2);
      const byDst = (x: Route, y: Route) => (x.dst < y.dst ? -1 : 1);
      assert.deepEqual(listed.sort(byDst), [...routes].sort(byDst));
      const inTable = value(await a.routes.list({ table: 1000 }));
      assert.deepEqual(
        inTable.map((r) => r.dst),
        ['10.8.0.0/26'],
      );
      const ofBird = value(await a.routes.list({ protocol: 12, family: 4 }));
      assert.deepEqual(
        ofBird.map((r) => r.dst),
        ['10.2.0.0/26'],
      );
      const overLink = value(
        await a.routes.list({ linkIndex: link.index, table: 254, protocol: 3, family: 4 }),
      );
      assert.deepEqual(
        overLink.map((r) => r.dst),
        ['10.1.0.1/32'],
      );
      assert.deepEqual(value(await a.routes.list({ table: 77 })), []);
    });

    test('a gateway names its link', async () => {
      const { a } = host();
      const link = await wired(host());
      assert.deepEqual(codes(await a.routes.apply([add(route('10.2.0.0/26', [via('10.0.0.9')]))])), ['ok']);
      assert.deepEqual((await added(a))[0]?.nextHops, [via('10.0.0.9', { linkIndex: link.index })]);
    });

    test('each failure is told at its own change', async () => {
      const { a } = host();
      const link = await wired(host());
      const hop = { linkIndex: link.index };
      const down = value(await a.links.create({ kind: 'bridge', name: 'br0' }));
      const outcomes = await a.routes.apply([
        add(route('10.1.0.0/26', [via('10.0.0.9')])),
        add(route('10.1.0.0/26', [via('10.0.0.8')])),
        add(route('10.2.0.0/26', [via('99.0.0.9')])),
        add(route('10.3.0.0/26', [{ linkIndex: 4711 }])),
        add(route('10.4.0.0/26', [{ linkIndex: down.index }], { scope: 'link' })),
        add(route('10.5.0.0/26', [via('10.0.0.9', hop)], { source: address('10.9.9.9') })),
        add(route('10.7.0.0/26', [via('10.0.0.9')], { scope: 'link' })),
        gone('10.8.0.0/26'),
        add(route('10.9.0.0/26', [via('10.0.0.9')])),
      ]);
      assert.deepEqual(codes(outcomes), [
        'ok',
        'AlreadyExists',
        'NetworkUnreachable',
        'NoSuchObject',
        'NetworkDown',
        'InvalidArgument',
        'NetworkUnreachable',
        'ok',
        'ok',
      ]);
      assert.deepEqual(await destinations(a), ['10.1.0.0/26', '10.9.0.0/26']);
    });

    test('the key is destination, table and priority', async () => {
      const { a } = host();
      const link = await wired(host());
      const hop = { linkIndex: link.index };
      const outcomes = await a.routes.apply([
        add(route('10.1.0.0/26', [via('10.0.0.9', hop)])),
        add(route('10.1.0.0/26', [via('10.0.0.8', hop)], { priority: 10 })),
        add(route('10.1.0.0/26', [via('10.0.0.7', hop)], { table: 1000 })),
        { op: 'replace', route: route('10.1.0.0/26', [], { type: 'blackhole', protocol: 12 }) },
        { op: 'replace', route: route('10.2.0.0/26', [via('10.0.0.9', hop)]) },
      ]);
      assert.deepEqual(codes(outcomes), ['ok', 'ok', 'ok', 'ok', 'ok']);
      const shown = (await added(a)).map((r) => [r.dst, r.table, r.priority, r.type].join(' ')).sort();
      assert.deepEqual(shown, [
        '10.1.0.0/26 1000 0 unicast',
        '10.1.0.0/26 254 0 blackhole',
        '10.1.0.0/26 254 10 unicast',
        '10.2.0.0/26 254 0 unicast',
      ]);
    });

    test('deleting respects owner, type and link; priority 0 stands for the lowest there is', async () => {
      const { a } = host();
      const link = await wired(host());
      const hop = { linkIndex: link.index };
      await a.routes.apply([
        add(route('10.1.0.0/26', [via('10.0.0.9', hop)], { protocol: 12 })),
        add(route('10.1.0.0/26', [via('10.0.0.8', hop)], { priority: 10 })),
      ]);
      const key = { dst: prefix('10.1.0.0/26'), table: 254, priority: 0 };
      const kept = await a.routes.apply([
        { op: 'delete', key, protocol: 4 },
        { op: 'delete', key, type: 'blackhole' },
        { op: 'delete', key, linkIndex: 1 },
        { op: 'delete', key: { ...key, priority: 11 } },
      ]);
      assert.deepEqual(codes(kept), ['ok', 'ok', 'ok', 'ok']);
      assert.equal((await added(a)).length, 2);
      await a.routes.apply([{ op: 'delete', key, protocol: 12 }]);
      assert.deepEqual(
        (await added(a)).map((r) => r.priority),
        [10],
      );
      await a.routes.apply([{ op: 'delete', key }]);
      assert.deepEqual(await added(a), []);
    });

    test('vanish when their link goes down, and with it', async () => {
      const { a } = host();
      const link = await wired(host());
      const hop = { linkIndex: link.index };
      const bridge = value(await a.links.create({ kind: 'bridge', name: 'br0', up: true }));
      await a.addresses.apply([{ op: 'add', address: on(bridge, '10.9.0.1/24') }]);
      const some = [
        add(route('10.1.0.1/32', [hop], { scope: 'link' })),
        add(route('10.2.0.0/26', [via('10.0.0.9')])),
        add(route('10.3.0.0/26', [], { type: 'blackhole' })),
        add(route('10.4.0.0/26', [via('10.9.0.9')])),
      ];
      assert.deepEqual(codes(await a.routes.apply(some)), ['ok', 'ok', 'ok', 'ok']);
      assert.ok((await a.links.change(link.index, { up: false })).ok);
      assert.deepEqual(await destinations(a), ['10.3.0.0/26', '10.4.0.0/26']);
      const networks = async () =>
        value(await a.routes.list({ family: 4, table: 254, protocol: 2 })).map((r) => r.dst);
      assert.deepEqual(await networks(), ['10.9.0.0/24']);
      assert.ok((await a.links.change(link.index, { up: true })).ok);
      assert.deepEqual((await networks()).sort(), ['10.0.0.0/24', '10.9.0.0/24']);
      assert.deepEqual(await destinations(a), ['10.3.0.0/26', '10.4.0.0/26']);
      assert.deepEqual(codes(await a.links.delete([bridge.index])), ['ok']);
      assert.deepEqual(await destinations(a), ['10.3.0.0/26']);
    });

    test('IPv6', async () => {
      const { a } = host();
      const link = await wired(host());
      const hop = { linkIndex: link.index };
      await a.addresses.apply([{ op: 'add', address: on(link, 'fd00::1/64', { noDad: true }) }]);
      const routes = [
        route('fd01::/64', [via('fd00::9', hop)]),
        route('fd02::/64', [], { type: 'blackhole', priority: 5 }),
        route('fd03::5/128', [hop], { protocol: 12, priority: 1024 }),
        route('fd04::/64', [via('fe80::5', hop)]),
        route('::/0', [via('fd00::fe', hop)], { priority: 1 }),
      ];
      const outcomes = await a.routes.apply([
        ...routes.map(add),
        add(route('fd01::/64', [via('fd00::8', hop)])),
        add(route('fd05::/64', [via('fd77::8')], { table: 1000 })),
      ]);
      assert.deepEqual(codes(outcomes).slice(0, 6), ['ok', 'ok', 'ok', 'ok', 'ok', 'AlreadyExists']);
      const wanted = routes.map((r) => ({ ...r, priority: r.priority || 1024 }));
      const listed = (await added(a)).filter((r) => prefixFamily(r.dst) === 6 && r.table === 254);
      const byDst = (x: Route, y: Route) => (x.dst < y.dst ? -1 : 1);
      assert.deepEqual(listed.sort(byDst), wanted.sort(byDst));
      await a.routes.apply([gone('fd01::/64', { priority: 1024 }), gone('fd02::/64', { priority: 5 })]);
      assert.ok(!(await destinations(a)).includes('fd01::/64'));
      assert.ok((await a.links.change(link.index, { up: false })).ok);
      assert.deepEqual(
        (await added(a)).filter((r) => prefixFamily(r.dst) === 6 && r.table === 254),
        [],
      );
    });

    test('lookups say what the kernel would do', async () => {
      const { a } = host();
      const link = await wired(host());
      const hop = { linkIndex: link.index };
      await a.routes.apply([
        add(route('10.2.0.0/16', [via('10.0.0.9', hop)], { protocol: 12 })),
        add(route('10.2.3.0/26', [], { type: 'blackhole' })),
        add(route('10.2.3.7/32', [hop], { scope: 'link', priority: 1024 })),
      ]);
      const found = value(await a.routes.lookup(address('10.2.9.9')));
      assert.deepEqual(
        [found.dst, found.protocol, found.nextHops],
        ['10.2.0.0/16', 12, [via('10.0.0.9', hop)]],
      );
      const black = value(await a.routes.lookup(address('10.2.3.1')));
      assert.deepEqual([black.dst, black.type, black.nextHops], ['10.2.3.0/26', 'blackhole', []]);
      const pod = value(await a.routes.lookup(address('10.2.3.7')));
      assert.deepEqual([pod.dst, pod.nextHops], [hostPrefix('10.2.3.7' as Address), [hop]]);
      const local = value(await a.routes.lookup(address('10.0.0.1')));
      assert.deepEqual([local.type, local.table], ['local', 255]);
      const none = await a.routes.lookup(address('11.0.0.1'));
      assert.equal(none.ok ? '' : none.error.code, 'NetworkUnreachable');
    });
  });
}

// ── neighbours, forwarding databases ─────────────────────────────────────────────────────────────────────────────────
function neighbourTests(host: Host): void {
  describe('neighbours', () => {
    test('entries and proxy entries', async () => {
      const { a } = host();
      const link = await wired(host());
      const entry = {
        address: address('10.0.0.7'),
        linkIndex: link.index,
        mac: '02:00:00:00:00:07',
        state: 'permanent',
      } as const;
      const proxy = {
        address: address('169.254.1.1'),
        linkIndex: link.index,
        state: 'permanent',
        proxy: true,
      } as const;
      const proxy6 = { ...proxy, address: address('fe80::1') };
      const outcomes = await a.neighbours.apply([
        { op: 'replace', neighbour: entry },
        { op: 'replace', neighbour: { ...entry, mac: '02:00:00:00:00:08' } },
        { op: 'replace', neighbour: proxy },
        { op: 'replace', neighbour: proxy },
        { op: 'replace', neighbour: proxy6 },
        { op: 'replace', neighbour: { ...entry, linkIndex: 4711 } },
        { op: 'replace', neighbour: { ...entry, mac: 'nonsense' } },
      ]);
      assert.deepEqual(codes(outcomes), ['ok', 'ok', 'ok', 'ok', 'ok', 'NoSuchObject', 'InvalidArgument']);
      const listed = value(await a.neighbours.list({ family: 4, linkIndex: link.index }));
      assert.deepEqual(
        listed.filter((n) => n.state === 'permanent'),
        [{ ...entry, mac: '02:00:00:00:00:08' }, proxy],
      );
      assert.deepEqual(value(await a.neighbours.list({ proxy: true })), [proxy, proxy6]);
      const deleted = await a.neighbours.apply([
        { op: 'delete', neighbour: entry },
        { op: 'delete', neighbour: proxy },
        { op: 'delete', neighbour: proxy },
        { op: 'delete', neighbour: proxy6 },
      ]);
      assert.deepEqual(codes(deleted), ['ok', 'ok', 'ok', 'ok']);
      assert.deepEqual(value(await a.neighbours.list({ proxy: true })), []);
    });

    test('the VTEPs of a VXLAN device', async () => {
      const { a } = host();
      const vxlan = value(
        await a.links.create({
          kind: 'vxlan',
          name: 'vxlan.calico',
          up: true,
          vxlan: { vni: 4096, port: 4789, learning: false },
        }),
      );
      const entry = {
        mac: '66:00:00:00:00:02',
        linkIndex: vxlan.index,
        remote: address('10.0.0.2'),
        permanent: true,
      };
      const outcomes = await a.fdb.apply([
        { op: 'replace', entry },
        { op: 'replace', entry: { ...entry, remote: address('10.0.0.3') } },
        { op: 'replace', entry: { ...entry, mac: '66:00:00:00:00:04' } },
        { op: 'delete', entry: { ...entry, mac: '66:00:00:00:00:04' } },
        { op: 'delete', entry: { ...entry, mac: '66:00:00:00:00:05' } },
      ]);
      assert.deepEqual(codes(outcomes), ['ok', 'ok', 'ok', 'ok', 'ok']);
      assert.deepEqual(value(await a.fdb.list(vxlan.index)), [{ ...entry, remote: '10.0.0.3' }]);
    });
  });
}

// ── rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────
function ruleTests(host: Host): void {
  test('rules', async () => {
    const { a } = host();
    const first = {
      family: 4,
      priority: 100,
      table: 1000,
      mark: 0x100000,
      markMask: 0xff0000,
      invert: true,
    } as const;
    const second = {
      family: 6,
      priority: 101,
      table: 7,
      source: prefix('fd00::/8'),
      inLink: 'cali1',
    } as const;
    const outcomes = await a.rules.apply([
      { op: 'add', rule: first },
      { op: 'add', rule: first },
      { op: 'add', rule: second },
      { op: 'add', rule: { family: 4, priority: 99, table: 9, mark: 5, markMask: 0xffffffff } },
      { op: 'delete', rule: { family: 4, priority: 102, table: 1000 } },
    ]);
    assert.deepEqual(codes(outcomes), ['ok', 'ok', 'ok', 'ok', 'ok']);
    assert.deepEqual(value(await a.rules.list()), [
      { family: 4, priority: 0, table: 255 },
      { family: 4, priority: 99, table: 9, mark: 5 },
      first,
      { family: 4, priority: 32766, table: 254 },
      { family: 4, priority: 32767, table: 253 },
      { family: 6, priority: 0, table: 255 },
      second,
      { family: 6, priority: 32766, table: 254 },
    ]);
    assert.deepEqual(codes(await a.rules.apply([{ op: 'delete', rule: first }])), ['ok']);
    assert.equal(value(await a.rules.list(4)).length, 4);
  });
}

// ── sysctls, connections ─────────────────────────────────────────────────────────────────────────────────────────────
function sysctlTests(host: Host): void {
  describe('parameters', () => {
    test('belong to the namespace and to its links', async () => {
      const { a, b } = host();
      await veth(host());
      const path = 'net/ipv4/conf/cali1/proxy_arp';
      assert.equal(value(await a.sysctls.read(path)), '0');
      assert.ok((await a.sysctls.write(path, '1')).ok);
      assert.equal(value(await a.sysctls.read(path)), '1');
      const elsewhere = await b.sysctls.read(path);
      assert.equal(elsewhere.ok ? '' : elsewhere.error.code, 'NoSuchObject');
      const missing = await a.sysctls.write('net/ipv4/conf/cali2/proxy_arp', '1');
      assert.equal(missing.ok ? '' : missing.error.code, 'NoSuchObject');
    });

    test('of the rest of the machine are refused', async () => {
      const { a } = host();
      for (const path of ['kernel/hostname', 'net/../kernel/hostname', '/proc/sys/net/ipv4/ip_forward']) {
        const read = await a.sysctls.read(path);
        assert.equal(read.ok ? '' : read.error.code, 'InvalidArgument', path);
        const written = await a.sysctls.write(path, 'x');
        assert.equal(written.ok ? '' : written.error.code, 'InvalidArgument', path);
      }
    });

    test('no connections, none deleted', async () => {
      assert.equal(value(await host().a.conntrack.deleteByAddress(address('10.0.0.1'))), 0);
      assert.equal(value(await host().a.conntrack.deleteByAddress(address('fd00::1'))), 0);
    });
  });
}

// ── events ───────────────────────────────────────────────────────────────────────────────────────────────────────────
function eventTests(host: Host): void {
  describe('events', () => {
    let subscription: Subscription | undefined;
    let events: KernelEvent[] = [];
    const listen = (kernel: Kernel, groups: EventGroup[]): void => {
      events = [];
      subscription = kernel.subscribe(groups, (event) => events.push(event));
    };
    const seen = (wanted: (event: KernelEvent) => boolean): Promise<true | undefined> =>
      until(() => events.some(wanted) || undefined, { timeoutMs: 5000, everyMs: 5 });
    before(() => {
      events = [];
    });
    afterEach(() => subscription?.close());
    after(() => subscription?.close());

    test('come in the order of what happened', async () => {
      const { a } = host();
      listen(a, ['links', 'addresses', 'routes', 'neighbours', 'rules']);
      const link = await wired(host());
      const hop = { linkIndex: link.index };
      await a.routes.apply([add(route('10.2.0.0/26', [via('10.0.0.9')])), gone('10.2.0.0/26')]);
      const neighbour = {
        address: address('10.0.0.7'),
        ...hop,
        mac: '02:00:00:00:00:07',
        state: 'permanent',
      } as const;
      await a.neighbours.apply([
        { op: 'replace', neighbour },
        { op: 'delete', neighbour },
      ]);
      const rule = { family: 4, priority: 100, table: 1000 } as const;
      await a.rules.apply([
        { op: 'add', rule },
        { op: 'delete', rule },
      ]);
      await a.links.delete([link.index]);
      assert.ok(await seen((e) => e.type === 'link-deleted' && e.link.name === 'cali1'));
      const told = events.map((e) => {
        if ('link' in e) return `${e.type} ${e.link.name}${e.link.running ? ' running' : ''}`;
        if ('address' in e) return `${e.type} ${e.address.address}`;
        if ('route' in e) return `${e.type} ${e.route.dst}`;
        if ('neighbour' in e) return `${e.type} ${e.neighbour.address}`;
        return 'rule' in e ? `${e.type} ${e.rule.priority}` : e.type;
      });
      const expected = [
        'link cali1',
        'link cali1 running',
        'address 10.0.0.1',
        'route 10.0.0.0/24',
        'route 10.2.0.0/26',
        'route-deleted 10.2.0.0/26',
        'neighbour 10.0.0.7',
        'rule 100',
        'rule-deleted 100',
        'link-deleted cali1',
      ];
      let at = -1;
      for (const one of expected) {
        at = told.indexOf(one, at + 1);
        assert.ok(at >= 0, `${one} in ${told.join(', ')}`);
      }
    });

    test('only of the groups and the namespace asked for', async () => {
      const { a, b } = host();
      listen(a, ['routes']);
      await wired(host());
      await b.routes.apply([add(route('10.3.0.0/26', [], { type: 'blackhole' }))]);
      await a.routes.apply([add(route('10.2.0.0/26', [], { type: 'blackhole' }))]);
      assert.ok(await seen((e) => e.type === 'route' && e.route.dst === ('10.2.0.0/26' as Prefix)));
      assert.ok(events.every((e) => e.type === 'route' || e.type === 'route-deleted'));
      assert.ok(!events.some((e) => 'route' in e && e.route.dst === ('10.3.0.0/26' as Prefix)));
    });

    test('nothing is delivered after close', async () => {
      const { a } = host();
      listen(a, ['routes']);
      subscription?.close();
      await a.routes.apply([add(route('10.2.0.0/26', [], { type: 'blackhole' }))]);
      const other: KernelEvent[] = [];
      const second = a.subscribe(['routes'], (event) => other.push(event));
      await a.routes.apply([add(route('10.3.0.0/26', [], { type: 'blackhole' }))]);
      assert.ok(await until(() => other.length > 0 || undefined, { timeoutMs: 5000 }));
      second.close();
      assert.deepEqual(events, []);
    });

    test('of nftables tell one’s own transactions from others', async () => {
      const { a } = host();
      listen(a, ['nftables']);
      assert.ok((await a.nftables.apply([{ op: 'add-table', table: { family: 'ip', name: 't' } }])).ok);
      assert.ok(await seen((e) => e.type === 'nftables' && e.own === true));
    });
  });
}
