// What a way really carries, found on the real kernel: a router in the middle that has less room, and one that does not say so.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/lib/clock.ts';
import type { Address } from '../../src/lib/ip/mod.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { expect } from '../../src/lib/result.ts';
import { type NarrowPath, PathMtu } from '../../src/felix/agent/mod.ts';
import { unable } from './support/felix-node.ts';
import { OverlayHosts } from './support/overlay-hosts.ts';

const skip = unable('nft') ?? false;
const far = { 4: '10.2.0.1' as Address, 6: 'fd02::1' as Address } as const;

async function hosts(): Promise<OverlayHosts> {
  const made = await OverlayHosts.make();
  for (const n of [1, 2] as const) {
    made.ip(`h${n}`, `-6 addr add fd0${n}::1/64 dev eth0 nodad`);
    made.ip('router', `-6 addr add fd0${n}::fe/64 dev r${n} nodad`);
    made.ip(`h${n}`, `-6 route add default via fd0${n}::fe`);
  }
  made.sysctl('router', 'net/ipv6/conf/all/forwarding', '1');
  made.ip('router', 'link set r2 mtu 1413');
  return made;
}
/** The router stays silent about what it cannot forward. */
const silence = async (made: OverlayHosts): Promise<void> => {
  const rules = [
    'add table inet silent',
    'add chain inet silent out { type filter hook output priority 0; }',
    'add rule inet silent out icmp type destination-unreachable drop',
    'add rule inet silent out icmpv6 type { destination-unreachable, packet-too-big } drop',
  ];
  const { code, output } = await made.run('router', 'nft', rules.join('; '));
  assert.equal(code, 0, output);
};

test('FX-093: a probe arrives, is told to be too big, or vanishes', { skip }, async () => {
  await using made = await hosts();
  const { paths } = made.kernel('h1');
  const answer = async (to: Address, bytes: number): Promise<string> =>
    expect(await paths.probe(to, bytes, { timeoutMs: 20_000 }), `${to} ${bytes}`);
  for (const to of [far[4], far[6]]) {
    assert.equal(await answer(to, 104), 'arrived');
    assert.equal(await answer(to, 1413), 'arrived');
    assert.equal(await answer(to, 1414), 'too-big');
    assert.equal(await answer(to, 1501), 'too-big', 'more than the own interface takes');
  }
  await silence(made);
  for (const to of [far[4], far[6]]) {
    assert.equal(expect(await paths.probe(to, 1414, { timeoutMs: 300 }), to), 'silent');
    assert.equal(await answer(to, 1413), 'arrived');
  }
  const nobody = await paths.probe('10.2.0.77' as Address, 100, { timeoutMs: 100 });
  assert.equal(expect(nobody, 'nobody'), 'silent');
});

test('FX-093: the size that a silent way carries is found to the byte, in both families', {
  skip,
}, async () => {
  await using made = await hosts();
  await silence(made);
  const told: NarrowPath[] = [];
  const { paths } = made.kernel('h1');
  const probes = new PathMtu({
    nodeName: 'h1',
    // What is lost is lost at once; what passes may take its time on a machine under load.
    paths: {
      probe: (to, bytes) => paths.probe(to, bytes, { timeoutMs: bytes > 1413 ? 100 : 10_000 }),
    },
    clock: systemClock,
    logger: silentLogger,
    firstAfterMs: 1,
    everyMs: 60_000,
    wantedMtu: () => 1500,
    onNarrow: (path) => void told.push(path),
    onRestored: ({ address }) => assert.fail(address),
  });
  probes.take([
    {
      type: 'set',
      kind: 'Node',
      object: {
        metadata: { name: 'h2' },
        spec: { bgp: { ipv4Address: `${far[4]}/24`, ipv6Address: `${far[6]}/64` } },
      } as never,
    },
  ]);
  await probes.round();
  assert.deepEqual(
    told.map(({ address, mtu }) => [address, mtu]),
    [
      [far[4], 1413],
      [far[6], 1413],
    ],
  );
});
