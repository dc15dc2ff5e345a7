// Rules as lines of iptables: what a packet meets line by line is what the rule means.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Prefix } from '../../../lib/ip/mod.ts';
import { expect } from '../../../lib/result.ts';
import type { Rule, SetId } from '../../../policy/mod.ts';
import { allocateMarks } from './marks.ts';
import { ruleLines, type RuleSettings } from './rules.ts';

const marks = expect(allocateMarks(0xffff0000), 'marks');
const settings: RuleSettings = {
  family: 4,
  table: 'filter',
  direction: 'ingress',
  owner: { tier: 'default', policy: { kind: 'NetworkPolicy', namespace: 'shop', name: 'web' } },
  marks,
  denial: 'drop',
  logPrefix: 'calico-packet',
  logRate: '',
  logBurst: 5,
};
const rule = (more: Partial<Rule>): Rule => ({ action: 'allow', source: {}, destination: {}, ...more });
/** Without comments. */
const lines = (rules: readonly Rule[], more: Partial<RuleSettings> = {}): readonly string[] =>
  ruleLines(rules, { ...settings, ...more }).map((text) =>
    text.replace(/-m comment --comment "[^"]*" ?/g, ''),
  );
const nets = (...texts: string[]) => texts as unknown as readonly Prefix[];
const ports = (...numbers: number[]) => numbers.map((first) => ({ first, last: first }));
const ids = (...texts: string[]) => texts as unknown as readonly SetId[];

test('FX-037: marks are the lowest bits of the mask, in Calico’s order; a mask that is too small is refused', () => {
  assert.deepEqual(
    [marks.accept, marks.pass, marks.scratch, marks.part, marks.all],
    ['0x10000', '0x20000', '0x80000', '0x100000', '0x1b0000'],
  );
  assert.equal(allocateMarks(0xf0).ok, false);
});

test('FX-056: allow and pass mark and return, deny drops or rejects, a profile has no tier to leave', () => {
  const all = [rule({ action: 'log' }), rule({ action: 'pass' }), rule({ action: 'deny' }), rule({})];
  assert.deepEqual(lines(all), [
    '--jump LOG --log-prefix "calico-packet: " --log-level 5',
    '--jump MARK --set-mark 0x20000/0x20000',
    '-m mark --mark 0x20000/0x20000 --jump RETURN',
    '--jump DROP',
    '--jump MARK --set-mark 0x10000/0x10000',
  ]);
  assert.deepEqual(lines([rule({ action: 'pass' }), rule({ action: 'deny' })], { owner: { profile: 'p' } }), [
    '--jump RETURN',
    '--jump DROP',
  ]);
  assert.deepEqual(lines([rule({ action: 'deny' })], { denial: 'reject' }), ['--jump REJECT']);
  assert.deepEqual(lines([rule({ action: 'deny' })], { denial: 'reject', table: 'raw' }), ['--jump DROP']);
});

test('FX-055: the prefix of logged packets names tier, kind and policy, and its rate may be limited', () => {
  const logged = (logPrefix: string, more: Partial<RuleSettings> = {}) =>
    lines([rule({ action: 'log' })], { logPrefix, ...more });
  assert.deepEqual(logged('%t|%k|%n|%p'), [
    '--jump LOG --log-prefix "default|np|web|shop/web: " --log-level 5',
  ]);
  assert.deepEqual(logged('x'.repeat(40)), [`--jump LOG --log-prefix "${'x'.repeat(27)}: " --log-level 5`]);
  assert.deepEqual(logged('c', { logRate: '10/minute' }), [
    '-m limit --limit 10/minute --limit-burst 5 --jump LOG --log-prefix "c: " --log-level 5',
  ]);
});

test('FX-054, NM-021: more than 15 ports, and ports beside sets of ports, are alternatives in a block', () => {
  const sixteen = Array.from({ length: 16 }, (_, i) => i + 1);
  assert.deepEqual(
    lines([
      rule({ action: 'deny', protocol: 6, destination: { ports: ports(...sixteen), portSets: ids('n:a') } }),
    ]),
    [
      '--jump MARK --set-mark 0/0x180000',
      '-p tcp -m multiport --destination-ports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15 --jump MARK --set-mark 0x80000/0x80000',
      '-p tcp -m multiport --destination-ports 16 --jump MARK --set-mark 0x80000/0x80000',
      '-m set --match-set cali40n:a dst,dst --jump MARK --set-mark 0x80000/0x80000',
      '-p tcp -m mark --mark 0x80000/0x80000 --jump DROP',
    ],
  );
});

