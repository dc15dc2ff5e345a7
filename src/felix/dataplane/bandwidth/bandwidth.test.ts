// Limits of bandwidth: what a row is as a bucket, and the table on the fake kernel through Felix's dataplane.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expect } from '../../../lib/result.ts';
import { until } from '../../../lib/wait.ts';
import { FakeHost, sameBucket } from '../../../kernel/mod.ts';
import { qosControlsOf } from '../../../model/mod.ts';
import type { EndpointPolicy } from '../../calc/mod.ts';
import { endpointKeys } from '../dataplane.ts';
import { bandwidthRows, bucketOf, limitDevice } from './rows.ts';
import { Bench, limits, withoutPod } from './testing.ts';

const endpointWith = (annotations: Readonly<Record<string, string>>): EndpointPolicy => {
  const named = Object.entries(annotations).map(([k, v]) => [
    k.includes('/') ? k : `qos.projectcalico.org/${k}`,
    v,
  ]);
  const { controls } = qosControlsOf(Object.fromEntries(named));
  return {
    key: 'workload default/a',
    type: 'workload',
    name: 'a',
    interfaceName: 'cali1',
    addresses: [],
    profiles: [],
    ...(controls === undefined ? {} : { limits: controls }),
    normal: [],
    forward: [],
    untracked: [],
    preDnat: [],
  };
};
const bucketsOf = (annotations: Readonly<Record<string, string>>, mtu = 1500) =>
  bandwidthRows(endpointWith(annotations)).map((row) => bucketOf(row, mtu));

test('FX-120: a limit is a bucket in bytes; what is not said is as Calico has it', () => {
  assert.deepEqual(bucketsOf({}), []);
  assert.deepEqual(bucketsOf({ ingressPacketRate: '5' }), []);
  assert.deepEqual(bucketsOf({ 'kubernetes.io/ingress-bandwidth': '40M', ingressBurst: '800k' }), [
    { rateBytesPerSecond: 5_000_000, burstBytes: 100_000, queueBytes: 225_000 },
  ]);
  // 4 Gi bits are 107 s of 40 Mbit/s, of which 256 KiB count for what may wait.
  assert.deepEqual(bucketsOf({ egressBandwidth: '40M' }), [
    { rateBytesPerSecond: 5_000_000, burstBytes: 2 ** 29, queueBytes: 125_000 + 2 ** 18 },
  ]);
  assert.deepEqual(
    bucketsOf(
      { ingressBandwidth: '1M', egressBandwidth: '8M', egressBurst: '80k', egressPeakrate: '16M' },
      1000,
    ),
    [
      { rateBytesPerSecond: 125_000, burstBytes: 34_250_000, queueBytes: 3125 + 2 ** 18 },
      {
        rateBytesPerSecond: 1_000_000,
        burstBytes: 10_000,
        queueBytes: 35_000,
        peak: { rateBytesPerSecond: 2_000_000, burstBytes: 1014 },
      },
    ],
  );
  const [own] = bucketsOf({ ingressBandwidth: '1M', ingressPeakrate: '2M', ingressMinburst: '5k' });
  assert.equal(own?.peak?.burstBytes, 5000);
});

test('NM-054, RS-190: from a thousand bits a second to a quadrillion, what a packet needs fits and the kernel can count it', () => {
  for (const bandwidth of ['1', '1k', '64k', '1G', '100G', '1P', '10P'])
    for (const burst of ['1', '1k', '1M', '4Gi', '32Gi', '1P']) {
      const [bucket] = bucketsOf({ ingressBandwidth: bandwidth, ingressBurst: burst });
      assert.ok(bucket);
      const { rateBytesPerSecond, burstBytes, queueBytes } = bucket;
      assert.ok(rateBytesPerSecond >= 125 && rateBytesPerSecond <= 125e12, bandwidth);
      assert.ok(burstBytes >= 1514 && burstBytes <= 0xffffffff, `${bandwidth} ${burst}`);
      assert.ok(queueBytes >= 1514 && queueBytes <= 0xffffffff);
      assert.ok((burstBytes / rateBytesPerSecond) * 1e9 <= 64 * 0xffffffff);
      assert.ok([rateBytesPerSecond, burstBytes, queueBytes].every(Number.isInteger));
    }
});

test('FX-120: the device beside an interface has the name that Calico gives it', () => {
  // sha512 of the name, in hexadecimal, cut to what a name may have.
  assert.equal(limitDevice('cali12345678901'), 'bwcali16fffcf1d');
  assert.equal(limitDevice('cali12345678901').length, 15);
});

