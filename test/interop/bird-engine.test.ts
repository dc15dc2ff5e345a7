// The BIRD engine with a real BIRD: when it is told of a plan, and when a plan is not taken.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { BirdEngine } from '../../src/bgp/bird/mod.ts';
import { decodeOpen, frameLength, type OpenMessage } from '../../src/bgp/packet/mod.ts';
import { computePlan, type BgpPlan, type PlanInput } from '../../src/bgp/plan/mod.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { expect } from '../../src/lib/result.ts';
import { until } from '../../src/lib/wait.ts';
import { missing } from './support/network.ts';

const skip = missing('ip', 'bird');

const planOf = (more: Partial<PlanInput> = {}): BgpPlan =>
  computePlan({
    nodeName: 'a',
    nodes: [
      { metadata: { name: 'a' }, spec: { bgp: { ipv4Address: '127.7.0.1/8' } } },
      { metadata: { name: 'b' }, spec: { bgp: { ipv4Address: '127.7.0.2/8' } } },
    ],
    bgpConfigurations: [{ metadata: { name: 'default' }, spec: { bindMode: 'NodeIP' } }],
    ipPools: [{ metadata: { name: 'p' }, spec: { cidr: '10.244.0.0/16' } }],
    blockAffinities: [{ node: 'a', cidr: '10.244.1.0/26' }],
    ...more,
  });
const peers = (...list: readonly object[]): Pick<PlanInput, 'bgpPeers'> => ({
  bgpPeers: list.map((spec, i) => ({ metadata: { name: `p${i}` }, spec })),
});
const secrets = [{ name: 's', keys: ['good', 'bad'] }];
const passwords = new Map([
  ['s/good', 'first'],
  ['s/bad', 'with a " in it'],
]);

async function withEngine(body: (engine: BirdEngine) => Promise<void>): Promise<void> {
  const directory = mkdtempSync('/run/margay-bird-');
  const engine = new BirdEngine({
    directory,
    socket: join(directory, 'bird.ctl'),
    program: 'bird',
    clock: systemClock,
    logger: silentLogger,
    log: 'ignore',
  });
  try {
    await body(engine);
  } finally {
    await engine.stop();
    rmSync(directory, { recursive: true, force: true });
    execFileSync('ip', ['route', 'flush', 'proto', 'bird']);
  }
}

const sessions = async (engine: BirdEngine): Promise<string> =>
  expect(await engine.ask('show protocols'), 'protocols')
    .flatMap(({ text }) => /^(\S+)\s+BGP\s/.exec(text)?.[1] ?? [])
    .sort()
    .join();
const fileOf = (engine: BirdEngine) => ({
  text: readFileSync(engine.configFile, 'utf8'),
  inode: statSync(engine.configFile).ino,
});

test(
  'BG-001: what BIRD does not take never replaces what it has, and it reads nothing that says the same',
  {
    skip,
  },
  () =>
    withEngine(async (engine) => {
      const good = planOf();
      await engine.apply(good, new Map());
      assert.equal(engine.facts.problem, undefined);
      assert.equal(await sessions(engine), 'Mesh_127_7_0_2');
      const file = fileOf(engine);
      assert.equal(statSync(engine.configFile).mode & 0o777, 0o600);

      // Another plan with the same text: nothing is written, nothing is read.
      await engine.apply(structuredClone(good), new Map());
      assert.deepEqual(fileOf(engine), file);
      assert.equal(engine.facts.reloads, 0);

      // A text that BIRD does not accept: `bird -p` says so, the file and the running BIRD stay as they are.
      const [peer] = good.peers;
      const bad: BgpPlan = { ...good, peers: [{ ...(peer ?? assert.fail('a peer')), name: 'not a name' }] };
      await engine.apply(bad, new Map());
      assert.match(engine.facts.problem ?? '', /does not accept/);
      assert.deepEqual(fileOf(engine), file);
      assert.deepEqual(engine.plan, good);
      assert.equal(await sessions(engine), 'Mesh_127_7_0_2');

      // The good one again: it is in force, and no longer is there a problem.
      await engine.apply(good, new Map());
      assert.equal(engine.facts.problem, undefined);
      assert.equal(engine.facts.reloads, 0);

      // A change is one soft reload of the same process.
      const { pid } = engine.facts;
      await engine.apply(planOf(peers({ peerIP: '127.7.0.9', asNumber: 65001 })), new Map());
      assert.equal(await sessions(engine), 'Global_127_7_0_9,Mesh_127_7_0_2');
      assert.equal(engine.facts.reloads, 1);
      assert.equal(engine.facts.pid, pid);
      assert.notEqual(fileOf(engine).inode, file.inode);
    }),
);

