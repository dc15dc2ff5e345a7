// Events as every Kernel tells them; part of the conformance suite.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { address, type Prefix } from '../../lib/ip/mod.ts';
import { until } from '../../lib/wait.ts';
import type { EventGroup, Kernel, KernelEvent, Subscription } from '../types.ts';
import { type ConformanceMachine, type Host, add, gone, route, value, via, wired } from './support.ts';

export function eventTests(host: Host, machine: () => ConformanceMachine): void {
  describe('events', () => {
    let subscription: Subscription | undefined;
    let events: KernelEvent[] = [];
    const listen = (kernel: Kernel, groups: EventGroup[]): void => {
      events = [];
      subscription = kernel.subscribe(groups, (event) => events.push(event));
    };
    const seen = (wanted: (event: KernelEvent) => boolean): Promise<true | undefined> =>
      until(() => events.some(wanted) || undefined, { timeoutMs: 20_000, everyMs: 5 });
    const told = (): string[] =>
      events.flatMap((e) =>
        e.type === 'nftables' && e.own !== true
          ? [e.tables.map(({ family, name }) => `${family} ${name}`).join(', ')]
          : [],
      );
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
      assert.ok(await seen((e) => 'link' in e && e.link.running));
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
        'address 10.0.0.1',
        'route 10.0.0.0/24',
        'route 10.2.0.0/26',
        'route-deleted 10.2.0.0/26',
        'neighbour 10.0.0.7',
        'rule 100',
        'rule-deleted 100',
        'link-deleted cali1',
      ];
      // The kernel tells the carrier a little later, from its own thread.
      assert.ok(told.includes('link cali1 running'));
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
      assert.ok(await until(() => other.length > 0 || undefined, { timeoutMs: 20_000 }));
      second.close();
      assert.deepEqual(events, []);
    });

    test('of nftables tell one’s own transactions from others', async () => {
      const { a } = host();
      listen(a, ['nftables']);
      assert.ok((await a.nftables.apply([{ op: 'add-table', table: { family: 'ip', name: 't' } }])).ok);
      assert.ok(await seen((e) => e.type === 'nftables' && e.own === true));
    });

    test('of nftables name the tables that somebody else changed', async () => {
      const { a, pathOfA } = host();
      const other = value(await machine().openKernel({ netns: pathOfA }));
      listen(a, ['nftables']);
      const table = { family: 'ip6', name: 'theirs' } as const;
      const set = { name: 's', key: ['ipv6_addr'] };
      assert.ok(
        (
          await other.nftables.apply([
            { op: 'add-table', table: { family: 'ip', name: 'other' } },
            { op: 'add-table', table },
            { op: 'add-set', table, set },
          ])
        ).ok,
      );
      const elements = [{ key: 'fd00::1' }];
      assert.ok((await other.nftables.apply([{ op: 'add-elements', table, set: 's', elements }])).ok);
      await other.nftables.apply([{ op: 'delete-table', table }]);
      assert.ok(await until(() => told().length >= 3 || undefined, { timeoutMs: 20_000, everyMs: 5 }));
      assert.deepEqual(told(), ['ip other, ip6 theirs', 'ip6 theirs', 'ip6 theirs']);
      await other.close();
    });
  });
}
