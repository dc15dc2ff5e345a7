// Names as Calico gives them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupChain, isOurChain, limitedName, policyChain, profileChain, setName } from './names.ts';

test('FX-034: a name of more than 28 characters ends in a hash; one that looks like a hash is hashed, too', () => {
  assert.equal(limitedName('cali-tw-', 'cali1234567890a'), 'cali-tw-cali1234567890a');
  assert.equal(limitedName('cali-tw-', 'a'.repeat(20)), `cali-tw-${'a'.repeat(20)}`);
  const long = limitedName('cali-tw-', 'a'.repeat(21));
  assert.match(long, /^cali-tw-_[\w-]{19}$/);
  assert.equal(long.length, 28);
  assert.match(limitedName('cali-tw-', `_${'a'.repeat(19)}`), /^cali-tw-_(?!a{19})/);
});

test('FX-033: chains of policies, profiles and groups, and sets', () => {
  assert.equal(policyChain({ kind: 'GlobalNetworkPolicy', name: 'all' }, 'ingress'), 'cali-pi-gnp/all');
  assert.match(
    policyChain({ kind: 'NetworkPolicy', namespace: 'shop', name: 'a-long-name-of-a-policy' }, 'egress'),
    /^cali-po-_/,
  );
  assert.equal(profileChain('kns.shop', 'egress'), 'cali-pro-kns.shop');
  const ids = [{ kind: 'GlobalNetworkPolicy', name: 'a' } as const];
  assert.match(groupChain('default', 'ingress', ids), /^cali-gi-[\w-]{20}$/);
  assert.equal(setName(4, 's:_YGOMzBy1Mr65BwkdzCAUEVUEuXKfULH8qYzAA'), 'cali40s:_YGOMzBy1Mr65BwkdzCAUEV');
  assert.equal(isOurChain('cali-pi-gnp/all'), true);
  assert.equal(isOurChain('calico-dhcp-x'), false);
});
