// The everyday commands of kubectl against the embedded API server, with the kubectl of this machine. MARGAY_KUBECTL
// names another one.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { cluster, type Kubectl, missing, program, rows } from '../support/kubectl.ts';

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "web:1", ports: [{containerPort: 80}]}
`;
const pool = (spec: string): string => `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: default-ipv4-ippool}
spec: {${spec}}
`;

describe('kubectl', { skip: missing ? `${program} is not installed` : false, concurrency: 1 }, () => {
  test('create of an ingress', async (t) => {
    const kubectl = await cluster(t);
    await kubectl('create', 'ingress', 'front', '--rule=shop.example/cart=cart:8080');
    assert.equal(
      await kubectl(
        'get',
        'ingress',
        'front',
        '-o',
        'jsonpath={.spec.rules[0].http.paths[0].backend.service}',
      ),
      '{"name":"cart","port":{"number":8080}}',
    );
  });

  test('create, scale and get of a deployment', async (t) => {
    const kubectl = await cluster(t);
    assert.equal(
      await kubectl('create', 'deployment', 'myapp', '--image=pod-test:v0.1'),
      'deployment.apps/myapp created\n',
    );
    assert.match(
      await kubectl('scale', 'deployment', 'myapp', '--replicas=6'),
      /deployment\.apps\/myapp scaled/,
    );
    const [header, row] = rows(await kubectl('get', 'deploy', '-o', 'wide'));
    assert.deepEqual(header, [
      'NAME',
      'READY',
      'UP-TO-DATE',
      'AVAILABLE',
      'AGE',
      'CONTAINERS',
      'IMAGES',
      'SELECTOR',
    ]);
    assert.deepEqual(
      [...(row ?? []).slice(0, 4), ...(row ?? []).slice(5)],
      ['myapp', '0/6', '0', '0', 'pod-test', 'pod-test:v0.1', 'app=myapp'],
    );
    assert.match(
      await kubectl.refused('create', 'deployment', 'myapp', '--image=x'),
      /deployments\.apps "myapp" already exists/,
    );
    assert.equal(await kubectl('get', 'deploy', 'myapp', '-o', 'jsonpath={.spec.replicas}'), '6');
    assert.match(await kubectl('delete', 'deployment', 'myapp'), /deployment\.apps "myapp" deleted/);
    assert.match(
      await kubectl.refused('get', 'deployment', 'myapp'),
      /Error from server \(NotFound\): deployments\.apps "myapp" not found/,
    );
  });

  test('apply: created, unchanged, configured; unknown fields are refused', async (t) => {
    const kubectl = await cluster(t);
    assert.match(await kubectl.apply(deployment), /web created/);
    assert.match(await kubectl.apply(deployment), /web unchanged/);
    assert.match(await kubectl.apply(deployment.replace('web:1', 'web:2')), /web configured/);
    assert.equal(
      await kubectl('get', 'deploy', 'web', '-o', 'jsonpath={.spec.template.spec.containers[0].image}'),
      'web:2',
    );
    assert.equal(await kubectl('get', 'deploy', 'web', '-o', 'jsonpath={.metadata.generation}'), '2');
    // A field that leaves the manifest leaves the object; what others set stays.
    await kubectl('label', 'deploy', 'web', 'team=a');
    await kubectl.apply(deployment.replace('labels: {app: web}}\nspec', 'labels: {by: us}}\nspec'));
    assert.equal(
      await kubectl('get', 'deploy', 'web', '-o', 'jsonpath={.metadata.labels}'),
      '{"by":"us","team":"a"}',
    );
    const selector = await kubectl.refused(
      'patch',
      'deploy',
      'web',
      '-p',
      '{"spec":{"selector":{"matchLabels":{"app":"x"}}}}',
    );
    assert.match(selector, /The Deployment "web" is invalid/);
    assert.match(selector, /field is immutable/);
    if (await isRecent(kubectl)) {
      await assert.rejects(
        kubectl.apply(deployment.replace('replicas', 'replicass')),
        /unknown field "spec\.replicass"/,
      );
    }
  });

  test('Calico kinds: columns, short names, yaml, validation that names field and value', async (t) => {
    const kubectl = await cluster(t);
    assert.match(
      await kubectl.apply(pool('cidr: 192.168.0.0/16, natOutgoing: true')),
      /ippool\.projectcalico\.org\/default-ipv4-ippool created/,
    );
    const [header, row] = rows(await kubectl('get', 'ippools'));
    assert.deepEqual(header?.slice(0, 5), ['NAME', 'CIDR', 'VXLAN', 'IPIP', 'NAT']);
    assert.deepEqual(row?.slice(0, 5), ['default-ipv4-ippool', '192.168.0.0/16', 'Never', 'Never', 'true']);
    const yaml = await kubectl('get', 'ippool', 'default-ipv4-ippool', '-o', 'yaml');
    for (const line of [
      'apiVersion: projectcalico.org/v3',
      'kind: IPPool',
      '  cidr: 192.168.0.0/16',
      '  nodeSelector: all()',
      '  vxlanMode: Never',
    ]) {
      assert.ok(yaml.includes(`${line}\n`), line);
    }
    await assert.rejects(
      kubectl.apply(pool('cidr: 192.168.0.0/16, natoutgoing: true')),
      /(spec\.|unknown field ")natoutgoing/,
    );
    await assert.rejects(
      kubectl.apply(pool('cidr: 192.168.0.0/99')),
      /The IPPool "default-ipv4-ippool" is invalid: .*spec\.cidr: Invalid value: "192\.168\.0\.0\/99"/s,
    );
    assert.match(
      await kubectl(
        'patch',
        'ippool',
        'default-ipv4-ippool',
        '--type=merge',
        '-p',
        '{"spec":{"disabled":true}}',
      ),
      /patched/,
    );
    const resources = await kubectl('api-resources', '--api-group=projectcalico.org', '-o', 'name');
    assert.ok(
      resources.includes('felixconfigurations.projectcalico.org') &&
        resources.includes('bgppeers.projectcalico.org'),
    );
  });

  test('pods: labels, selectors, wide columns, describe, delete', async (t) => {
    const kubectl = await cluster(t);
    await kubectl('run', 'a', '--image=web:1', '--labels=app=a');
    await kubectl('run', 'b', '--image=web:1', '--labels=app=b');
    await kubectl('label', 'pod', 'a', 'tier=front');
    assert.deepEqual(
      rows(await kubectl('get', 'pods', '-l', 'app in (a),tier', '--no-headers')).map(([name]) => name),
      ['a'],
    );
    assert.deepEqual(
      rows(await kubectl('get', 'pods', '--field-selector', 'status.phase=Pending', '--no-headers')).length,
      2,
    );
    const [header, row] = rows(await kubectl('get', 'pods', '-A', '-o', 'wide'));
    assert.deepEqual(header, [
      'NAMESPACE',
      'NAME',
      'READY',
      'STATUS',
      'RESTARTS',
      'AGE',
      'IP',
      'NODE',
      'NOMINATED NODE',
      'READINESS GATES',
    ]);
    assert.deepEqual(row?.slice(0, 4), ['default', 'a', '0/1', 'Pending']);
    assert.match(await kubectl('describe', 'pod', 'a'), /Status:\s+Pending/);
    assert.deepEqual(rows(await kubectl('get', 'pods', '-L', 'tier', '--no-headers'))[0]?.at(-1), 'front');
    assert.match(await kubectl('delete', 'pods', '--all'), /pod "a" deleted[\s\S]*pod "b" deleted/);
  });

  test('nodes as the lab registers them', async (t) => {
    const kubectl = await cluster(t);
    await kubectl.apply(`
