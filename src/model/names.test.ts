import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  derivedUid,
  interfaceNameFor,
  namespaceOfProfile,
  parseWorkloadEndpointName,
  serviceAccountOfProfile,
  serviceAccountProfileName,
  workloadEndpointName,
  workloadEndpointNameMatches,
  workloadEndpointNamePrefix,
} from './names.ts';

const name = (ids: Parameters<typeof workloadEndpointName>[0]) => {
  const result = workloadEndpointName(ids);
  return result.ok ? result.value : result.error.field;
};

test('RS-070: names of workload endpoints', () => {
  const base = { node: 'node-1', endpoint: 'eth0' };
  assert.equal(name({ ...base, orchestrator: 'k8s', pod: 'a-b' }), 'node--1-k8s-a--b-eth0');
  assert.equal(name({ ...base, orchestrator: 'cni', containerID: 'abc' }), 'node--1-cni-abc-eth0');
  assert.equal(name({ ...base, orchestrator: 'libnetwork' }), 'node--1-libnetwork-libnetwork-eth0');
  assert.equal(name({ ...base, orchestrator: 'other', workload: 'w' }), 'node--1-other-w-eth0');
  assert.equal(name({ ...base, orchestrator: 'k8s' }), 'pod');
  assert.equal(name({ ...base, orchestrator: 'k8s', pod: 'a-' }), 'pod');
  assert.equal(name({ orchestrator: 'k8s', pod: 'a', endpoint: 'eth0' }), 'node');
});

test('RS-070: prefixes of names end at the first part that is missing', () => {
  const prefix = workloadEndpointNamePrefix({ node: 'n', orchestrator: 'k8s', endpoint: 'eth0' });
  assert.deepEqual(prefix, { ok: true, value: 'n-k8s-' });
  assert.ok(!workloadEndpointNamePrefix({ orchestrator: 'k8s' }).ok);
});

const part = fc.stringMatching(/^[a-z0-9]([a-z0-9.-]{0,8}[a-z0-9])?$/);

test('SR-196: names read back as what they were made of, and match only that', () => {
  fc.assert(
    fc.property(part, part, part, (node, pod, endpoint) => {
      const ids = { node, orchestrator: 'k8s', pod, endpoint };
      const made = name(ids) ?? '';
      assert.deepEqual(parseWorkloadEndpointName(made), { ok: true, value: ids });
      assert.ok(workloadEndpointNameMatches(ids, made));
      assert.ok(workloadEndpointNameMatches({ node, orchestrator: 'k8s' }, made));
      assert.ok(!workloadEndpointNameMatches({ ...ids, pod: `${pod}x` }, made));
    }),
    { numRuns: 200 },
  );
  assert.ok(!parseWorkloadEndpointName('').ok);
  assert.ok(!parseWorkloadEndpointName('a-b-c-d-e').ok);
});

test("RS-075: the host's end of a pod's interface", () => {
  assert.equal(interfaceNameFor('default', 'podB'), 'cali92cf1f5e9f6');
  assert.equal(interfaceNameFor('namespace', 'podname', 'eni,veth,foo'), 'eni82111e10a96');
});

test('SR-179: names of profiles that namespaces and service accounts make', () => {
  assert.equal(namespaceOfProfile('kns.a.b'), 'a.b');
  assert.equal(namespaceOfProfile('ksa.a.b'), undefined);
  assert.equal(serviceAccountProfileName(undefined, 'x'), 'ksa.default.x');
  assert.deepEqual(serviceAccountOfProfile('ksa.a.b.c'), { namespace: 'a', name: 'b.c' });
  assert.equal(serviceAccountOfProfile('ksa.a'), undefined);
});

test('identifiers of derived objects keep version and variant, and derive back', () => {
  const uid = '30316465-6365-4463-ad63-3564622d3638';
  assert.equal(derivedUid(uid), '0c8c26a6-c6a6-44c6-adc6-ac2646b46c1c');
  assert.equal(derivedUid(derivedUid(uid) ?? ''), uid);
  assert.equal(derivedUid('x'), undefined);
});
