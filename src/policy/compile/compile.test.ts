// How resources become rules: selectors and their scope, ports, services, order, and what cannot be made out.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GlobalNetworkPolicy, NetworkPolicy, PolicyRule } from '../../model/mod.ts';
import { matches, selector, selectorId } from '../../selector/mod.ts';
import { policyText } from '../trace.ts';
import type { SetDefinition } from '../types.ts';
import { compilePolicy, type CompiledPolicy, type PolicyResource } from './policy.ts';
import { compileRule, type SetCollection } from './rule.ts';
import { comparePolicies, compareTiers, compileTier } from './tier.ts';
import { assembleProgram } from './program.ts';
import { missingProfile } from './profile.ts';

const globalOne = (name: string, spec: object): GlobalNetworkPolicy => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'GlobalNetworkPolicy',
  metadata: { name },
  spec,
});
const oneIn = (namespace: string, name: string, spec: object): NetworkPolicy => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'NetworkPolicy',
  metadata: { name, namespace },
  spec,
});
const compiled = (resource: PolicyResource): CompiledPolicy => {
  const policy = compilePolicy(resource);
  assert.ok(policy);
  return policy;
};
/** The sets that a rule's source or destination uses. */
const setsOfRule = (rule: Omit<PolicyRule, 'action'>, namespace?: string) => {
  const sets: SetCollection = new Map();
  const result = compileRule({ action: 'Allow', ...rule }, namespace, sets);
  return { rule: result, sets: [...sets.values()] };
};
const textOf = (set: SetDefinition | undefined): string | undefined =>
  set !== undefined && 'selector' in set ? set.selector.text : undefined;

test('SR-173: selectors of a namespaced policy mean its namespace', () => {
  const only = setsOfRule({ source: { selector: 'app == "web"' } }, 'red');
  assert.equal(textOf(only.sets[0]), '(projectcalico.org/namespace == "red" && app == "web")');
  const policy = compiled(oneIn('red', 'p', { selector: 'app == "db"' }));
  assert.equal(policy.selector.text, '(projectcalico.org/namespace == "red" && app == "db")');
});

test('RS-092: notSelector alone still means the namespace; in a global policy it means everybody else', () => {
  const scoped = setsOfRule({ source: { notSelector: 'app == "web"' } }, 'red');
  assert.equal(textOf(scoped.sets[0]), '(projectcalico.org/namespace == "red" && !app == "web")');
  assert.equal(scoped.rule.source.notSets, undefined);
  const everybody = setsOfRule({ source: { notSelector: 'app == "web"' } });
  assert.equal(everybody.rule.source.sets, undefined);
  assert.deepEqual(everybody.rule.source.notSets, [selectorId(selector('app == "web"'))]);
});

test('RS-092: selector and notSelector become one set, with Calico’s identifier', () => {
  const { rule, sets } = setsOfRule({ source: { selector: 'all()', notSelector: "foo == 'bar'" } });
  assert.deepEqual(rule.source.sets, ['s:EeWw3YaQcA00fIPOgHiOeeTIYsqHTNsDBYLdDw']);
  assert.equal(sets.length, 1);
});

test('RS-096: a namespaceSelector is about namespaces’ labels; all() is every namespace, global() none', () => {
  const text = (namespaceSelector: string, more = {}) =>
    textOf(setsOfRule({ source: { namespaceSelector, ...more } }, 'red').sets[0]);
  assert.equal(text('team == "blue"'), 'pcns.team == "blue"');
  assert.equal(text('all()'), 'has(projectcalico.org/namespace)');
  assert.equal(text('global()'), '!has(projectcalico.org/namespace)');
  assert.equal(
    text('global()', { selector: 'trust == "partner"' }),
    '(!has(projectcalico.org/namespace) && trust == "partner")',
  );
});

test('RS-097: names and selector of service accounts are joined by AND', () => {
  const { sets } = setsOfRule({
    source: { serviceAccounts: { names: ['b', 'a'], selector: 'role == "x"' } },
  });
  assert.equal(textOf(sets[0]), '(pcsa.role == "x" && projectcalico.org/serviceaccount in {"a", "b"})');
});

test('RS-093: named ports become sets of the selected endpoints, with Calico’s identifiers', () => {
  const named = setsOfRule({ protocol: 'TCP', source: { selector: 'all()', ports: ['tcpport'] } });
  assert.deepEqual(named.rule.source, { portSets: ['n:RMAIMXhhyW5sWWm_0o9euzK6TlyAbtjf6Ta9Jw'] });
  const mixed = setsOfRule({
    protocol: 'TCP',
    source: { selector: 'all()', ports: ['tcpport', 80, '90:95'] },
  });
  assert.deepEqual(mixed.rule.source.ports, [
    { first: 80, last: 80 },
    { first: 90, last: 95 },
  ]);
  assert.equal(mixed.rule.source.sets?.length, 1, 'numbers need the selector apart');
  const udp = setsOfRule({ protocol: 'UDP', source: { selector: 'all()', ports: ['udpport'] } });
  assert.deepEqual(udp.rule.source.portSets, ['n:5YQ6-gZ6SvCf1nYFL_lTk8BESMWhrnAtL1f2dA']);
  const [any] = setsOfRule({ destination: { ports: ['http'] } }).sets;
  assert.equal(any?.kind === 'named-port' && any.protocol, undefined, 'a named port brings its own protocol');
});

