// CalicoNodeStatus, filled by the node it asks: on a datastore in memory, under virtual time, with a speaker that is played.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../../lib/clock.ts';
import { address } from '../../../lib/ip/mod.ts';
import { silentLogger } from '../../../lib/log.ts';
import { err, expect, failure, ok } from '../../../lib/result.ts';
import { MemoryStore, type Datastore } from '../../../datastore/mod.ts';
import type { CalicoNodeStatus } from '../../../model/mod.ts';
import type { Answerer, RouteView } from '../introspection.ts';
import type { PeerStatus } from '../types.ts';
import { answerOf, askAnnotation } from './question.ts';
import { NodeStatusReporter } from './reporter.ts';
import { nodeStatus } from './status.ts';

const peer = (name: string, text: string, more: Partial<PeerStatus> = {}): PeerStatus => ({
  name,
  kind: 'node-mesh',
  address: address(text),
  port: 179,
  as: 64512,
  localAs: 64512,
  passive: false,
  state: 'Established',
  since: '2026-01-02T03:04:05.000Z',
  keepingStale: false,
  routes: { received: 1, accepted: 1, best: 1, stale: 0, announced: 1 },
  messages: { received: 1, sent: 1 },
  ...more,
});
const peers = [
  peer('Mesh_10_0_0_21', '10.0.0.21'),
  peer('Global_10_0_0_254', '10.0.0.254', { kind: 'global-peer', state: 'Connect', reasonText: 'Refused.' }),
  peer('Node_fd00__1', 'fd00::1', { kind: 'node-peer' }),
];
const route = (text: string, more: Partial<RouteView> = {}): RouteView => ({
  prefix: text,
  learnedFrom: 'Mesh_10_0_0_21',
  source: 'bgp',
  best: true,
  multipath: false,
  stale: false,
  localPref: 100,
  asPath: '',
  origin: 'igp',
  ...more,
});
const routes = [
  route('192.168.1.0/26', { nextHop: '10.0.0.21', interfaceName: 'eth0' }),
  route('192.168.1.0/26', { learnedFrom: 'Global_10_0_0_254', best: false }),
  route('192.168.2.0/26', { learnedFrom: 'static', source: 'static' }),
  route('fd00:2::/122', { learnedFrom: 'Node_fd00__1' }),
];

test('RS-182: peers by family and type, routes of the FIB and the RIB, what the speaker is', () => {
  const status = nodeStatus(
    ['Agent', 'BGP', 'Routes'],
    {
      peers,
      routes,
      status: {
        name: 'n1',
        as: 64512,
        routerId: address('10.0.0.11'),
        startedAt: 'a',
        configuredAt: 'b',
        recovery: 'done',
        awaiting: [],
        listening: [],
        sessions: { established: 2, configured: 3 },
        rib: { prefixes: { 4: 0, 6: 0 }, paths: 0, attributeSets: 0, nextHops: 0, groups: 0, policies: 0 },
        kernel: undefined,
      },
    },
    'margay',
    'now',
  );
  const daemon = {
    state: 'Ready',
    version: 'margay',
    routerID: '10.0.0.11',
    lastBootTime: 'a',
    lastReconfigurationTime: 'b',
  };
  const { since } = peers[0] as PeerStatus;
  assert.deepEqual(status, {
    lastUpdated: 'now',
    agent: { birdV4: daemon, birdV6: daemon },
    bgp: {
      numberEstablishedV4: 1,
      numberNotEstablishedV4: 1,
      numberEstablishedV6: 1,
      numberNotEstablishedV6: 0,
      peersV4: [
        { peerIP: '10.0.0.21', type: 'NodeMesh', state: 'Established', since },
        { peerIP: '10.0.0.254', type: 'GlobalPeer', state: 'Connect', since },
      ],
      peersV6: [{ peerIP: 'fd00::1', type: 'NodePeer', state: 'Established', since }],
    },
    routes: {
      routesV4: [
        {
          type: 'FIB',
          destination: '192.168.1.0/26',
          gateway: '10.0.0.21',
          interface: 'eth0',
          learnedFrom: { sourceType: 'NodeMesh', peerIP: '10.0.0.21' },
        },
        {
          type: 'RIB',
          destination: '192.168.1.0/26',
          learnedFrom: { sourceType: 'BGPPeer', peerIP: '10.0.0.254' },
        },
        { type: 'FIB', destination: '192.168.2.0/26', learnedFrom: { sourceType: 'Static' } },
      ],
      routesV6: [
        {
          type: 'FIB',
          destination: 'fd00:2::/122',
          learnedFrom: { sourceType: 'BGPPeer', peerIP: 'fd00::1' },
        },
      ],
    },
  });
  assert.deepEqual(nodeStatus(['Agent'], {}, 'margay', 'now').agent?.birdV4, { state: 'NotReady' });
});

