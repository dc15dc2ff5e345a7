// Who may do what, with kubectl over TLS: certificates, tokens of service accounts, roles, questions about rights, and
// Calico's rights by tier.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { adminKubeconfig, clusterKeys, startApiServer } from '../../src/apiserver/mod.ts';
import { kubeconfig } from '../../src/lib/kubeconfig.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { expect } from '../../src/lib/result.ts';
import { minor, missing, program, rows } from '../support/kubectl.ts';

const run = promisify(execFile);

type As = (...args: readonly string[]) => Promise<string>;
type Secured = {
  readonly admin: As;
  /** With a client certificate. */
  readonly user: (name: string, ...groups: readonly string[]) => As;
  readonly withToken: (token: string) => As;
  readonly refused: (as: As, ...args: readonly string[]) => Promise<string>;
  readonly apply: (manifest: string) => Promise<string>;
};

async function secured(t: TestContext): Promise<Secured> {
  const home = mkdtempSync(join(tmpdir(), 'margay-access-'));
  const { authority, security } = clusterKeys(join(home, 'pki'), [], Date.now());
  const server = expect(
    await startApiServer({ listen: ['127.0.0.1:0'], data: ':memory:', logger: silentLogger, security }),
    'API server',
  );
  t.after(async () => {
    await server.stop();
    rmSync(home, { recursive: true, force: true });
  });
  const [url = ''] = server.addresses;
  let files = 0;
  const as = (text: string): As => {
    const path = join(home, `kubeconfig-${files++}`);
    writeFileSync(path, text);
    const env = { PATH: process.env['PATH'] ?? '', HOME: home, KUBECONFIG: path };
    return async (...args) => (await run(program, [...args], { env, timeout: 30_000 })).stdout;
  };
  const admin = as(adminKubeconfig(authority, url, Date.now()));
  const cluster = { cluster: 'test', server: url, ca: authority.cert };
  return {
    admin,
    user: (name, ...organizations) => {
      const pair = authority.issue({ commonName: name, organizations, purposes: ['client'] }, Date.now());
      return as(kubeconfig({ ...cluster, user: name, ...pair }));
    },
    withToken: (token) => as(kubeconfig({ ...cluster, user: 'bot', token })),
    refused: async (who, ...args) => {
      try {
        await who(...args);
      } catch (cause) {
        const { stderr, stdout } = cause as { stderr: string; stdout: string };
        return stderr === '' ? stdout : stderr;
      }
      return assert.fail(`kubectl ${args.join(' ')} was not refused`);
    },
    apply: (manifest) => {
      const path = join(home, 'manifest.yaml');
      writeFileSync(path, manifest);
      return admin('apply', '-f', path);
    },
  };
}

