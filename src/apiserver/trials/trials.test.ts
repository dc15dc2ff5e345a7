// Changes that would cut the server off from nodes are put on trial at the door, whoever writes them and however.
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { trialAnnotation } from '../../controllers/mod.ts';
import { VirtualClock } from '../../lib/clock.ts';
import { itemsOf, type Reply, type Send, startTestServer } from '../testing.ts';

const v3 = '/apis/projectcalico.org/v3';
const policies = `${v3}/globalnetworkpolicies`;
const nodeAddress = '10.0.0.1';

const policy = (name: string, spec: object): object => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'GlobalNetworkPolicy',
  metadata: { name },
  spec,
});
const denyAll = policy('deny-all', {
  order: 100,
  selector: 'has(host)',
  types: ['Ingress', 'Egress'],
  ingress: [{ action: 'Deny' }],
  egress: [{ action: 'Deny' }],
});
const openApi = policy('open-api', {
  order: 10,
  selector: 'has(host)',
  types: ['Ingress', 'Egress'],
  ingress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [10_250] } }],
  egress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [7443] } }],
});
const hostEndpoint = (name: string, more: object = {}): object => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'HostEndpoint',
  metadata: { name, labels: { host: 'yes' }, ...more },
  spec: {
    node: 'n1',
    interfaceName: '*',
    expectedIPs: [nodeAddress],
    profiles: ['projectcalico-default-allow'],
  },
});

/** A cluster of one node with an agent, whose API server is somewhere else, at a port that no failsafe covers. */
async function cluster(t: TestContext): Promise<{ send: Send; clock: VirtualClock }> {
  const clock = new VirtualClock();
  const { send } = await startTestServer(t, { clock });
  const made = async (path: string, body: object): Promise<void> => {
    const { code } = await send('POST', path, body);
    assert.equal(code, 201, path);
  };
  await made('/api/v1/nodes', { metadata: { name: 'n1' } });
  const status = {
    addresses: [{ type: 'InternalIP', address: nodeAddress }],
    daemonEndpoints: { kubeletEndpoint: { Port: 10_250 } },
  };
  const { code } = await send(
    'PATCH',
    '/api/v1/nodes/n1/status',
    { status },
    { 'content-type': 'application/merge-patch+json' },
  );
  assert.equal(code, 200);
  await made('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
    metadata: { name: 'kubernetes', labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.0.0.254'] }],
    ports: [{ name: 'https', port: 7443, protocol: 'TCP' }],
  });
  return { send, clock };
}

const warningsOf = ({ headers }: Reply): string => headers.get('warning') ?? '';
const annotationOf = ({ body }: Reply): string | undefined =>
  body['metadata']?.['annotations']?.[trialAnnotation] as unknown as string | undefined;
const merge = { 'content-type': 'application/merge-patch+json' };

