import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { hex } from '../lib/hash.ts';
import { base32, sha3 } from './digest.ts';

test('SHA3-256 agrees with the platform', () => {
  assert.equal(hex(sha3('')), 'a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a');
  fc.assert(
    fc.property(fc.string({ maxLength: 400, unit: 'grapheme' }), (text) => {
      assert.equal(hex(sha3(text)), createHash('sha3-256').update(text).digest('hex'));
    }),
    { numRuns: 30 },
  );
});

test('base32 agrees with RFC 4648', () => {
  const encode = (text: string): string => base32(new TextEncoder().encode(text));
  const vectors = {
    '': '',
    f: 'MY',
    fo: 'MZXQ',
    foo: 'MZXW6',
    foob: 'MZXW6YQ',
    fooba: 'MZXW6YTB',
    foobar: 'MZXW6YTBOI',
  };
  for (const [text, want] of Object.entries(vectors)) assert.equal(encode(text), want);
});