const both = {
  ingressBandwidth: 40_000_000,
  ingressBurst: 800_000,
  egressBandwidth: 8_000_000,
  egressBurst: 80_000,
};
const device = limitDevice('calia');

const limited = { calia: 5_000_000, [device]: 1_000_000 };

test('FX-120: limits come with the interface, change while it runs, and go', async () => {
  await using bench = new Bench();
  await bench.start(limits(both));
  const status = bench.dataplane.status().bandwidth;
  assert.equal(status.counts.pending, 2, 'they wait for the interface');
  const keys = endpointKeys([], undefined, [], bench.dataplane.bandwidthKeys('workload default/a'));
  const done = bench.dataplane.whenDone(keys, 5000);
  await bench.veth('calia');
  expect(await done, 'ADD waits for them');
  await bench.becomes(limited, device);
  bench.update(limits({ ...both, egressBandwidth: 16_000_000 }));
  await bench.becomes({ ...limited, [device]: 2_000_000 }, device);
  bench.update(limits({ egressBandwidth: 8_000_000 }));
  await bench.becomes({ [device]: 1_000_000 }, device);
  bench.update(limits({ ingressBandwidth: 40_000_000 }));
  await bench.becomes({ calia: 5_000_000 }, undefined);
  assert.equal(await bench.link(device), undefined);
  bench.update(limits({}));
  await bench.becomes({}, undefined);
  assert.equal(bench.dataplane.status().bandwidth.counts.rows, 0);
});

test('FX-120: what others change is put right', async () => {
  await using bench = new Bench();
  const linkIndex = await bench.veth('calia');
  await bench.start(limits(both));
  await bench.becomes(limited, device);
  const other = { rateBytesPerSecond: 1e9, burstBytes: 1e6, queueBytes: 1e6 };
  const ifb = (await bench.link(device))?.index ?? 0;
  const { links, qdiscs, redirects } = bench.kernel;
  for (const harm of [
    () => qdiscs.applyBuckets([{ op: 'delete', linkIndex }]),
    () => qdiscs.applyBuckets([{ op: 'replace', linkIndex, bucket: other }]),
    () => qdiscs.applyBuckets([{ op: 'replace', linkIndex: ifb, bucket: other }]),
    () => redirects.apply([{ op: 'delete', redirect: { linkIndex, priority: 1, targetIndex: 0 } }]),
    () => links.change(ifb, { up: false }),
    () => links.delete([ifb]),
  ]) {
    await harm();
    await bench.becomes(limited, device);
    await until(async () => ((await bench.link(device))?.up ? true : undefined), { timeoutMs: 5000 });
    assert.equal((await bench.link(device))?.up, true);
  }
  bench.host.loseEvents();
  await links.change(linkIndex, { mtu: 9000 });
  await until(async () => ((await bench.link(device))?.mtu === 9000 ? true : undefined), { timeoutMs: 5000 });
  assert.equal((await bench.link(device))?.mtu, 9000, 'it follows the interface');
});

test('FX-120: a restart writes nothing anew, and takes away what pods that are gone left', async () => {
  const host = new FakeHost();
  {
    await using first = new Bench(host);
    await first.veth('calia');
    await first.start(limits(both));
    await first.becomes(limited, device);
  }
  const kernel = host.kernel();
  // A pod went while the agent was away; another is limited no more.
  const old = limitDevice('calib');
  expect(await kernel.links.create({ kind: 'ifb', name: limitDevice('calix'), up: true }), 'create');
  const bench = new Bench(host);
  const index = await bench.veth('calib');
  const left = expect(await kernel.links.create({ kind: 'ifb', name: old, up: true }), 'create');
  await kernel.redirects.apply([
    { op: 'replace', redirect: { linkIndex: index, priority: 1, targetIndex: left.index } },
  ]);
  const bucket = { rateBytesPerSecond: 1e6, burstBytes: 1e6, queueBytes: 1e6 };
  await kernel.qdiscs.applyBuckets([{ op: 'replace', linkIndex: index, bucket }]);
  // Another plugin's device, and a bucket on an interface that is no workload's, are none of ours.
  expect(await kernel.links.create({ kind: 'ifb', name: 'bwp0123', up: true }), 'create');
  const eth = await bench.veth('eth0');
  await kernel.qdiscs.applyBuckets([{ op: 'replace', linkIndex: eth, bucket }]);
  const before = (await bench.link(device))?.index;
  const writes: string[] = [];
  const applyBuckets = bench.kernel.qdiscs.applyBuckets.bind(bench.kernel.qdiscs);
  Object.assign(bench.kernel.qdiscs, {
    applyBuckets: (changes: Parameters<typeof applyBuckets>[0]) => {
      for (const { op, linkIndex } of changes) writes.push(`${op} ${linkIndex}`);
      return applyBuckets(changes);
    },
  });
  const applyRedirects = bench.kernel.redirects.apply.bind(bench.kernel.redirects);
  Object.assign(bench.kernel.redirects, {
    apply: (changes: Parameters<typeof applyRedirects>[0]) => {
      for (const { op, redirect } of changes) writes.push(`${op} redirect ${redirect.linkIndex}`);
      return applyRedirects(changes);
    },
  });
  await using _ = bench;
  await bench.start(limits(both));
  await bench.becomes({ ...limited, eth0: 1e6 }, device);
  assert.equal((await bench.link(device))?.index, before);
  assert.deepEqual(writes.toSorted(), [`delete ${index}`, `delete redirect ${index}`]);
  assert.equal(await bench.way('calib'), undefined);
  for (const name of [old, limitDevice('calix')]) assert.equal(await bench.link(name), undefined, name);
  assert.ok(await bench.link('bwp0123'));
});

