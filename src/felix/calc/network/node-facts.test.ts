// What a pool is to routes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { poolFacts } from './node-facts.ts';

const pool = (spec: object) =>
  poolFacts({ apiVersion: 'projectcalico.org/v3', kind: 'IPPool', metadata: { name: 'p' }, spec } as never);

test('the overlay of a pool: VXLAN also where it names both, none where it says Never', () => {
  const typeOf = (modes: object) => pool({ cidr: '10.20.0.0/16', ...modes })?.type;
  assert.equal(typeOf({}), 'no-encap');
  assert.equal(typeOf({ ipipMode: 'Never', vxlanMode: 'Never' }), 'no-encap');
  assert.equal(typeOf({ ipipMode: 'Always', vxlanMode: 'Never' }), 'ipip');
  assert.equal(typeOf({ ipipMode: 'Never', vxlanMode: 'CrossSubnet' }), 'vxlan');
  assert.equal(typeOf({ ipipMode: 'Always', vxlanMode: 'Always' }), 'vxlan');
  assert.equal(pool({ cidr: '10.20.0.0' }), undefined);
});
