import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../lib/clock.ts';
import { address, containsAddress, prefix } from '../lib/ip/mod.ts';
import type { IpamError } from './mod.ts';
import { affinityName, blockName, IpamCache, viewKinds, windowsReservation } from './mod.ts';
import { node, pool, Stage, workload } from './stage.test.ts';
import type { Result } from '../lib/result.ts';
import { silentLogger } from '../lib/log.ts';
import { startSyncer } from '../datastore/mod.ts';

const code = <T>(result: Result<T, IpamError>): string => (result.ok ? 'ok' : result.error.code);
const value = <T>(result: Result<T, IpamError>): T => {
  assert.ok(result.ok, result.ok ? '' : `${result.error.code}: ${result.error.message}`);
  return result.value;
};

test('RS-041, RS-043, RS-044, RS-045, RS-046: the objects of one assignment, as Calico writes them', async () => {
  const stage = new Stage({ pools: [pool('v4', '10.0.0.0/24', { blockSize: 29 })] });
  const before = BigInt(Date.now()) * 1_000_000n;
  const [assignment] = value(await stage.ipam().autoAssign(workload('a', 'k8s-pod-network.ABC'))).v4;
  assert.ok(assignment !== undefined);
  const [block] = stage.store.all('IPAMBlock');
  const [affinity] = stage.store.all('BlockAffinity');
  const [handle] = stage.store.all('IPAMHandle');
  assert.equal(block?.metadata.name, assignment.block.replaceAll(/[./]/g, '-'));
  assert.equal(block?.spec.affinity, 'host:a');
  assert.deepEqual(block?.spec.allocations, [0, null, null, null, null, null, null, null]);
  assert.deepEqual(block?.spec.unallocated, [1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(block?.spec.attributes, [
    { handle_id: 'k8s-pod-network.ABC', secondary: { pod: 'k8s-pod-network.ABC', node: 'a' } },
  ]);
  const sequence = BigInt(block?.spec.sequenceNumber ?? 0);
  assert.ok(sequence > before, 'sequence numbers start at the time in nanoseconds');
  assert.equal(BigInt(block?.spec.sequenceNumberForAllocation?.['0'] ?? 0) + 1n, sequence);
  assert.equal(affinity?.metadata.name, `a-${block?.metadata.name}`);
  assert.deepEqual(affinity?.spec, {
    state: 'confirmed',
    node: 'a',
    type: 'host',
    cidr: assignment.block,
    deleted: false,
  });
  assert.equal(affinity?.metadata.labels?.['projectcalico.org/affinity-type'], 'host');
  assert.equal(affinity?.metadata.labels?.['projectcalico.org/ip-version'], '4');
  assert.equal(affinity?.metadata.labels?.['projectcalico.org/hostname-hash']?.length, 52);
  assert.equal(handle?.metadata.name, 'k8s-pod-network.abc');
  assert.deepEqual(handle?.spec, {
    handleID: 'k8s-pod-network.ABC',
    block: { [assignment.block]: 1 },
    deleted: false,
  });
});

test('RS-046: long names are cut and told apart by a digest', () => {
  assert.equal(blockName(prefix('fd00:10::/122')), 'fd00-10---122');
  const long = affinityName({ type: 'host', name: 'n'.repeat(250) }, prefix('10.0.0.0/26'));
  assert.equal(long.length, 252 - 13 + 1 + 12);
  assert.notEqual(long, affinityName({ type: 'host', name: `${'n'.repeat(249)}m` }, prefix('10.0.0.0/26')));
});

test('RS-052: release frees addresses at the end of the queue, is idempotent, and the block stays', async () => {
  const stage = new Stage({ pools: [pool('v4', '10.0.0.0/30', { blockSize: 30 })], nodes: ['a'] });
  const ipam = stage.ipam();
  const first = value(await ipam.autoAssign(workload('a', 'h1'))).v4[0]?.address;
  assert.deepEqual(value(await ipam.releaseByHandle('h1')), [first]);
  assert.deepEqual(value(await ipam.releaseByHandle('h1')), []);
  const order: string[] = [];
  for (const h of ['h2', 'h3', 'h4', 'h5'])
    order.push(value(await ipam.autoAssign(workload('a', h))).v4[0]?.address ?? '');
  assert.deepEqual(order, ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.0']);
  assert.equal(code(await ipam.autoAssign(workload('a', 'h6'))), 'NoAddresses');
  await stage.audit(new Set(['h2', 'h3', 'h4', 'h5']));
});

test('RS-042: a release that names an earlier allocation is refused', async () => {
  const stage = new Stage({ pools: [pool('v4', '10.0.0.0/32', { blockSize: 32 })], nodes: ['a'] });
  const ipam = stage.ipam();
  value(await ipam.autoAssign(workload('a', 'old')));
  const [old] = value(await ipam.addressesOfHandle('old'));
  assert.ok(old !== undefined);
  value(await ipam.releaseByHandle('old'));
  value(await ipam.autoAssign(workload('a', 'new')));
  const stale = { address: old.address, sequenceNumber: old.sequenceNumber };
  assert.equal(code(await stage.ipam().releaseAddresses([stale])), 'StaleRelease');
  assert.equal(
    code(await ipam.releaseAddresses([{ address: old.address, handleId: 'old' }])),
    'StaleRelease',
  );
  await stage.audit(new Set(['new']));
  assert.deepEqual(value(await ipam.releaseAddresses([{ address: old.address, handleId: 'new' }])).released, [
    old.address,
  ]);
  await stage.audit(new Set());
});

test('RS-048: own blocks first, then a new one, then borrowed addresses', async () => {
  const stage = new Stage({ pools: [pool('v4', '10.0.0.0/28', { blockSize: 30 })], nodes: ['a', 'b'] });
  const [a, b] = [stage.ipam(), stage.ipam()];
  value(await b.autoAssign(workload('b', 'b0')));
  const got = value(await a.autoAssign({ ...workload('a', 'h', 15) })).v4;
  const own = new Set(got.slice(0, 12).map(({ block }) => block));
  assert.equal(own.size, 3, 'three blocks of its own');
  const [last] = got.slice(12);
  assert.equal(new Set(got.slice(12).map(({ block }) => block)).size, 1);
  assert.ok(last !== undefined && !own.has(last.block), 'the rest is borrowed from b');
  await stage.audit(new Set(['b0', 'h']));
});

test('RS-040: strict affinity forbids borrowing; the block limit holds', async () => {
  const strict = new Stage({
    pools: [pool('v4', '10.0.0.0/29', { blockSize: 30 })],
    configuration: { strictAffinity: true },
  });
  value(await strict.ipam().autoAssign(workload('b', 'b0')));
  const short = await strict.ipam().autoAssign(workload('a', 'h', 5));
  assert.equal(code(short), 'NoAddresses');
  assert.equal(
    value(await strict.ipam().autoAssign({ ...workload('a', 'h', 5), allowPartial: true })).v4.length,
    4,
  );
  await strict.audit(new Set(['b0', 'h']));

  const limited = new Stage({ configuration: { strictAffinity: true, maxBlocksPerHost: 2 } });
  assert.equal(code(await limited.ipam().autoAssign(workload('a', 'h', 129))), 'BlockLimit');
  await limited.audit(new Set());
  assert.equal(value(await limited.ipam().autoAssign(workload('a', 'h', 128))).v4.length, 128);

  const mistaken = new Stage({ configuration: { strictAffinity: false, autoAllocateBlocks: false } });
  assert.equal(code(await mistaken.ipam().autoAssign(workload('a', 'h'))), 'ConfigurationInvalid');
});

test('NM-030: a block has 64 addresses, a node at most twenty blocks of a family, unless told otherwise', async () => {
  const usual = new Stage({ pools: [pool('v4', '10.0.0.0/16')] });
  const [first] = value(await usual.ipam().autoAssign(workload('a', 'h'))).v4;
  assert.match(first?.block ?? '', /\/26$/);
  assert.equal(usual.store.all('IPAMBlock')[0]?.spec.allocations?.length, 64);
  const strict = new Stage({
    pools: [pool('v4', '10.0.0.0/24', { blockSize: 32 })],
    configuration: { strictAffinity: true },
  });
  assert.equal(value(await strict.ipam().autoAssign(workload('a', 'h', 20))).v4.length, 20);
  assert.equal(code(await strict.ipam().autoAssign(workload('a', 'h2'))), 'BlockLimit');
  await strict.audit(new Set(['h']));
});

test('RS-049: an empty block of another node is taken when the pool has no other, after a minute', async () => {
  const clock = new VirtualClock(Date.parse('2026-01-01T00:00:00Z'));
  const stage = new Stage({
    pools: [pool('v4', '10.0.0.0/31', { blockSize: 32 })],
    clock,
    configuration: { strictAffinity: true },
  });
  const ipam = stage.ipam();
  value(await ipam.autoAssign(workload('a', 'a0')));
  value(await ipam.autoAssign(workload('b', 'b0')));
  value(await ipam.releaseByHandle('b0'));
  clock.advance(59_000);
  assert.equal(code(await ipam.autoAssign(workload('c', 'c0'))), 'NoAddresses');
  clock.advance(2000);
  value(await ipam.autoAssign(workload('c', 'c0')));
  await stage.audit(new Set(['a0', 'c0']));
});

test('RS-053: a released address rests for the cooldown', async () => {
  const clock = new VirtualClock(Date.parse('2026-01-01T00:00:00Z'));
  const stage = new Stage({
    pools: [pool('v4', '10.0.0.0/32', { blockSize: 32 })],
    nodes: ['a'],
    clock,
    configuration: { ipCooldownSeconds: 300 },
  });
  const ipam = stage.ipam();
  value(await ipam.autoAssign(workload('a', 'h1')));
  value(await ipam.releaseByHandle('h1'));
  assert.deepEqual(stage.store.all('IPAMBlock')[0]?.spec.attributes, [
    { releasedAt: '2026-01-01T00:00:00Z' },
  ]);
  await stage.audit(new Set());
  assert.equal(code(await ipam.autoAssign(workload('a', 'h2'))), 'NoAddresses');
  assert.deepEqual(value(await ipam.releaseAddresses([{ address: address('10.0.0.0') }])).unallocated, [
    '10.0.0.0',
  ]);
  clock.advance(300_000);
  value(await ipam.autoAssign(workload('a', 'h2')));
  await stage.audit(new Set(['h2']));
});

test('RS-051: a given address', async () => {
  const stage = new Stage({
    pools: [
      pool('auto', '10.0.0.0/24'),
      pool('manual', '10.1.0.0/24', { assignmentMode: 'Manual' }),
      pool('off', '10.2.0.0/24', { disabled: true }),
    ],
    configuration: { strictAffinity: true },
  });
  const ipam = stage.ipam();
  const ask = (text: string, nodeName: string, handleId: string) =>
    ipam.assignAddress({ address: address(text), nodeName, handleId, attributes: {} });
  assert.equal(value(await ask('10.1.0.7', 'a', 'h1')).block, '10.1.0.0/26');
  assert.equal(code(await ask('10.1.0.7', 'a', 'h2')), 'AlreadyAssigned');
  assert.equal(code(await ask('10.1.0.7', 'a', 'h1')), 'AlreadyAssigned');
  assert.equal(code(await ask('10.1.0.8', 'b', 'h3')), 'StrictAffinity');
  assert.equal(code(await ask('10.2.0.8', 'a', 'h3')), 'NotInPool');
  const kept = await ipam.assignAddress({
    address: address('10.1.0.7'),
    nodeName: 'a',
    handleId: 'h1',
    attributes: {},
    keepForSameHandle: true,
  });
  assert.equal(code(kept), 'ok');
  await stage.audit(new Set(['h1']));
  value(await ipam.releaseByHandle('h1'));
  value(await ask('10.1.0.7', 'a', 'h2'));
  await stage.audit(new Set(['h2']));
});

test('RS-054: a removed node leaves its addresses in use, in blocks of nobody', async () => {
  const stage = new Stage();
  const ipam = stage.ipam();
  value(await ipam.autoAssign(workload('a', 'h1', 1, 1)));
  value(await ipam.autoAssign(workload('b', 'h2')));
  value(
    await ipam.releaseAddresses([
      { address: [...stage.held()].find(([text]) => text.includes(':'))?.[0] as never },
    ]),
  );
  assert.equal(value(await ipam.releaseHost('a')), 2);
  assert.deepEqual(
    stage.store
      .all('IPAMBlock')
      .map(({ spec }) => spec.affinity)
      .toSorted((x) => (x === undefined ? 1 : -1)),
    ['host:b', undefined],
  );
  await stage.audit(new Set(['h1', 'h2']));
  value(await ipam.releaseByHandle('h1'));
  assert.equal(stage.store.all('IPAMBlock').length, 1, 'the last release deletes a block of nobody');
  await stage.audit(new Set(['h2']));
});

test('RS-056: a Windows node keeps the first three and the last address of each block', async () => {
  const stage = new Stage({
    pools: [pool('v4', '10.0.0.0/28', { blockSize: 29 })],
    configuration: { strictAffinity: true },
  });
  const request = { ...workload('a', 'h', 8), hostReservation: windowsReservation };
  const got = value(await stage.ipam().autoAssign(request)).v4.map(
    (a) => Number(a.address.split('.')[3]) % 8,
  );
  assert.deepEqual(new Set(got), new Set([3, 4, 5, 6]));
  value(await stage.ipam().releaseByHandle('h'));
  value(await stage.ipam().releaseHost('a'));
  assert.equal(stage.store.all('IPAMBlock').length, 0, 'kept addresses do not keep a block');
});

test('RS-057: when one family fails, the other is released', async () => {
  const stage = new Stage({
    pools: [pool('v4', '10.0.0.0/24'), pool('v6', 'fd00::/128', { blockSize: 128 })],
  });
  const ipam = stage.ipam();
  value(await ipam.autoAssign(workload('a', 'h1', 1, 1)));
  assert.equal(code(await ipam.autoAssign(workload('a', 'h2', 1, 1))), 'NoAddresses');
  await stage.audit(new Set(['h1']));
});

test('RS-035: reserved addresses are left out, except when asked for', async () => {
  const stage = new Stage({ pools: [pool('v4', '10.0.0.0/28', { blockSize: 30 })], nodes: ['a'] });
  stage.store.put('IPReservation', {
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPReservation',
    metadata: { name: 'r' },
    spec: { reservedCIDRs: ['10.0.0.0/29', '10.0.0.9/32', '10.0.0.10/31'] },
  });
  const ipam = stage.ipam();
  const got = value(await ipam.autoAssign({ ...workload('a', 'h', 16), allowPartial: true }))
    .v4.map((a) => a.address)
    .sort();
  assert.deepEqual(got, ['10.0.0.12', '10.0.0.13', '10.0.0.14', '10.0.0.15', '10.0.0.8']);
  value(
    await ipam.assignAddress({ address: address('10.0.0.1'), nodeName: 'a', handleId: 'x', attributes: {} }),
  );
  const [use] = value(await ipam.utilisation());
  assert.deepEqual([use?.total, use?.inUse, use?.reserved, use?.free], [16n, 6n, 10n, 0n]);
});

test('RS-055: pools by request, by node and by namespace', async () => {
  const stage = new Stage({
    pools: [
      pool('blue', '10.1.0.0/24', { namespaceSelector: "team == 'blue'" }),
      pool('rack', '10.2.0.0/24', { nodeSelector: "rack == '2'" }),
      pool('tunnel', '10.3.0.0/24', { allowedUses: ['Tunnel'] }),
    ],
    nodes: ['a'],
  });
  stage.store.put('Node', node('b', { rack: '2' }));
  stage.store.put('Namespace', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop', labels: { team: 'blue' } },
  });
  const ipam = stage.ipam();
  const poolFor = async (request: object): Promise<string> => {
    const result = await ipam.autoAssign({ ...workload('a', `h${Math.random()}`), ...request });
    return result.ok ? (result.value.v4[0]?.pool ?? '') : result.error.code;
  };
  assert.equal(await poolFor({ namespace: 'shop' }), 'blue');
  assert.equal(await poolFor({ namespace: 'other' }), 'PoolUnsuitable');
  assert.equal(await poolFor({ nodeName: 'b' }), 'rack');
  assert.equal(await poolFor({ nodeName: 'a', pools4: ['10.2.0.0/24'] }), 'rack');
  assert.equal(await poolFor({ intendedUse: 'Tunnel', nodeName: 'a' }), 'tunnel');
  assert.equal(await poolFor({ pools4: ['10.9.0.0/24'] }), 'PoolUnknown');
  assert.equal(await poolFor({ nodeName: 'nobody' }), 'NodeUnknown');
});

test('an address of a virtual owner belongs to no node', async () => {
  const stage = new Stage({ pools: [pool('lb', '10.0.0.0/24', { allowedUses: ['LoadBalancer'] })] });
  value(await stage.ipam().autoAssign({ ...workload('load-balancer', 'lb-1'), intendedUse: 'LoadBalancer' }));
  assert.equal(stage.store.all('IPAMBlock')[0]?.spec.affinity, 'virtual:load-balancer');
  assert.equal(stage.store.all('BlockAffinity')[0]?.spec.type, 'virtual');
  await stage.audit(new Set(['lb-1']));
});

test('an interrupted request of the same handle is replaced', async () => {
  const stage = new Stage();
  value(await stage.ipam().autoAssign(workload('a', 'h', 2)));
  const got = value(await stage.ipam().autoAssign({ ...workload('a', 'h'), replaceHandle: true })).v4;
  assert.deepEqual(
    [...stage.held().keys()],
    got.map((a) => a.address),
  );
  await stage.audit(new Set(['h']));
});

test('with a warm view an assignment is one handle write and one block write', async () => {
  const stage = new Stage();
  const view = new IpamCache();
  const syncer = startSyncer(stage.store.open(), {
    kinds: [...viewKinds, 'Node', 'Namespace'] as const,
    onUpdates: (updates) => view.apply(updates),
    logger: silentLogger,
  });
  await syncer.inSync();
  const calls: string[] = [];
  const ipam = stage.ipam({ faults: (call) => void calls.push(`${call.verb} ${call.kind}`) }, view);
  value(await ipam.autoAssign(workload('a', 'h0', 1, 1)));
  calls.length = 0;
  value(await ipam.autoAssign(workload('a', 'h1')));
  assert.deepEqual(calls, ['create IPAMHandle', 'update IPAMBlock']);
  calls.length = 0;
  value(await ipam.autoAssign(workload('a', 'h2', 1, 1)));
  assert.deepEqual(calls, ['create IPAMHandle', 'update IPAMBlock', 'update IPAMBlock']);
  calls.length = 0;
  value(await ipam.releaseByHandle('h1'));
  assert.deepEqual(calls, ['update IPAMBlock', 'delete IPAMHandle']);
  await syncer.stop();
});

test('what another client released in a full block is found before a new block is claimed', async () => {
  const clock = new VirtualClock(Date.parse('2026-01-01T00:00:00Z'));
  const stage = new Stage({ pools: [pool('v4', '10.0.0.0/29', { blockSize: 30 })], nodes: ['a'], clock });
  const ipam = stage.ipam();
  const got = value(await ipam.autoAssign(workload('a', 'h', 4))).v4;
  value(await stage.ipam().releaseAddresses([{ address: got[0]?.address as never }]));
  clock.advance(10_000);
  const next = value(await ipam.autoAssign(workload('a', 'next'))).v4[0];
  assert.equal(next?.address, got[0]?.address);
  assert.equal(stage.store.all('IPAMBlock').length, 1);
});

test('requests that come together share the writes of a block', async () => {
  const stage = new Stage();
  let writes = 0;
  const ipam = stage.ipam({
    latencyMs: 1,
    faults: (call) => {
      if (call.verb === 'update' && call.kind === 'IPAMBlock') writes++;
      return undefined;
    },
  });
  const results = await Promise.all(
    Array.from({ length: 200 }, (_, i) => ipam.autoAssign(workload('a', `h${i}`))),
  );
  const addresses = new Set(results.map((result) => value(result).v4[0]?.address));
  assert.equal(addresses.size, 200);
  assert.ok(writes <= 40, `${writes} writes for 200 assignments`);
  await stage.audit(new Set(results.map((_, i) => `h${i}`)));
});

test('blocks that Calico wrote are understood, and what broke in them is healed', async () => {
  const stage = new Stage({ pools: [pool('v4', '10.0.0.0/29', { blockSize: 29 })], nodes: ['a'] });
  stage.store.put('IPAMBlock', {
    apiVersion: 'crd.projectcalico.org/v1',
    kind: 'IPAMBlock',
    metadata: { name: '10-0-0-0-29' },
    spec: {
      cidr: '10.0.0.0/29',
      affinity: 'host:a',
      allocations: [0, 1, null, null, null, null, 7, null],
      attributes: [
        { handle_id: 'k8s-pod-network.one\r\neth0', secondary: { pod: 'one' } },
        { handle_id: 'k8s-pod-network.two', secondary: { pod: 'two' } },
      ],
      // 1 is in use, 7 is missing.
      unallocated: [5, 1, 2, 3, 4],
      strictAffinity: false,
      deleted: false,
      sequenceNumber: 1763722345123456789n,
      sequenceNumberForAllocation: { '0': 1763722345123456700n },
    },
  });
  stage.store.put('BlockAffinity', {
    apiVersion: 'crd.projectcalico.org/v1',
    kind: 'BlockAffinity',
    metadata: { name: 'a-10-0-0-0-29' },
    spec: { cidr: '10.0.0.0/29', node: 'a', state: '' },
  });
  const ipam = stage.ipam();
  const got = value(await ipam.autoAssign({ ...workload('a', 'h', 8), allowPartial: true })).v4.map(
    (a) => a.address,
  );
  assert.deepEqual(got, ['10.0.0.5', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.7']);
  const [affinity] = stage.store.all('BlockAffinity');
  assert.equal(
    affinity?.metadata.labels?.['projectcalico.org/ip-version'],
    '4',
    'old claims get their labels',
  );
  const spec = stage.store.all('IPAMBlock')[0]?.spec;
  assert.equal(spec?.sequenceNumber, 1763722345123456790n);
  assert.equal(spec?.sequenceNumberForAllocation?.['5'], 1763722345123456789n);
  const stale = { address: address('10.0.0.0'), sequenceNumber: 1763722345123456701n };
  assert.equal(code(await ipam.releaseAddresses([stale])), 'StaleRelease');
  const right = {
    address: address('10.0.0.0'),
    handleId: 'k8s-pod-network.one',
    sequenceNumber: 1763722345123456700n,
  };
  assert.deepEqual(value(await ipam.releaseAddresses([right])).released, ['10.0.0.0']);
});

test('objects whose deletion another client began count as gone', async () => {
  const stage = new Stage({ pools: [pool('v4', '10.0.0.0/29', { blockSize: 29 })], nodes: ['a'] });
  const ipam = stage.ipam();
  value(await ipam.autoAssign(workload('a', 'h')));
  const client = stage.store.open();
  for (const kind of ['IPAMHandle', 'IPAMBlock', 'BlockAffinity'] as const) {
    const [object] = stage.store.all(kind);
    assert.ok(object !== undefined);
    const marked = { ...object, spec: { ...object.spec, deleted: true } };
    assert.ok((await client.update(kind, marked as never)).ok);
  }
  value(await stage.ipam().autoAssign(workload('a', 'h')));
  await stage.audit(new Set(['h']));
});

test('RS-047, RS-030: claims on a whole prefix, except what others have', async () => {
  const stage = new Stage({ pools: [pool('v4', '10.0.0.0/24')] });
  const ipam = stage.ipam();
  value(
    await ipam.assignAddress({ address: address('10.0.0.1'), nodeName: 'a', handleId: 'h', attributes: {} }),
  );
  const answer = value(await ipam.claimBlocks(prefix('10.0.0.0/24'), 'b'));
  assert.deepEqual(answer.failed, ['10.0.0.0/26']);
  assert.equal(answer.claimed.length, 3);
  assert.equal(value(await ipam.ensureBlock({ nodeName: 'a', family: 4 })), '10.0.0.0/26');
  assert.equal(value(await ipam.releaseBlock(prefix('10.0.0.0/26'), 'a', { requireEmpty: true })), false);
  assert.equal(value(await ipam.releasePool(prefix('10.0.0.0/24'))), 4);
  assert.deepEqual(
    stage.store.all('IPAMBlock').map(({ spec }) => spec.cidr),
    ['10.0.0.0/26'],
  );
  await stage.audit(new Set(['h']));
});

test('RS-049: different nodes start in different blocks, always the same', async () => {
  const names = Array.from({ length: 20 }, (_, i) => `worker${i}`);
  const stage = new Stage({ nodes: names });
  const firsts = new Set<string>();
  for (const name of names) firsts.add(value(await stage.ipam().ensureBlock({ nodeName: name, family: 4 })));
  assert.equal(firsts.size, 20);
  const again = new Stage({ nodes: names });
  const first = value(await again.ipam().ensureBlock({ nodeName: 'worker0', family: 4 }));
  assert.ok(firsts.has(first) && containsAddress(prefix('10.0.0.0/16'), first.split('/')[0] as never));
});
