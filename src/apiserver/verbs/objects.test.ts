import assert from 'node:assert/strict';
import { test } from 'node:test';
import { itemsOf, podNamed, startTestServer } from '../testing.ts';

const pods = '/api/v1/namespaces/default/pods';
const maps = '/api/v1/namespaces/default/configmaps';
const pools = '/apis/projectcalico.org/v3/ippools';

test('create answers with what the server adds; get gives the same', async (t) => {
  const { send } = await startTestServer(t);
  const created = await send('POST', pods, podNamed('a'));
  assert.equal(created.code, 201);
  const { metadata, spec, status } = created.body;
  assert.match(String(metadata?.['uid']), /^[0-9a-f-]{36}$/);
  assert.match(String(metadata?.['creationTimestamp']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.equal(metadata?.['namespace'], 'default');
  assert.equal(status?.['phase'], 'Pending');
  assert.equal(spec?.['restartPolicy'], 'Always');
  assert.equal(spec?.['containers']?.[0]?.['imagePullPolicy'], 'IfNotPresent');
  const got = await send('GET', `${pods}/a`);
  assert.deepEqual(got.body, created.body);
});

test('a pod is of an account that is there', async (t) => {
  const { send } = await startTestServer(t);
  const pod = {
    metadata: { generateName: 'a-' },
    spec: { serviceAccountName: 'robot', containers: [{ name: 'c', image: 'i' }] },
  };
  const refused = await send('POST', pods, pod);
  assert.equal(refused.code, 403);
  assert.equal(
    refused.body['message'],
    'pods "a-" is forbidden: error looking up service account default/robot: serviceaccount "robot" not found',
  );
  await send('POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'robot' } });
  const created = await send('POST', pods, pod);
  assert.equal(created.code, 201);
  // Its account may go before it.
  await send('DELETE', '/api/v1/namespaces/default/serviceaccounts/robot');
  const path = `${pods}/${String(created.body['metadata']?.['name'])}`;
  const labelled = await send(
    'PATCH',
    path,
    { metadata: { labels: { a: 'b' } } },
    { 'content-type': 'application/merge-patch+json' },
  );
  assert.equal(labelled.code, 200);
});

test('refusals of create carry reason, code and details as Kubernetes gives them', async (t) => {
  const { send } = await startTestServer(t);
  await send('POST', pods, podNamed('a'));
  const again = await send('POST', pods, podNamed('a'));
  assert.equal(again.code, 409);
  assert.deepEqual(again.body, {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: 'pods "a" already exists',
    reason: 'AlreadyExists',
    details: { name: 'a', kind: 'pods' },
    code: 409,
  });
  const nowhere = await send('POST', '/api/v1/namespaces/nowhere/pods', podNamed('a'));
  assert.equal(nowhere.body['message'], 'namespaces "nowhere" not found');
  const bad = await send('POST', pods, podNamed('Bad_Name'));
  assert.equal(bad.code, 422);
  assert.equal(bad.body['details']?.['causes']?.[0]?.['field'], 'metadata.name');
  assert.match(
    String(bad.body['message']),
    /^Pod "Bad_Name" is invalid: metadata\.name: Invalid value: "Bad_Name": a lowercase RFC 1123/,
  );
  const nameless = await send('POST', pods, { ...(podNamed('') as object) });
  assert.match(String(nameless.body['message']), /name or generateName is required/);
  const empty = await send('POST', pods, { metadata: { name: 'x' }, spec: { containers: [] } });
  assert.equal(empty.body['message'], 'Pod "x" is invalid: spec.containers: Required value');
  const wrongKind = await send('POST', pods, { kind: 'Service', apiVersion: 'v1', metadata: { name: 'x' } });
  assert.equal(wrongKind.code, 400);
  const wrongVersion = await send('POST', pods, { kind: 'Pod', apiVersion: 'v2', metadata: { name: 'x' } });
  assert.match(String(wrongVersion.body['message']), /does not match the expected API version \(v1\)/);
  const otherNamespace = await send('POST', pods, podNamed('x', { namespace: 'kube-system' }));
  assert.equal(otherNamespace.code, 400);
  const everywhere = await send('POST', '/api/v1/pods', podNamed('x'));
  assert.equal(everywhere.code, 405);
});

test('generateName, and dry runs that change nothing', async (t) => {
  const { send } = await startTestServer(t);
  const generated = await send('POST', pods, {
    metadata: { generateName: 'web-' },
    spec: { containers: [{ name: 'c', image: 'x' }] },
  });
  assert.match(String(generated.body['metadata']?.['name']), /^web-[b-z2-9]{5}$/);
  const rehearsed = await send('POST', `${pods}?dryRun=All`, podNamed('dry'));
  assert.equal(rehearsed.code, 201);
  assert.equal((await send('GET', `${pods}/dry`)).code, 404);
  const name = String(generated.body['metadata']?.['name']);
  assert.equal((await send('DELETE', `${pods}/${name}?dryRun=All`)).code, 200);
  assert.equal((await send('GET', `${pods}/${name}`)).code, 200);
  assert.equal((await send('POST', `${pods}?dryRun=Some`, podNamed('dry'))).code, 400);
});

test('RS-004: update is compare-and-swap; what does not change is not written', async (t) => {
  const { send } = await startTestServer(t);
  const first = await send('POST', maps, { metadata: { name: 'm' }, data: { a: '1' } });
  const changed = await send('PUT', `${maps}/m`, { ...first.body, data: { a: '2' } });
  assert.equal(changed.code, 200);
  assert.notEqual(changed.body['metadata']?.['resourceVersion'], first.body['metadata']?.['resourceVersion']);
  const stale = await send('PUT', `${maps}/m`, { ...first.body, data: { a: '3' } });
  assert.equal(stale.code, 409);
  assert.equal(stale.body['reason'], 'Conflict');
  assert.equal(
    stale.body['message'],
    'Operation cannot be fulfilled on configmaps "m": the object has been modified; please apply your changes to the latest version and try again',
  );
  const same = await send('PUT', `${maps}/m`, changed.body);
  assert.equal(same.body['metadata']?.['resourceVersion'], changed.body['metadata']?.['resourceVersion']);
  const unconditional = await send('PUT', `${maps}/m`, { metadata: { name: 'm' }, data: { a: '4' } });
  assert.equal(unconditional.code, 200);
  assert.equal(unconditional.body['metadata']?.['uid'], first.body['metadata']?.['uid']);
  const otherObject = await send('PUT', `${maps}/m`, { metadata: { name: 'm', uid: 'other' } });
  assert.equal(otherObject.code, 409);
  assert.equal((await send('PUT', `${maps}/gone`, { metadata: { name: 'gone' } })).code, 404);
  assert.equal((await send('PUT', `${maps}/m`, { metadata: { name: 'n' } })).code, 400);
});

test('twenty writers on one object: every acknowledged increment counts', async (t) => {
  const { send } = await startTestServer(t);
  await send('POST', maps, { metadata: { name: 'counter' }, data: { n: '0' } });
  let acknowledged = 0;
  const writer = async (): Promise<void> => {
    for (let i = 0; i < 5; ) {
      const { body } = await send('GET', `${maps}/counter`);
      const next = String(Number(body['data']?.['n']) + 1);
      const put = await send('PUT', `${maps}/counter`, { ...body, data: { n: next } });
      if (put.code === 200) {
        acknowledged++;
        i++;
      } else assert.equal(put.code, 409);
    }
  };
  await Promise.all(Array.from({ length: 20 }, writer));
  assert.equal(acknowledged, 100);
  assert.equal((await send('GET', `${maps}/counter`)).body['data']?.['n'], '100');
});

test('status is written apart from the rest, and counts no generation', async (t) => {
  const { send } = await startTestServer(t);
  const path = '/apis/apps/v1/namespaces/default/deployments';
  const deployment = {
    metadata: { name: 'd' },
    spec: {
      selector: { matchLabels: { a: 'b' } },
      template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'x' }] } },
    },
    status: { replicas: 7 },
  };
  const created = await send('POST', path, deployment);
  assert.deepEqual(created.body['status'], {});
  assert.equal(created.body['metadata']?.['generation'], 1);
  assert.equal(created.body['spec']?.['strategy']?.['type'], 'RollingUpdate');
  assert.equal(created.body['spec']?.['revisionHistoryLimit'], 10);
  const status = await send('PUT', `${path}/d/status`, {
    ...created.body,
    spec: { ...created.body['spec'], replicas: 9 },
    status: { replicas: 1 },
  });
  assert.equal(status.body['status']?.['replicas'], 1);
  assert.equal(status.body['spec']?.['replicas'], 1);
  assert.equal(status.body['metadata']?.['generation'], 1);
  const spec = await send('PUT', `${path}/d`, {
    ...status.body,
    spec: { ...status.body['spec'], replicas: 3 },
    status: { replicas: 99 },
  });
  assert.equal(spec.body['status']?.['replicas'], 1);
  assert.equal(spec.body['metadata']?.['generation'], 2);
  const immutable = await send(
    'PATCH',
    `${path}/d`,
    { spec: { selector: { matchLabels: { a: 'c' } } } },
    { 'content-type': 'application/merge-patch+json' },
  );
  assert.equal(immutable.code, 422);
  assert.match(String(immutable.body['message']), /spec\.selector: Invalid value: .*field is immutable/);
});

