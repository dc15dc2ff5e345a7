import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { address, prefix } from '../../lib/ip/mod.ts';
import { FakeHost, mainTable, type Route } from '../../kernel/mod.ts';
import { standBy } from './stand-by.ts';

test('SR-110 SR-232: without BGP the routes of an earlier speaker go, blackholes and others’ stay', async () => {
  const kernel = new FakeHost().kernel();
  const link = expect(
    await kernel.links.create({ kind: 'veth', name: 'eth0', up: true, peer: { name: 'wire' } }),
    'eth0',
  );
  const own = { address: address('10.0.0.1'), length: 24, linkIndex: link.index };
  await kernel.addresses.apply([{ op: 'add', address: own }]);
  const route = (dst: string, more: Partial<Route>): Route => ({
    dst: prefix(dst),
    type: 'unicast',
    table: mainTable,
    protocol: 12,
    scope: 'global',
    priority: 1024,
    nextHops: [{ gateway: address('10.0.0.2'), linkIndex: link.index }],
    ...more,
  });
  const routes = [
    route('10.244.2.0/26', {}),
    route('10.244.1.0/26', { type: 'blackhole', nextHops: [], priority: 0 }),
    route('10.244.3.0/26', { protocol: 80, priority: 0 }),
  ];
  for (const outcome of await kernel.routes.apply(routes.map((r) => ({ op: 'add' as const, route: r }))))
    expect(outcome, 'add');
  const signals = new EventEmitter();
  const ended = standBy({
    backend: 'vxlan',
    kernel,
    logger: silentLogger,
    signals: signals as unknown as NodeJS.Process,
  });
  await new Promise((resolve) => setImmediate(resolve));
  signals.emit('SIGTERM');
  expect(await ended, 'ended');
  const left = expect(await kernel.routes.list({ table: mainTable, family: 4 }), 'list');
  assert.deepEqual(
    left.filter((r) => r.protocol !== 2).map((r) => r.dst),
    ['10.244.1.0/26', '10.244.3.0/26'],
  );
});
