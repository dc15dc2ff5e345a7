// Routes as every Kernel has them; part of the conformance suite.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { address, hostPrefix, prefix, prefixFamily, type Address } from '../../lib/ip/mod.ts';
import type { Route } from '../types.ts';
import { type Host, added, add, codes, destinations, gone, on, route, value, via, wired } from './support.ts';

export function routeTests(host: Host): void {
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

    test('changes aside come in order, one call after the other, while other calls are answered', async () => {
      const { a } = host();
      await wired(host());
      const through = (i: number) => route(`10.${1 + (i >> 8)}.${i & 255}.0/24`, [via('10.0.0.9')]);
      const many = Array.from({ length: 600 }, (_, i) => through(i));
      const first = a.routes.apply(many.map(add), { aside: true });
      const second = a.routes.apply(
        [
          ...many.map((r) => gone(r.dst)),
          gone('10.99.0.0/24'),
          add(route('10.99.0.0/24', [via('99.0.0.9')])),
        ],
        { aside: true },
      );
      assert.deepEqual(codes(await a.routes.apply([add(route('10.98.0.0/24', [via('10.0.0.9')]))])), ['ok']);
      assert.equal(value(await a.links.list()).length > 0, true);
      assert.deepEqual(
        codes(await first),
        many.map(() => 'ok'),
      );
      const outcomes = await second;
      assert.ok(outcomes.slice(0, -1).every((o) => o.ok));
      assert.equal(outcomes.at(-1)?.ok, false);
      assert.deepEqual(await destinations(a), ['10.98.0.0/24']);
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