test('scale reads and writes replicas of a workload', async (t) => {
  const { send } = await startTestServer(t);
  const path = '/apis/apps/v1/namespaces/default/deployments';
  const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'x' }] } };
  await send('POST', path, {
    metadata: { name: 'd' },
    spec: { selector: { matchLabels: { a: 'b' } }, template },
  });
  const scale = await send('GET', `${path}/d/scale`);
  assert.equal(scale.body['kind'], 'Scale');
  assert.deepEqual(scale.body['status'], { replicas: 0, selector: 'a=b' });
  const put = await send('PUT', `${path}/d/scale`, { ...scale.body, spec: { replicas: 5 } });
  assert.equal(put.body['spec']?.['replicas'], 5);
  const stale = await send('PUT', `${path}/d/scale`, { ...scale.body, spec: { replicas: 6 } });
  assert.equal(stale.code, 409);
  const patched = await send(
    'PATCH',
    `${path}/d/scale`,
    { spec: { replicas: 2 } },
    { 'content-type': 'application/merge-patch+json' },
  );
  assert.equal(patched.body['spec']?.['replicas'], 2);
  assert.equal((await send('GET', `${path}/d`)).body['spec']?.['replicas'], 2);
  assert.equal((await send('PUT', `${path}/d/scale`, { spec: { replicas: -1 } })).code, 422);
});

