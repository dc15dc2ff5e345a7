// The fake passes the conformance suite; what only a fake can do is tested here.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { address, prefix } from '../lib/ip/mod.ts';
import { kernelConformance } from './conformance.ts';
import { FakeHost, type KernelEvent } from './mod.ts';

const machine = new FakeHost();
kernelConformance('fake', () => machine);

const blackhole = {
  dst: prefix('10.0.0.0/26'),
  type: 'blackhole',
  table: 254,
  protocol: 80,
  scope: 'global',
  priority: 0,
  nextHops: [],
} as const;

test('a scripted fault strikes the next matching operation, once', async () => {
  const host = new FakeHost();
  const kernel = host.kernel();
  host.fail({ operation: 'routes.apply', subject: '10.0.0.0/26', errno: 105, text: 'full' });
  const change = { op: 'add', route: blackhole } as const;
  const other = { op: 'add', route: { ...blackhole, dst: prefix('10.1.0.0/26') } } as const;
  const outcomes = await kernel.routes.apply([other, change]);
  assert.deepEqual(
    outcomes.map((o) => (o.ok ? 'ok' : o.error.code)),
    ['ok', 'NoBufferSpace'],
  );
  assert.ok((await kernel.routes.apply([change]))[0]?.ok);
});

test('lost events are replaced by "lost"', async () => {
  const host = new FakeHost();
  const kernel = host.kernel();
  const events: KernelEvent[] = [];
  kernel.subscribe(['routes'], (event) => events.push(event));
  await kernel.routes.apply([{ op: 'add', route: blackhole }]);
  host.loseEvents();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(events, [{ type: 'lost' }]);
});

test('the root namespace is refused without leave', async () => {
  const host = new FakeHost({ root: true });
  const refused = await host.openKernel();
  assert.ok(refused.ok);
  const [outcome] = await refused.value.routes.apply([{ op: 'add', route: blackhole }]);
  assert.equal(outcome?.ok === false && outcome.error.code, 'RootNamespaceRefused');
  const allowed = await host.openKernel({ allowRootNamespace: true });
  assert.ok(allowed.ok);
  assert.ok((await allowed.value.routes.apply([{ op: 'add', route: blackhole }]))[0]?.ok);
});

test('connections placed by a test are deleted by address', async () => {
  const host = new FakeHost();
  host.addConnection([address('10.0.0.1'), address('10.0.0.2')]);
  host.addConnection([address('10.0.0.3'), address('10.0.0.4')]);
  const deleted = await host.kernel().conntrack.deleteByAddress(address('10.0.0.2'));
  assert.deepEqual(deleted, { ok: true, value: 1 });
});

test('a kernel without a kind of link', async () => {
  const kernel = new FakeHost().withoutKind('ipip').kernel();
  const made = await kernel.links.create({ kind: 'ipip', name: 'tunl0' });
  assert.equal(made.ok ? '' : made.error.code, 'NotSupported');
});