test('FX-120: with its pod a limit goes, whichever of them goes first', async () => {
  await using bench = new Bench();
  for (const interfaceFirst of [true, false]) {
    const linkIndex = await bench.veth('calia');
    if (interfaceFirst) await bench.start(limits(both));
    else bench.update(limits(both));
    await bench.becomes(limited, device);
    if (interfaceFirst) await bench.kernel.links.delete([linkIndex]);
    if (interfaceFirst) await bench.settled();
    bench.update(withoutPod('a'));
    await until(async () => ((await bench.link(device)) === undefined ? true : undefined), {
      timeoutMs: 5000,
    });
    assert.equal(await bench.link(device), undefined);
    if (!interfaceFirst) await bench.kernel.links.delete([linkIndex]);
  }
});

test('FX-120: what the kernel refuses is told and tried again; it never runs without its limit unseen', async () => {
  const host = new FakeHost();
  await using bench = new Bench(host);
  await bench.veth('calia');
  await bench.start();
  host.fail({ operation: 'links.create', subject: device, errno: 95, text: 'Unknown device type', times: 2 });
  bench.update(limits({ egressBandwidth: 8_000_000, egressBurst: 80_000 }));
  const keys = endpointKeys([], undefined, [], bench.dataplane.bandwidthKeys('workload default/a'));
  const early = await bench.dataplane.whenDone(keys, 50);
  assert.ok(!early.ok);
  assert.match(early.error.message, new RegExp(`${device}: .*Unknown device type`));
  const [unfinished] = bench.dataplane.status().bandwidth.unfinished;
  assert.equal(unfinished?.[1].state, 'error');
  expect(await bench.dataplane.whenDone(keys, 5000), 'tried again');
  await bench.becomes({ [device]: 1_000_000 }, device);
  // A change that is refused leaves the limit that was.
  host.fail({ operation: 'qdiscs.applyBuckets', subject: device, errno: 22, times: 1000 });
  bench.update(limits({ egressBandwidth: 9_000_000, egressBurst: 80_000 }));
  await bench.settled();
  assert.deepEqual(await bench.rates(), { [device]: 1_000_000 });
  assert.ok(bench.dataplane.status().bandwidth.counters.failures >= 1);
});

test("FX-120: a limit takes over from the bandwidth plugin's, and leaves nothing of it", async () => {
  await using bench = new Bench();
  const linkIndex = await bench.veth('calia');
  const { links, qdiscs, redirects } = bench.kernel;
  const plugin = expect(await links.create({ kind: 'ifb', name: 'bwp0123', up: true }), 'create');
  const bucket = { rateBytesPerSecond: 1e6, burstBytes: 1e6, queueBytes: 1e6 };
  await redirects.apply([{ op: 'replace', redirect: { linkIndex, priority: 1, targetIndex: plugin.index } }]);
  await qdiscs.applyBuckets([{ op: 'replace', linkIndex: plugin.index, bucket }]);
  await bench.start();
  assert.equal(await bench.way(), 'bwp0123', 'it stays where nothing else is wanted');
  bench.update(limits(both));
  await bench.becomes(limited, device);
  assert.equal(await bench.link('bwp0123'), undefined);
  const [found] = expect(await qdiscs.list(linkIndex), 'queueing');
  const [row] = bandwidthRows({ ...endpointWith({}), limits: both });
  assert.ok(found?.bucket && row && sameBucket(found.bucket, bucketOf(row, 1500)));
});
