// ARP and NDP for addresses of the own subnet on the fake kernel, and the bytes of announcements (FX-086).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../../lib/clock.ts';
import { address, type Address } from '../../../lib/ip/mod.ts';
import { expect } from '../../../lib/result.ts';
import { FakeHost } from '../../../kernel/mod.ts';
import { CalculationGraph, type CalcUpdate } from '../../calc/mod.ts';
import { Dataplane } from '../dataplane.ts';
import { announcement } from './announcement.ts';

const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex');
const mac = [2, 0, 0, 0, 0, 1];

test('FX-086: announcements byte by byte', () => {
  assert.equal(
    hex(announcement(address('10.0.0.7'), mac, undefined)),
    'ffffffffffff020000000001080600010800060400010200000000010a0000070000000000000a000007',
  );
  const frame = announcement(address('fd00::7'), mac, address('fe80::1'));
  assert.equal(
    hex(frame).replace(/^(.{112}).{4}/, '$1····'),
    '333300000001' +
      '020000000001' +
      '86dd' +
      '60000000' +
      '00203aff' +
      'fe800000000000000000000000000001' +
      'ff020000000000000000000000000001' +
      '8800····20000000' +
      'fd000000000000000000000000000007' +
      '0201020000000001',
  );
  // With its checksum the message and the pseudo header sum up to all ones.
  const words = [...(frame ?? new Uint8Array()).subarray(22, 86)];
  let sum = 32 + 58;
  for (let i = 0; i < words.length; i += 2) sum += ((words[i] ?? 0) << 8) | (words[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  assert.equal(sum, 0xffff);
  assert.equal(announcement(address('fd00::7'), mac, undefined), undefined);
});

const set = (kind: string, name: string, spec: object): CalcUpdate =>
  ({ type: 'set', kind, object: { kind, metadata: { name, namespace: 'default' }, spec } }) as never;
const pod = set('WorkloadEndpoint', 'a', {
  node: 'n1',
  interfaceName: 'calia',
  ipNetworks: ['10.0.0.7/32'],
  containerID: 'a',
});

test('FX-086: announced when it comes and every refresh interval, 0 never; entries of others stay', async () => {
  const host = new FakeHost();
  const kernel = host.kernel();
  const clock = new VirtualClock();
  const link = expect(
    await kernel.links.create({
      name: 'eth0',
      kind: 'veth',
      mac: '02:00:00:00:00:01',
      up: true,
      peer: { name: 'p' },
    }),
    'eth0',
  );
  const own = { address: '10.0.0.1' as Address, length: 24, linkIndex: link.index };
  await kernel.addresses.apply([{ op: 'add', address: own }]);
  const proxy = { linkIndex: link.index, state: 'permanent', proxy: true } as const;
  const left = { ...proxy, address: '10.0.0.9' as Address, protocol: 80 };
  const others = { ...proxy, address: '10.0.0.8' as Address };
  await kernel.neighbours.apply([left, others].map((neighbour) => ({ op: 'replace', neighbour })));
  const graph = new CalculationGraph({ nodeName: 'n1' });
  const dataplane = new Dataplane({ kernel, clock });
  const configure = (more: object): void => {
    graph.update(
      set('FelixConfiguration', 'default', { localSubnetL2Reachability: 'PodsAndLoadBalancers', ...more }),
    );
    dataplane.apply(graph.flush());
  };
  graph.update(set('IPPool', 'p', { cidr: '10.0.0.0/24' }));
  graph.update(pod);
  configure({ routeRefreshInterval: '0s' });
  expect(await dataplane.start(), 'start');
  const settled = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) {
      clock.advance(20);
      await dataplane.idle();
    }
  };
  await settled();
  const entries = async (): Promise<readonly string[]> =>
    expect(await kernel.neighbours.list({ proxy: true }), 'list')
      .map((n) => n.address)
      .toSorted();
  assert.deepEqual(await entries(), ['10.0.0.7', '10.0.0.8'], 'what an earlier run left is gone');
  assert.equal(host.sentFrames().length, 1);
  clock.advance(119_000);
  assert.equal(host.sentFrames().length, 1);
  clock.advance(2_000);
  await settled();
  assert.deepEqual(
    host.sentFrames().map(({ frame }) => hex(frame)),
    Array.from({ length: 2 }, () => hex(announcement(address('10.0.0.7'), mac, undefined))),
  );
  configure({ routeRefreshInterval: '0s', localSubnetL2ReachabilityRefreshInterval: '0s' });
  clock.advance(500_000);
  await settled();
  assert.equal(host.sentFrames().length, 2);
  await dataplane.stop();
});
