import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyDefaults } from './defaults.ts';
import type { KindName, NetworkPolicy, StagedNetworkPolicy } from './kinds/mod.ts';
import { kindDefinition } from './registry.ts';
import { validate } from './validate.ts';

function objectOf(kind: KindName, spec: object, name = 'x', metadata: object = {}): object {
  const { apiVersion, kind: word, namespaced } = kindDefinition(kind);
  return {
    apiVersion,
    kind: word,
    metadata: { name, ...(namespaced ? { namespace: 'ns' } : {}), ...metadata },
    spec,
  };
}
const refused = (kind: KindName, spec: object, name?: string, metadata?: object): string[] =>
  validate(kind, objectOf(kind, spec, name, metadata)).map(({ field }) => field);
const table = (kind: KindName, rows: readonly (readonly [object, ...string[]])[]): void => {
  for (const [spec, ...fields] of rows) assert.deepEqual(refused(kind, spec), fields, JSON.stringify(spec));
};
const ingress = (rule: object) => ({ ingress: [{ action: 'Allow', ...rule }] });
const egress = (rule: object) => ({ egress: [{ action: 'Allow', ...rule }] });
const path = 'spec.ingress[0]';

test('RS-090: what rules do', () => {
  for (const action of ['Allow', 'Deny', 'Log', 'Pass'])
    assert.deepEqual(refused('NetworkPolicy', ingress({ action })), []);
  for (const action of ['allow', '', 'Drop'])
    assert.deepEqual(refused('NetworkPolicy', ingress({ action })), [`${path}.action`]);
});

test('RS-091: protocols, their versions and ICMP', () => {
  table('NetworkPolicy', [
    [ingress({ ipVersion: 6, protocol: 'ICMPv6', icmp: { type: 128, code: 0 } })],
    [ingress({ protocol: 1, icmp: { type: 8 } })],
    [ingress({ protocol: '255' })],
    [ingress({ notProtocol: 'UDPLite' })],
    [ingress({ ipVersion: 5 }), `${path}.ipVersion`],
    [ingress({ protocol: 'tcp' }), `${path}.protocol`],
    [ingress({ protocol: 0 }), `${path}.protocol`],
    [ingress({ protocol: 256 }), `${path}.protocol`],
    [ingress({ icmp: { type: 8 } }), `${path}.icmp`],
    [ingress({ protocol: 'TCP', icmp: { type: 8 } }), `${path}.icmp`],
    [ingress({ protocol: 'ICMP', icmp: { code: 0 } }), `${path}.icmp.code`],
    [ingress({ protocol: 'ICMP', icmp: { type: 255 } }), `${path}.icmp.type`],
    [ingress({ ipVersion: 4, protocol: 'ICMPv6' }), `${path}.ipVersion`],
    [ingress({ ipVersion: 6, notProtocol: 'ICMP' }), `${path}.ipVersion`],
  ]);
});

test('RS-092: how many addresses, ports and rules there can be', () => {
  const nets = (n: number) => Array.from({ length: n }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);
  const ports = (n: number) => Array.from({ length: n }, (_, i) => i + 1);
  table('NetworkPolicy', [
    [ingress({ source: { nets: nets(256) } })],
    [ingress({ source: { nets: nets(257) } }), `${path}.source.nets`],
    [ingress({ protocol: 'TCP', source: { ports: ports(50) } })],
    [ingress({ protocol: 'TCP', source: { ports: ports(51) } }), `${path}.source.ports`],
    [{ ingress: Array.from({ length: 1025 }, () => ({ action: 'Allow' })) }, 'spec.ingress'],
    [ingress({ source: { selector: 'a' } }), `${path}.source.selector`],
  ]);
});

test('RS-093: ports are numbers, ranges and names; numbers need a protocol that has ports', () => {
  const source = (protocol: unknown, ...ports: unknown[]) => ingress({ protocol, source: { ports } });
  table('NetworkPolicy', [
    [source('TCP', 80, '81:90', 'http')],
    [source(6, 80)],
    [source('SCTP', 80)],
    [ingress({ source: { ports: ['http'] } })],
    [ingress({ source: { ports: [80] } }), `${path}.source.ports`],
    [source('ICMP', 80), `${path}.source.ports`],
    [source('TCP', 0), `${path}.source.ports[0]`],
    [source('TCP', '0:5'), `${path}.source.ports[0]`],
    [source('TCP', '90:81'), `${path}.source.ports[0]`],
    [source('TCP', 65536), `${path}.source.ports[0]`],
    [source('TCP', 'a b'), `${path}.source.ports[0]`],
  ]);
});

