// Rules as lines, and logs as expressions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { prefix } from '../../../../lib/ip/mod.ts';
import type { Rule, SetId } from '../../../../policy/mod.ts';
import { resolveConfig } from '../../../calc/mod.ts';
import { policySettings } from '../inputs/mod.ts';
import { linearMatch, type SetNames } from './match.ts';
import { logExpression } from './rule-chains.ts';

const names: SetNames = {
  members: (id) => (id.startsWith('unknown') ? undefined : id.replace(':', '-')),
  ports: (ranges) => `ports-${ranges.map(({ first, last }) => `${first}-${last}`).join('_')}`,
  nets: (nets) => `nets-${nets.length}`,
};
const rule = (more: Partial<Rule>): Rule => ({ action: 'allow', source: {}, destination: {}, ...more });
const lines = (more: Partial<Rule>, family: 4 | 6 = 4) => linearMatch(rule(more), family, names).lines;
const ports = (...list: readonly (readonly [number, number])[]) =>
  list.map(([first, last]) => ({ first, last }));
const id = (text: string) => text as SetId;

test('FX-054: many ports are one named set, joined where they touch; a name beside them is a line of its own', () => {
  const many = ports(...Array.from({ length: 20 }, (_, i) => [i * 10, i * 10 + (i === 0 ? 10 : 0)] as const));
  assert.match(
    lines({ protocol: 6, destination: { ports: many } })[0] ?? '',
    /^meta l4proto 6 th dport @ports-0-10_20-20_/,
  );
  assert.deepEqual(lines({ protocol: 6, destination: { ports: ports([1, 2], [3, 9]) } }), [
    'meta l4proto 6 th dport 1-9',
  ]);
  assert.deepEqual(lines({ destination: { ports: ports([80, 80]), portSets: [id('n:web')] } }), [
    'meta l4proto @port-protocols th dport 80',
    'meta l4proto @port-protocols ip daddr . meta l4proto . th dport @n-web',
  ]);
});

test('RS-092: what is negated asks that there be something to be another one', () => {
  assert.deepEqual(lines({ destination: { notPorts: ports([80, 80]) } }), [
    'meta l4proto @port-protocols th dport != 80',
  ]);
  assert.deepEqual(lines({ notIcmp: { type: 8, code: 3 } }), ['icmp type != 8', 'icmp code != 3']);
  assert.deepEqual(lines({ notProtocol: 6 }), ['meta l4proto != 6']);
  assert.deepEqual(lines({ source: { notSets: [id('s:a')], notNets: [prefix('10.0.0.0/8')] } }), [
    'ip saddr != 10.0.0.0/8 ip saddr != @s-a',
  ]);
});

test('what cannot be in the family has no line; what is everything is not asked', () => {
  assert.deepEqual(lines({ ipVersion: 6 }), []);
  assert.deepEqual(lines({ source: { nets: [prefix('fd00::/8')] } }), []);
  assert.deepEqual(lines({ source: { notNets: [prefix('fd00::/8')] } }), []);
  assert.deepEqual(lines({ source: { notNets: [prefix('0.0.0.0/0')] } }), []);
  assert.deepEqual(lines({ source: { nets: [prefix('0.0.0.0/0')] } }), ['']);
  assert.deepEqual(lines({ protocol: 1, destination: { ports: ports([80, 80]) } }), []);
  assert.deepEqual(lines({ protocol: 58, icmp: { type: 128 } }, 6), ['icmpv6 type 128']);
  assert.deepEqual(lines({ source: { nets: [prefix('10.0.0.0/8'), prefix('10.1.0.0/16')] } }), [
    'ip saddr 10.0.0.0/8',
  ]);
});

test('what is unknown is left out of the line, and said', () => {
  const unknown = linearMatch(rule({ protocol: 6, source: { sets: [id('unknown:a')] } }), 4, names);
  assert.deepEqual(unknown, { lines: ['meta l4proto 6'], isUnknown: true });
  const named = linearMatch(
    rule({ protocol: 6, destination: { ports: ports([80, 80]), portSets: [id('unknown:n')] } }),
    4,
    names,
  );
  assert.deepEqual(named, { lines: ['meta l4proto 6'], isUnknown: true });
  assert.deepEqual(linearMatch(rule({ http: { methods: ['GET'] } }), 4, names), {
    lines: ['meta l4proto 6'],
    isUnknown: true,
  });
});

test('FX-055: the prefix of logs has its tokens filled in, and a rate where one is wanted', () => {
  const config = (texts: Readonly<Record<string, string>>) =>
    policySettings(resolveConfig({ environment: texts }), 'nftables');
  const step = {
    tier: 'security',
    policy: { kind: 'NetworkPolicy', name: 'web', namespace: 'shop' },
    direction: 'ingress',
    index: 0,
  } as const;
  assert.equal(logExpression(step, config({})), 'counter log prefix "calico-packet: "');
  assert.equal(
    logExpression(step, config({ LogPrefix: '%t/%k %p %n %x "', LogActionRateLimit: '10/second' })),
    'limit rate 10/second burst 5 packets counter log prefix "security/np shop/web web %x : "',
  );
  const long = logExpression(step, config({ LogPrefix: 'x'.repeat(300) }));
  assert.equal(/"(.*)"/.exec(long)?.[1]?.length, 127);
});
