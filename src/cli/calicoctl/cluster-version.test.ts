import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSameVersion } from './cluster-version.ts';

test('CT-002: versions are compared without their v and without what follows a hyphen', () => {
  for (const same of ['', '2.7.0', 'v2.7.0', 'v2.7.0-rc1', '2.7.0-3-g01ab', 'v2.7.0-'])
    assert.ok(isSameVersion(same, 'v2.7.0'), same);
  for (const other of ['2.7', 'v2.7.1', '2.7.0.1', 'V2.7.0', 'vv2.7.0', 'master', 'v'])
    assert.ok(!isSameVersion(other, 'v2.7.0'), other);
  assert.ok(isSameVersion('v2.7.0', '2.7.0-dirty'));
});