test('RS-094: addresses of one rule are of one family, and notNets leave something over', () => {
  const nets = (source: string[], destination: string[] = []) =>
    ingress({ source: { nets: source }, destination: { nets: destination } });
  table('NetworkPolicy', [
    [nets(['10.0.0.0/8', '1.2.3.4'])],
    [nets(['10.0.0.0/8', 'fd00::/8']), `${path}.source.nets[1]`],
    [nets(['10.0.0.0/8'], ['fd00::/8']), `${path}.destination.nets[0]`],
    [ingress({ ipVersion: 6, source: { nets: ['10.0.0.0/8'] } }), `${path}.source.nets[0]`],
    [nets(['10.0.0.1/8']), `${path}.source.nets[0]`],
    [ingress({ source: { notNets: ['0.0.0.0/0'] } }), `${path}.source.notNets[0]`],
    [ingress({ source: { notNets: ['::0/0'] } }), `${path}.source.notNets[0]`],
  ]);
});

test('RS-095: services stand alone, on one side, and name their namespace in global policies', () => {
  const services = { name: 'web', namespace: 'shop' };
  table('NetworkPolicy', [
    [ingress({ source: { services: { name: 'web' } } })],
    [egress({ destination: { services } })],
    [ingress({ protocol: 'TCP', source: { services, ports: [80] } })],
    [egress({ source: { services } }), 'spec.egress[0].source.services'],
    [ingress({ destination: { services } }), `${path}.destination.services`],
    [ingress({ source: { services: {} } }), `${path}.source.services`],
    [ingress({ source: { services, selector: 'all()' } }), `${path}.source.services`],
    [ingress({ source: { services, serviceAccounts: { names: ['a'] } } }), `${path}.source.services`],
    [egress({ protocol: 'TCP', destination: { services, ports: [80] } }), 'spec.egress[0].destination.ports'],
  ]);
  table('GlobalNetworkPolicy', [
    [egress({ destination: { services } })],
    [egress({ destination: { services: { name: 'web' } } }), 'spec.egress[0].destination.services'],
  ]);
});

test('global() stands alone in namespaceSelector, and nowhere else', () => {
  table('NetworkPolicy', [
    [ingress({ source: { namespaceSelector: ' global( ) ' } })],
    [ingress({ source: { selector: "a == 'global()'" } })],
    [ingress({ source: { namespaceSelector: 'global() && all()' } }), `${path}.source.namespaceSelector`],
    [ingress({ source: { selector: 'global()' } }), `${path}.source.selector`],
    [{ selector: 'global()' }, 'spec.selector'],
    [{ serviceAccountSelector: '!global()' }, 'spec.serviceAccountSelector'],
  ]);
  table('GlobalNetworkPolicy', [[{ namespaceSelector: 'global()' }, 'spec.namespaceSelector']]);
});

test('RS-098: HTTP matches are for what ingress over TCP allows', () => {
  const http = { methods: ['GET'], paths: [{ exact: '/a' }, { prefix: '/b' }] };
  table('NetworkPolicy', [
    [ingress({ http })],
    [ingress({ protocol: 6, http })],
    [ingress({ protocol: 'UDP', http }), `${path}.http`],
    [ingress({ action: 'Deny', http }), `${path}.http`],
    [egress({ http }), 'spec.egress[0].http'],
    [ingress({ http: { methods: ['GET', 'GET'] } }), `${path}.http.methods`],
    [ingress({ http: { paths: [{ exact: '/a', prefix: '/b' }] } }), `${path}.http.paths[0]`],
    [ingress({ http: { paths: [{ exact: 'a' }] } }), `${path}.http.paths[0]`],
    [ingress({ http: { paths: [{ exact: '/a?b' }] } }), `${path}.http.paths[0]`],
  ]);
});

test('annotations of rules are checked as those of objects', () => {
  const annotated = (annotations: object) => ingress({ metadata: { annotations } });
  assert.deepEqual(refused('NetworkPolicy', annotated({ name: 'x' })), []);
  assert.deepEqual(refused('NetworkPolicy', annotated({ 'a b': 'x' })), [
    `${path}.metadata.annotations[a b]`,
  ]);
});

