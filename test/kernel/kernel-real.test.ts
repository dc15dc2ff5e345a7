// What only the real kernel has: the machine's root namespace, lost events, connections, namespaces under pressure.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readlinkSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  createNamedNamespace,
  deleteNamedNamespace,
  namedNamespacePath,
  openKernel,
  openNamespace,
  withNamespace,
  type Kernel,
  type KernelEvent,
  type Route,
  type RouteChange,
} from '../../src/kernel/mod.ts';
import { openKernelWith } from '../../src/kernel/open.ts';
import { address, prefix, v4FromNumber, type Prefix } from '../../src/lib/ip/mod.ts';
import { expect } from '../../src/lib/result.ts';
import { until } from '../../src/lib/wait.ts';

const blackhole = (n: number): Route => ({
  dst: `${v4FromNumber(0x14000000 + n)}/32` as Prefix,
  type: 'blackhole',
  table: 254,
  protocol: 80,
  scope: 'global',
  priority: 0,
  nextHops: [],
});
const adding = (count: number): RouteChange[] =>
  Array.from({ length: count }, (_, n) => ({ op: 'add', route: blackhole(n) }));

const own = (): string => readlinkSync('/proc/thread-self/ns/net');

describe('namespaces', () => {
  test('are made, entered and removed; a name is taken once', async () => {
    const path = expect(await createNamedNamespace('n1'), 'create');
    assert.equal(path, namedNamespacePath('n1'));
    const again = await createNamedNamespace('n1');
    assert.equal(again.ok ? '' : again.error.code, 'AlreadyExists');
    const namespace = expect(await openNamespace(path), 'open');
    const before = own();
    const inside = withNamespace(namespace.fd, own);
    assert.notEqual(inside, before);
    assert.equal(own(), before);
    assert.throws(() => withNamespace(namespace.fd, () => Promise.resolve()), /synchronous/);
    assert.throws(
      () =>
        withNamespace(namespace.fd, () => {
          throw new Error('from inside');
        }),
      /from inside/,
    );
    assert.equal(own(), before);
    namespace.close();
    assert.ok((await deleteNamedNamespace('n1')).ok);
    assert.ok((await deleteNamedNamespace('n1')).ok);
    assert.ok(!existsSync(path));
  });

  test('what is no namespace is told', async () => {
    const file = await openNamespace('/etc/hostname');
    assert.equal(file.ok ? '' : file.error.code, 'InvalidArgument');
    const missing = await openNamespace('/run/netns/none');
    assert.equal(missing.ok ? '' : missing.error.code, 'NoSuchObject');
    const name = await createNamedNamespace('../x');
    assert.equal(name.ok ? '' : name.error.code, 'InvalidArgument');
  });

  test('of a process', async () => {
    const child = spawn('unshare', ['--net', 'sleep', '60'], { stdio: 'ignore' });
    const path = `/proc/${child.pid}/ns/net`;
    const entered = await until(() => (readlinkSync(path) === own() ? undefined : true), {
      timeoutMs: 20_000,
    });
    assert.ok(entered);
    const kernel = expect(await openKernel({ netns: path }), 'open');
    const links = expect(await kernel.links.list(), 'list');
    assert.deepEqual(
      links.map((link) => link.name),
      ['lo'],
    );
    await kernel.close();
    child.kill();
    await once(child, 'exit');
  });
});