test('several networks on both sides are blocks joined by "and"; excluded ones take away', () => {
  const both = rule({
    action: 'deny',
    source: { nets: nets('10.0.0.0/8', '11.0.0.0/8'), notNets: nets('10.1.0.0/16') },
    destination: { nets: nets('12.0.0.0/8', '13.0.0.0/8') },
  });
  assert.deepEqual(lines([both]), [
    '--jump MARK --set-mark 0/0x180000',
    '--source 10.0.0.0/8 --jump MARK --set-mark 0x80000/0x80000',
    '--source 11.0.0.0/8 --jump MARK --set-mark 0x80000/0x80000',
    '--destination 12.0.0.0/8 --jump MARK --set-mark 0x100000/0x100000',
    '--destination 13.0.0.0/8 --jump MARK --set-mark 0x100000/0x100000',
    '-m mark --mark 0/0x100000 --jump MARK --set-mark 0/0x80000',
    '--jump MARK --set-mark 0/0x100000',
    '! --source 10.1.0.0/16 -m mark --mark 0x80000/0x80000 --jump DROP',
  ]);
  const one = rule({ action: 'deny', source: { nets: nets('10.0.0.0/8'), notNets: nets('10.1.0.0/16') } });
  assert.deepEqual(lines([one]), [
    '--jump MARK --set-mark 0x80000/0x180000',
    '--source 10.1.0.0/16 --jump MARK --set-mark 0/0x80000',
    '--source 10.0.0.0/8 -m mark --mark 0x80000/0x80000 --jump DROP',
  ]);
});

test('matches that need a protocol get one: ports every protocol with ports, ICMP the family’s', () => {
  const anyPort = rule({ action: 'deny', destination: { ports: ports(80) }, notProtocol: 17 });
  assert.deepEqual(
    lines([anyPort]),
    ['tcp', '33', 'sctp', 'udplite'].map((p) => `-p ${p} -m multiport --destination-ports 80 --jump DROP`),
  );
  const ping = rule({ action: 'deny', icmp: { type: 8, code: 0 } });
  assert.deepEqual(lines([ping]), ['-p icmp -m icmp --icmp-type 8/0 --jump DROP']);
  assert.deepEqual(lines([ping], { family: 6 }), ['-p icmpv6 -m icmp6 --icmpv6-type 8/0 --jump DROP']);
  assert.deepEqual(lines([rule({ action: 'deny', protocol: 1, icmp: { type: 8 } })], { family: 6 }), []);
  assert.deepEqual(lines([rule({ action: 'deny', protocol: 1, destination: { ports: ports(80) } })]), []);
  const excluded = rule({ action: 'deny', destination: { notPortSets: ids('n:a') }, protocol: 6 });
  assert.deepEqual(lines([excluded]), ['-p tcp -m set ! --match-set cali40n:a dst,dst --jump DROP']);
});

test('FX-008: what cannot be resolved never allows; if it would deny or pass it denies', () => {
  const unresolved = ['a selector'];
  const one = (action: Rule['action']) => lines([rule({ action, unresolved, protocol: 6 })]);
  assert.deepEqual([one('allow'), one('log')], [[], []]);
  assert.deepEqual(one('deny'), ['-p tcp --jump DROP']);
  assert.deepEqual(one('pass'), ['-p tcp --jump DROP']);
  const http = { methods: ['GET'] };
  assert.deepEqual(lines([rule({ action: 'allow', http })]), []);
  assert.deepEqual(lines([rule({ action: 'deny', http })]), ['-p tcp --jump DROP']);
  assert.deepEqual(lines([rule({ action: 'deny', http, protocol: 17 })]), []);
});

test('rules about the other family only are left out', () => {
  const six = rule({ action: 'deny', source: { nets: nets('fd00::/8') } });
  assert.deepEqual(lines([six]), []);
  assert.deepEqual(lines([six], { family: 6 }), ['--source fd00::/8 --jump DROP']);
  assert.deepEqual(lines([rule({ action: 'deny', source: { notNets: nets('0.0.0.0/0') } })]), []);
});