type World = {
  readonly store: Datastore;
  readonly clock: VirtualClock;
  readonly reports: () => number;
  readonly read: (name: string) => Promise<CalicoNodeStatus>;
  /** Until all that can happen has. */
  readonly settle: () => Promise<void>;
  readonly create: (name: string, spec: Partial<CalicoNodeStatus['spec']>, ask?: string) => Promise<void>;
};

async function withReporter(answer: Answerer, check: (world: World) => Promise<void>): Promise<void> {
  const store = new MemoryStore().open();
  const clock = new VirtualClock();
  let reports = 0;
  const counting: Answerer = (request) => {
    reports++;
    return answer(request);
  };
  const options = { store, clock, logger: silentLogger, version: 'margay' };
  const reporter = new NodeStatusReporter({ ...options, nodeName: 'n1', answer: counting });
  reporter.start();
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 40; i++) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  try {
    await check({
      store,
      clock,
      settle,
      reports: () => reports,
      read: async (name) => expect(await store.get('CalicoNodeStatus', { name }), name),
      create: async (name, spec, ask) => {
        const metadata = { name, ...(ask === undefined ? {} : { annotations: { [askAnnotation]: ask } }) };
        const object: CalicoNodeStatus = {
          apiVersion: 'projectcalico.org/v3',
          kind: 'CalicoNodeStatus',
          metadata,
          spec: { node: 'n1', classes: ['BGP'], updatePeriodSeconds: 10, ...spec },
        };
        expect(await store.create('CalicoNodeStatus', object), name);
        await settle();
      },
    });
  } finally {
    await reporter.stop();
  }
}

test('RS-182, BG-080: filled when it appears and every updatePeriodSeconds; 0 means once; other nodes are others', async () => {
  await withReporter(
    () => ok(peers),
    async ({ create, read, clock, settle, reports, store }) => {
      await create('often', {});
      assert.equal((await read('often')).status?.bgp?.numberEstablishedV4, 1);
      assert.equal(reports(), 1);
      const first = (await read('often')).status?.lastUpdated;
      clock.advance(10_000);
      await settle();
      assert.equal(reports(), 2);
      assert.notEqual((await read('often')).status?.lastUpdated, first);
      await create('once', { updatePeriodSeconds: 0 });
      assert.ok((await read('once')).status?.lastUpdated);
      await create('elsewhere', { node: 'n2' });
      assert.equal((await read('elsewhere')).status, undefined);
      expect(await store.delete('CalicoNodeStatus', { name: 'often' }), 'delete');
      await settle();
      const before = reports();
      clock.advance(60_000);
      await settle();
      assert.equal(reports(), before);
    },
  );
});

test('a speaker that does not answer is reported as not ready, with no peers', async () => {
  await withReporter(
    () => err(failure('NotReady', 'no')),
    async ({ create, read }) => {
      await create('s', { classes: ['Agent', 'BGP'] });
      const { status } = await read('s');
      assert.equal(status?.agent?.birdV4?.state, 'NotReady');
      assert.equal(status?.bgp?.numberEstablishedV4, 0);
    },
  );
});

test('a question in the annotation is answered beside the status; what is no question is refused', async () => {
  const asked: unknown[] = [];
  await withReporter(
    (request) => {
      asked.push(request);
      if (request['op'] === 'why') return ok({ prefix: request['prefix'] });
      return ok(request['op'] === 'routes' ? 'x'.repeat(300_000) : peers);
    },
    async ({ create, read, store, settle }) => {
      const question = '{"op":"why","prefix":"10.0.0.0/8"}';
      await create('q', { updatePeriodSeconds: 0 }, question);
      const answered = await read('q');
      assert.deepEqual(answerOf(answered), { to: question, ok: true, result: { prefix: '10.0.0.0/8' } });
      assert.ok(answered.status?.lastUpdated);
      // Another question in the same object.
      const other = '{"op":"routes"}';
      expect(
        await store.patch(
          'CalicoNodeStatus',
          { name: 'q' },
          { type: 'merge', body: { metadata: { annotations: { [askAnnotation]: other } } } },
        ),
        'patch',
      );
      await settle();
      assert.equal(answerOf(await read('q'))?.error?.code, 'TooLong');
      for (const [i, bad] of ['{"op":"stop"}', 'no JSON', '[]'].entries()) {
        await create(`bad${i}`, { updatePeriodSeconds: 0 }, bad);
        assert.equal(answerOf(await read(`bad${i}`))?.error?.code, 'BadRequest');
      }
      assert.ok(!asked.some((a) => (a as { op: string }).op === 'stop'));
    },
  );
});
