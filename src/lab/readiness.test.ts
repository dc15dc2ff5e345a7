import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { KubernetesNode } from '../model/mod.ts';
import { waitingFor } from './readiness.ts';
import type { ProcessStatus } from './types.ts';

const logs = mkdtempSync(join(tmpdir(), 'margay-readiness-'));
after(() => rmSync(logs, { recursive: true }));
const log = (name: string, ...lines: readonly string[]): void =>
  writeFileSync(join(logs, `${name}.log`), `${lines.join('\n')}\n`);

const node = (name: string, status: 'True' | 'False', message: string): KubernetesNode => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name },
  status: { conditions: [{ type: 'Ready', status, reason: '', message }] },
});
const process = (machine: string, name: string, more: Partial<ProcessStatus> = {}): ProcessStatus => ({
  machine,
  name,
  running: true,
  restarts: 0,
  startedAt: '',
  ...more,
});

test('without an answer of the API server: that, and the processes that keep ending', () => {
  const processes = [
    process('master1', 'apiserver', { running: false, restarts: 4, lastEnd: 'exit code 1: Error: no disk.' }),
    process('worker1', 'agent'),
  ];
  assert.deepEqual(waitingFor(['master1', 'worker1'], undefined, processes, logs), [
    'apiserver of master1 has ended 5 times, the last time with exit code 1: Error: no disk',
    'the API server on master1 does not answer',
  ]);
  assert.deepEqual(waitingFor(['master1'], undefined, undefined, logs), [
    'the supervisor does not answer',
    'the API server on master1 does not answer',
  ]);
});

test('each node that is not ready: what its runner says, and the last word of whom it waits for', () => {
  log('worker1-agent', '{"msg":"begin"}', '{"msg":"Waiting for the datastore","reason":"ECONNREFUSED."}');
  log('worker3-runner', 'a line of something else');
  const nodes = [
    node('master1', 'True', ''),
    node('worker1', 'False', 'The agent does not serve its socket yet.'),
    node('worker2', 'False', 'No network.'),
  ];
  assert.deepEqual(waitingFor(['master1', 'worker1', 'worker2', 'worker3'], nodes, [], logs), [
    'worker1: The agent does not serve its socket yet (Waiting for the datastore: ECONNREFUSED)',
    'worker2: No network',
    'worker3: its runner has not registered it (a line of something else)',
  ]);
});

test('of many nodes the first ones', () => {
  const names = Array.from({ length: 50 }, (_, i) => `worker${i}`);
  const reasons = waitingFor(names, [], [], '/nowhere');
  assert.equal(reasons.length, 7);
  assert.equal(reasons.at(-1), 'and 44 more');
});
