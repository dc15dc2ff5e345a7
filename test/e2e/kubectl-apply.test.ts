// Server-side apply with kubectl: owners of fields, conflicts, taking over.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cluster, missing, program, refusedApply } from '../support/kubectl.ts';

const deployment = (replicas: number, more = ''): string => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:1"${more}}]}
`;
const pool = (nat: boolean): string => `
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: default-ipv4-ippool}
spec: {cidr: 192.168.0.0/16, natOutgoing: ${nat}}
`;

describe('kubectl apply --server-side', {
  skip: missing ? `${program} is not installed` : false,
  concurrency: 1,
}, () => {
  test('creates, changes, and names the owner of a field it may not change', async (t) => {
    const kubectl = await cluster(t);
    assert.match(
      await kubectl.apply(deployment(2), '--server-side'),
      /deployment\.apps\/web serverside-applied/,
    );
    await kubectl.apply(deployment(3), '--server-side');
    const refused = await refusedApply(kubectl, deployment(4), '--server-side', '--field-manager=other');
    assert.match(
      refused,
      /Apply failed with 1 conflict: conflict with "kubectl"( using apps\/v1)?: \.spec\.replicas/,
    );
    await kubectl.apply(deployment(4), '--server-side', '--field-manager=other', '--force-conflicts');
    assert.equal(await kubectl('get', 'deploy', 'web', '-o', 'jsonpath={.spec.replicas}'), '4');
    await kubectl('scale', 'deploy', 'web', '--replicas=5');
    assert.match(
      await kubectl('get', 'deploy', 'web', '-o', 'jsonpath={.metadata.managedFields[*].manager}'),
      /other/,
    );
  });

  test('takes over from client-side apply, and drops what is no longer said', async (t) => {
    const kubectl = await cluster(t);
    await kubectl.apply(deployment(2, ', env: [{name: A, value: "1"}]'));
    await kubectl.apply(deployment(2), '--server-side', '--force-conflicts');
    await kubectl.apply(deployment(2, ', env: [{name: B, value: "1"}]'), '--server-side');
    await kubectl.apply(deployment(2), '--server-side');
    const env = await kubectl(
      'get',
      'deploy',
      'web',
      '-o',
      'jsonpath={.spec.template.spec.containers[0].env[*].name}',
    );
    assert.doesNotMatch(env, /B/);
  });

  test('Calico kinds, with a rehearsal on the server', async (t) => {
    const kubectl = await cluster(t);
    await kubectl.apply(pool(true), '--server-side', '--dry-run=server');
    await kubectl.apply(pool(true), '--server-side');
    assert.match(
      await refusedApply(kubectl, pool(false), '--server-side', '--field-manager=other'),
      /conflict with "kubectl"( using projectcalico\.org\/v3)?: \.spec\.natOutgoing/,
    );
    await kubectl.apply(pool(true));
    assert.match(await kubectl('get', 'ippool', '-o', 'jsonpath={.items[*].spec.natOutgoing}'), /true/);
  });
});
