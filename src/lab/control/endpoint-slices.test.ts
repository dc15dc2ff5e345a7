import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EndpointSlice, Pod, Service } from '../../model/mod.ts';
import { planEndpointSlices } from './endpoint-slices.ts';

const service = (spec: Partial<Service['spec']> = {}): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'web', namespace: 'shop', uid: 'u1' },
  spec: {
    selector: { app: 'web' },
    ports: [{ name: 'http', port: 80, protocol: 'TCP', targetPort: 'http' }],
    ...spec,
  },
});
const pod = (
  name: string,
  ip: string,
  change: { ready?: boolean; port?: number; going?: boolean } = {},
): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name,
    namespace: 'shop',
    uid: `pod-${name}`,
    labels: { app: 'web' },
    ...(change.going === true ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
  },
  spec: {
    nodeName: 'n1',
    containers: [{ name: 'a', ports: [{ name: 'http', containerPort: change.port ?? 8080 }] }],
  },
  status: {
    phase: 'Running',
    podIP: ip,
    conditions: [{ type: 'Ready', status: change.ready === false ? 'False' : 'True' }],
  },
});
const made = (slice: EndpointSlice, name: string): EndpointSlice => ({
  ...slice,
  metadata: { ...slice.metadata, name, resourceVersion: '1' },
});

test('ready pods, by the number of their named port', () => {
  const plan = planEndpointSlices(
    service(),
    [],
    [pod('a', '10.0.0.1'), pod('b', '10.0.0.2', { ready: false })],
  );
  assert.equal(plan.create.length, 1);
  const [slice] = plan.create;
  assert.deepEqual(slice?.ports, [{ name: 'http', protocol: 'TCP', port: 8080 }]);
  assert.deepEqual(
    slice?.endpoints.map(({ addresses, conditions }) => [addresses[0], conditions?.ready]),
    [
      ['10.0.0.1', true],
      ['10.0.0.2', false],
    ],
  );
  const again = planEndpointSlices(
    service(),
    plan.create.map((one) => made(one, 'web-1')),
    [pod('a', '10.0.0.1'), pod('b', '10.0.0.2', { ready: false })],
  );
  assert.deepEqual(again, { create: [], update: [], remove: [] });
});

test('a pod that goes serves until it is gone; a pod that came ready is one update', () => {
  const before = planEndpointSlices(service(), [], [pod('a', '10.0.0.1', { ready: false })]).create;
  const plan = planEndpointSlices(
    service(),
    before.map((one) => made(one, 'web-1')),
    [pod('a', '10.0.0.1'), pod('b', '10.0.0.2', { going: true })],
  );
  assert.deepEqual([plan.create.length, plan.remove.length, plan.update.length], [0, 0, 1]);
  assert.deepEqual(
    plan.update[0]?.endpoints.map(({ conditions }) => conditions),
    [
      { ready: true, serving: true, terminating: false },
      { ready: false, serving: true, terminating: true },
    ],
  );
});

test('pods whose named port differs get a slice of their own; more than a hundred are divided', () => {
  const different = planEndpointSlices(
    service(),
    [],
    [pod('a', '10.0.0.1'), pod('b', '10.0.0.2', { port: 9 })],
  );
  assert.deepEqual(
    different.create.map(({ ports }) => ports?.[0]?.port),
    [8080, 9],
  );
  const many = Array.from({ length: 150 }, (_, i) => pod(`p${i + 1000}`, `10.0.1.${i}`));
  assert.deepEqual(
    planEndpointSlices(service(), [], many).create.map(({ endpoints }) => endpoints.length),
    [100, 50],
  );
});

test('both families; a service without a selector is its author’s business; a deleted one loses its slices', () => {
  const dual = { ...pod('a', '10.0.0.1') };
  const both: Pod = { ...dual, status: { ...dual.status, podIPs: [{ ip: '10.0.0.1' }, { ip: 'fd00::1' }] } };
  const families = { ipFamilies: ['IPv4', 'IPv6'] };
  const plan = planEndpointSlices(service(families), [], [both]);
  assert.deepEqual(
    plan.create.map(({ addressType, endpoints }) => [addressType, endpoints[0]?.addresses]),
    [
      ['IPv4', ['10.0.0.1']],
      ['IPv6', ['fd00::1']],
    ],
  );
  const { selector: _selector, ...rest } = service().spec;
  assert.deepEqual(planEndpointSlices({ ...service(), spec: rest }, [], [both]).create, []);
  const gone = service();
  const leaving = { ...gone, metadata: { ...gone.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } };
  assert.equal(
    planEndpointSlices(leaving, [made(plan.create[0] as EndpointSlice, 'x')], [both]).remove.length,
    1,
  );
});
