// Each field of a rule: what it matches, what its negation matches, and what an absent one does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { prefix } from '../lib/ip/mod.ts';
import { matchRule } from './match.ts';
import { packet, rule, ruleTruth, setsOf, side, tcp, udp } from './testing.ts';
import type { Packet, Rule, SetId } from './types.ts';

const none = setsOf({});
const truth = (fields: Partial<Rule>, given: Packet, sets = none) =>
  matchRule(rule('allow', fields), sets, given).truth;
const set = (name: string): SetId => name as SetId;

test('RS-090: a rule without criteria matches every packet', () => {
  for (const given of [
    packet('10.0.0.1', '10.0.0.2'),
    packet('fd00::1', 'fd00::2', { protocol: 58, icmpType: 8, icmpCode: 0 }),
    packet('10.0.0.1', '10.0.0.2', { protocol: 253 }),
  ])
    assert.equal(truth({}, given), true);
});

test('RS-091: ipVersion, protocol and notProtocol', () => {
  const four = packet('10.0.0.1', '10.0.0.2');
  const six = packet('fd00::1', 'fd00::2');
  assert.equal(truth({ ipVersion: 4 }, four), true);
  assert.equal(truth({ ipVersion: 4 }, six), false);
  assert.equal(truth({ protocol: tcp }, four), true);
  assert.equal(truth({ protocol: udp }, four), false);
  assert.equal(truth({ notProtocol: udp }, four), true);
  assert.equal(truth({ notProtocol: tcp }, four), false);
  assert.equal(ruleTruth({ protocol: 'SCTP' }, { ...four, protocol: 132 }), true);
  assert.equal(ruleTruth({ protocol: 'UDPLite' }, { ...four, protocol: 136 }), true);
});

test('RS-091: ICMP by type, and by type and code as one criterion', () => {
  const icmp = (type: number, code: number) =>
    packet('10.0.0.1', '10.0.0.2', { protocol: 1, icmpType: type, icmpCode: code });
  assert.equal(truth({ icmp: { type: 8 } }, icmp(8, 0)), true);
  assert.equal(truth({ icmp: { type: 8 } }, icmp(0, 0)), false);
  assert.equal(truth({ icmp: { type: 8, code: 3 } }, icmp(8, 4)), false);
  assert.equal(truth({ notIcmp: { type: 8 } }, icmp(8, 0)), false);
  assert.equal(truth({ notIcmp: { type: 8 } }, icmp(0, 0)), true);
  assert.equal(truth({ notIcmp: { type: 8, code: 3 } }, icmp(8, 4)), true);
  assert.equal(truth({ notIcmp: { type: 8, code: 3 } }, icmp(8, 3)), false);
  assert.equal(
    truth({ icmp: { type: 128 } }, packet('fd00::1', 'fd00::2', { protocol: 58, icmpType: 128 })),
    true,
  );
});

test('RS-091: packets that are not ICMP have no type, neither this nor another', () => {
  const given = packet('10.0.0.1', '10.0.0.2');
  assert.equal(truth({ icmp: { type: 8 } }, given), false);
  assert.equal(truth({ notIcmp: { type: 8 } }, given), false);
  assert.equal(truth({ icmp: {}, notIcmp: {} }, given), true, 'empty criteria ask for nothing');
});

test('RS-092: nets are alternatives, notNets leave out', () => {
  const nets = [prefix('10.1.0.0/16'), prefix('10.2.0.0/16')];
  const from = (source: string) => packet(source, '10.9.9.9');
  assert.equal(truth({ source: { nets } }, from('10.2.3.4')), true);
  assert.equal(truth({ source: { nets } }, from('10.3.3.4')), false);
  assert.equal(truth({ source: { notNets: nets } }, from('10.2.3.4')), false);
  assert.equal(truth({ source: { notNets: nets } }, from('10.3.3.4')), true);
  assert.equal(truth({ destination: { nets: [prefix('10.9.9.9/32')] } }, from('10.3.3.4')), true);
  assert.equal(truth({ source: { notNets: [prefix('0.0.0.0/0')] } }, from('10.3.3.4')), false);
});

test('RS-094: a rule with networks of one family is a rule for that family, negated or not', () => {
  const six = packet('fd00::1', 'fd00::2');
  assert.equal(truth({ source: { nets: [prefix('0.0.0.0/0')] } }, six), false);
  assert.equal(truth({ source: { notNets: [prefix('10.0.0.0/8')] } }, six), false);
  assert.equal(truth({ source: { notNets: [prefix('fd01::/16')] } }, six), true);
});

test('RS-092: sets are joined by AND, left out sets by NOR, and strangers are in none', () => {
  const sets = setsOf({ a: ['10.0.0.0/24'], b: ['10.0.0.1/32'], empty: [] });
  const from = (source: string) => packet(source, '10.9.9.9');
  assert.equal(truth({ source: { sets: [set('a'), set('b')] } }, from('10.0.0.1'), sets), true);
  assert.equal(truth({ source: { sets: [set('a'), set('b')] } }, from('10.0.0.2'), sets), false);
  assert.equal(truth({ source: { notSets: [set('b'), set('empty')] } }, from('10.0.0.2'), sets), true);
  assert.equal(truth({ source: { notSets: [set('a')] } }, from('203.0.113.1'), sets), true);
  assert.equal(truth({ source: { sets: [set('empty')] } }, from('10.0.0.1'), sets), false);
});