test('RS-110: tier, types and the label by which policies of a tier are found are filled in', () => {
  const complete = (spec: NetworkPolicy['spec']) => {
    const object = applyDefaults('NetworkPolicy', objectOf('NetworkPolicy', spec) as NetworkPolicy);
    return [object.spec.tier, object.spec.types, object.metadata.labels?.['projectcalico.org/tier']];
  };
  const rule = [{ action: 'Allow' as const }];
  assert.deepEqual(complete({}), ['default', ['Ingress'], 'default']);
  assert.deepEqual(complete({ ingress: rule, tier: 'a' }), ['a', ['Ingress'], 'a']);
  assert.deepEqual(complete({ egress: rule }), ['default', ['Egress'], 'default']);
  assert.deepEqual(complete({ ingress: rule, egress: rule }), ['default', ['Ingress', 'Egress'], 'default']);
  assert.deepEqual(complete({ egress: rule, types: ['Ingress'] }), ['default', ['Ingress'], 'default']);
  table('NetworkPolicy', [
    [{ types: ['Ingress', 'Ingress'] }, 'spec.types'],
    [{ types: ['Both'] }, 'spec.types[0]'],
    [{ performanceHints: ['AssumeNeededOnEveryNode'] }],
    [{ performanceHints: ['Fast'] }, 'spec.performanceHints[0]'],
  ]);
});

test('RS-111: policies for hosts', () => {
  table('GlobalNetworkPolicy', [
    [{ doNotTrack: true, applyOnForward: true }],
    [{ preDNAT: true, applyOnForward: true, ...ingress({}) }],
    [{ doNotTrack: true }, 'spec.applyOnForward'],
    [{ doNotTrack: true, preDNAT: true, applyOnForward: true }, 'spec.preDNAT'],
    [{ preDNAT: true, applyOnForward: true, ...egress({}) }, 'spec.egress'],
    [{ preDNAT: true, applyOnForward: true, types: ['Egress'] }, 'spec.types'],
  ]);
  assert.deepEqual(refused('NetworkPolicy', { doNotTrack: true }), ['spec.doNotTrack']);
});

test('RS-112: names of policies', () => {
  const name = (kind: KindName, text: string) => refused(kind, {}, text);
  for (const good of ['thing', 'tier.thing', 'knp.default.a.b.c', 'ossg.default.a'])
    assert.deepEqual(name('NetworkPolicy', good), [], good);
  assert.deepEqual(name('NetworkPolicy', 'a.b.c'), ['metadata.name']);
  assert.deepEqual(name('GlobalNetworkPolicy', 'tier.thing'), []);
  assert.deepEqual(name('GlobalNetworkPolicy', 'knp.default.thing'), ['metadata.name']);
  assert.deepEqual(name('GlobalNetworkPolicy', 'Thing'), ['metadata.name']);
});

test('RS-114: annotations have at most 256 KiB together', () => {
  const annotations = { a: 'x'.repeat(2 ** 17), b: 'x'.repeat(2 ** 17) };
  assert.deepEqual(refused('NetworkPolicy', {}, 'x', { annotations }), ['metadata.annotations']);
});

test('RS-120: a staged deletion says nothing else', () => {
  table('StagedNetworkPolicy', [
    [{ stagedAction: 'Delete', tier: 'a' }],
    [{ stagedAction: 'Delete', selector: 'all()' }, 'spec.selector'],
    [{ stagedAction: 'Warn' }, 'spec.stagedAction'],
    [ingress({ protocol: 'tcp' }), `${path}.protocol`],
  ]);
  table('StagedKubernetesNetworkPolicy', [
    [{ podSelector: { matchLabels: { a: 'b' } }, policyTypes: ['Ingress'] }],
    [{ stagedAction: 'Delete', podSelector: { matchLabels: { a: 'b' } } }, 'spec.podSelector'],
    [{ podSelector: {}, ingress: [{ ports: [{ port: '5:1' }] }] }, 'spec'],
  ]);
  const staged = applyDefaults(
    'StagedNetworkPolicy',
    objectOf('StagedNetworkPolicy', {}) as StagedNetworkPolicy,
  );
  assert.equal(staged.spec.stagedAction, 'Set');
});