test('RS-095: services: as destination with their ports, as source by address; the namespace is the policy’s', () => {
  const destination = setsOfRule({ destination: { services: { name: 'api' } } }, 'red');
  assert.deepEqual(destination.sets[0], {
    kind: 'service',
    id: destination.rule.destination.serviceSets?.[0],
    namespace: 'red',
    name: 'api',
    withPorts: true,
  });
  const source = setsOfRule({ source: { services: { name: 'api', namespace: 'blue' } } });
  assert.equal(source.sets[0]?.kind === 'service' && source.sets[0].withPorts, false);
  assert.match(source.rule.source.sets?.[0] ?? '', /^svcnoport:/);
  const lost = setsOfRule({ source: { services: { name: 'api' } } });
  assert.deepEqual(lost.rule.unresolved, ['source.services: the service is not named in full']);
});

test('RS-099: annotations of a rule are kept', () => {
  const annotations = { note: 'for the auditors' };
  assert.deepEqual(setsOfRule({ metadata: { annotations } }).rule.annotations, annotations);
});

test('RS-110: types follow from the rules where they are absent', () => {
  const allow = [{ action: 'Allow' }];
  const directions = (spec: object) => compiled(globalOne('p', spec)).directions;
  assert.deepEqual(directions({}), ['ingress']);
  assert.deepEqual(directions({ ingress: allow }), ['ingress']);
  assert.deepEqual(directions({ egress: allow }), ['egress']);
  assert.deepEqual(directions({ ingress: allow, egress: allow }), ['ingress', 'egress']);
  assert.deepEqual(directions({ types: ['Egress'], ingress: allow }), ['egress']);
});

test('RS-110: a serviceAccountSelector narrows whom the policy is for', () => {
  const policy = compiled(
    oneIn('red', 'p', { selector: 'app == "api"', serviceAccountSelector: 'role == "backend"' }),
  );
  const labels = { app: 'api', 'projectcalico.org/namespace': 'red' };
  assert.equal(matches(policy.selector, { ...labels, 'pcsa.role': 'backend' }), true);
  assert.equal(matches(policy.selector, labels), false);
});

test('RS-111: a namespaceSelector of a global policy leaves out what is in no namespace', () => {
  const { selector: all } = compiled(globalOne('p', { namespaceSelector: 'all()' }));
  assert.equal(matches(all, { host: 'n1' }), false);
  assert.equal(matches(all, { 'projectcalico.org/namespace': 'red' }), true);
});

test('RS-111: doNotTrack and preDNAT are for other places than the rest', () => {
  const place = (spec: object) => compiled(globalOne('p', spec)).place;
  assert.equal(place({}), 'normal');
  assert.equal(place({ applyOnForward: true }), 'normal');
  assert.equal(place({ doNotTrack: true, applyOnForward: true }), 'untracked');
  assert.equal(place({ preDNAT: true, applyOnForward: true }), 'preDnat');
});

test('SR-177: order, then name, then kind; without an order last', () => {
  const policies = [
    compiled(globalOne('z', { order: 1 })),
    compiled(globalOne('b', { order: 10 })),
    compiled(oneIn('red', 'a', { order: 10 })),
    compiled(globalOne('a', { order: 10 })),
    compiled(globalOne('c', {})),
    compiled(globalOne('d', { order: -5.5 })),
  ];
  const sorted = policies.toSorted(comparePolicies).map(({ id }) => policyText(id));
  assert.deepEqual(sorted, ['gnp:d', 'gnp:z', 'gnp:a', 'np:red/a', 'gnp:b', 'gnp:c']);
});

const tierOf = (name: string, spec: object) =>
  compileTier({ apiVersion: 'projectcalico.org/v3', kind: 'Tier', metadata: { name }, spec });

test('RS-125: tiers by order, without one last, equals by name; the default action is Deny', () => {
  const tiers = [
    tierOf('b', { order: 5 }),
    tierOf('last', {}),
    tierOf('a', { order: 5 }),
    tierOf('c', { order: 1 }),
  ];
  assert.deepEqual(
    tiers.toSorted(compareTiers).map(({ name }) => name),
    ['c', 'a', 'b', 'last'],
  );
  assert.equal(tierOf('x', {}).defaultAction, 'deny');
  assert.equal(tierOf('x', { defaultAction: 'Pass' }).defaultAction, 'pass');
});

test('RS-126: the built-in tiers are what they are, whatever their resource says', () => {
  assert.deepEqual(tierOf('kube-admin', { order: 7, defaultAction: 'Deny' }), {
    name: 'kube-admin',
    order: 1000,
    defaultAction: 'pass',
  });
  assert.deepEqual(tierOf('default', { defaultAction: 'Pass' }).defaultAction, 'deny');
});