test('FX-154: a policy that cuts a node off is put on trial, and its author is told what and how to keep it', async (t) => {
  const { send } = await cluster(t);
  assert.equal(
    warningsOf(await send('POST', policies, denyAll)),
    '',
    'without host endpoints nobody is cut off',
  );
  assert.equal((await send('DELETE', `${policies}/deny-all`)).code, 200);
  assert.equal((await send('POST', `${v3}/hostendpoints`, hostEndpoint('n1-all'))).code, 201);
  const tried = await send('POST', policies, denyAll);
  assert.equal(tried.code, 201);
  const warning = warningsOf(tried);
  assert.match(
    warning,
    /would cut node n1 from the API server at 10\.0\.0\.254:7443 \(egress of .* denied by/,
  );
  assert.match(warning, /the API server from node n1, port 10250/);
  assert.match(warning, /in 60 s, .*margay policy confirm deny-all/);
  const { before, cuts } = JSON.parse(annotationOf(tried) ?? '{}') as { before: unknown; cuts: string[] };
  assert.equal(before, null);
  assert.equal(cuts.length, 2);
  const events = itemsOf((await send('GET', '/api/v1/namespaces/default/events')).body['items']);
  assert.deepEqual(
    events.map((event) => [event['reason'], event['involvedObject']?.['name']]),
    [['OnTrial', 'deny-all']],
  );
  const rehearsed = await send('PUT', `${policies}/deny-all?dryRun=All`, {
    ...denyAll,
    metadata: tried.body['metadata'],
  });
  assert.equal(rehearsed.code, 200);
});

test('a change on trial that is written again stays on trial; a patch confirms it', async (t) => {
  const { send } = await cluster(t);
  await send('POST', `${v3}/hostendpoints`, hostEndpoint('n1-all'));
  const tried = await send('POST', policies, denyAll);
  const { resourceVersion } = tried.body['metadata'] as unknown as { resourceVersion: string };
  const again = await send('PUT', `${policies}/deny-all`, {
    ...denyAll,
    metadata: { name: 'deny-all', resourceVersion },
  });
  assert.match(warningsOf(again), /is on trial until/);
  assert.equal(annotationOf(again), annotationOf(tried));
  const body = { metadata: { annotations: { [trialAnnotation]: null } } };
  const kept = await send('PATCH', `${policies}/deny-all`, body, merge);
  assert.equal(annotationOf(kept), undefined);
  assert.equal(warningsOf(kept), '');
  const later = await send('PATCH', `${policies}/deny-all`, { spec: { order: 200 } }, merge);
  assert.equal(annotationOf(later), undefined, 'what is closed already is not cut');
});

test('a change that mends what others cut ends their trials', async (t) => {
  const { send } = await cluster(t);
  const { profiles: _, ...closed } = (hostEndpoint('n1-all') as { spec: { profiles: unknown } }).spec;
  const first = await send('POST', `${v3}/hostendpoints`, { ...hostEndpoint('n1-all'), spec: closed });
  assert.match(warningsOf(first), /would cut/);
  assert.notEqual(annotationOf(first), undefined);
  const mended = await send('POST', policies, openApi);
  assert.match(warningsOf(mended), /HostEndpoint n1-all cuts nothing any more/);
  assert.equal(annotationOf(mended), undefined);
  assert.equal(annotationOf(await send('GET', `${v3}/hostendpoints/n1-all`)), undefined);
});

test('a deletion that cuts is on trial: the object stays until it is confirmed', async (t) => {
  const { send } = await cluster(t);
  await send('POST', `${v3}/hostendpoints`, hostEndpoint('n1-all'));
  await send('POST', policies, openApi);
  assert.equal(annotationOf(await send('POST', policies, denyAll)), undefined);
  const deleted = await send('DELETE', `${policies}/open-api`);
  assert.match(warningsOf(deleted), /this deletion would cut/);
  const trial = JSON.parse(annotationOf(await send('GET', `${policies}/open-api`)) ?? '{}') as {
    deletes: boolean;
  };
  assert.equal(trial.deletes, true);
  assert.match(warningsOf(await send('DELETE', `${policies}/open-api`)), /is on trial/);
  const body = { metadata: { annotations: { [trialAnnotation]: null } } };
  assert.equal((await send('PATCH', `${policies}/open-api`, body, merge)).code, 200);
  assert.equal((await send('GET', `${policies}/open-api`)).code, 404);
});

test('failsafe ports that go, an endpoint nobody is there to confirm, and what is over', async (t) => {
  const { send, clock } = await cluster(t);
  const failsafe = { failsafeOutboundHostPorts: [{ protocol: 'tcp', port: 7443 }] };
  const configuration = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'FelixConfiguration',
    metadata: { name: 'default' },
  };
  await send('POST', `${v3}/felixconfigurations`, { ...configuration, spec: failsafe });
  const egressOnly = policy('deny-all', { selector: 'has(host)', types: ['Egress'], egress: [] });
  await send('POST', policies, egressOnly);
  assert.equal(warningsOf(await send('POST', `${v3}/hostendpoints`, hostEndpoint('n1-all'))), '');
  const emptied = await send(
    'PATCH',
    `${v3}/felixconfigurations/default`,
    { spec: { failsafeOutboundHostPorts: [] } },
    merge,
  );
  assert.match(warningsOf(emptied), /node n1 from the API server/);
  const labels = { host: 'yes', 'projectcalico.org/created-by': 'calico-kube-controllers' };
  clock.advance(61_000);
  // What is over counts no more: the ports are open again, for who asks now.
  const closing = await send('PUT', `${policies}/deny-all`, {
    ...policy('deny-all', { selector: 'has(host)', types: ['Ingress'], ingress: [] }),
    metadata: {
      name: 'deny-all',
      resourceVersion: (await send('GET', `${policies}/deny-all`)).body['metadata']?.['resourceVersion'],
    },
  });
  assert.match(warningsOf(closing), /port 10250/);
  assert.doesNotMatch(warningsOf(closing), /node n1 from the API server/);
  // Without the endpoint nothing is cut, and what was on trial stays.
  const mended = await send('DELETE', `${v3}/hostendpoints/n1-all`);
  assert.match(warningsOf(mended), /GlobalNetworkPolicy deny-all cuts nothing any more/);
  const automatic = hostEndpoint('n1-auto-hep', { labels });
  const early = await send('POST', `${v3}/hostendpoints`, automatic);
  assert.equal(early.code, 403);
  await send('DELETE', `${policies}/deny-all`);
  assert.equal((await send('POST', `${v3}/hostendpoints`, automatic)).code, 201);
  await send('POST', policies, policy('closed', { selector: 'has(role)', types: ['Ingress'], ingress: [] }));
  const refused = await send(
    'PATCH',
    `${v3}/hostendpoints/n1-auto-hep`,
    { metadata: { labels: { role: 'x' } } },
    merge,
  );
  assert.equal(refused.code, 403);
  assert.match(String(refused.body['message']), /nobody is there to confirm it/);
});