test('unknown fields: refused when strict, else a warning; Calico kinds always refuse', async (t) => {
  const { send } = await startTestServer(t);
  const pod = podNamed('a', {}, { nodename: 'w1' });
  const strict = await send('POST', `${pods}?fieldValidation=Strict`, pod);
  assert.equal(strict.code, 400);
  assert.match(String(strict.body['message']), /strict decoding error: unknown field "spec\.nodename"/);
  const warned = await send('POST', pods, pod);
  assert.equal(warned.code, 201);
  assert.equal(warned.headers.get('warning'), '299 - "unknown field \\"spec.nodename\\""');
  assert.equal(warned.body['spec']?.['nodename'], undefined);
  const ignored = await send('PUT', `${pods}/a?fieldValidation=Ignore`, { ...warned.body, extra: 1 });
  assert.equal(ignored.headers.get('warning'), null);
  const pool = await send('POST', pools, {
    metadata: { name: 'p' },
    spec: { cidr: '10.0.0.0/16', natOutgoin: true },
  });
  assert.equal(pool.code, 422);
  assert.equal(pool.body['details']?.['causes']?.[0]?.['field'], 'spec.natOutgoin');
  assert.equal(pool.body['details']?.['kind'], 'IPPool');
});

test('Calico kinds: defaults, generation, updates need a resourceVersion', async (t) => {
  const { send } = await startTestServer(t);
  const created = await send('POST', pools, {
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPPool',
    metadata: { name: 'p' },
    spec: { cidr: '10.0.0.0/16' },
  });
  assert.equal(created.code, 201, JSON.stringify(created.body));
  assert.equal(created.body['spec']?.['nodeSelector'], 'all()');
  assert.equal(created.body['metadata']?.['generation'], 1);
  const blind = await send('PUT', `${pools}/p`, { metadata: { name: 'p' }, spec: created.body['spec'] });
  assert.match(
    String(blind.body['message']),
    /metadata\.resourceVersion: Invalid value: 0: must be specified for an update/,
  );
  const put = await send('PUT', `${pools}/p`, {
    ...created.body,
    spec: { ...created.body['spec'], disabled: true },
  });
  assert.equal(put.code, 200, JSON.stringify(put.body));
  assert.equal(put.body['metadata']?.['generation'], 2);
});