test('RS-136: kinds in identifiers are short', () => {
  assert.equal(policyText({ kind: 'KubernetesNetworkPolicy', namespace: 'a', name: 'b' }), 'knp:a/b');
  assert.equal(policyText({ kind: 'KubernetesClusterNetworkPolicy', name: 'b' }), 'kcnp:b');
  assert.equal(policyText({ kind: 'StagedGlobalNetworkPolicy', name: 'b' }), 'sgnp:b');
});

test('RS-135: a rule of Kubernetes’ administrators that cannot be converted denies everything, and says so', () => {
  const policy = compilePolicy({
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name: 'p' },
    spec: {
      tier: 'Admin',
      priority: 3,
      subject: { namespaces: {} },
      egress: [{ action: 'Deny', to: [{ nodes: {} }] }],
    },
  });
  assert.equal(policy?.tier, 'kube-admin');
  assert.equal(policy?.order, 3);
  assert.deepEqual(policy?.egress, [{ action: 'deny', source: {}, destination: {} }]);
  assert.match(policy?.problems[0] ?? '', /egress\[0\] cannot be converted/);
});

test('a policy whose selector does not parse is for all that the rest of it leaves, and denies', () => {
  const policy = compiled(oneIn('red', 'p', { selector: 'app ==', ingress: [{ action: 'Allow' }] }));
  assert.equal(policy.selector.text, 'projectcalico.org/namespace == "red"');
  assert.deepEqual(
    policy.ingress.map(({ action }) => action),
    ['deny'],
  );
  assert.match(policy.problems[0] ?? '', /^spec\.selector: /);
});

test('RS-090: a rule with an action of no known kind denies what it matches', () => {
  const rule = compileRule({ action: 'Drop' as never, protocol: 'UDP' }, undefined, new Map());
  assert.deepEqual([rule.action, rule.protocol], ['deny', 17]);
  assert.deepEqual(rule.unresolved, ['action: "Drop" is not known']);
});

test('a rule whose parts cannot be made out says which', () => {
  const broken = {
    action: 'Allow',
    protocol: 'QUIC',
    icmp: { code: 3 },
    source: { nets: ['10.0.0.0/33'], selector: 'global()', ports: ['a b'] },
    destination: { nets: 'everywhere', serviceAccounts: 7 },
  };
  const { unresolved = [] } = compileRule(broken as never, undefined, new Map());
  assert.deepEqual(
    new Set(unresolved.map((line) => line.split(':', 1)[0]?.split(' ', 1)[0])),
    new Set([
      'destination.nets',
      'destination.serviceAccounts',
      'icmp.code',
      'protocol',
      'source.nets',
      'source.ports',
      'source.selector',
    ]),
  );
});

test('a policy with more rules than anybody may write, or rules that are no list, denies', () => {
  const many = compiled(
    globalOne('p', { ingress: Array.from({ length: 1025 }, () => ({ action: 'Allow' })) }),
  );
  assert.equal(many.ingress.length, 1);
  assert.equal(many.ingress[0]?.action, 'deny');
  assert.equal(compiled(globalOne('p', { ingress: { action: 'Allow' } })).ingress[0]?.action, 'deny');
  assert.equal(compiled(globalOne('p', { ingress: [null] })).ingress[0]?.action, 'deny');
});

test('RS-113: policies of a tier that does not exist are not enforced; what they are for is closed', () => {
  const program = assembleProgram({
    stage: 'normal',
    direction: 'ingress',
    tiers: [tierOf('default', {})],
    policies: [
      compiled(globalOne('p', { tier: 'lost', ingress: [{ action: 'Allow' }] })),
      compiled(globalOne('q', { ingress: [{ action: 'Allow' }] })),
    ],
    profiles: [],
  });
  assert.deepEqual(
    program.tiers.map(({ name }) => name),
    ['lost', 'default'],
  );
  assert.deepEqual(program.tiers[0]?.policies[0]?.rules[0]?.unresolved, ['tier lost does not exist']);
});

test('FX-051: programs of hosts before connection tracking and translation deny by rules only, forward ones only if there are any', () => {
  const policies = [
    compiled(globalOne('u', { doNotTrack: true, ingress: [{ action: 'Deny', protocol: 'UDP' }] })),
    compiled(globalOne('n', { ingress: [] })),
  ];
  const at = (stage: 'untracked' | 'preDnat' | 'forward' | 'normal') =>
    assembleProgram({
      stage,
      direction: 'ingress',
      tiers: [tierOf('default', {})],
      policies,
      profiles: [missingProfile('p')],
    });
  assert.deepEqual(
    [at('untracked').tiers[0]?.endAction, at('untracked').otherwise, at('untracked').profiles.length],
    ['pass', 'none', 0],
  );
  assert.deepEqual([at('preDnat').tiers.length, at('preDnat').otherwise], [0, 'none']);
  assert.deepEqual([at('forward').tiers.length, at('forward').otherwise], [0, 'allow']);
  assert.deepEqual(
    [at('normal').tiers[0]?.endAction, at('normal').otherwise, at('normal').profiles.length],
    ['deny', 'deny', 1],
  );
});
