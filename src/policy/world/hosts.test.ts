// Policy of hosts: which host endpoint stands where, and what its policies do to traffic of the host and through it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { address } from '../../lib/ip/mod.ts';
import { explain } from '../explain.ts';
import {
  felixConfiguration,
  globalPolicy,
  hostEndpoint,
  judge,
  kubernetesPolicy,
  outside,
  packet,
  tcp,
  udp,
  worldWith,
} from '../testing.ts';
import type { WorldResource } from './build.ts';
import { verdictOf, type WorldPacket } from './path.ts';
import { hostEndpointAt } from './places.ts';

const hostOne = '192.0.2.1';
const hostTwo = '192.0.2.2';
const podOne = '10.0.0.1';
const podTwo = '10.0.0.3';
const all = hostEndpoint(
  'n1-all',
  { node: 'n1', interfaceName: '*', expectedIPs: [hostOne] },
  { host: 'n1' },
);
const action = (
  more: readonly WorldResource[],
  source: string,
  destination: string,
  fields: Partial<WorldPacket> = {},
) => judge(more, source, destination, fields).action;
const forHost = (name: string, spec: object): WorldResource =>
  globalPolicy(name, { selector: 'host == "n1"', ...spec });
const from = (net: string, more = {}) => [{ action: 'Allow', source: { nets: [net] }, ...more }];

test('SR-191, FX-051: a host endpoint without policy and profile closes the host, except for failsafe ports', () => {
  assert.equal(action([], outside, hostOne, { destinationPort: 8080 }), 'allow');
  assert.equal(action([all], outside, hostOne, { destinationPort: 8080 }), 'deny');
  assert.equal(action([all], hostOne, outside), 'deny');
  assert.equal(action([all], outside, hostOne, { destinationPort: 22 }), 'allow');
  assert.equal(action([all], hostOne, outside, { protocol: udp, destinationPort: 53 }), 'allow');
  assert.equal(action([all], outside, hostTwo, { destinationPort: 8080 }), 'allow', 'another node');
});

test('SR-192: a wide-open profile opens it again', () => {
  const profile: WorldResource = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'Profile',
    metadata: { name: 'open' },
    spec: { ingress: [{ action: 'Allow' }], egress: [{ action: 'Allow' }] },
  };
  const open = hostEndpoint('n1', { node: 'n1', interfaceName: 'eth0', profiles: ['open'] });
  assert.equal(action([profile, open], outside, hostOne), 'allow');
  assert.equal(action([open], outside, hostOne), 'deny', 'the profile is missing');
});

test('RS-083, RS-144: automatic host endpoints have the profile that allows everything', () => {
  const auto = hostEndpoint('n1-auto-hep', {
    node: 'n1',
    interfaceName: '*',
    expectedIPs: [hostOne],
    profiles: ['projectcalico-default-allow'],
  });
  assert.equal(action([auto], outside, hostOne), 'allow');
  assert.equal(action([auto], hostOne, outside), 'allow');
});

test('SR-174: global policies are for hosts too', () => {
  const policy = forHost('p', { ingress: from('203.0.113.0/24') });
  assert.equal(action([all, policy], outside, hostOne), 'allow');
  assert.equal(action([all, policy], '198.51.100.1', hostOne), 'deny');
});

test('SR-193, SR-194: expectedIPs and named ports stand for a host in rules', () => {
  const withPort = hostEndpoint(
    'n1',
    {
      node: 'n1',
      interfaceName: 'eth0',
      expectedIPs: [hostOne],
      ports: [{ name: 'metrics', protocol: 'TCP', port: 9100 }],
      profiles: ['projectcalico-default-allow'],
    },
    { host: 'n1' },
  );
  const policy = globalPolicy('p', {
    selector: 'app == "web"',
    types: ['Egress'],
    egress: [
      {
        action: 'Allow',
        protocol: 'TCP',
        destination: { selector: 'host == "n1"', ports: ['metrics'] },
      },
    ],
  });
  const accept = felixConfiguration('default', { defaultEndpointToHostAction: 'Accept' });
  const ask = (port: number) =>
    action([withPort, policy, accept], podOne, hostOne, { destinationPort: port });
  assert.equal(ask(9100), 'allow');
  assert.equal(ask(9101), 'deny');
});

