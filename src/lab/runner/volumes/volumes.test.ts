import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Pod } from '../../../model/mod.ts';
import { payloadOf, type Payload, type Volume, volumeFiles, writeAtomically } from './mod.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const pod: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', namespace: 'shop', labels: { app: 'web' } },
  spec: { containers: [{ name: 'main', resources: { limits: { memory: '2Mi' } } }] },
};
const context = {
  facts: { pod, nodeName: 'n', hostAddresses: [], addresses: [], cpus: 1, memoryBytes: 1 },
  configuration: {
    configMap: (name: string) =>
      name === 'app'
        ? {
            apiVersion: 'v1',
            kind: 'ConfigMap' as const,
            metadata: { name },
            data: { 'a.conf': 'A', b: 'B' },
            binaryData: { raw: base64('\u0001') },
          }
        : undefined,
    secret: (name: string) =>
      name === 'pw'
        ? { apiVersion: 'v1', kind: 'Secret' as const, metadata: { name }, data: { key: base64('K') } }
        : undefined,
  },
  tokens: new Map([['token', 'T']]),
} as const;
function files(volume: Omit<Volume, 'name'>): Record<string, string> {
  const payload = payloadOf({ name: 'v', ...volume }, context);
  if (payload?.ok !== true) return assert.fail(payload === undefined ? 'no payload' : payload.error);
  return Object.fromEntries(
    [...payload.value].map(([path, { bytes, mode }]) => [
      path,
      `${Buffer.from(bytes).toString()} ${mode.toString(8)}`,
    ]),
  );
}
const problem = (volume: Omit<Volume, 'name'>): string => {
  const payload = payloadOf({ name: 'v', ...volume }, context);
  return payload?.ok === false ? payload.error : assert.fail('no problem');
};
const payload = (entries: Record<string, string>): Payload =>
  new Map(Object.entries(entries).map(([path, text]) => [path, { bytes: Buffer.from(text), mode: 0o644 }]));

test('configMap and secret: all keys or the items, modes, optional', () => {
  assert.deepEqual(files({ configMap: { name: 'app' } }), {
    'a.conf': 'A 644',
    b: 'B 644',
    raw: '\u0001 644',
  });
  const items = [{ key: 'a.conf', path: 'sub/x', mode: 0o400 }];
  assert.deepEqual(files({ configMap: { name: 'app', items, defaultMode: 0o600 } }), { 'sub/x': 'A 400' });
  assert.deepEqual(files({ secret: { secretName: 'pw', defaultMode: 0o440 } }), { key: 'K 440' });
  assert.deepEqual(files({ secret: { secretName: 'gone', optional: true } }), {});
  assert.equal(problem({ configMap: { name: 'gone' } }), 'configmap "gone" not found');
  assert.equal(problem({ secret: { secretName: 'gone' } }), 'secret "gone" not found');
  assert.equal(
    problem({ configMap: { name: 'app', items: [{ key: 'c', path: 'c' }] } }),
    'configmap references non-existent config key: c',
  );
  for (const path of ['../x', 'a/../b', '/x', '', '..data'])
    assert.equal(
      problem({ configMap: { name: 'app', items: [{ key: 'b', path }] } }),
      `invalid path: ${path}`,
    );
});

test('projected: everything in one directory; an emptyDir has no files of objects', () => {
  const sources = [
    { serviceAccountToken: { path: 'token' } },
    { configMap: { name: 'app', items: [{ key: 'b', path: 'ca.crt' }] } },
    {
      downwardAPI: {
        items: [
          { path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } },
          {
            path: 'memory',
            resourceFieldRef: { containerName: 'main', resource: 'limits.memory', divisor: '1Ki' },
          },
        ],
      },
    },
  ];
  assert.deepEqual(files({ projected: { sources, defaultMode: 0o444 } }), {
    token: 'T 444',
    'ca.crt': 'B 444',
    namespace: 'shop 444',
    memory: '2048 444',
  });
  assert.equal(payloadOf({ name: 'v', emptyDir: {} }, context), undefined);
  assert.match(
    problem({ downwardAPI: { items: [{ path: 'x', fieldRef: { fieldPath: 'spec.hostname' } }] } }),
    /unsupported field/,
  );
});

test('files change all at once, by one link, and nothing of the old is left', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'margay-volume-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const now = new Date(1_790_000_000_000);
  assert.equal(writeAtomically(folder, payload({ a: '1', 'sub/b': '2' }), now), true);
  const first = readdirSync(folder).find((name) => name.startsWith('..2'));
  assert.equal(readFileSync(join(folder, 'a'), 'utf8'), '1');
  assert.equal(readFileSync(join(folder, 'sub/b'), 'utf8'), '2');
  assert.equal(writeAtomically(folder, payload({ a: '1', 'sub/b': '2' }), now), false);
  assert.equal(writeAtomically(folder, payload({ a: '3', c: '4' }), now), true);
  const names = readdirSync(folder).toSorted();
  assert.deepEqual(names.slice(1), ['..data', 'a', 'c']);
  assert.notEqual(names[0], first);
  assert.equal(readFileSync(join(folder, 'a'), 'utf8'), '3');
  assert.equal(writeAtomically(folder, payload({}), now), true);
  assert.deepEqual(readdirSync(folder).slice(1), ['..data']);
});

test('emptyDir, paths in volumes, hostPath: what may be and what may not', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'margay-volume-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const volumes = volumeFiles(folder);
  const made = await volumes.empty('u', 'scratch', { inMemory: false });
  assert.ok(made.ok);
  assert.equal(statSync(made.value).mode & 0o777, 0o777);
  assert.deepEqual(volumes.known(), ['u']);
  assert.deepEqual(await volumes.within(made.value, 'a/b'), { ok: true, value: join(made.value, 'a/b') });
  for (const path of ['../x', '/etc', 'a/../../x'])
    assert.equal((await volumes.within(made.value, path)).ok, false);
  symlinkSync('/etc', join(made.value, 'out'));
  assert.equal((await volumes.within(made.value, 'out')).ok, false);
  assert.equal((await volumes.host('/proc/self/status', 'Directory')).ok, false);
  assert.equal((await volumes.host('relative', '')).ok, false);
  const found = await volumes.host('/proc/self/task', 'Directory');
  assert.equal(found.ok && found.value.isReadOnly, false);
  mkdirSync(join(made.value, 'deep'), { recursive: true });
  await volumes.release('u');
  assert.deepEqual(volumes.known(), []);
});