test(
  'BG-014: a new password is read at once; a session whose password BIRD cannot be told is named also where the text stays',
  {
    skip,
  },
  () =>
    withEngine(async (engine) => {
      const protectedBy = (key: string) => ({
        peerIP: '127.7.0.9',
        asNumber: 65001,
        password: { secretKeyRef: { name: 's', key } },
      });
      const refused = (): string[] => engine.refused.map((r) => r.peer);
      const plan = planOf({ ...peers(protectedBy('good')), secrets });
      await engine.apply(plan, passwords);
      assert.match(fileOf(engine).text, /password "first";/);
      await engine.apply(plan, new Map([['s/good', 'second']]));
      assert.match(fileOf(engine).text, /password "second";/);
      assert.equal(engine.facts.reloads, 1);

      await engine.apply(planOf(), new Map());
      assert.deepEqual(refused(), []);
      const { reloads } = engine.facts;
      await engine.apply(planOf({ ...peers(protectedBy('bad')), secrets }), passwords);
      assert.equal(engine.facts.reloads, reloads);
      assert.deepEqual(refused(), ['Global_127_7_0_9']);
    }),
);

test(
  'BG-001: a plan that comes while BIRD is down is in force when it is back, and the one before can come again',
  {
    skip,
  },
  () =>
    withEngine(async (engine) => {
      const first = planOf();
      const second = planOf(peers({ peerIP: '127.7.0.9', asNumber: 65001 }));
      await engine.apply(first, new Map());
      const { pid } = engine.facts;
      process.kill(pid ?? assert.fail('a process'), 'SIGKILL');
      await until(() => (engine.facts.pid === pid ? undefined : true), { timeoutMs: 30_000 });
      await engine.apply(second, new Map());
      const inForce = (plan: BgpPlan) =>
        until(() => (engine.plan === plan && engine.facts.problem === undefined ? true : undefined), {
          timeoutMs: 60_000,
        });
      assert.ok(await inForce(second), `${engine.facts.problem}`);
      assert.equal(await sessions(engine), 'Global_127_7_0_9,Mesh_127_7_0_2');
      await engine.apply(first, new Map());
      assert.equal(await sessions(engine), 'Mesh_127_7_0_2');
    }),
);

test(
  'NM-008: BIRD is told the times of Calico, and offers its neighbours 120 s for a graceful restart',
  {
    skip,
  },
  () =>
    withEngine(async (engine) => {
      await engine.apply(planOf(), new Map());
      const { text } = fileOf(engine);
      // Devices and both kernel tables.
      assert.equal(text.match(/^ {2}scan time 2;$/gm)?.length, 3);
      for (const line of ['connect delay time 2;', 'connect retry time 5;', 'error wait time 5, 30;'])
        assert.ok(text.includes(`  ${line}\n`), line);
      const open = await openFrom('127.7.0.1', '127.7.0.2');
      const restart = open.capabilities.find((c) => c.type === 'graceful-restart');
      assert.ok(restart?.type === 'graceful-restart');
      assert.equal(restart.restartTimeS, 120);
    }),
);

test('a plan of every kind of odd resource is one that BIRD accepts', { skip }, () =>
  withEngine(async (engine) => {
    const odd = [
      {
        peerIP: '127.7.0.9',
        asNumber: '65535.65535',
        maxRestartTime: '24h',
        keepaliveTime: '10h',
        ttlSecurity: 255,
      },
      { peerIP: '127.7.0.10:1', asNumber: 4294967295, localASNumber: '1.1', numAllowedLocalASNumbers: 10 },
      { peerIP: '127.8.0.1', asNumber: 65001, reachableBy: '127.7.0.254', filters: ['nobody', 'f'] },
      { peerIP: '127.8.0.1:1790', asNumber: 65001, reachableBy: '127.7.0.253' },
      { peerIP: '127.7.0.11', asNumber: 0 },
      { peerIP: '127.7.0.12', asNumber: 65001, keepaliveTime: '1ms', maxRestartTime: '0s' },
    ];
    const rules = [
      { action: 'Accept', communities: { values: ['no community', '1:2', '70000:1'] } },
      { action: 'Reject', asPathPrefix: [0, '1.2.3', 65001], priority: 2147483647 },
      { action: 'Accept', interface: 'a"b\\\n*', cidr: 'fd00::/8' },
      { action: 'Accept', cidr: '10.0.0.0/8', prefixLength: { min: 31, max: 30 }, matchOperator: 'NotIn' },
      { action: 'Reject', operations: [{ prependASPath: { prefix: [65001, 4294967295] } }] },
    ];
    await engine.apply(
      planOf({
        ...peers(...odd),
        routerIdSetting: 'fd00::1',
        bgpFilters: [{ metadata: { name: 'f' }, spec: { importV4: rules, exportV4: rules } }],
      }),
      new Map(),
    );
    assert.equal(engine.facts.problem, undefined);
    assert.equal((await sessions(engine)).split(',').length, 6);
    assert.deepEqual(
      readdirSync(join(engine.configFile, '..')).filter((f) => f.endsWith('.new')),
      [],
    );
  }),
);

/** The first message of whoever listens there. */
function openFrom(address: string, localAddress: string): Promise<OpenMessage> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port: 179, localAddress });
    let bytes = Buffer.alloc(0);
    socket.setTimeout(30_000, () => socket.destroy(new Error('no OPEN within 30 s')));
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed without an OPEN')));
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      const length = frameLength(bytes, 0, bytes.length, 4096);
      if (length <= 0 || length > bytes.length) return;
      const open = decodeOpen(bytes, 0, length);
      if (open.ok) resolve(open.value);
      else reject(new Error('not an OPEN'));
      socket.destroy();
    });
  });
}
