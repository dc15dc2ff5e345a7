import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterNetworkPolicy, KubernetesNetworkPolicy } from '../kinds/mod.ts';
import { validate } from '../validate.ts';
import { clusterNetworkPolicyToCalico } from './cluster-policy.ts';
import { networkPolicyToCalico } from './network-policy.ts';
import { namespaceToProfile, serviceAccountToProfile } from './profile.ts';

const convert = (spec: KubernetesNetworkPolicy['spec']) =>
  networkPolicyToCalico({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'p', namespace: 'ns' },
    spec,
  });
const pods = "projectcalico.org/orchestrator == 'k8s'";

test('RS-130: the policy of Kubernetes becomes a policy of order 1000 for its pods', () => {
  const { policy, problems } = convert({
    podSelector: { matchLabels: { b: '2', a: '1' } },
    policyTypes: ['Ingress'],
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(policy.spec, {
    order: 1000,
    selector: `${pods} && a == '1' && b == '2'`,
    types: ['Ingress'],
  });
  assert.deepEqual(validate('NetworkPolicy', policy), []);
});

test('RS-131: one rule for each peer and protocol, its ports merged', () => {
  const { policy } = convert({
    podSelector: {},
    ingress: [
      {
        from: [{ podSelector: { matchLabels: { a: '1' } } }, { ipBlock: { cidr: '10.0.0.1/8' } }],
        ports: [
          { port: 80 },
          { port: 81 },
          { port: 'http' },
          { protocol: 'UDP', port: 100, endPort: 200 },
          { protocol: 'SCTP' },
        ],
      },
    ],
  });
  assert.deepEqual(
    policy.spec.ingress?.map((rule) => [rule.protocol, rule.destination?.ports, rule.source?.nets]),
    [
      ['SCTP', undefined, undefined],
      ['SCTP', undefined, ['10.0.0.0/8']],
      ['TCP', ['http', '80:81'], undefined],
      ['TCP', ['http', '80:81'], ['10.0.0.0/8']],
      ['UDP', ['100:200'], undefined],
      ['UDP', ['100:200'], ['10.0.0.0/8']],
    ],
  );
  assert.deepEqual(validate('NetworkPolicy', policy), []);
});

test('RS-132: peers', () => {
  const peer = (
    from: NonNullable<NonNullable<KubernetesNetworkPolicy['spec']['ingress']>[number]['from']>[number],
  ) => convert({ podSelector: {}, ingress: [{ from: [from] }] }).policy.spec.ingress?.[0]?.source;
  assert.deepEqual(peer({ podSelector: {} }), { selector: pods });
  assert.deepEqual(peer({ namespaceSelector: {} }), { selector: pods, namespaceSelector: 'all()' });
  assert.deepEqual(
    peer({
      namespaceSelector: { matchExpressions: [{ key: 'a', operator: 'NotIn', values: ['1', '2'] }] },
      podSelector: { matchExpressions: [{ key: 'b', operator: 'DoesNotExist' }] },
    }),
    { selector: `${pods} && ! has(b)`, namespaceSelector: "a not in { '1', '2' }" },
  );
  assert.deepEqual(peer({ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }), {
    nets: ['10.0.0.0/8'],
    notNets: ['10.1.0.0/16'],
  });
});

test('RS-133: no types mean ingress, no peers mean everybody, no rules mean nobody', () => {
  assert.deepEqual(convert({ podSelector: {} }).policy.spec.types, ['Ingress']);
  assert.deepEqual(convert({ podSelector: {}, ingress: [{}] }).policy.spec.ingress, [{ action: 'Allow' }]);
  assert.equal(
    convert({ podSelector: {}, policyTypes: ['Egress'], egress: [] }).policy.spec.egress,
    undefined,
  );
  assert.equal(convert({ podSelector: {}, egress: [{}] }).warnings.length, 1);
});

test('RS-134: a rule that cannot be converted is left out and reported', () => {
  const { policy, problems } = convert({
    podSelector: {},
    ingress: [
      { ports: [{ port: '5:1' }] },
      { ports: [{ port: 80 }] },
      { from: [{ ipBlock: { cidr: 'x' } }] },
    ],
  });
  assert.equal(policy.spec.ingress?.length, 1);
  assert.equal(problems.length, 2);
});

const convertCluster = (spec: Partial<ClusterNetworkPolicy['spec']>) =>
  clusterNetworkPolicyToCalico({
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name: 'p' },
    spec: { tier: 'Admin', priority: 5, subject: { namespaces: {} }, ...spec },
  });

test('RS-135: policies of the administrator stand in a tier of their own, by priority', () => {
  const { policy, problems } = convertCluster({
    tier: 'Baseline',
    egress: [{ name: 'r', action: 'Pass', to: [{ networks: ['10.0.0.1/8'] }], protocols: [{ tcp: {} }] }],
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(policy?.spec, {
    tier: 'kube-baseline',
    order: 5,
    selector: pods,
    namespaceSelector: 'all()',
    types: ['Egress'],
    egress: [
      {
        action: 'Pass',
        protocol: 'TCP',
        destination: { nets: ['10.0.0.0/8'] },
        metadata: { annotations: { name: 'r' } },
      },
    ],
  });
  assert.deepEqual(validate('GlobalNetworkPolicy', policy), []);
});

test('RS-135: what cannot be converted denies, unless it would have allowed', () => {
  const peers = [{ namespaces: {} }];
  const bad = [{ udp: { destinationPort: { range: { start: 9, end: 1 } } } }];
  const actions = (action: 'Accept' | 'Deny' | 'Pass') =>
    convertCluster({ ingress: [{ action, from: peers, protocols: bad }] }).policy?.spec.ingress;
  assert.deepEqual(actions('Deny'), [{ action: 'Deny' }]);
  assert.deepEqual(actions('Pass'), [{ action: 'Deny' }]);
  assert.equal(actions('Accept'), undefined);
  assert.equal(convertCluster({ subject: {} }).policy, undefined);
});

test('RS-081: a namespace makes a profile that allows everything and passes its labels on', () => {
  const profile = namespaceToProfile({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'ns', labels: { a: 'b' }, uid: '30316465-6365-4463-ad63-3564622d3638' },
  });
  assert.equal(profile.metadata.name, 'kns.ns');
  assert.equal(profile.metadata.uid, '0c8c26a6-c6a6-44c6-adc6-ac2646b46c1c');
  assert.deepEqual(profile.spec, {
    ingress: [{ action: 'Allow' }],
    egress: [{ action: 'Allow' }],
    labelsToApply: { 'pcns.a': 'b', 'pcns.projectcalico.org/name': 'ns' },
  });
});

test('RS-082: a service account makes a profile without rules', () => {
  const profile = serviceAccountToProfile({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'sa', namespace: 'ns', labels: { a: 'b' } },
  });
  assert.equal(profile.metadata.name, 'ksa.ns.sa');
  assert.deepEqual(profile.spec, {
    labelsToApply: { 'pcsa.a': 'b', 'pcsa.projectcalico.org/name': 'sa' },
  });
});
