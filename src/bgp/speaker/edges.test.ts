// The speaker's edges: framing, TCP on loopback, plan files, plans from resources, the introspection socket.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { systemClock, VirtualClock } from '../../lib/clock.ts';
import { address } from '../../lib/ip/mod.ts';
import { silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import { MemoryStore } from '../../datastore/mod.ts';
import type { DownReason } from '../fsm/mod.ts';
import { encodeKeepalive, encodeNotification, notification, type Notification } from '../packet/mod.ts';
import { computePlan, type BgpPlan } from '../plan/mod.ts';
import { configFromFile, configFromPlan } from './config-plan.ts';
import { FakeNetwork } from './fake.ts';
import { Framer } from './framer.ts';
import { answer, IntrospectionServer } from './introspection.ts';
import { PlanSource } from './plan-source.ts';
import { Speaker } from './speaker.ts';
import { tcpTransport } from './tcp-transport.ts';
import type { Wire } from './transport.ts';

describe('framing', () => {
  test('any cut of the stream gives the same messages', () => {
    const stream = new Uint8Array([
      ...encodeKeepalive(),
      ...encodeNotification(notification(6, 2, new Uint8Array(200))),
      ...encodeKeepalive(),
    ]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 }), (sizes) => {
        const framer = new Framer();
        const lengths: number[] = [];
        let at = 0;
        for (let i = 0; at < stream.length; i++) {
          const size = sizes[i % sizes.length] ?? 1;
          // The chunk's memory is reused after the call, as a transport may do.
          const chunk = stream.slice(at, at + size);
          framer.push(chunk, {
            message: (_b, start, end) => lengths.push(end - start) > 0,
            broken: () => assert.fail('nothing is broken'),
          });
          chunk.fill(0);
          at += size;
        }
        assert.deepEqual(lengths, [19, 221, 19]);
      }),
      { numRuns: 200 },
    );
  });

  test('what is no message ends it', () => {
    const broken: Notification[] = [];
    const handler = { message: () => true, broken: (n: Notification) => void broken.push(n) };
    new Framer().push(new Uint8Array(19), handler);
    assert.deepEqual(
      broken.map((n) => [n.code, n.subcode]),
      [[1, 1]],
    );
  });
});

describe('TCP', () => {
  const local = address('127.0.0.1');
  test('bytes both ways, addresses, close', async () => {
    const accepted = Promise.withResolvers<Wire>();
    const port = 20_179;
    const listener = expect(await tcpTransport.listen(local, port, accepted.resolve), 'listen');
    const dialled = await new Promise<Wire>((resolve, reject) =>
      tcpTransport.dial({ remote: local, port, source: local }, resolve, reject),
    );
    const server = await accepted.promise;
    assert.deepEqual([dialled.remoteAddress, server.remoteAddress], [local, local]);
    const got = Promise.withResolvers<string>();
    const closed = Promise.withResolvers<void>();
    const nothing = (): void => {};
    server.open({
      data: (b) => got.resolve(new TextDecoder().decode(b)),
      closed: () => closed.resolve(),
      drained: nothing,
    });
    dialled.open({ data: nothing, closed: nothing, drained: nothing });
    dialled.write([new TextEncoder().encode('he'), new TextEncoder().encode('llo')]);
    assert.equal(await got.promise, 'hello');
    dialled.close();
    await closed.promise;
    await listener.close();
  });

  test('a port in use and a refused connection say so', async () => {
    const port = 20_180;
    const nothing = (): void => {};
    const first = expect(await tcpTransport.listen(local, port, nothing), 'listen');
    const second = await tcpTransport.listen(local, port, nothing);
    assert.ok(!second.ok);
    assert.match(second.error.message, /Another program listens on 127.0.0.1 port 20180/);
    await first.close();
    const reason = await new Promise<DownReason>((resolve, reject) =>
      tcpTransport.dial({ remote: local, port }, () => reject(new Error('connected')), resolve),
    );
    assert.deepEqual(reason, { kind: 'refused' });
  });
});

