// Limits of what policy may say, each from both sides.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSelector } from '../selector/mod.ts';
import { builtInTiers, type KindName, kindDefinition, networkPolicyToCalico, validate } from './mod.ts';

const refused = (kind: KindName, spec: object, name = 'x', metadata: object = {}): readonly string[] => {
  const { apiVersion, kind: word, namespaced } = kindDefinition(kind);
  const object = {
    apiVersion,
    kind: word,
    metadata: { name, ...(namespaced ? { namespace: 'ns' } : {}), ...metadata },
    spec,
  };
  return validate(kind, object).map(({ field }) => field);
};
const many = <T>(count: number, make: (i: number) => T): readonly T[] =>
  Array.from({ length: count }, (_, i) => make(i));
const rule = (entity: object): object => ({
  ingress: [{ action: 'Allow', protocol: 'TCP', source: entity }],
});
const net = (i: number): string => `10.${i >> 8}.${i & 255}.0/24`;

test('NM-020: rules, networks, ports, selectors, labels, annotations and names of tiers have a most', () => {
  const source = 'spec.ingress[0].source';
  for (const direction of ['ingress', 'egress']) {
    const rules = (count: number) => ({ [direction]: many(count, () => ({ action: 'Allow' })) });
    assert.deepEqual(refused('GlobalNetworkPolicy', rules(1024)), []);
    assert.deepEqual(refused('GlobalNetworkPolicy', rules(1025)), [`spec.${direction}`]);
  }
  for (const field of ['nets', 'notNets']) {
    assert.deepEqual(refused('NetworkPolicy', rule({ [field]: many(256, net) })), []);
    assert.deepEqual(refused('NetworkPolicy', rule({ [field]: many(257, net) })), [`${source}.${field}`]);
  }
  for (const field of ['ports', 'notPorts']) {
    const ports = (count: number) => many(count, (i) => i + 1);
    assert.deepEqual(refused('NetworkPolicy', rule({ [field]: ports(50) })), []);
    assert.deepEqual(refused('NetworkPolicy', rule({ [field]: ports(51) })), [`${source}.${field}`]);
  }
  const selector = (length: number): string => `a == '${'b'.repeat(length - 7)}'`;
  assert.deepEqual(refused('GlobalNetworkPolicy', { selector: selector(1024) }), []);
  assert.deepEqual(refused('GlobalNetworkPolicy', { selector: selector(1025) }), ['spec.selector']);
  assert.equal(parseSelector(`has(${'a'.repeat(512)})`).ok, true);
  assert.equal(parseSelector(`has(${'a'.repeat(513)})`).ok, false);
  const annotated = (bytes: number) => ({ annotations: { a: 'x'.repeat(bytes - 1) } });
  assert.deepEqual(refused('GlobalNetworkPolicy', {}, 'x', annotated(256 * 1024)), []);
  assert.deepEqual(refused('GlobalNetworkPolicy', {}, 'x', annotated(256 * 1024 + 1)), [
    'metadata.annotations',
  ]);
  assert.deepEqual(refused('Tier', {}, 't'.repeat(63)), []);
  assert.deepEqual(refused('Tier', {}, 't'.repeat(64)), ['metadata.name']);
});

test('NM-021: the name of a port has 1 to 128 characters', () => {
  for (const [length, isGood] of [
    [0, false],
    [1, true],
    [128, true],
    [129, false],
  ] as const)
    assert.equal(
      refused('NetworkPolicy', rule({ ports: ['p'.repeat(length)] })).length === 0,
      isGood,
      String(length),
    );
});

test('NM-022: orders of the tiers that every cluster has, and of policies of Kubernetes', () => {
  assert.deepEqual(
    Object.entries(builtInTiers).map(([name, { order }]) => [name, order]),
    [
      ['kube-admin', 1_000],
      ['default', 1_000_000],
      ['kube-baseline', 10_000_000],
    ],
  );
  const converted = networkPolicyToCalico({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'p', namespace: 'ns' },
    spec: { podSelector: {} },
  });
  assert.match(JSON.stringify(converted), /"order":1000[,}]/);
});
