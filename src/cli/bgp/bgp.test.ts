import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { PeerStatus, RouteView, WhyAnswer } from '../../bgp/speaker/mod.ts';
import { address } from '../../lib/ip/mod.ts';
import { err, failure, ok } from '../../lib/result.ts';
import { askNode, askNodes, askSocket } from './ask.ts';
import { MemoryStore, startSyncer } from '../../datastore/mod.ts';
import { silentLogger } from '../../lib/log.ts';
import { peersText } from './peers.ts';
import { routesText } from './routes.ts';
import { whyText } from './why.ts';

const peer: PeerStatus = {
  name: 'Mesh_10_0_0_21',
  kind: 'node-mesh',
  address: address('10.0.0.21'),
  port: 179,
  as: 64512,
  localAs: 64512,
  passive: false,
  state: 'Active',
  since: '2026-01-02T03:04:05.678Z',
  reasonText: 'The peer says it is AS 65001; expected AS 64512.',
  keepingStale: false,
  routes: { received: 0, accepted: 0, best: 0, stale: 0, announced: 0 },
  messages: { received: 0, sent: 0 },
};

test('sessions of every node: why one is down; nodes without peers, without an answer, of Calico proper', () => {
  const gone = err(failure('NoAnswer', 'Node n3 did not answer within 5 s.'));
  const text = peersText([
    {
      node: 'n1',
      answer: ok([peer, { ...peer, address: address('10.0.0.22'), state: 'Established', port: 1179 }]),
    },
    { node: 'n2', answer: ok([]) },
    { node: 'n3', answer: gone },
    {
      node: 'n4',
      answer: gone,
      status: {
        bgp: {
          numberEstablishedV4: 1,
          numberNotEstablishedV4: 0,
          numberEstablishedV6: 0,
          numberNotEstablishedV6: 0,
          peersV4: [{ peerIP: '10.0.0.9', type: 'NodeMesh', state: 'Established', since: 'x' }],
        },
      },
    },
  ]);
  assert.match(text, /^n1 +10\.0\.0\.21 .* Active .*says it is AS 65001; expected AS 64512\.$/m);
  assert.match(text, /^n1 +10\.0\.0\.22 port 1179 +64512 +mesh +Established +2026-01-02T03:04:05Z /m);
  assert.match(text, /^n2 .*no peers are configured$/m);
  assert.match(text, /^n3 .*did not answer/m);
  assert.match(text, /^n4 +10\.0\.0\.9 +NodeMesh +Established/m);
  assert.match(text, /\n2 of 3 ends of sessions are established\.\n$/);
});

test('routes in order, the chosen one first, with why the others are not', () => {
  const route = (prefix: string, more: Partial<RouteView>): RouteView => ({
    prefix,
    learnedFrom: 'Mesh_10_0_0_21',
    source: 'bgp',
    best: false,
    multipath: false,
    stale: false,
    localPref: 100,
    asPath: '65001 65000',
    origin: 'igp',
    ...more,
  });
  const text = routesText([
    {
      node: 'n1',
      answer: ok([
        route('10.9.0.0/16', { reason: 'asLoop' }),
        route('10.9.0.0/16', { best: true, nextHop: '10.0.0.1', stale: true }),
        route('9.0.0.0/8', { source: 'static', best: true, learnedFrom: 'static' }),
      ]),
    },
  ]);
  const lines = text.trim().split('\n');
  assert.match(lines[1] ?? '', /^n1 +\* +9\.0\.0\.0\/8 +\(static\)/);
  assert.match(lines[2] ?? '', /^n1 +\*s +10\.9\.0\.0\/16 +10\.0\.0\.1 .*65001 65000$/);
  assert.match(lines[3] ?? '', /our AS is in its path$/);
});