test('RS-093: port numbers, ranges and named ports are one list of alternatives', () => {
  const sets = setsOf({ http: ['10.0.0.2,tcp:8080', '10.0.0.2,udp:53'] });
  const destination = side({ ports: [{ first: 80, last: 81 }], portSets: [set('http')] });
  const to = (port: number, protocol = tcp) =>
    packet('10.0.0.1', '10.0.0.2', { destinationPort: port, protocol });
  assert.equal(truth({ destination }, to(81), sets), true);
  assert.equal(truth({ destination }, to(8080), sets), true);
  assert.equal(truth({ destination }, to(8080, udp), sets), false, 'the named port is of TCP');
  assert.equal(truth({ destination }, to(53, udp), sets), true);
  assert.equal(truth({ destination }, to(82), sets), false);
  assert.equal(truth({ source: destination }, { ...to(1), sourcePort: 80 }, sets), true);
});

test('RS-093: notPorts leaves out numbers and named ports', () => {
  const sets = setsOf({ http: ['10.0.0.2,tcp:8080'] });
  const destination = side({ notPorts: [{ first: 80, last: 80 }], notPortSets: [set('http')] });
  const to = (port: number, address = '10.0.0.2') => packet('10.0.0.1', address, { destinationPort: port });
  assert.equal(truth({ destination }, to(80), sets), false);
  assert.equal(truth({ destination }, to(8080), sets), false);
  assert.equal(truth({ destination }, to(8080, '10.0.0.3'), sets), true, 'another endpoint, another port');
  assert.equal(truth({ destination }, to(443), sets), true);
});

test('RS-093: a protocol without ports has neither these ports nor others', () => {
  const ranges = [{ first: 0, last: 65_535 }];
  const given = packet('10.0.0.1', '10.0.0.2', { protocol: 253 });
  assert.equal(truth({ destination: { ports: ranges } }, given), false);
  assert.equal(truth({ destination: { notPorts: [{ first: 80, last: 80 }] } }, given), false);
});

test('RS-095: endpoints of a service match with their ports only', () => {
  const sets = setsOf({ svc: ['10.0.0.2,tcp:9090'] });
  const destination = side({ serviceSets: [set('svc')] });
  assert.equal(truth({ destination }, packet('10.0.0.1', '10.0.0.2', { destinationPort: 9090 }), sets), true);
  assert.equal(
    truth({ destination }, packet('10.0.0.1', '10.0.0.2', { destinationPort: 9091 }), sets),
    false,
  );
  assert.equal(truth({ destination }, packet('10.0.0.1', '10.0.0.2', { protocol: 1 }), sets), false);
});

test('RS-098: HTTP rules ask for a method and a path; without a request they are open', () => {
  const http = { methods: ['GET'], paths: [{ prefix: '/public' }] };
  const request = (method: string, path: string) =>
    packet('10.0.0.1', '10.0.0.2', { http: { method, path } });
  assert.equal(truth({ http }, request('GET', '/public/a')), true);
  assert.equal(truth({ http }, request('POST', '/public/a')), false);
  assert.equal(truth({ http }, request('GET', '/public/../admin')), false);
  assert.equal(truth({ http }, packet('10.0.0.1', '10.0.0.2')), undefined);
  assert.equal(truth({ http }, packet('10.0.0.1', '10.0.0.2', { protocol: udp })), false);
  const options = { httpIsJudgedLater: true };
  assert.equal(matchRule(rule('allow', { http }), none, packet('10.0.0.1', '10.0.0.2'), options).truth, true);
});

test('FX-008: an unknown set, port or type is neither in nor out, but a false beside it decides', () => {
  const given = packet('10.0.0.1', '10.0.0.2');
  const unknown = side({ sets: [set('lost')] });
  assert.equal(truth({ source: unknown }, given), undefined);
  assert.equal(truth({ source: side({ notSets: [set('lost')] }) }, given), undefined);
  assert.equal(truth({ source: unknown, protocol: udp }, given), false);
  const { sourcePort: _sourcePort, ...withoutPort } = given;
  assert.equal(truth({ source: { ports: [{ first: 1, last: 2 }] } }, withoutPort), undefined);
  assert.equal(truth({ icmp: { type: 8 } }, packet('10.0.0.1', '10.0.0.2', { protocol: 1 })), undefined);
  assert.equal(truth({ unresolved: ['something'] }, given), undefined);
});

test('the first field that fails is named', () => {
  const field = (fields: Partial<Rule>, sets = none) => {
    const match = matchRule(rule('allow', fields), sets, packet('10.0.0.1', '10.0.0.2'));
    return match.truth === true ? undefined : match.field;
  };
  assert.equal(field({ protocol: udp, source: { nets: [prefix('10.9.0.0/16')] } }), 'protocol');
  assert.equal(field({ source: { nets: [prefix('10.9.0.0/16')] } }), 'source.nets');
  assert.equal(field({ destination: side({ sets: [set('a')] }) }, setsOf({ a: [] })), 'destination.selector');
  assert.equal(field({ destination: side({ sets: [set('lost')] }) }), 'destination.selector');
});