test('RS-125, RS-126: tiers, and those that are as they are', () => {
  const tier = (name: string, spec: object) => refused('Tier', spec, name);
  assert.deepEqual(tier('a', { order: 1, defaultAction: 'Pass' }), []);
  assert.deepEqual(tier('a.b', {}), ['metadata.name']);
  assert.deepEqual(tier('a'.repeat(64), {}), ['metadata.name']);
  assert.deepEqual(tier('default', { order: 1_000_000 }), []);
  assert.deepEqual(tier('default', { order: 5, defaultAction: 'Pass' }), [
    'spec.order',
    'spec.defaultAction',
  ]);
  assert.deepEqual(tier('kube-admin', { order: 1000, defaultAction: 'Deny' }), ['spec.defaultAction']);
  assert.deepEqual(tier('kube-baseline', {}), ['spec.order']);
});

test('RS-140: host endpoints', () => {
  table('HostEndpoint', [
    [{ node: 'n', interfaceName: '*' }],
    [{ node: 'n', expectedIPs: ['10.0.0.1'] }],
    [{ interfaceName: 'eth0' }, 'spec.node'],
    [{ node: 'n' }, 'spec.interfaceName'],
    [{ node: 'n', interfaceName: 'e', expectedIPs: ['10.0.0.0/24'] }, 'spec.expectedIPs[0]'],
    [
      { node: 'n', interfaceName: 'e', ports: [{ name: 'p', protocol: 'ICMP', port: 1 }] },
      'spec.ports[0].protocol',
    ],
  ]);
});

test('RS-150: network sets', () => {
  table('GlobalNetworkSet', [[{ nets: ['10.0.0.1', 'fd00::/8'] }], [{ nets: ['x'] }, 'spec.nets[0]']]);
  const label = { labels: { 'projectcalico.org/namespace': 'a' } };
  assert.deepEqual(refused('NetworkSet', {}, 'x', label), ['metadata.labels[projectcalico.org/namespace]']);
});

test('RS-080: profiles have rules and labels', () => {
  table('Profile', [
    [{ labelsToApply: { a: 'b' }, ...ingress({}) }],
    [{ labelsToApply: { 'a!': 'b' } }, 'spec.labelsToApply[a!]'],
    [ingress({ protocol: 'tcp' }), `${path}.protocol`],
  ]);
});

test('parameters of the agent', () => {
  const range = (min: number, max: number) => ({ min, max });
  table('FelixConfiguration', [
    [{ logSeverityScreen: 'warning', bpfLogLevel: '', failsafeInboundHostPorts: [{ port: 22 }] }],
    [{ chainInsertMode: 'both' }, 'spec.chainInsertMode'],
    [{ reportingInterval: 'soon' }, 'spec.reportingInterval'],
    [{ natPortRange: 'http' }, 'spec.natPortRange'],
    [{ natOutgoingAddress: 'fd00::1' }, 'spec.natOutgoingAddress'],
    [{ routeTableRange: range(5, 4) }, 'spec.routeTableRange'],
    [{ routeTableRanges: [range(1, 70_000)] }, 'spec.routeTableRanges'],
    [{ routeTableRange: range(1, 2), routeTableRanges: [range(1, 2)] }, 'spec.routeTableRange'],
    [{ mtuIfacePattern: '*' }, 'spec.mtuIfacePattern'],
  ]);
  assert.deepEqual(refused('FelixConfiguration', { nodeSelector: 'all()' }, 'racks'), []);
  assert.deepEqual(refused('FelixConfiguration', { nodeSelector: 'all()' }, 'node.a'), ['spec.nodeSelector']);
});

test('RS-182, RS-185: node status and controllers', () => {
  table('CalicoNodeStatus', [
    [{ node: 'n', classes: ['Agent', 'BGP'], updatePeriodSeconds: 10 }],
    [{ node: 'n', classes: [] }, 'spec.classes'],
    [
      { node: 'n', classes: ['BGP', 'BGP'], updatePeriodSeconds: 90_000 },
      'spec.classes',
      'spec.updatePeriodSeconds',
    ],
  ]);
  table('KubeControllersConfiguration', [
    [{ controllers: { node: { hostEndpoint: { autoCreate: 'Enabled', templates: [{}] } } } }],
    [{}, 'spec.controllers'],
    [{ controllers: { loadBalancer: { assignIPs: 'Some' } } }, 'spec.controllers.loadBalancer.assignIPs'],
    [
      { controllers: { node: { hostEndpoint: { templates: [{ labels: { 'a!': 'b' } }] } } } },
      'spec.controllers.node.hostEndpoint.templates[0].labels[a!]',
    ],
  ]);
});