test('why, in words', () => {
  const answer: WhyAnswer = {
    prefix: '192.168.1.0/26',
    paths: [
      { from: 'n2', nextHop: '10.0.0.2', asPath: '', localPref: 7, chosen: true, used: true, why: 'best' },
      { from: 'n3', asPath: '65000', localPref: 1, chosen: false, used: false, why: 'longer AS path' },
    ],
    kernel: { written: true, why: 'written' },
    told: [{ peer: 'n4', announced: false, why: 'refused by rule "x"' }],
    down: [{ peer: 'n5', address: '10.0.0.5', why: 'Connection refused.' }],
  };
  assert.equal(
    whyText({ node: 'n1', answer: ok(answer) }),
    `192.168.1.0/26 on n1
  Routes
    * from n2 via 10.0.0.2, AS path (), preference 7
        best
      from n3, AS path (65000), preference 1
        longer AS path
  Kernel
    * written
  Peers
      n4: refused by rule "x"
  Peers without a session
      n5 (10.0.0.5): Connection refused.
`,
  );
  const none = { prefix: '1.0.0.0/8', paths: [], told: [], down: [] };
  assert.match(whyText({ node: 'n1', answer: ok(none) }), /nor anything around it/);
  assert.match(whyText({ node: 'n1', answer: ok({ ...none, covering: '0.0.0.0/0' }) }), /has 0\.0\.0\.0\/0/);
});

test('a socket: answers, refusals, silence, nonsense, nobody there', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'margay-ask-'));
  const serve = (name: string, reply: string | undefined): Promise<{ path: string; server: Server }> =>
    new Promise((resolve) => {
      const path = join(directory, name);
      const server = createServer((socket) => {
        socket.on('error', () => undefined);
        socket.on('data', () => (reply === undefined ? undefined : socket.end(`${reply}\n`)));
      });
      server.listen(path, () => resolve({ path, server }));
    });
  const codeOf = async (name: string, reply: string | undefined): Promise<string> => {
    const { path, server } = await serve(name, reply);
    const asked = await askSocket<number>(path, { op: 'x' }, reply === undefined ? 100 : 10_000);
    server.close();
    return asked.ok ? String(asked.value) : asked.error.code;
  };
  try {
    assert.equal(await codeOf('good', '{"ok":true,"result":7}'), '7');
    assert.equal(await codeOf('bad', '{"ok":false,"error":{"message":"no"}}'), 'Refused');
    assert.equal(await codeOf('nonsense', 'x'), 'NoAnswer');
    assert.equal(await codeOf('silent', undefined), 'NoAnswer');
    const nobody = await askSocket(join(directory, 'none'), { op: 'x' }, 10_000);
    assert.equal(!nobody.ok && nobody.error.code, 'NotRunning');
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('RS-182: through a CalicoNodeStatus that goes away again; a node that only fills the status; one that is silent', async () => {
  const memory = new MemoryStore();
  const store = memory.open();
  const node = memory.open();
  // A node of Calico proper: it fills the status and knows of nothing else.
  const syncer = startSyncer(node, {
    kinds: ['CalicoNodeStatus'],
    logger: silentLogger,
    onUpdates: async (updates) => {
      for (const update of updates)
        if (update.type === 'set' && update.object.spec.node === 'n1' && update.object.status === undefined)
          await node.updateStatus('CalicoNodeStatus', { ...update.object, status: { lastUpdated: 'now' } });
    },
  });
  await syncer.inSync();
  const plain = await askNode(store, 'n1', { op: 'peers' }, 2000);
  assert.equal(plain.status?.lastUpdated, 'now');
  assert.equal(!plain.answer.ok && /another program/.test(plain.answer.error.message), true);
  const silent = await askNode(store, 'n2', { op: 'peers' }, 100);
  assert.equal(!silent.answer.ok && silent.answer.error.code, 'NoAnswer');
  const left = await store.list('CalicoNodeStatus');
  assert.deepEqual(left.ok && left.value.items, []);
  const nobody = await askNodes(store, 'n9', { op: 'peers' }, 100);
  assert.equal(nobody.ok, false);
  await syncer.stop();
});
