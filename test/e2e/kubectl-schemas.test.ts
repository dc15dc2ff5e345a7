// What kubectl knows of the kinds by asking the server: explain, validation before sending, dry runs.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cluster, missing, program, refusedApply } from '../support/kubectl.ts';

const deployment = (ports: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "web:1", ${ports}}
`;

describe('kubectl, schemas', {
  skip: missing ? `${program} is not installed` : false,
  concurrency: 1,
}, () => {
  test('explain knows fields of Calico and of Kubernetes', async (t) => {
    const kubectl = await cluster(t);
    const pool = await kubectl('explain', 'ippool.spec');
    assert.match(pool, /KIND:\s+IPPool/);
    assert.match(pool, /cidr\s+<string> -required-\n\s+The range\. Cannot be changed\./);
    assert.match(pool, /allowedUses\s+<\[\]string>/);
    const containers = await kubectl('explain', 'pod.spec.containers');
    assert.match(containers, /image\s+<string>\n\s+The image whose files/);
    assert.match(containers, /name\s+<string> -required-/);
    assert.match(
      await kubectl('explain', 'deployments.spec.template.spec', '--recursive'),
      /hostNetwork\s+<boolean>/,
    );
    for (const kind of [
      'namespaces',
      'nodes',
      'services',
      'replicasets',
      'daemonsets',
      'configmaps',
      'secrets',
      'tiers',
    ])
      assert.doesNotMatch(await kubectl('explain', kind), /DESCRIPTION:\s+<empty>/);
  });

  test('RS-005: apply names a misspelt field', async (t) => {
    const kubectl = await cluster(t);
    const misspelt = deployment('prots: [{containerPort: 80}]');
    assert.match(
      await refusedApply(kubectl, misspelt),
      /unknown field "(spec\.template\.spec\.containers\[0\]\.)?prots"/,
    );
    const policy = `
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: wide}
spec: {selctor: all()}
`;
    assert.match(await refusedApply(kubectl, policy), /selctor/);
    assert.equal(
      await kubectl.apply(deployment('ports: [{containerPort: 80}]')),
      'deployment.apps/web created\n',
    );
  });

  test('apply merges lists by their keys, and rehearses on the server', async (t) => {
    const kubectl = await cluster(t);
    await kubectl.apply(deployment('ports: [{containerPort: 80}]'));
    await kubectl.apply(deployment('ports: [{containerPort: 80}]'), '--dry-run=server');
    await kubectl('set', 'env', 'deployment/web', 'A=b');
    await kubectl.apply(deployment('ports: [{containerPort: 81}]'));
    const read = await kubectl(
      'get',
      'deployment',
      'web',
      '-o',
      'jsonpath={.spec.template.spec.containers[0]}',
    );
    const container = JSON.parse(read) as { ports: { containerPort: number }[]; env: unknown };
    assert.deepEqual(
      container.ports.map((port) => port.containerPort),
      [81],
    );
    assert.deepEqual(container.env, [{ name: 'A', value: 'b' }]);
  });
});
