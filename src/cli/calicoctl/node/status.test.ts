// The table of sessions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PeerStatus } from '../../../bgp/speaker/mod.ts';
import { atLeast, ipipVerdict, wireguardVerdict } from './checksystem.ts';
import { peerTable } from './status.ts';

test('SR-203: sessions as calicoctl shows them', () => {
  const peer = (
    address: string,
    kind: string,
    state: string,
    since: string,
    reasonText?: string,
  ): PeerStatus =>
    ({
      address,
      kind,
      state,
      since,
      ...(reasonText === undefined ? {} : { reasonText }),
    }) as unknown as PeerStatus;
  const now = new Date(2026, 5, 1, 12, 0, 0);
  const today = new Date(2026, 5, 1, 8, 42, 48).toISOString();
  const earlier = new Date(2026, 4, 30, 8, 0, 0).toISOString();
  assert.equal(
    peerTable(
      [
        peer('10.0.0.1', 'node-peer', 'Established', today),
        peer('10.0.0.2', 'node-mesh', 'Active', earlier, 'no route'),
      ],
      now,
    ),
    [
      '+--------------+-------------------+-------+------------+-----------------+',
      '| PEER ADDRESS |     PEER TYPE     | STATE |   SINCE    |      INFO       |',
      '+--------------+-------------------+-------+------------+-----------------+',
      '| 10.0.0.1     | node specific     | up    | 08:42:48   | Established     |',
      '| 10.0.0.2     | node-to-node mesh | start | 2026-05-30 | Active no route |',
      '+--------------+-------------------+-------+------------+-----------------+',
      '',
    ].join('\n'),
  );
});

test('versions of kernels', () => {
  assert.deepEqual(
    ['6.1.0-13-amd64', '5.4.0', '5.3.9', '4.19', 'strange'].map((one) => atLeast(one, [5, 4])),
    [true, true, false, false, false],
  );
});

test('CT-043: node checksystem says which IPIP is in use, and why', () => {
  assert.match(ipipVerdict(true, []).words, /own tunl0, as it has the module ipip/);
  assert.match(ipipVerdict(false, []).words, /eBPF programs .* no module ipip/);
  assert.deepEqual(ipipVerdict(false, ['CONFIG_IFB']).isPossible, false);
  assert.match(ipipVerdict(false, ['CONFIG_IFB']).words, /CONFIG_IFB/);
});

test('OT-080: checksystem says which WireGuard there is, or that traffic would be clear', () => {
  assert.match(wireguardVerdict(true, {}).words, /the kernel's own/);
  assert.match(wireguardVerdict(false, { a: true, b: true }).words, /wireguard-go, as this kernel has no/);
  const none = wireguardVerdict(false, { 'the program': false, 'the device': true });
  assert.equal(none.isPossible, false);
  assert.match(none.words, /the program is not there .* clear text/);
});
