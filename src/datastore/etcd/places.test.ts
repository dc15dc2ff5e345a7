import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { affinityLabels, affinityName, blockName } from '../../ipam/mod.ts';
import { type Prefix, prefix } from '../../lib/ip/mod.ts';
import { allKinds, kindDefinition, type KindName } from '../../model/mod.ts';
import { entryOf, objectOf } from './entries.ts';
import { placeOf } from './places.ts';
import type { StoredObject } from './types.ts';

const stored = (key: string, value: string) => ({ key, value, createRevision: '1', modRevision: '1' });
const place = (kind: KindName) => {
  const found = placeOf(kind);
  assert.ok(found !== undefined, kind);
  return found;
};
const resource = (kind: string, name: string, spec: object, namespace?: string): StoredObject => ({
  apiVersion: 'projectcalico.org/v3',
  kind,
  metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
  spec,
});

test('RS-006: keys of every kind of Calico, as its own library has them', () => {
  const root = '/calico/resources/v3/projectcalico.org';
  const keys: Partial<Record<KindName, string | undefined>> = {};
  for (const kind of allKinds) {
    const { namespaced } = kindDefinition(kind);
    keys[kind] = placeOf(kind)?.keysOf(namespaced ? { name: 'n', namespace: 's' } : { name: 'n' })[0];
  }
  assert.equal(keys.Node, `${root}/nodes/n`);
  assert.equal(keys.GlobalNetworkPolicy, `${root}/globalnetworkpolicies/n`);
  assert.equal(keys.NetworkPolicy, `${root}/networkpolicies/s/n`);
  assert.equal(keys.WorkloadEndpoint, `${root}/workloadendpoints/s/n`);
  assert.equal(keys.BGPFilter, `${root}/bgpfilters/n`);
  assert.equal(keys.CalicoNodeStatus, `${root}/caliconodestatuses/n`);
  for (const kind of ['Pod', 'KubernetesNode', 'Service', 'KubernetesNetworkPolicy'] as const)
    assert.equal(placeOf(kind), undefined, kind);
  const spec = (of: object): StoredObject => resource('', '', of);
  assert.equal(
    place('IPAMBlock').keyOf(spec({ cidr: 'fd00:10::/122' })),
    '/calico/ipam/v2/assignment/ipv6/block/fd00:10::-122',
  );
  assert.equal(
    place('BlockAffinity').keyOf(spec({ node: 'load-balancer', type: 'virtual', cidr: '10.0.0.0/26' })),
    '/calico/ipam/v2/virtual/load-balancer/ipv4/block/10.0.0.0-26',
  );
  assert.equal(place('IPAMHandle').keyOf(spec({ handleID: 'Net.A' })), '/calico/ipam/v2/handle/Net.A');
  assert.equal(place('IPAMConfiguration').keysOf({ name: 'default' })[0], '/calico/ipam/v2/config');
});

const v4 = fc
  .tuple(fc.nat(255), fc.nat(255), fc.nat(255), fc.integer({ min: 20, max: 32 }))
  .map(([a, b, c, length]) => `10.${a}.${b}.${length >= 24 ? 0 : c & 0xf0}/${length}`);
const v6 = fc
  .tuple(fc.nat(0xffff), fc.nat(0xffff), fc.integer({ min: 116, max: 128 }))
  .map(([a, b, length]) => `fd00:${a.toString(16)}::${b.toString(16)}:0/${length}`);
const cidr = fc
  .oneof(v4, v6)
  .map((text): Prefix | undefined => {
    try {
      return prefix(text);
    } catch {
      return undefined;
    }
  })
  .filter((one) => one !== undefined);