apiVersion: v1
kind: Node
metadata: {name: worker1, labels: {node-role.kubernetes.io/worker: ""}}
status:
  conditions: [{type: Ready, status: "True", reason: KubeletReady, message: ready, lastHeartbeatTime: "2026-01-01T00:00:00Z", lastTransitionTime: "2026-01-01T00:00:00Z"}]
  addresses: [{type: InternalIP, address: 10.0.0.21}]
  nodeInfo: {kubeletVersion: v1.32.0, osImage: Debian, kernelVersion: "6.18", containerRuntimeVersion: margay://1, architecture: amd64, bootID: "", kubeProxyVersion: "", machineID: "", operatingSystem: linux, systemUUID: ""}
`);
    const [header, row] = rows(await kubectl('get', 'nodes', '-o', 'wide'));
    assert.deepEqual(header?.slice(0, 7), [
      'NAME',
      'STATUS',
      'ROLES',
      'AGE',
      'VERSION',
      'INTERNAL-IP',
      'EXTERNAL-IP',
    ]);
    assert.deepEqual(row?.slice(0, 3), ['worker1', 'Ready', 'worker']);
    assert.equal(row?.[5], '10.0.0.21');
    assert.match(await kubectl('describe', 'node', 'worker1'), /InternalIP:\s+10\.0\.0\.21/);
    await kubectl('cordon', 'worker1');
    assert.match(await kubectl('get', 'nodes'), /Ready,SchedulingDisabled/);
    await kubectl('taint', 'node', 'worker1', 'a=b:NoSchedule');
    assert.equal(await kubectl('get', 'node', 'worker1', '-o', 'jsonpath={.spec.taints[0].key}'), 'a');
  });

  test('get -w prints a row per change', async (t) => {
    const kubectl = await cluster(t);
    const child = spawn(program, ['--server', kubectl.url, 'get', 'pods', '-w'], {
      env: { PATH: process.env['PATH'] ?? '', HOME: kubectl.home },
    });
    t.after(() => child.kill());
    let printed = '';
    const seen = (wanted: RegExp): Promise<void> =>
      new Promise((resolve, reject) => {
        const late = setTimeout(
          () => reject(new Error(`${String(wanted)} did not come:\n${printed}`)),
          20_000,
        );
        const look = (): void => {
          if (!wanted.test(printed)) return;
          clearTimeout(late);
          child.stdout.off('data', look);
          resolve();
        };
        child.stdout.on('data', look);
        look();
      });
    child.stdout.on('data', (chunk: Buffer) => {
      printed += chunk.toString();
    });
    await kubectl('run', 'first', '--image=web:1');
    await seen(/^NAME\s+READY\s+STATUS\s+RESTARTS\s+AGE\nfirst\s+0\/1\s+Pending/);
    await kubectl('label', 'pod', 'first', 'x=y');
    await seen(/(first.*\n){2}/);
    await kubectl('run', 'second', '--image=web:1');
    await seen(/second\s+0\/1\s+Pending/);
  });

  test('namespaces come, hold objects, and go with them', async (t) => {
    const kubectl = await cluster(t);
    await kubectl('create', 'namespace', 'team');
    await kubectl('-n', 'team', 'create', 'configmap', 'settings', '--from-literal=a=b');
    assert.equal(
      await kubectl('-n', 'team', 'get', 'configmap', 'settings', '-o', 'jsonpath={.data.a}'),
      'b',
    );
    assert.match(await kubectl('delete', 'namespace', 'team'), /namespace "team" deleted/);
    assert.match(await kubectl.refused('get', 'namespace', 'team'), /namespaces "team" not found/);
    assert.match(
      await kubectl.refused('-n', 'team', 'create', 'configmap', 'x'),
      /namespaces "team" not found/,
    );
  });

  test('services, secrets, jobs, roles: create and list', async (t) => {
    const kubectl = await cluster(t);
    await kubectl.apply(deployment);
    await kubectl('expose', 'deployment', 'web', '--port=80', '--type=NodePort');
    assert.match(await kubectl('get', 'svc'), /web\s+NodePort\s+10\.\d+\.\d+\.\d+\s+<none>\s+80:3\d{4}\/TCP/);
    await kubectl('create', 'secret', 'generic', 's', '--from-literal=a=b');
    assert.equal(await kubectl('get', 'secret', 's', '-o', 'jsonpath={.data.a}'), 'Yg==');
    await kubectl('create', 'job', 'once', '--image=web:1');
    await kubectl('create', 'role', 'reader', '--verb=get', '--resource=pods');
    assert.match(await kubectl('get', 'all'), /job\.batch\/once/);
    assert.match(await kubectl('auth', 'can-i', 'delete', 'pods'), /yes/);
    assert.match(await kubectl('version'), /v1\.32/);
  });

  test('set image, rollout restart, replace, and a patch of each type', async (t) => {
    const kubectl = await cluster(t);
    await kubectl.apply(deployment);
    await kubectl('set', 'image', 'deployment/web', 'web=web:3');
    await kubectl('rollout', 'restart', 'deployment/web');
    await kubectl(
      'patch',
      'deployment',
      'web',
      '--type=json',
      '-p',
      '[{"op":"replace","path":"/spec/replicas","value":4}]',
    );
    await kubectl(
      'patch',
      'deployment',
      'web',
      '-p',
      '{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":"1"}]}]}}}}',
    );
    const json = JSON.parse(await kubectl('get', 'deployment', 'web', '-o', 'json')) as {
      spec: {
        replicas: number;
        template: {
          metadata: { annotations: Record<string, string> };
          spec: { containers: { image: string; env: unknown[] }[] };
        };
      };
    };
    assert.equal(json.spec.replicas, 4);
    assert.equal(json.spec.template.spec.containers[0]?.image, 'web:3');
    assert.deepEqual(json.spec.template.spec.containers[0]?.env, [{ name: 'A', value: '1' }]);
    assert.ok(json.spec.template.metadata.annotations['kubectl.kubernetes.io/restartedAt']);
    const file = join(kubectl.home, 'manifest.yaml');
    assert.match(await kubectl('replace', '-f', file), /web replaced/);
    assert.match(await kubectl('delete', '-f', file), /"web" deleted/);
    assert.match(await kubectl('apply', '-f', file, '--dry-run=client'), /created \(dry run\)/);
  });
});

/** Older kubectl leaves the check of fields to the schemas it downloads. */
async function isRecent(kubectl: Kubectl): Promise<boolean> {
  const { clientVersion } = JSON.parse(await kubectl('version', '--client', '-o', 'json')) as {
    clientVersion: { minor: string };
  };
  return Number.parseInt(clientVersion.minor, 10) >= 27;
}