test('RS-141, RS-142: a named interface beats one found by address, that beats all; the lowest name of equals', () => {
  const heps = [
    hostEndpoint('z-named', { node: 'n1', interfaceName: 'eth0' }),
    hostEndpoint('b-named', { node: 'n1', interfaceName: 'eth0' }),
    hostEndpoint('a-address', { node: 'n1', expectedIPs: [hostOne] }),
    hostEndpoint('a-all', { node: 'n1', interfaceName: '*' }),
    hostEndpoint('a-other', { node: 'n2', interfaceName: 'eth0' }),
  ];
  const at = (list: readonly WorldResource[], name: string | undefined, ip?: string) =>
    hostEndpointAt(worldWith(...list), 'n1', name, ip === undefined ? undefined : address(ip))?.name;
  assert.equal(at(heps, 'eth0'), 'b-named');
  assert.equal(at(heps.slice(2), 'eth0', hostOne), 'a-address');
  assert.equal(at(heps.slice(3), 'eth0'), 'a-all');
  assert.equal(at(heps, 'eth1'), 'a-address', 'the node has the address, and nobody knows where');
  assert.equal(at(heps, undefined, hostOne), 'b-named');
  assert.equal(at(heps.slice(4), 'eth0'), undefined);
});

test('RS-141: interfaces that the node reports find the host endpoint', () => {
  const node: WorldResource = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'Node',
    metadata: { name: 'n1' },
    spec: {
      interfaces: [
        { name: 'eth0', addresses: ['192.0.2.1'] },
        { name: 'eth1', addresses: ['198.51.100.1'] },
      ],
    },
  };
  const world = worldWith(
    node,
    hostEndpoint('inner', { node: 'n1', interfaceName: 'eth1' }),
    hostEndpoint('outer', { node: 'n1', expectedIPs: ['192.0.2.1'] }),
  );
  assert.equal(hostEndpointAt(world, 'n1', undefined, address('198.51.100.1'))?.name, 'inner');
  assert.equal(hostEndpointAt(world, 'n1', undefined, address('192.0.2.1'))?.name, 'outer');
});

test('RS-143: policy of a host does not touch what passes through, unless it applies on forward', () => {
  const closed = forHost('p', { ingress: [], egress: [], types: ['Ingress', 'Egress'] });
  assert.equal(action([all, closed], outside, podOne), 'allow');
  const forward = forHost('p', {
    applyOnForward: true,
    types: ['Ingress', 'Egress'],
    ingress: from('203.0.113.0/24'),
    egress: [],
  });
  assert.equal(action([all, forward], outside, podOne), 'allow');
  assert.equal(action([all, forward], '198.51.100.1', podOne), 'deny');
  assert.equal(action([all, forward], podOne, outside), 'deny');
  assert.equal(action([all, forward], outside, podTwo), 'allow', 'through another node');
});

test('FX-043: between pods of one node the host’s forward policy does not count, between nodes it does', () => {
  const closed = forHost('p', {
    applyOnForward: true,
    types: ['Ingress', 'Egress'],
    ingress: [],
    egress: [],
  });
  assert.equal(action([all, closed], podOne, '10.0.0.2'), 'allow');
  assert.equal(action([all, closed], podOne, podTwo), 'deny');
  assert.equal(action([all, closed], podTwo, podOne), 'deny');
});

test('FX-043: forward policy of the host comes before the pod’s own, and both must allow', () => {
  const forward = forHost('p', { applyOnForward: true, ingress: from('203.0.113.0/24') });
  const own = kubernetesPolicy('red/p', { podSelector: {}, ingress: [] });
  const verdict = judge([all, forward, own], outside, podOne);
  assert.equal(verdict.action, 'deny');
  assert.deepEqual(
    verdict.steps.map((step) => (step.kind === 'program' ? `${step.owner.kind} ${step.stage}` : step.check)),
    ['host untracked', 'host preDnat', 'host forward', 'workload normal'],
  );
});