describe('the real kernel', () => {
  let kernel: Kernel;
  before(async () => {
    kernel = expect(await openKernel(), 'open');
  });
  after(() => kernel.close());
  const removeRoutes = async (): Promise<void> => {
    const routes = expect(await kernel.routes.list({ protocol: 80 }), 'list');
    await kernel.routes.apply(
      routes.map(({ dst, table, priority }) => ({ op: 'delete', key: { dst, table, priority } })),
    );
  };

  test('5,000 routes: added, listed, deleted', async () => {
    const outcomes = await kernel.routes.apply([...adding(5000), { op: 'add', route: blackhole(7) }]);
    assert.equal(outcomes.filter((outcome) => outcome.ok).length, 5000);
    assert.equal(outcomes[5000]?.ok, false);
    const listed = expect(await kernel.routes.list({ protocol: 80, family: 4 }), 'list');
    assert.equal(listed.length, 5000);
    const deleted = await kernel.routes.apply(
      listed.map(({ dst, table, priority }) => ({ op: 'delete', key: { dst, table, priority } })),
    );
    assert.ok(deleted.every((outcome) => outcome.ok));
    assert.deepEqual(expect(await kernel.routes.list({ protocol: 80 }), 'list'), []);
  });

  test('lists and changes go on beside each other', async () => {
    const work = [
      kernel.routes.apply(adding(3000)),
      kernel.routes.list(),
      kernel.links.list(),
      kernel.routes.list(),
    ];
    const results = await Promise.all(work);
    assert.ok((results[0] as { ok: boolean }[]).every((outcome) => outcome.ok));
    for (const result of results.slice(1)) assert.ok((result as { ok: boolean }).ok);
    const routes = expect(await kernel.routes.list({ protocol: 80 }), 'list');
    assert.equal(routes.length, 3000);
    await removeRoutes();
  });

  test('events that do not fit the buffer are told as lost, and the stream goes on', async (t) => {
    const small = expect(await openKernelWith({}, { bufferBytes: 4096 }), 'open');
    t.after(() => small.close());
    t.after(removeRoutes);
    const events: KernelEvent[] = [];
    small.subscribe(['routes'], (event) => events.push(event));
    await kernel.routes.apply(adding(2000));
    assert.ok(await until(() => events.some((e) => e.type === 'lost') || undefined, { timeoutMs: 20_000 }));
    // A later part of the burst may have been lost once more: marks are set until one is seen, each another route, as nothing
    // is told of one that is there already.
    let marks = 0;
    const arrived = async (): Promise<true | undefined> => {
      const dst = prefix(`30.${marks++ % 256}.0.0/16`);
      const mark: RouteChange = { op: 'replace', route: { ...blackhole(0), dst } };
      assert.ok((await kernel.routes.apply([mark]))[0]?.ok);
      return events.some((e) => e.type === 'route' && e.route.dst.startsWith('30.')) || undefined;
    };
    assert.ok(await until(arrived, { timeoutMs: 20_000 }));
  });

  test('no event is missed in a burst that fits', async (t) => {
    let seen = 0;
    t.after(removeRoutes);
    const subscription = kernel.subscribe(['routes'], (event) => {
      if (event.type === 'route') seen++;
    });
    const outcomes = await kernel.routes.apply(adding(3000));
    assert.ok(outcomes.every((outcome) => outcome.ok));
    assert.ok(await until(() => (seen === 3000 ? true : undefined), { timeoutMs: 20_000 }), `${seen} events`);
    subscription.close();
  });

  test('events that wait are all told in the turn of the loop in which the first one is', async (t) => {
    const seen: KernelEvent[] = [];
    t.after(removeRoutes);
    const subscription = kernel.subscribe(['routes'], (event) => {
      if (event.type === 'route') seen.push(event);
    });
    const changes = kernel.routes.apply(adding(100));
    const counts = [seen.length];
    for (let turn = 0; turn < 200 && seen.length < 100; turn++) {
      await nextTurn();
      if (seen.length !== counts.at(-1)) counts.push(seen.length);
    }
    await changes;
    subscription.close();
    assert.deepEqual(counts, [0, 100]);
  });

  test('programs inherit no socket of the kernel', async () => {
    const subscription = kernel.subscribe(['links', 'nftables'], () => {});
    const listed = spawnSync('ls', ['-l', '/proc/self/fd'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const open = listed.stdout
      .split('\n')
      .filter((line) => /-> (socket|net):/.test(line) && !/ [012] -> /.test(line));
    assert.deepEqual(open, []);
    subscription.close();
  });

  test('connections are deleted by address', async () => {
    const table = { family: 'ip', name: 'track' } as const;
    const base = { type: 'filter', hook: 'output', priority: 0 } as const;
    const tracked = await kernel.nftables.apply([
      { op: 'add-table', table },
      { op: 'add-chain', table, chain: { name: 'out', base } },
      { op: 'add-rule', table, chain: 'out', rule: { expression: 'ct state new counter' } },
    ]);
    assert.ok(tracked.ok);
    const sockets: Socket[] = [];
    const server = createServer((socket) => sockets.push(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { connect } = await import('node:net');
    const { port } = server.address() as { port: number };
    const client = connect(port, '127.0.0.1');
    await once(client, 'connect');
    assert.deepEqual(await kernel.conntrack.deleteByAddress(address('127.0.0.2')), { ok: true, value: 0 });
    assert.deepEqual(await kernel.conntrack.deleteByAddress(address('127.0.0.1')), { ok: true, value: 1 });
    assert.deepEqual(await kernel.conntrack.deleteByAddress(address('127.0.0.1')), { ok: true, value: 0 });
    client.destroy();
    for (const socket of sockets) socket.destroy();
    server.close();
    assert.ok((await kernel.nftables.apply([{ op: 'delete-table', table }])).ok);
  });

  test('a transaction of somebody else is an event that is not our own', { skip: noNft() }, async () => {
    const events: KernelEvent[] = [];
    const subscription = kernel.subscribe(['nftables'], (event) => events.push(event));
    assert.equal(spawnSync('nft', ['add', 'table', 'ip', 'foreign']).status, 0);
    assert.ok(await until(() => (events.length > 0 ? true : undefined), { timeoutMs: 20_000 }));
    assert.equal(events[0]?.type === 'nftables' && events[0].own, false);
    subscription.close();
    assert.equal(spawnSync('nft', ['delete', 'table', 'ip', 'foreign']).status, 0);
  });

  test('8,000 elements in one transaction, and one refused as a whole', async () => {
    const table = { family: 'ip', name: 'big' } as const;
    const elements = Array.from({ length: 8000 }, (_, n) => ({ key: v4FromNumber(0x0a000000 + n) }));
    const made = await kernel.nftables.apply([
      { op: 'add-table', table },
      { op: 'add-set', table, set: { name: 's', key: ['ipv4_addr'] } },
      { op: 'add-elements', table, set: 's', elements },
    ]);
    assert.ok(made.ok);
    assert.equal(expect(await kernel.nftables.elements(table, 's'), 'elements').length, 8000);
    const refused = await kernel.nftables.apply([
      { op: 'flush-set', table, set: 's' },
      { op: 'delete-elements', table, set: 's', elements: [{ key: '1.2.3.4' }] },
    ]);
    assert.equal(refused.ok ? -1 : refused.error.commandIndex, 1);
    assert.equal(expect(await kernel.nftables.elements(table, 's'), 'elements').length, 8000);
    assert.ok((await kernel.nftables.apply([{ op: 'delete-table', table }])).ok);
  });

  test('a set that somebody replaced is asked for again', { skip: noNft() }, async () => {
    const table = { family: 'ip', name: 'replaced' } as const;
    const put = (key: string) =>
      kernel.nftables.apply([{ op: 'add-elements', table, set: 's', elements: [{ key }] }]);
    assert.equal(
      spawnSync('nft', ['add table ip replaced; add set ip replaced s { type ipv4_addr; }']).status,
      0,
    );
    assert.ok((await put('10.0.0.1')).ok);
    const swap = 'delete set ip replaced s; add set ip replaced s { type inet_service; }';
    assert.equal(spawnSync('nft', [swap]).status, 0);
    assert.ok((await put('80')).ok);
    assert.ok((await kernel.nftables.apply([{ op: 'delete-table', table }])).ok);
  });
});

function noNft(): string | false {
  return spawnSync('nft', ['--version']).status === 0 ? false : 'the command nft is not installed';
}

test('a process ends although its kernel and subscriptions were closed late', async () => {
  const script = `
    import { openKernel } from './src/kernel/mod.ts';
    const opened = await openKernel();
    if (!opened.ok) process.exit(2);
    const kernel = opened.value;
    kernel.subscribe(['links', 'nftables'], () => {});
    await kernel.links.delete([4711]);
    await kernel.close();
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number];
  assert.equal(code, 0);
});