/** Names that end like addresses, too. */
const node = fc.oneof(
  fc.stringMatching(/^[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?$/),
  fc.constantFrom('n', 'node-10-0-0', 'fd00--1', 'a-fd00-1', '10.0.0.1', 'x'.repeat(250)),
);

test('RS-006: claims are found by their names, whatever the names of nodes look like', () => {
  fc.assert(
    fc.property(node, cidr, fc.constantFrom('host', 'virtual'), (name, block, type) => {
      const owner = { type: type as 'host' | 'virtual', name };
      const claims = place('BlockAffinity');
      const claim = resource('BlockAffinity', affinityName(owner, block), {
        state: 'confirmed',
        node: name,
        type,
        cidr: block,
        deleted: false,
      });
      const key = claims.keyOf(claim) ?? '';
      const isFound = claims.keysOf({ name: claim.metadata.name }).includes(key);
      assert.ok(isFound || claims.mayHide({ name: claim.metadata.name }), key);
      assert.deepEqual(claims.nameOf(key), { name: claim.metadata.name });
      const read = claims.decode(stored(key, claims.encode(claim)));
      assert.ok(read.ok);
      assert.deepEqual(read.value, {
        ...claim,
        metadata: { name: claim.metadata.name, labels: affinityLabels(owner, block) },
      });
      const blocks = place('IPAMBlock');
      assert.deepEqual(blocks.keysOf({ name: blockName(block) }), [
        blocks.keyOf(resource('IPAMBlock', '', { cidr: block })),
      ]);
    }),
    { numRuns: 300 },
  );
});

test('what is read and written again is the same, numbers of 64 bits and unknown fields included', () => {
  const value =
    '{"cidr":"10.0.0.0/31","affinity":"host:a","allocations":[0,null],"unallocated":[1],"attributes":[{"handle_id":"h","secondary":{"node":"a"}}],"sequenceNumber":1763722345123456789,"sequenceNumberForAllocation":{"0":1763722345123456788},"deleted":false,"fromTheFuture":1}';
  const key = '/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-31';
  const read = place('IPAMBlock').decode(stored(key, value));
  assert.ok(read.ok);
  const again = place('IPAMBlock').encode(read.value);
  assert.ok(again.includes('1763722345123456789') && again.includes('"fromTheFuture":1'));
  const old = place('IPAMBlock').decode(
    stored(
      key,
      '{"cidr":"10.0.0.0/31","hostAffinity":"a","affinity":null,"allocations":null,"unallocated":null,"attributes":null}',
    ),
  );
  assert.ok(old.ok);
  assert.deepEqual(old.value.spec, {
    cidr: '10.0.0.0/31',
    affinity: 'host:a',
    allocations: [],
    unallocated: [],
    attributes: [],
  });
  const entry = entryOf('IPAMHandle', {
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPAMHandle',
    metadata: { name: 'net.a' },
    spec: { handleID: 'Net.A', block: { '10.0.0.0/31': 1 } },
  });
  assert.deepEqual(entry, {
    key: '/calico/ipam/v2/handle/Net.A',
    value: { block: { '10.0.0.0/31': 1 }, deleted: false },
  });
  const handle = objectOf('IPAMHandle', entry);
  assert.ok(handle.ok && handle.value.metadata.name === 'net.a' && handle.value.spec.handleID === 'Net.A');
});

test('policies: the name that users know, in the key, in the annotation, or behind the old prefix', () => {
  const policies = place('GlobalNetworkPolicy');
  const nameOf = (keyName: string, object: object): string => {
    const key = `/calico/resources/v3/projectcalico.org/globalnetworkpolicies/${keyName}`;
    const read = policies.decode(stored(key, JSON.stringify(object)));
    assert.ok(read.ok);
    assert.doesNotMatch(JSON.stringify(read.value.metadata), /projectcalico.org\/metadata/);
    return read.value.metadata.name;
  };
  const told = { annotations: { 'projectcalico.org/metadata': '{"name":"default.p"}' } };
  assert.equal(nameOf('p', { spec: {} }), 'p');
  assert.equal(nameOf('default.p', { spec: {} }), 'p');
  assert.equal(nameOf('default.p', { metadata: told, spec: {} }), 'default.p');
  assert.equal(nameOf('default.p', { spec: { tier: 'default' } }), 'p');
  assert.equal(nameOf('security.p', { spec: { tier: 'security' } }), 'security.p');
  assert.deepEqual(policies.keysOf({ name: 'a/b' }), []);
});
