// `npm start -- --exit` in both forms: its exit code says whether all was as expected.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { footprint, margay, without } from '../support/lab.ts';

const skip = without('ip', 'ping', 'unshare');

test('SR-231: start --exit: every pod reaches every pod; nothing is left', { skip }, async () => {
  const clean = footprint();
  const { code, out, err } = await margay(['lab', 'start', '--exit', '--name', 'show']);
  assert.equal(code, 0, out + err);
  for (const expected of [
    /62\/200/,
    /63\/200/,
    /59\/200/,
    /169\.254\.1\.1/,
    /blackhole/,
    /AS 65000/,
    /Established/,
  ])
    assert.match(out, expected);
  assert.deepEqual(footprint(), clean);
});

test('SR-135: start --no-fabric-bgp --exit: the black hole is expected, shown and explained', {
  skip,
}, async () => {
  const { code, out, err } = await margay(['lab', 'start', '--exit', '--no-fabric-bgp', '--name', 'show']);
  assert.equal(code, 0, out + err);
  assert.match(out, /black hole/);
  assert.match(out, /--\/---/);
});