describe('kubectl and access', {
  skip: missing ? `${program} is not installed` : false,
  concurrency: 1,
}, () => {
  test('certificates: who am I, what is forbidden in which words', async (t) => {
    const { admin, user, refused } = await secured(t);
    const jane = user('jane', 'dev', 'ops');
    if (minor >= 28) {
      assert.match(await jane('auth', 'whoami'), /Username +jane\nGroups +\[dev ops system:authenticated\]/);
      assert.match(await admin('auth', 'whoami'), /kubernetes-admin[\s\S]*system:masters/);
    }
    assert.match(
      await refused(jane, 'get', 'pods'),
      /Error from server \(Forbidden\): pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"/,
    );
    assert.match(
      await refused(jane, 'delete', 'node', 'n1'),
      /nodes "n1" is forbidden: User "jane" cannot delete resource "nodes" in API group "" at the cluster scope/,
    );
  });

  test('roles: create role, rolebinding, clusterrolebinding; auth can-i, --list, --as', async (t) => {
    const { admin, user, refused } = await secured(t);
    const jane = user('jane', 'dev');
    await admin('create', 'role', 'reader', '--verb=get,list,watch', '--resource=pods,services');
    await admin('create', 'rolebinding', 'jane', '--role=reader', '--user=jane');
    assert.equal(await jane('get', 'pods', '-o', 'name'), '');
    assert.match(
      await refused(jane, 'get', 'pods', '-A'),
      /cannot list resource "pods".* at the cluster scope/,
    );
    assert.equal(await jane('auth', 'can-i', 'list', 'pods'), 'yes\n');
    assert.equal(await refused(jane, 'auth', 'can-i', 'create', 'pods'), 'no\n');
    assert.equal(await refused(jane, 'auth', 'can-i', 'list', 'pods', '-n', 'kube-system'), 'no\n');
    assert.equal(await admin('auth', 'can-i', '*', '*'), 'yes\n');
    assert.equal(await admin('auth', 'can-i', 'list', 'services', '--as=jane'), 'yes\n');
    const list = rows(await jane('auth', 'can-i', '--list'));
    assert.ok(
      list.some(([resource, , , verbs]) => resource === 'pods' && verbs === '[get list watch]'),
      JSON.stringify(list),
    );
    await admin('create', 'clusterrolebinding', 'devs', '--clusterrole=edit', '--group=dev');
    assert.equal(await jane('auth', 'can-i', 'create', 'deployments', '-n', 'kube-system'), 'yes\n');
    assert.equal(await jane('auth', 'can-i', 'create', 'pods', '--subresource=exec'), 'yes\n');
    assert.equal(await refused(jane, 'auth', 'can-i', 'create', 'rolebindings'), 'no\n');
    assert.match(await jane('create', 'configmap', 'mine', '--from-literal=a=b'), /created/);
    assert.match(await admin('get', 'clusterroles'), /cluster-admin[\s\S]*system:node/);
  });

  test('service accounts: create token, use it, a token gone with its account', {
    skip: minor < 24 ? 'kubectl before 1.24 cannot create tokens' : false,
  }, async (t) => {
    const { admin, withToken, refused } = await secured(t);
    await admin('create', 'serviceaccount', 'bot');
    const token = (await admin('create', 'token', 'bot', '--duration=1h')).trim();
    assert.match(token, /^[\w-]+\.[\w-]+\.[\w-]+$/);
    const bot = withToken(token);
    assert.match(await refused(bot, 'get', 'pods'), /User "system:serviceaccount:default:bot" cannot list/);
    await admin('create', 'rolebinding', 'bot', '--clusterrole=view', '--serviceaccount=default:bot');
    assert.equal(await bot('get', 'pods', '-o', 'name'), '');
    await admin('delete', 'serviceaccount', 'bot');
    assert.match(await refused(bot, 'get', 'pods'), /Unauthorized|must be logged in/);
    assert.match(
      await refused(admin, 'create', 'token', 'default', '--duration=1m'),
      /may not specify a duration less than 10 minutes/,
    );
  });

  test('RS-128: rights by tier', async (t) => {
    const { admin, apply, user, refused } = await secured(t);
    const jane = user('jane');
    await apply('apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: app}\nspec: {order: 500}\n');
    await apply(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: app-policies}
rules:
- {apiGroups: [projectcalico.org], resources: [tiers], resourceNames: [app], verbs: [get]}
- {apiGroups: [projectcalico.org], resources: [tier.globalnetworkpolicies], resourceNames: ['app.*'], verbs: ['*']}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: jane}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: app-policies}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: jane}]
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: app.one}
spec: {tier: app, selector: all()}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: closed}
spec: {selector: all()}
`);
    assert.equal(
      await jane('get', 'globalnetworkpolicies.projectcalico.org', '-o', 'name'),
      'globalnetworkpolicy.projectcalico.org/app.one\n',
    );
    assert.match(await jane('label', 'globalnetworkpolicies.projectcalico.org', 'app.one', 'a=b'), /labeled/);
    assert.match(
      await refused(jane, 'get', 'globalnetworkpolicies.projectcalico.org', 'closed'),
      /cannot get globalnetworkpolicies\.projectcalico\.org in tier "default" \(user cannot get tier\)/,
    );
    assert.match(
      await refused(jane, 'delete', 'globalnetworkpolicies.projectcalico.org', 'closed'),
      /in tier "default"/,
    );
    assert.match(await refused(jane, 'get', 'networkpolicies.projectcalico.org'), /in tier "default"/);
    assert.match(await refused(jane, 'get', 'tiers'), /cannot list resource "tiers"/);
    assert.match(await admin('get', 'tiers', '-o', 'name'), /app/);
    assert.match(await jane('delete', 'globalnetworkpolicies.projectcalico.org', 'app.one'), /deleted/);
  });
});
