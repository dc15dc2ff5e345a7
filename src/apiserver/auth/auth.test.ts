// Who may do what: certificates, tokens, roles, impersonation, and Calico's rights by tier.
import assert from 'node:assert/strict';
import { request } from 'node:https';
import { test, type TestContext } from 'node:test';
import { CertificateAuthority, newPrivateKey } from '../../lib/certificates.ts';
import { type Json, itemsOf, podNamed, type Reply, type Send, startTestServer } from '../testing.ts';
import type { Security } from '../types.ts';

const now = Date.now();
const authority = CertificateAuthority.create('test-ca', now);
const security: Security = {
  ...authority.issue({ commonName: 'kube-apiserver', hosts: ['127.0.0.1'], purposes: ['server'] }, now),
  clientCa: authority.cert,
  tokenKey: newPrivateKey(),
  nodeClient: authority.issue({ commonName: 'kube-apiserver-kubelet-client', purposes: ['client'] }, now),
};

type Identity = { readonly cert?: string; readonly key?: string; readonly token?: string };
type As = (identity: Identity) => Send;

/** A server with TLS, and its clients. */
async function secured(t: TestContext): Promise<{ as: As; admin: Send }> {
  const { url } = await startTestServer(t, { security });
  const { hostname, port } = new URL(url);
  const as: As =
    ({ cert, key, token }) =>
    (method, path, body, headers = {}) =>
      new Promise<Reply>((resolve, reject) => {
        const outgoing = request(
          {
            method,
            host: hostname,
            port,
            path,
            ca: authority.cert,
            agent: false,
            ...(cert === undefined ? {} : { cert }),
            ...(key === undefined ? {} : { key }),
            headers: {
              ...(body === undefined ? {} : { 'content-type': 'application/json' }),
              ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
              ...headers,
            },
          },
          (response) => {
            let text = '';
            response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
            response.on('end', () =>
              resolve({
                code: response.statusCode ?? 0,
                body: (text.startsWith('{') ? JSON.parse(text) : text) as Json,
                headers: new Headers(),
              }),
            );
          },
        );
        outgoing.on('error', reject);
        outgoing.end(body === undefined ? undefined : JSON.stringify(body));
      });
  return { as, admin: as(certificate('kubernetes-admin', 'system:masters')) };
}

const certificate = (name: string, ...groups: readonly string[]): Identity =>
  authority.issue({ commonName: name, organizations: groups, purposes: ['client'] }, now);

const rbac = '/apis/rbac.authorization.k8s.io/v1';
const message = (reply: Reply): string => String(reply.body['message']);
const binding = (name: string, role: string, subject: object, kind = 'ClusterRole'): object => ({
  metadata: { name },
  roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name: role },
  subjects: [subject],
});
const user = (name: string): object => ({ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name });
const role = (name: string, ...rules: readonly object[]): object => ({ metadata: { name }, rules });