test('64-bit numbers of Calico objects keep every digit', async (t) => {
  const { send, url } = await startTestServer(t);
  const block = `{"metadata":{"name":"10-0-0-0-26"},"spec":{"cidr":"10.0.0.0/26","affinity":"host:a","strictAffinity":false,"allocations":[${Array(64).fill('null').join(',')}],"unallocated":[${Array.from({ length: 64 }, (_, i) => i).join(',')}],"attributes":[],"deleted":false,"sequenceNumber":1790000000123456789}}`;
  const created = await send('POST', '/apis/projectcalico.org/v3/ipamblocks', block);
  assert.equal(created.code, 201, JSON.stringify(created.body));
  const text = await (await fetch(`${url}/apis/projectcalico.org/v3/ipamblocks/10-0-0-0-26`)).text();
  assert.match(text, /"sequenceNumber":1790000000123456789[,}]/);
});

test('patches of all three types, with their errors', async (t) => {
  const { send } = await startTestServer(t);
  await send('POST', pods, podNamed('a', { labels: { x: '1' } }));
  const patch = (type: string, body: unknown): ReturnType<typeof send> =>
    send('PATCH', `${pods}/a`, body, { 'content-type': `application/${type}` });
  const merged = await patch('merge-patch+json', { metadata: { labels: { x: null, y: '2' } } });
  assert.deepEqual(merged.body['metadata']?.['labels'], { y: '2' });
  const json = await patch('json-patch+json', [{ op: 'add', path: '/metadata/labels/z', value: '3' }]);
  assert.deepEqual(json.body['metadata']?.['labels'], { y: '2', z: '3' });
  const strategic = await patch('strategic-merge-patch+json', {
    spec: { containers: [{ name: 'c', image: 'web:2' }] },
  });
  assert.equal(strategic.body['spec']?.['containers']?.[0]?.['image'], 'web:2');
  assert.equal(
    (await patch('json-patch+json', [{ op: 'test', path: '/metadata/name', value: 'b' }])).code,
    422,
  );
  assert.equal((await patch('json-patch+json', { a: 1 })).code, 400);
  assert.equal((await patch('merge-patch+json', { metadata: { name: 'b' } })).code, 400);
  assert.equal((await patch('merge-patch+json', { metadata: { resourceVersion: '1' } })).code, 409);
  const forbidden = await patch('merge-patch+json', { spec: { nodeName: 'w1' } });
  assert.match(
    String(forbidden.body['message']),
    /^Pod "a" is invalid: spec: Forbidden: pod updates may not change/,
  );
  const apply = await patch('apply-patch+yaml', 'metadata: {}');
  assert.equal(apply.code, 400);
  assert.match(String(apply.body['message']), /fieldManager: Required value/);
  assert.equal((await patch('x-unknown', {})).code, 415);
});

test('binding puts a pod on a node, once', async (t) => {
  const { send } = await startTestServer(t);
  await send('POST', pods, podNamed('a'));
  const bind = (node: string): ReturnType<typeof send> =>
    send('POST', `${pods}/a/binding`, { metadata: { name: 'a' }, target: { kind: 'Node', name: node } });
  assert.equal((await bind('w1')).code, 201);
  const { body } = await send('GET', `${pods}/a`);
  assert.equal(body['spec']?.['nodeName'], 'w1');
  assert.equal(body['status']?.['conditions']?.[0]?.['type'], 'PodScheduled');
  const second = await bind('w2');
  assert.equal(second.code, 409);
  assert.match(String(second.body['message']), /pod a is already assigned to node "w1"/);
  await send('POST', pods, podNamed('b'));
  const collective = await send('POST', '/api/v1/namespaces/default/bindings', {
    metadata: { name: 'b' },
    target: { name: 'w3' },
  });
  assert.equal(collective.code, 201);
});