test('FX-040: untracked policy comes first; what it allows passes the host’s other rules', () => {
  const untracked = forHost('u', {
    order: 1,
    doNotTrack: true,
    applyOnForward: true,
    ingress: [
      { action: 'Allow', protocol: 'TCP', destination: { ports: [8080] } },
      { action: 'Deny', protocol: 'UDP' },
    ],
  });
  const ask = (fields: Partial<WorldPacket>) => judge([all, untracked], outside, hostOne, fields);
  assert.equal(ask({ destinationPort: 8080 }).action, 'allow');
  assert.equal(ask({ destinationPort: 8080 }).steps.length, 1);
  assert.equal(ask({ protocol: udp }).action, 'deny');
  assert.equal(ask({ destinationPort: 8081 }).action, 'deny', 'nothing else allows it');
  assert.equal(ask({ destinationPort: 8081 }).steps.length, 3);
  const own = kubernetesPolicy('red/p', { podSelector: {}, ingress: [] });
  assert.equal(
    action([all, untracked, own], outside, podOne, { destinationPort: 8080 }),
    'deny',
    'a pod’s policy counts',
  );
});

test('FX-041: policy before translation sees the first destination, policy after it the last', () => {
  const nodePort = {
    destinationPort: 80,
    preDnatDestination: address(hostOne),
    preDnatDestinationPort: 30_080,
  };
  const before = (spec: object) => forHost('d', { preDNAT: true, applyOnForward: true, ...spec });
  const deny = before({
    ingress: [{ action: 'Deny', protocol: 'TCP', destination: { ports: [30_080] } }],
  });
  assert.equal(action([all, deny], outside, podOne, nodePort), 'deny');
  assert.equal(action([all, deny], outside, podOne), 'allow');
  const allow = before({ ingress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [30_080] } }] });
  const closed = forHost('p', { applyOnForward: true, ingress: [] });
  assert.equal(action([all, closed], outside, podOne, nodePort), 'deny');
  assert.equal(action([all, closed, allow], outside, podOne, nodePort), 'allow');
});

test('FX-041: a node port leads through the node that was asked', () => {
  const closed = forHost('p', { applyOnForward: true, types: ['Ingress'], ingress: [] });
  const viaOne = { preDnatDestination: address(hostOne), preDnatDestinationPort: 30_080 };
  assert.equal(action([all, closed], outside, podTwo, viaOne), 'deny');
  assert.equal(action([all, closed], outside, podTwo), 'allow');
});

test('FX-052: failsafe ports come before policy of every place but what passes through', () => {
  const early = ['doNotTrack', 'preDNAT'].map((place) =>
    forHost(place.toLowerCase(), { [place]: true, applyOnForward: true, ingress: [{ action: 'Deny' }] }),
  );
  assert.equal(action([all, ...early], outside, hostOne, { destinationPort: 22 }), 'allow');
  assert.equal(action([all, ...early], outside, hostOne, { destinationPort: 80 }), 'deny');
  assert.equal(
    action([all, ...early], outside, hostOne, { sourcePort: 179, destinationPort: 40_000 }),
    'deny',
    'an answer is let through to connection tracking, which knows nothing of it',
  );
  const forward = forHost('f', { applyOnForward: true, ingress: [] });
  assert.equal(action([all, forward], outside, podOne, { destinationPort: 22 }), 'deny');
});

test('FX-154: failsafe ports are configured, for one peer or for none', () => {
  const only = felixConfiguration('default', {
    failsafeInboundHostPorts: [{ protocol: 'TCP', port: 2222, net: '203.0.113.0/24' }],
  });
  assert.equal(action([all, only], outside, hostOne, { destinationPort: 2222 }), 'allow');
  assert.equal(action([all, only], '198.51.100.1', hostOne, { destinationPort: 2222 }), 'deny');
  assert.equal(action([all, only], outside, hostOne, { destinationPort: 22 }), 'deny');
  const none = felixConfiguration('node.n1', { failsafeInboundHostPorts: [] });
  assert.equal(action([all, only, none], outside, hostOne, { destinationPort: 2222 }), 'deny');
});

test('SR-172, FX-045: a host reaches its own pods whatever their policy says, other hosts do not', () => {
  const closed = kubernetesPolicy('red/p', { podSelector: {}, ingress: [] });
  assert.equal(action([closed], hostOne, podOne), 'allow');
  assert.equal(action([closed, all], hostOne, podOne), 'allow');
  assert.equal(action([closed], hostTwo, podOne), 'deny');
});

