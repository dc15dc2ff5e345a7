import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseJson, stringifyJson } from './json.ts';

test('a 64-bit integer survives a round trip', () => {
  const text = '{"sequenceNumber":1763722345123456789,"small":7,"list":[9007199254740993,1.5]}';
  const value = parseJson(text);
  assert.deepEqual(value, {
    sequenceNumber: 1763722345123456789n,
    small: 7,
    list: [9007199254740993n, 1.5],
  });
  assert.equal(stringifyJson(value), text);
});

test('digits inside strings and floating-point numbers stay as they are', () => {
  const value = parseJson('{"a":"12345678901234567890","b":0.1234567890123456,"c":1e300}');
  assert.deepEqual(value, { a: '12345678901234567890', b: 0.1234567890123456, c: 1e300 });
});

test('any JSON text comes back as it was', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      assert.equal(stringifyJson(value), JSON.stringify(value));
      assert.equal(stringifyJson(parseJson(JSON.stringify(value))), JSON.stringify(value));
    }),
    { numRuns: 200 },
  );
});
