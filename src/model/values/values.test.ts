import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAsNumber } from './as-number.ts';
import { dscpNumber } from './dscp.ts';
import { formatPort, parsePort, simplifyPorts, type ParsedPort } from './port.ts';
import { normaliseProtocol, protocolHasPorts } from './protocol.ts';
import { parseQuantity } from './quantity.ts';

test('AS numbers, plain and dotted', () => {
  const table: [unknown, number | undefined][] = [
    [0, 0],
    [4294967295, 4294967295],
    [4294967296, undefined],
    [-1, undefined],
    [1.5, undefined],
    ['64512', 64512],
    ['1.10', 65546],
    ['00.01', 1],
    ['65535.65535', 4294967295],
    ['65535.65536', undefined],
    ['1.1.1', undefined],
    ['', undefined],
    [null, undefined],
  ];
  for (const [value, expected] of table) assert.equal(parseAsNumber(value), expected, String(value));
});

const port = (value: unknown): ParsedPort => {
  const parsed = parsePort(value);
  if (typeof parsed === 'string') assert.fail(parsed);
  return parsed;
};

test('ports: numbers, ranges, names', () => {
  assert.equal(formatPort(port(80)), 80);
  assert.equal(formatPort(port('80')), 80);
  assert.equal(formatPort(port('80:80')), 80);
  assert.equal(formatPort(port('0:65535')), '0:65535');
  assert.equal(formatPort(port('http-alt_1.x')), 'http-alt_1.x');
  for (const bad of [65536, -1, 1.5, '70000', '2:1', '1:2:3', '-1:5', 'a b', '', 'a'.repeat(129), null])
    assert.equal(typeof parsePort(bad), 'string', String(bad));
});

test('ports that touch are joined', () => {
  const simplified = simplifyPorts(['81:90', 4, 'foo', 2, '80:81', 3, 1, 9090].map(port));
  assert.deepEqual(simplified.map(formatPort), ['foo', '1:4', '80:90', 9090]);
});

test('protocols by name in any case, and by number', () => {
  assert.equal(normaliseProtocol('udplite'), 'UDPLite');
  assert.equal(normaliseProtocol('255'), 255);
  assert.equal(normaliseProtocol('foo'), 'foo');
  assert.deepEqual(['TCP', 'udp', 132, 6, 'ICMP', 'foo'].map(protocolHasPorts), [
    true,
    true,
    true,
    true,
    false,
    false,
  ]);
});

test('DSCP by name and number', () => {
  assert.deepEqual(['EF', 'af43', 'CS6', 'CS7', 'DF', '63', 64, ''].map(dscpNumber), [
    46,
    38,
    48,
    undefined,
    0,
    63,
    undefined,
    undefined,
  ]);
});

test('quantities, rounded up', () => {
  const table: [string, number | undefined][] = [
    ['1', 1],
    ['1.1k', 1100],
    ['1k', 1000],
    ['1Ki', 1024],
    ['1.5Gi', 1610612736],
    ['100m', 1],
    ['1e3', 1000],
    ['1E', 1e18],
    ['-2', -2],
    ['', undefined],
    ['1 k', undefined],
    ['k', undefined],
  ];
  for (const [text, expected] of table) assert.equal(parseQuantity(text), expected, text);
});