test('FX-044: a pod reaches its host by its own egress policy and the host’s action for pods', () => {
  const setting = (word: string) => felixConfiguration('default', { defaultEndpointToHostAction: word });
  assert.equal(action([], podOne, hostOne), 'deny', 'Drop unless configured');
  assert.equal(action([setting('Accept')], podOne, hostOne), 'allow');
  assert.equal(action([setting('Accept'), all], podOne, hostOne), 'allow', 'the host endpoint is not asked');
  const closed = kubernetesPolicy('red/p', { podSelector: {}, policyTypes: ['Egress'] });
  assert.equal(action([setting('Accept'), closed], podOne, hostOne), 'deny');
  assert.equal(action([setting('Return')], podOne, hostOne), 'allow', 'left to the host’s own rules');
  assert.equal(action([setting('Return'), all], podOne, hostOne), 'deny', 'now it is');
  assert.equal(action([], podTwo, hostOne), 'allow', 'another node’s host is just a destination');
  assert.equal(action([all], podTwo, hostOne), 'deny');
});

test('FX-053: pods may always ask their neighbours and say which groups they listen to', () => {
  const closed = kubernetesPolicy('red/p', { podSelector: {}, policyTypes: ['Egress'] });
  const ask = (icmpType: number) =>
    action([closed], 'fd00::1', 'ff02::1:ff00:1', { protocol: 58, icmpType, icmpCode: 0 });
  for (const type of [130, 131, 132, 133, 135, 136]) assert.equal(ask(type), 'allow', `type ${type}`);
  assert.equal(ask(128), 'deny');
  assert.equal(ask(134), 'deny', 'pods are no routers');
});

test('hosts of both ends are asked between hosts', () => {
  const two = hostEndpoint(
    'n2-all',
    { node: 'n2', interfaceName: '*', expectedIPs: [hostTwo] },
    { host: 'n2' },
  );
  const out = globalPolicy('out', {
    selector: 'host == "n1"',
    types: ['Egress'],
    egress: [{ action: 'Allow', protocol: 'TCP', destination: { ports: [8080] } }],
  });
  const into = globalPolicy('in', {
    selector: 'host == "n2"',
    types: ['Ingress'],
    ingress: [{ action: 'Allow', source: { selector: 'host == "n1"' } }],
  });
  const port = { destinationPort: 8080 };
  assert.equal(action([all, two, out, into], hostOne, hostTwo, port), 'allow');
  assert.equal(action([all, two, out], hostOne, hostTwo, port), 'deny');
  assert.equal(action([all, two, into], hostOne, hostTwo, port), 'deny');
});

test('a packet that meets nothing is allowed, and says so', () => {
  const verdict = verdictOf(worldWith(), packet(outside, '198.51.100.1', { protocol: tcp }));
  assert.equal(verdict.action, 'allow');
  assert.deepEqual(explain(verdict), ['no policy is in the way']);
});

test('SR-183: one policy for pods, hosts and requests', () => {
  const world = worldWith(
    hostEndpoint('wire', { node: 'n1', interfaceName: 'eth0' }, { app: 'web' }),
    globalPolicy('p', {
      selector: "app == 'web'",
      ingress: [
        { action: 'Allow', protocol: 'TCP', http: { methods: ['GET'], paths: [{ prefix: '/public' }] } },
      ],
    }),
  );
  const asked = (to: string, path: string, method = 'GET') =>
    verdictOf(world, packet(outside, to, { http: { method, path } })).action;
  for (const to of ['10.0.0.1', hostOne]) {
    assert.equal(asked(to, '/public/x'), 'allow', to);
    assert.equal(asked(to, '/private'), 'deny', to);
    assert.equal(asked(to, '/public', 'POST'), 'deny', to);
  }
});

test('FX-040: what is let in before connection tracking is never invalid to it', () => {
  const open = globalPolicy('open', {
    selector: 'all()',
    doNotTrack: true,
    applyOnForward: true,
    ingress: [{ action: 'Allow', protocol: 'UDP' }],
  });
  const wire = hostEndpoint('wire', { node: 'n1', interfaceName: 'eth0' });
  const invalid = (protocol: number, to: string) =>
    judge([open, wire], outside, to, { protocol, connection: 'invalid' }).action;
  assert.equal(invalid(udp, '10.0.0.1'), 'allow');
  assert.equal(invalid(udp, hostOne), 'allow');
  assert.equal(invalid(tcp, '10.0.0.1'), 'deny');
});