test('TLS: certificates name users, nobody is anonymous, another authority is nobody', async (t) => {
  const { as, admin } = await secured(t);
  assert.equal((await admin('GET', '/api/v1/nodes')).code, 200);
  const nobody = as({});
  assert.equal((await nobody('GET', '/readyz')).code, 200);
  assert.equal((await nobody('GET', '/version')).code, 200);
  const refused = await nobody('GET', '/api/v1/nodes');
  assert.equal(refused.code, 403);
  assert.equal(
    message(refused),
    'nodes is forbidden: User "system:anonymous" cannot list resource "nodes" in API group "" at the cluster scope',
  );
  assert.equal(
    message(await nobody('GET', '/apis')),
    'forbidden: User "system:anonymous" cannot get path "/apis"',
  );
  assert.equal((await as({ token: 'nonsense' })('GET', '/api')).code, 401);
  const jane = as(certificate('jane', 'dev'));
  assert.equal((await jane('GET', '/apis')).code, 200);
  const whoami = await jane('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {});
  assert.deepEqual(JSON.parse(JSON.stringify(whoami.body['status']?.['userInfo'])), {
    username: 'jane',
    groups: ['dev', 'system:authenticated'],
  });
  const other = CertificateAuthority.create('test-ca', now);
  const stranger = as(
    other.issue({ commonName: 'jane', organizations: ['system:masters'], purposes: ['client'] }, now),
  );
  assert.equal((await stranger('GET', '/api/v1/nodes')).code, 401);
});

test('roles: in a namespace, in the cluster, by name, by subresource; bindings that go take the right along', async (t) => {
  const { as, admin } = await secured(t);
  const jane = as(certificate('jane', 'dev'));
  const pods = '/api/v1/namespaces/default/pods';
  await admin('POST', pods, podNamed('web'));
  const refused = await jane('GET', `${pods}/web`);
  assert.equal(refused.code, 403);
  assert.equal(
    message(refused),
    'pods "web" is forbidden: User "jane" cannot get resource "pods" in API group "" in the namespace "default"',
  );
  const rules = [
    { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] },
    { apiGroups: [''], resources: ['pods/log'], verbs: ['get'] },
    { apiGroups: [''], resources: ['configmaps'], resourceNames: ['one'], verbs: ['get'] },
  ];
  assert.equal((await admin('POST', `${rbac}/namespaces/default/roles`, role('reader', ...rules))).code, 201);
  await admin(
    'POST',
    `${rbac}/namespaces/default/rolebindings`,
    binding('jane', 'reader', user('jane'), 'Role'),
  );
  assert.equal((await jane('GET', pods)).code, 200);
  assert.equal((await jane('GET', `${pods}?watch=true&timeoutSeconds=1`)).code, 403);
  assert.equal((await jane('GET', '/api/v1/pods')).code, 403);
  assert.equal((await jane('DELETE', `${pods}/web`)).code, 403);
  assert.equal((await jane('GET', `${pods}/web/log`)).code, 400, 'no node yet: but allowed');
  assert.match(
    message(await jane('POST', `${pods}/web/exec?command=x`)),
    /cannot create resource "pods\/exec"/,
  );
  assert.equal((await jane('GET', '/api/v1/namespaces/default/configmaps/one')).code, 404);
  assert.equal((await jane('GET', '/api/v1/namespaces/default/configmaps/two')).code, 403);
  await admin('POST', `${rbac}/clusterrolebindings`, binding('devs', 'view', { kind: 'Group', name: 'dev' }));
  assert.equal((await jane('GET', '/api/v1/pods')).code, 200);
  assert.equal((await jane('GET', '/apis/apps/v1/deployments')).code, 200);
  assert.equal((await jane('GET', '/api/v1/secrets')).code, 403, 'view does not show secrets');
  assert.equal((await jane('GET', '/api/v1/namespaces/default')).code, 200);
  const can = await jane('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
    spec: { resourceAttributes: { verb: 'list', resource: 'pods', namespace: 'kube-system' } },
  });
  assert.equal(
    String(can.body['status']?.['reason']),
    'RBAC: allowed by ClusterRoleBinding "devs" of ClusterRole "view" to Group "dev"',
  );
  await admin('DELETE', `${rbac}/clusterrolebindings/devs`);
  assert.equal((await jane('GET', '/api/v1/pods')).code, 403);
});

