import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expect } from '../../../lib/result.ts';
import { parsePrefix, type Prefix } from '../../../lib/ip/mod.ts';
import { leftovers, type Machine } from './other-network.ts';

const none: Machine = { configurations: [], links: [], routes: [] };
const prefix = (text: string): Prefix => expect(parsePrefix(text), text);
const route = (dst: string, protocol: number, more: object = {}): Machine['routes'][number] => ({
  dst: prefix(dst),
  type: 'unicast',
  protocol,
  priority: 0,
  gateway: '10.0.0.2',
  device: 'eth0',
  ...more,
});
const file = (path: string, value: unknown): Machine['configurations'][number] => ({
  path,
  text: typeof value === 'string' ? value : JSON.stringify(value),
});

test('SR-229: files of other networks, and whether they come first; helpers and our own are none', () => {
  const configurations = [
    file('/n/05-flannel.conflist', { plugins: [{ type: 'flannel' }, { type: 'portmap' }] }),
    file('/n/10-calico.conflist', { plugins: [{ type: 'calico' }, { type: 'portmap' }] }),
    file('/n/20-bridge.conf', { type: 'bridge' }),
    file('/n/99-loopback.conf', { type: 'loopback' }),
    file('/n/broken.conf', '{'),
  ];
  assert.deepEqual(leftovers({ ...none, configurations }), [
    '/n/05-flannel.conflist is a network of the plugin flannel, which the runtime takes before Calico; when it is no longer in use: rm /n/05-flannel.conflist',
    '/n/20-bridge.conf is a network of the plugin bridge; when it is no longer in use: rm /n/20-bridge.conf',
  ]);
});

test('SR-229: devices of other networks', () => {
  assert.deepEqual(leftovers({ ...none, links: ['lo', 'eth0', 'flannel.1', 'vxlan.calico'] }), [
    'the device flannel.1 belongs to flannel; when it is gone: ip link delete flannel.1',
  ]);
});

test('SR-229: routes of a gateway that come before ours: the same or a part, with no higher metric', () => {
  const ours = [
    route('192.168.1.0/26', 12, { priority: 1024 }),
    route('192.168.2.0/26', 12, { type: 'blackhole' }),
    route('192.168.3.0/26', 80, { device: 'tunl0' }),
    route('192.168.2.7/32', 3, { device: 'vxlan.calico' }),
  ];
  const others = [
    route('0.0.0.0/0', 3),
    route('192.168.1.0/26', 4),
    route('192.168.1.0/26', 4, { priority: 2048 }),
    route('192.168.1.0/24', 3),
    route('192.168.2.0/27', 3),
    route('10.9.0.0/24', 3),
  ];
  assert.deepEqual(
    leftovers({ ...none, routes: [...ours, ...others] }).map((line) => line.split(': ').at(-1)),
    ['ip route delete 192.168.1.0/26 via 10.0.0.2', 'ip route delete 192.168.2.0/27 via 10.0.0.2'],
  );
});
