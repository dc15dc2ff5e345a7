import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goPattern } from './go-pattern.ts';

test('patterns that Go and JavaScript read alike stay as they are', () => {
  for (const source of [
    '^((en|wl)[Pcopsvx].*|(eth|wlan).*)',
    String.raw`^veth\d+\.[a-z-]{1,3}$`,
    '',
    'a|b',
    '[]a]+',
  ])
    assert.ok(goPattern(source) instanceof RegExp, source);
  assert.equal(goPattern(String.raw`^eth\d$`)?.test('eth7'), true);
  assert.equal(goPattern('^[]x]$')?.test(']'), true);
});

test('what only Go writes is translated', () => {
  assert.equal(goPattern('(?i)^ETH')?.test('eth0'), true);
  assert.equal(goPattern('^(?i:ETH)0')?.test('eth0'), true);
  assert.equal(goPattern('(?P<name>et)h')?.exec('eth')?.groups?.['name'], 'et');
  assert.equal(goPattern(String.raw`\Aeth\z`)?.test('eth'), true);
  assert.equal(goPattern(String.raw`\Aeth\z`)?.test('eth0'), false);
  assert.equal(goPattern(String.raw`^\x{41}\x42$`)?.test('AB'), true);
});

test('what Go refuses is refused', () => {
  for (const source of [
    String.raw`eth\K`,
    String.raw`(a)\1`,
    '(?=a)',
    '(?!a)',
    '(?<=a)b',
    '*',
    '(',
    '[',
    'a{2,1}',
    'a**',
    '\\',
  ])
    assert.equal(goPattern(source), undefined, source);
});
