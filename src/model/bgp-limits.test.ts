// How much fits into the resources of BGP.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KindName } from './kinds/mod.ts';
import { kindDefinition } from './registry.ts';
import { validate } from './validate.ts';

const problems = (kind: KindName, spec: object): number => {
  const { apiVersion, kind: word } = kindDefinition(kind);
  return validate(kind, { apiVersion, kind: word, metadata: { name: 'default' }, spec }).length;
};
const many = <T>(count: number, make: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));

test('NM-009: 500 communities and prefixes, 50 communities of a prefix', () => {
  const names = (count: number) => ({
    communities: many(count, (i) => ({ name: `c${i}`, value: `1:${i}` })),
    prefixAdvertisements: many(Math.ceil(count / 50), (i) => ({
      cidr: `10.0.${i}.0/24`,
      communities: many(Math.min(50, count - i * 50), (k) => `c${i * 50 + k}`),
    })),
  });
  const prefixes = (count: number) => ({
    prefixAdvertisements: many(count, (i) => ({
      cidr: `10.${i >> 8}.${i & 255}.0/24`,
      communities: ['1:2'],
    })),
  });
  const of = (count: number) => ({
    prefixAdvertisements: [{ cidr: '10.0.0.0/24', communities: many(count, (i) => `1:${i}`) }],
  });
  for (const [make, most] of [
    [names, 500],
    [prefixes, 500],
    [of, 50],
  ] as const) {
    assert.equal(problems('BGPConfiguration', make(most)), 0);
    assert.notEqual(problems('BGPConfiguration', make(most + 1)), 0);
  }
});

test('NM-009: 1 to 10 operations of a rule, 1 to 10 AS numbers put in front', () => {
  const rule = (operations: object[]) => ({ exportV4: [{ action: 'Accept', operations }] });
  const add = (i: number) => ({ addCommunity: { value: `1:${i}` } });
  const path = (count: number) => [{ prependASPath: { prefix: many(count, (i) => 65001 + i) } }];
  for (const count of [1, 10]) {
    assert.equal(problems('BGPFilter', rule(many(count, add))), 0);
    assert.equal(problems('BGPFilter', rule(path(count))), 0);
  }
  for (const count of [0, 11]) {
    assert.notEqual(problems('BGPFilter', rule(many(count, add))), 0);
    assert.notEqual(problems('BGPFilter', rule(path(count))), 0);
  }
});
