import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unsupportedIn } from './unsupported.ts';

test('what a container asks for and does not get is named', () => {
  const field = (fieldPath: string) => ({ fieldRef: { fieldPath } });
  assert.equal(
    unsupportedIn({
      name: 'c',
      env: [
        { name: 'A', value: 'a' },
        { name: 'B', valueFrom: field('status.podIP') },
      ],
    }),
    undefined,
  );
  const asked = {
    name: 'c',
    volumeMounts: [{ name: 'page', mountPath: '/usr/share/page' }],
    envFrom: [{ configMapRef: { name: 'all' } }],
    env: [
      { name: 'C', valueFrom: { configMapKeyRef: { name: 'all', key: 'c' } } },
      { name: 'D', valueFrom: field("metadata.labels['a']") },
    ],
  };
  assert.equal(
    unsupportedIn(asked),
    "Runs without what the lab's nodes do not provide: volume page at /usr/share/page, variables of envFrom, variable C, variable D",
  );
});
