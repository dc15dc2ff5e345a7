import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { base64Url, fnv1, fnv1a, fnv1a64, hex, sha1, sha224, sha256 } from './hash.ts';

test('SHA agrees with the published vectors', () => {
  assert.equal(hex(sha1('abc')), 'a9993e364706816aba3e25717850c26c9cd0d89d');
  assert.equal(hex(sha224('abc')), '23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7');
  assert.equal(hex(sha256('abc')), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});

test('SHA agrees with the platform on any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      assert.equal(hex(sha1(bytes)), createHash('sha1').update(bytes).digest('hex'));
      assert.equal(hex(sha224(bytes)), createHash('sha224').update(bytes).digest('hex'));
      assert.equal(hex(sha256(bytes)), createHash('sha256').update(bytes).digest('hex'));
      assert.equal(base64Url(bytes), Buffer.from(bytes).toString('base64url'));
    }),
    { numRuns: 200 },
  );
});

test('FNV agrees with the published vectors', () => {
  assert.equal(fnv1(''), 0x811c9dc5);
  assert.equal(fnv1('foobar'), 0x31f0b262);
  assert.equal(fnv1a('foobar'), 0xbf9cf968);
  assert.equal(fnv1a64('foobar'), 0x85944171f73967e8n);
});