describe('plan files', () => {
  test('a short plan', () => {
    const config = expect(
      configFromFile(
        JSON.stringify({
          local: { nodeName: 'leaf01', as: 65001, routerId: '10.0.0.254', addresses: { 4: '10.0.0.254/24' } },
          peers: [
            { address: '10.255.0.0', as: 65000 },
            { neighbourRange: '10.0.0.0/24', as: 64512, rrClient: true },
          ],
          origins: ['10.0.0.0/24'],
        }),
      ),
      'plan',
    );
    assert.equal(config.neighbours[0]?.name, 'Static_10_255_0_0');
    assert.deepEqual([config.ranges[0]?.prefix, config.ranges[0]?.rrClient], ['10.0.0.0/24', true]);
    assert.deepEqual(config.origins, ['10.0.0.0/24']);
    assert.equal(config.kernel.policies[4].otherwise, 'accept');
    assert.deepEqual(config.learn, { kernel: false, connected: false, excludedInterfaces: [] });
  });

  for (const [name, text, pattern] of [
    ['no JSON', '{', /the file is not JSON/],
    ['no local part', '{}', /plan's local is missing/],
    ['no AS', '{"local":{"routerId":"1.1.1.1"}}', /local.as is missing; expected an AS number/],
    [
      'a bad address',
      '{"local":{"as":1,"routerId":"1.1.1.1"},"peers":[{"address":"x","as":2}]}',
      /peers\[0\].address is "x"/,
    ],
    [
      'an unknown policy',
      '{"local":{"as":1,"routerId":"1.1.1.1"},"kernelPolicy":{"4":"no"}}',
      /names the policy "no"/,
    ],
  ] as const)
    test(`refused: ${name}`, () => {
      const result = configFromFile(text);
      assert.ok(!result.ok);
      assert.match(result.error.message, pattern);
    });

  test('a complete plan is a plan file', () => {
    const plan = computePlan({
      nodeName: 'a',
      nodes: [
        { metadata: { name: 'a' }, spec: { bgp: { ipv4Address: '10.0.0.1/24' } } },
        { metadata: { name: 'b' }, spec: { bgp: { ipv4Address: '10.0.0.2/24' } } },
      ],
    });
    const direct = configFromPlan(plan);
    const read = expect(configFromFile(JSON.stringify(plan)), 'plan');
    assert.deepEqual(
      read.neighbours.map((n) => ({ ...n, kind: 'x' })),
      direct?.neighbours.map((n) => ({ ...n, kind: 'x' })),
    );
    assert.deepEqual(read.kernel.policies, direct?.kernel.policies);
  });
});

test('SR-027: resources become plans: the mesh, own blocks, and changes of both', async () => {
  const store = new MemoryStore().open();
  const create = async (
    kind: 'Node' | 'BlockAffinity' | 'IPPool' | 'BGPConfiguration',
    name: string,
    spec: object,
  ) =>
    expect(
      await store.create(kind, {
        apiVersion: 'projectcalico.org/v3',
        kind,
        metadata: { name },
        spec,
      } as never),
      `create ${name}`,
    );
  await create('Node', 'a', { bgp: { ipv4Address: '10.0.0.1/24' } });
  await create('Node', 'b', { bgp: { ipv4Address: '10.0.0.2/24' } });
  await create('IPPool', 'pool', { cidr: '10.244.0.0/16' });
  const plans: BgpPlan[] = [];
  const source = new PlanSource({
    store,
    nodeName: 'a',
    clock: systemClock,
    logger: silentLogger,
    computePlan,
    onPlan: (plan) => void plans.push(plan),
  });
  source.start();
  const last = (is: (plan: BgpPlan) => boolean) =>
    until(() => (plans.length > 0 && is(plans.at(-1) as BgpPlan) ? plans.at(-1) : undefined), {
      timeoutMs: 5000,
    });
  assert.ok(await last((p) => p.peers.map((n) => n.address).join() === '10.0.0.2'));
  await create('BlockAffinity', 'a-1', {
    state: 'confirmed',
    node: 'a',
    cidr: '10.244.1.0/26',
    type: 'host',
    deleted: false,
  });
  await create('BlockAffinity', 'b-2', {
    state: 'confirmed',
    node: 'b',
    cidr: '10.244.2.0/26',
    type: 'host',
    deleted: false,
  });
  assert.ok(await last((p) => p.origins.map((o) => o.prefix).join() === '10.244.1.0/26'));
  // The claim of a load balancer that happens to have a node's name, and a claim that is about to go.
  const claim = { state: 'confirmed', node: 'a' };
  await create('BlockAffinity', 'lb', { ...claim, cidr: '10.244.3.0/26', type: 'virtual', deleted: false });
  await create('BlockAffinity', 'a-4', { ...claim, cidr: '10.244.4.0/26', type: 'host', deleted: false });
  const both = '10.244.1.0/26,10.244.4.0/26';
  assert.ok(await last((p) => p.origins.map((o) => o.prefix).join() === both));
  const leaving = expect(await store.get('BlockAffinity', { name: 'a-4' }), 'get');
  expect(
    await store.update('BlockAffinity', { ...leaving, spec: { ...leaving.spec, deleted: true } }),
    'mark',
  );
  assert.ok(await last((p) => p.origins.map((o) => o.prefix).join() === '10.244.1.0/26'));
  expect(await store.delete('Node', { name: 'b' }), 'delete');
  assert.ok(await last((p) => p.peers.length === 0));
  await create('BGPConfiguration', 'default', { asNumber: 65100 });
  assert.ok(await last((p) => p.local.as === 65100));
  await source.stop();
  await store.close();
});

test('BG-014: passwords come from Secrets: when they appear, when they change, and not from elsewhere', async () => {
  const store = new MemoryStore().open();
  const create = async (
    kind: 'Node' | 'BGPPeer' | 'Secret',
    name: string,
    more: object,
    namespace?: string,
  ) =>
    expect(
      await store.create(kind, {
        apiVersion: kind === 'Secret' ? 'v1' : 'projectcalico.org/v3',
        kind,
        metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
        ...more,
      } as never),
      `create ${name}`,
    );
  await create('Node', 'a', { spec: { bgp: { ipv4Address: '10.0.0.1/24' } } });
  await create('BGPPeer', 'tor', {
    spec: {
      peerIP: '10.0.0.254',
      asNumber: 65001,
      ttlSecurity: 1,
      password: { secretKeyRef: { name: 'bgp', key: 'tor' } },
    },
  });
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  await create('Secret', 'bgp', { data: { tor: base64('of another namespace') } }, 'default');
  let security: unknown = 'no plan yet';
  const source = new PlanSource({
    store,
    nodeName: 'a',
    clock: systemClock,
    logger: silentLogger,
    computePlan,
    secretNamespace: 'calico-system',
    onPlan: (plan, passwords) => {
      security = configFromPlan(plan, { passwords })?.neighbours[0]?.security;
    },
  });
  source.start();
  const becomes = async (expected: object): Promise<void> => {
    const text = JSON.stringify(expected);
    await until(() => (JSON.stringify(security) === text ? true : undefined), { timeoutMs: 5000 });
    assert.deepEqual(security, expected);
  };
  // Calico's choice: a session without the password, until there is one.
  await becomes({ ttlHops: 1 });
  const secret = await create('Secret', 'bgp', { data: { tor: base64('first') } }, 'calico-system');
  await becomes({ password: 'first', ttlHops: 1 });
  expect(await store.update('Secret', { ...secret, data: { tor: base64('second') } } as never), 'update');
  await becomes({ password: 'second', ttlHops: 1 });
  await source.stop();
  await store.close();
});

test('the introspection socket answers lines', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'margay-bgp-'));
  const path = join(directory, 'run', 'bgp.sock');
  const clock = new VirtualClock();
  const config = expect(
    configFromFile(
      '{"local":{"as":64512,"routerId":"10.0.0.1"},"peers":[{"address":"10.0.0.2","as":64512}],"origins":["10.1.0.0/16"]}',
    ),
    'plan',
  );
  const transport = new FakeNetwork(clock).transport(address('10.0.0.1'));
  const speaker = new Speaker(config, { transport, clock, logger: silentLogger });
  let ready: Speaker | undefined;
  const server = new IntrospectionServer({
    path,
    logger: silentLogger,
    answer: (request) => answer(ready, request),
  });
  expect(await server.start(), 'start');
  const ask = (request: string): Promise<{ ok: boolean; result?: unknown; error?: { code: string } }> =>
    new Promise((resolve, reject) => {
      const socket = connect(path, () => socket.write(`${request}\n`));
      socket.setEncoding('utf8');
      socket.once('error', reject);
      socket.once('data', (text: string) => {
        socket.destroy();
        resolve(JSON.parse(text));
      });
    });
  assert.equal((await ask('{"op":"status"}')).error?.code, 'NotReady');
  ready = speaker;
  expect(await speaker.start(), 'speaker');
  clock.advance(100);
  const status = await ask('{"op":"status"}');
  assert.equal((status.result as { as: number }).as, 64512);
  const peers = (await ask('{"op":"peers"}')).result as { reasonText: string }[];
  assert.match(peers[0]?.reasonText ?? '', /Connection refused/);
  const routes = (await ask('{"op":"routes"}')).result as { prefix: string }[];
  assert.deepEqual(
    routes.map((r) => r.prefix),
    ['10.1.0.0/16'],
  );
  assert.equal((await ask('{"op":"explain","prefix":"10.1.0.0/16"}')).ok, true);
  assert.equal((await ask('{"op":"announced","peer":"Static_10_0_0_2"}')).ok, true);
  assert.equal((await ask('{"op":"nothing"}')).error?.code, 'UnknownOperation');
  assert.equal((await ask('garbage')).error?.code, 'BadRequest');
  assert.equal((await ask('{"op":"routes","prefix":"x"}')).error?.code, 'BadRequest');
  await speaker.stop('persist');
  await server.stop();
  rmSync(directory, { recursive: true });
});
