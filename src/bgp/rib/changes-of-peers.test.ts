// Peers whose configuration changes while they are up: nothing piles up, and nothing that was held back is lost.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { address, prefix } from '../../lib/ip/mod.ts';
import type { PolicyProgram } from '../policy/mod.ts';
import { createRib, type PeerId, type Rib, type RibPeerConfig } from './mod.ts';

const config = (n: number, more: Partial<RibPeerConfig> = {}): RibPeerConfig => ({
  name: `p${n}`,
  source: 'bgp',
  type: 'ibgp',
  address: address(`10.0.0.${n}`),
  routerId: address(`10.0.0.${n}`),
  localAs: 64512,
  families: [
    { family: 4, localAddress: address('10.0.0.1') },
    { family: 6, localAddress: address('fd00::1') },
  ],
  ...more,
});
const flush = (rib: Rib, sink: (peer: PeerId) => boolean = () => true): void => {
  while (!rib.flush(1000, sink).done);
};
/** Accepts one block more with every number, and marks it. */
const policy = (n: number): PolicyProgram => ({
  name: 'export',
  rules: [
    {
      name: 'block',
      when: [
        { match: 'prefix', any: [{ prefix: prefix(`10.${n >> 8}.${n & 255}.0/24`), min: 24, max: 32 }] },
      ],
      actions: [{ do: 'addCommunity', value: `1:${n}` }],
    },
  ],
  otherwise: 'accept',
});

test('policies that nobody runs any more are forgotten, those in use go on', () => {
  const rib = createRib({ routerId: address('10.0.0.1') });
  const own = rib.addPeer({ name: 'static', source: 'static' });
  const withPolicy = (n: number): RibPeerConfig =>
    config(2, {
      families: [
        { family: 4, localAddress: address('10.0.0.1'), importPolicy: policy(0), exportPolicy: policy(n) },
      ],
    });
  const peer = rib.addPeer(withPolicy(0));
  rib.peerUp(peer, withPolicy(0));
  for (let n = 1; n <= 300; n++) {
    rib.announceLocal(own, { prefix: prefix(`10.${n >> 8}.${n & 255}.0/24`) });
    rib.changePeer(peer, withPolicy(n));
    flush(rib);
    const told = [...rib.announced(peer, 4)];
    assert.equal(told.length, n);
    const marked = told.filter((route) => route.attributes.communities?.includes(0x10000 + n));
    assert.deepEqual(
      marked.map((route) => route.prefix),
      [`10.${n >> 8}.${n & 255}.0/24`],
    );
    assert.ok(rib.counts().policies < 40, `${rib.counts().policies} compiled policies after ${n} changes`);
  }
});

test('a peer that loses one family while it is held back still gets what it missed of the other', () => {
  const rib = createRib({ routerId: address('10.0.0.1') });
  const own = rib.addPeer({ name: 'static', source: 'static' });
  const peer = rib.addPeer(config(2));
  rib.peerUp(peer, config(2));
  flush(rib);
  rib.pause(peer);
  rib.announceLocal(own, { prefix: prefix('fd01::/64') });
  flush(rib);
  rib.resume(peer);
  rib.changePeer(
    peer,
    config(2, { families: [{ family: 4 }, { family: 6, localAddress: address('fd00::1') }] }),
  );
  let sent = 0;
  flush(rib, () => {
    sent++;
    return true;
  });
  assert.equal(sent, 1);
  assert.equal(rib.pending, false);
});

test('a family without an address of ours is told everything once there is one', () => {
  const rib = createRib({ routerId: address('10.0.0.1') });
  const own = rib.addPeer({ name: 'static', source: 'static' });
  rib.announceLocal(own, { prefix: prefix('fd01::/64') });
  const receiveOnly = config(2, {
    families: [{ family: 4, localAddress: address('10.0.0.1') }, { family: 6 }],
  });
  const peer = rib.addPeer(receiveOnly);
  rib.peerUp(peer, receiveOnly);
  flush(rib);
  assert.deepEqual([...rib.announced(peer, 6)], []);
  rib.changePeer(peer, config(2));
  flush(rib);
  assert.deepEqual(
    [...rib.announced(peer, 6)].map((route) => `${route.prefix} ${route.nextHop}`),
    ['fd01::/64 fd00::1'],
  );
});