test('services get an address and node ports; secrets encode stringData', async (t) => {
  const { send } = await startTestServer(t);
  const path = '/api/v1/namespaces/default/services';
  const service = await send('POST', path, {
    metadata: { name: 's' },
    spec: { type: 'NodePort', ports: [{ port: 80 }] },
  });
  assert.match(String(service.body['spec']?.['clusterIP']), /^10\.(9[6-9]|10\d|11[01])\./);
  assert.ok(Number(service.body['spec']?.['ports']?.[0]?.['nodePort']) >= 30000);
  assert.equal(service.body['spec']?.['ports']?.[0]?.['targetPort'], 80);
  const kept = await send('PUT', `${path}/s`, {
    metadata: { name: 's' },
    spec: { type: 'NodePort', ports: [{ port: 81 }] },
  });
  assert.equal(kept.body['spec']?.['clusterIP'], service.body['spec']?.['clusterIP']);
  const headless = await send('POST', path, {
    metadata: { name: 'h' },
    spec: { clusterIP: 'None', ports: [{ port: 80 }] },
  });
  assert.equal(headless.body['spec']?.['clusterIP'], 'None');
  const secret = await send('POST', '/api/v1/namespaces/default/secrets', {
    metadata: { name: 'x' },
    stringData: { a: 'b' },
  });
  assert.deepEqual(secret.body['data'], { a: 'Yg==' });
  assert.equal(secret.body['stringData'], undefined);
});

test('ephemeral containers are added through their subresource, and stay', async (t) => {
  const { send } = await startTestServer(t);
  await send('POST', pods, podNamed('a'));
  const part = `${pods}/a/ephemeralcontainers`;
  const merge = { 'content-type': 'application/strategic-merge-patch+json' };
  const added = (one: object): object => ({ spec: { ephemeralContainers: [one] } });
  const look = { name: 'look', image: 'busybox' };
  assert.equal((await send('PATCH', `${pods}/a`, added(look), merge)).code, 422);
  const wrong = await send('PATCH', part, added({ ...look, targetContainerName: 'nobody' }), merge);
  assert.match(String(wrong.body['message']), /targetContainerName: Not found: "nobody"/);
  const done = await send('PATCH', part, added(look), merge);
  assert.equal(done.code, 200);
  assert.equal(done.body['spec']?.['ephemeralContainers']?.[0]?.['imagePullPolicy'], 'Always');
  assert.equal((await send('GET', part)).body['spec']?.['ephemeralContainers']?.[0]?.['name'], 'look');
  const changed = await send('PATCH', part, added({ ...look, image: 'other' }), merge);
  assert.match(String(changed.body['message']), /existing ephemeral containers "look" may not be changed/);
  const again = await send('PATCH', part, added({ name: 'more', image: 'busybox' }), merge);
  assert.equal(itemsOf(again.body['spec']?.['ephemeralContainers']).length, 2);
});

test('a cron job whose schedule, zone or policy is none is refused', async (t) => {
  const { send } = await startTestServer(t);
  const path = '/apis/batch/v1/namespaces/default/cronjobs';
  const containers = [{ name: 'c', image: 'x' }];
  const cronJob = (spec: object): object => ({
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: { name: 'tick' },
    spec: {
      schedule: '*/5 * * * *',
      jobTemplate: { spec: { template: { spec: { containers, restartPolicy: 'Never' } } } },
      ...spec,
    },
  });
  const table: [object, RegExp][] = [
    [{ schedule: '* * * *' }, /spec\.schedule: .*expected exactly 5 fields, found 4/],
    [{ schedule: 'TZ=UTC 0 * * * *' }, /cannot use TZ or CRON_TZ/],
    [{ timeZone: 'Mars/Olympus' }, /unknown time zone Mars\/Olympus/],
    [{ concurrencyPolicy: 'Maybe' }, /spec\.concurrencyPolicy: Unsupported value: "Maybe"/],
    [{ failedJobsHistoryLimit: -1 }, /spec\.failedJobsHistoryLimit: .*greater than or equal to 0/],
  ];
  for (const [spec, expected] of table) {
    const refused = await send('POST', path, cronJob(spec));
    assert.equal(refused.code, 422);
    assert.match(String(refused.body['message']), expected);
  }
  assert.equal((await send('POST', path, cronJob({ timeZone: 'Europe/Berlin' }))).code, 201);
});