test('roles that gather others: edit shows what view shows, and a new part counts at once', async (t) => {
  const { admin } = await secured(t);
  const rulesOf = async (name: string): Promise<string> =>
    JSON.stringify((await admin('GET', `${rbac}/clusterroles/${name}`)).body['rules']);
  assert.match(await rulesOf('admin'), /pods\/exec/);
  assert.match(await rulesOf('admin'), /rolebindings/);
  assert.doesNotMatch(await rulesOf('view'), /pods\/exec/);
  await admin('POST', `${rbac}/clusterroles`, {
    metadata: { name: 'pools', labels: { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' } },
    rules: [{ apiGroups: ['projectcalico.org'], resources: ['ippools'], verbs: ['get'] }],
  });
  for (let i = 0; i < 100 && !(await rulesOf('admin')).includes('ippools'); i++)
    await new Promise((resolve) => setTimeout(resolve, 5));
  for (const name of ['view', 'edit', 'admin']) assert.match(await rulesOf(name), /ippools/, name);
});

test('nobody gives away more than he has', async (t) => {
  const { as, admin } = await secured(t);
  const jane = as(certificate('jane'));
  await admin('POST', `${rbac}/namespaces/default/rolebindings`, binding('jane', 'admin', user('jane')));
  const roles = `${rbac}/namespaces/default/roles`;
  const bindings = `${rbac}/namespaces/default/rolebindings`;
  const allowed = role('r', { apiGroups: [''], resources: ['pods'], verbs: ['get'] });
  assert.equal((await jane('POST', roles, allowed)).code, 201);
  const refused = await jane(
    'POST',
    roles,
    role('s', { apiGroups: [''], resources: ['nodes'], verbs: ['get'] }),
  );
  assert.equal(refused.code, 403);
  assert.match(
    message(refused),
    /user "jane" .* is attempting to grant RBAC permissions not currently held:\n\{APIGroups:\[""\], Resources:\["nodes"\], Verbs:\["get"\]\}/,
  );
  assert.equal((await jane('POST', bindings, binding('a', 'view', user('joe')))).code, 201);
  assert.equal((await jane('POST', bindings, binding('b', 'cluster-admin', user('jane')))).code, 403);
  assert.equal((await jane('POST', bindings, binding('c', 'nothing', user('jane')))).code, 403);
  assert.equal(
    (await jane('POST', `${rbac}/clusterrolebindings`, binding('d', 'view', user('jane')))).code,
    403,
  );
});

test('tokens of service accounts: asked for, used, reviewed, gone with what they are bound to', async (t) => {
  const { as, admin } = await secured(t);
  const accounts = '/api/v1/namespaces/default/serviceaccounts';
  assert.equal((await admin('POST', accounts, { metadata: { name: 'bot' } })).code, 201);
  const asked = await admin('POST', `${accounts}/bot/token`, { spec: { expirationSeconds: 3600 } });
  assert.equal(asked.code, 201);
  const token = String(asked.body['status']?.['token']);
  const bot = as({ token });
  assert.equal(
    message(await bot('GET', '/api/v1/pods')),
    'pods is forbidden: User "system:serviceaccount:default:bot" cannot list resource "pods" in API group "" at the cluster scope',
  );
  const subject = { kind: 'ServiceAccount', name: 'bot', namespace: 'default' };
  await admin('POST', `${rbac}/clusterrolebindings`, binding('bot', 'view', subject));
  assert.equal((await bot('GET', '/api/v1/pods')).code, 200);
  const review = async (value: string, audiences?: readonly string[]): Promise<Json | undefined> =>
    (
      await admin('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
        spec: { token: value, ...(audiences === undefined ? {} : { audiences }) },
      })
    ).body['status'];
  const reviewed = await review(token);
  assert.equal(String(reviewed?.['user']?.['username']), 'system:serviceaccount:default:bot');
  assert.deepEqual(itemsOf(reviewed?.['user']?.['groups']).map(String), [
    'system:serviceaccounts',
    'system:serviceaccounts:default',
    'system:authenticated',
  ]);
  assert.equal(String((await review(`${token}x`))?.['authenticated']), 'false');
  const vault = await admin('POST', `${accounts}/bot/token`, { spec: { audiences: ['vault'] } });
  const forVault = String(vault.body['status']?.['token']);
  assert.equal((await as({ token: forVault })('GET', '/api/v1/pods')).code, 401);
  assert.equal(String((await review(forVault, ['vault']))?.['authenticated']), 'true');
  const short = await admin('POST', `${accounts}/bot/token`, { spec: { expirationSeconds: 5 } });
  assert.match(message(short), /may not specify a duration less than 10 minutes/);
  const pod = await admin('POST', '/api/v1/namespaces/default/pods', podNamed('p'));
  const boundObjectRef = {
    kind: 'Pod',
    apiVersion: 'v1',
    name: 'p',
    uid: String(pod.body['metadata']?.['uid']),
  };
  const bound = await admin('POST', `${accounts}/bot/token`, { spec: { boundObjectRef } });
  const podBot = as({ token: String(bound.body['status']?.['token']) });
  assert.equal((await podBot('GET', '/api/v1/pods')).code, 200);
  await admin('DELETE', '/api/v1/namespaces/default/pods/p');
  assert.equal((await podBot('GET', '/api/v1/pods')).code, 401);
  await admin('DELETE', `${accounts}/bot`);
  await admin('POST', accounts, { metadata: { name: 'bot' } });
  assert.equal((await bot('GET', '/api/v1/pods')).code, 401, 'another account of the same name');
});

test('impersonation: who may, is judged as the other; who may not, is refused', async (t) => {
  const { as, admin } = await secured(t);
  const jane = { 'impersonate-user': 'jane', 'impersonate-group': 'dev' };
  assert.match(message(await admin('GET', '/api/v1/pods', undefined, jane)), /User "jane" cannot list/);
  await admin('POST', `${rbac}/clusterrolebindings`, binding('devs', 'view', { kind: 'Group', name: 'dev' }));
  assert.equal((await admin('GET', '/api/v1/pods', undefined, jane)).code, 200);
  const joe = as(certificate('joe'));
  const refused = await joe('GET', '/api/v1/pods', undefined, jane);
  assert.equal(refused.code, 403);
  assert.match(message(refused), /User "joe" cannot impersonate resource "users"/);
});

const calico = '/apis/projectcalico.org/v3';
const policy = (name: string, tier?: string): object => ({
  metadata: { name },
  spec: { selector: 'all()', ...(tier === undefined ? {} : { tier }) },
});

test('RS-128: a policy takes the right to get its tier and the right on tier.<policies>', async (t) => {
  const { as, admin } = await secured(t);
  const jane = as(certificate('jane'));
  const policies = `${calico}/namespaces/default/networkpolicies`;
  for (const name of ['secops', 'app'])
    assert.equal(
      (await admin('POST', `${calico}/tiers`, { metadata: { name }, spec: { order: 100 } })).code,
      201,
    );
  await admin('POST', policies, policy('closed', 'secops'));
  const none = await jane('POST', policies, policy('mine', 'app'));
  assert.equal(none.code, 403);
  assert.equal(
    message(none),
    'networkpolicies.projectcalico.org "" is forbidden: User "jane" cannot create networkpolicies.projectcalico.org in tier "app" and namespace "default" (user cannot get tier)',
  );
  const grant = async (name: string, ...rules: readonly object[]): Promise<void> => {
    await admin('POST', `${rbac}/clusterroles`, role(name, ...rules));
    await admin('POST', `${rbac}/clusterrolebindings`, binding(name, name, user('jane')));
  };
  const apiGroups = ['projectcalico.org'];
  await grant('policies', {
    apiGroups,
    resources: ['tier.networkpolicies'],
    resourceNames: ['app.*'],
    verbs: ['*'],
  });
  assert.match(message(await jane('POST', policies, policy('mine', 'app'))), /\(user cannot get tier\)$/);
  await grant('tier', { apiGroups, resources: ['tiers'], resourceNames: ['app'], verbs: ['get'] });
  assert.equal((await jane('POST', policies, policy('mine', 'app'))).code, 201);
  assert.equal((await jane('GET', `${policies}/mine`)).code, 200);
  assert.equal(
    message(await jane('GET', `${policies}/closed`)),
    'networkpolicies.projectcalico.org "closed" is forbidden: User "jane" cannot get networkpolicies.projectcalico.org in tier "secops" and namespace "default" (user cannot get tier)',
  );
  assert.equal((await jane('POST', policies, policy('other', 'secops'))).code, 403);
  assert.equal((await jane('POST', policies, policy('plain'))).code, 403, 'tier default');
  assert.equal((await jane('DELETE', `${policies}/closed`)).code, 403);
  const merge = { 'content-type': 'application/merge-patch+json' };
  assert.equal((await jane('PATCH', `${policies}/mine`, { spec: { order: 5 } }, merge)).code, 200);
  assert.equal((await jane('PATCH', `${policies}/closed`, { spec: { order: 5 } }, merge)).code, 403);
  // Lists show the tiers that the user may see, a list without any is refused.
  const names = itemsOf((await jane('GET', policies)).body['items']).map((one) =>
    String(one['metadata']?.['name']),
  );
  assert.deepEqual(names, ['mine']);
  assert.equal((await jane('GET', `${calico}/globalnetworkpolicies`)).code, 403);
  assert.equal((await jane('DELETE', `${policies}/mine`)).code, 200);
  // One policy by its name.
  await grant('one', {
    apiGroups,
    resources: ['tier.networkpolicies'],
    resourceNames: ['closed'],
    verbs: ['get'],
  });
  await grant('see', { apiGroups, resources: ['tiers'], resourceNames: ['secops'], verbs: ['get'] });
  assert.equal((await jane('GET', `${policies}/closed`)).code, 200);
  assert.match(
    message(await jane('DELETE', `${policies}/closed`)),
    /in tier "secops" and namespace "default"$/,
  );
  assert.equal((await admin('DELETE', `${policies}/closed`)).code, 200);
});
