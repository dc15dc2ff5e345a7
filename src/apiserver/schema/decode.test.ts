import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decode, missingFields } from './decode.ts';
import { deployment } from './workloads.ts';
import { pod } from './pod.ts';

test('unknown fields are reported with their path and dropped, nulls are absent', () => {
  const { value, unknown, wrong } = decode(
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'a', creationTimestamp: null, labels: { x: null } },
      spec: { containers: [{ name: 'c', imagee: 'x' }], nodename: 'w1' },
    },
    pod,
  );
  assert.deepEqual(unknown, ['spec.containers[0].imagee', 'spec.nodename']);
  assert.deepEqual(wrong, []);
  assert.deepEqual(value, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'a', labels: { x: '' } },
    spec: { containers: [{ name: 'c' }] },
  });
});

test('values of the wrong type are named', () => {
  const { wrong } = decode({ spec: { replicas: '3', template: [], paused: 1, selector: 'x' } }, deployment);
  assert.equal(wrong.length, 4);
  assert.match(wrong[0] ?? '', /cannot unmarshal string into field spec\.replicas of type int/);
});

test('quantities may be numbers and become text', () => {
  const { value } = decode(
    { spec: { containers: [{ name: 'c', resources: { limits: { cpu: 2, memory: '1Gi' } } }] } },
    pod,
  );
  assert.deepEqual(value, {
    spec: { containers: [{ name: 'c', resources: { limits: { cpu: '2', memory: '1Gi' } } }] },
  });
});

test('required fields that are missing', () => {
  assert.deepEqual(missingFields({ spec: { template: { spec: {} } } }, deployment), [
    'spec.selector',
    'spec.template.spec.containers',
  ]);
});
