// Routes of a peer that is long gone (RFC 9494): kept as the last choice, told to those who know what that means.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { address, prefix } from '../../lib/ip/mod.ts';
import { encodeAttributes, encodeNlri, wellKnownCommunity, type Attributes } from '../packet/mod.ts';
import { createRib, type PeerId, type Rib, type RibPeerConfig } from './mod.ts';

const localAddress = address('10.0.0.1');
const peer = (n: number, more: Partial<RibPeerConfig> = {}): RibPeerConfig => ({
  name: `p${n}`,
  source: 'bgp',
  type: 'ebgp',
  address: address(`10.0.0.${n}`),
  routerId: address(`10.0.0.${n}`),
  localAs: 64512,
  peerAs: 65000 + n,
  families: [{ family: 4, localAddress }],
  longLivedAware: true,
  ...more,
});
const join = (rib: Rib, config: RibPeerConfig): PeerId => {
  const id = rib.addPeer(config);
  rib.peerUp(id, config);
  return id;
};
const say = (rib: Rib, id: PeerId, n: number, text: string, more: Partial<Attributes> = {}): void => {
  const attributes: Attributes = {
    origin: 0,
    asPath: [{ type: 'sequence', asns: [65000 + n] }],
    nextHop: address(`10.0.0.${n}`),
    ...more,
  };
  rib.update(id, {
    family: 4,
    attributes: encodeAttributes(attributes, { as4: true, nextHop: 'attribute' }),
    nlri: encodeNlri([{ prefix: prefix(text), pathId: 0 }], false),
  });
};
const flush = (rib: Rib): void => {
  while (!rib.flush(1000, () => true).done);
};
const best = (rib: Rib, text: string): string | undefined =>
  rib.explain(prefix(text)).paths.find((p) => p.best)?.peerName;
const told = (rib: Rib, id: PeerId): string[] => [...rib.announced(id, 4)].map((r) => r.prefix).sort();

test('long-lived stale routes: last choice, community, only for those who know it, and back to normal', () => {
  const rib = createRib({ routerId: localAddress });
  const one = join(rib, peer(2));
  const two = join(rib, peer(3));
  const aware = join(rib, peer(4));
  const unaware = join(rib, peer(5, { longLivedAware: false }));
  say(rib, one, 2, '10.1.0.0/24');
  say(rib, one, 2, '10.2.0.0/24');
  say(rib, one, 2, '10.3.0.0/24', { communities: [wellKnownCommunity.noLlgr] });
  say(rib, two, 3, '10.2.0.0/24', { asPath: [{ type: 'sequence', asns: [65003, 65010, 65011] }] });
  flush(rib);
  assert.equal(best(rib, '10.2.0.0/24'), 'p2', 'the shorter path');

  rib.peerDown(one, { stale: [4] });
  flush(rib);
  assert.equal(best(rib, '10.2.0.0/24'), 'p2', 'within the restart time nothing moves');
  rib.markLongLived(one, 4);
  rib.markLongLived(one, 4);
  flush(rib);
  assert.equal(best(rib, '10.1.0.0/24'), 'p2', 'there is nothing else');
  assert.equal(best(rib, '10.2.0.0/24'), 'p3', 'anything else wins');
  assert.equal(best(rib, '10.3.0.0/24'), undefined, 'NO_LLGR');
  assert.deepEqual(rib.explain(prefix('10.1.0.0/24')).paths[0]?.attributes.communities, [
    wellKnownCommunity.llgrStale,
  ]);
  assert.deepEqual(told(rib, aware), ['10.1.0.0/24', '10.2.0.0/24']);
  assert.deepEqual(told(rib, unaware), ['10.2.0.0/24']);

  rib.peerUp(one, peer(2));
  say(rib, one, 2, '10.2.0.0/24');
  rib.sweepStale(one, 4);
  flush(rib);
  assert.equal(best(rib, '10.1.0.0/24'), undefined);
  assert.equal(best(rib, '10.2.0.0/24'), 'p2');
  assert.deepEqual(told(rib, unaware), ['10.2.0.0/24']);
});
