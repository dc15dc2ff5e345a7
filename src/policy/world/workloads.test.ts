// What policies do to traffic of pods, from resources to the verdict.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explain } from '../explain.ts';
import {
  judge,
  kubernetesPolicy,
  globalPolicy,
  hostEndpoint,
  namespace,
  outside,
  pod,
  policyIn,
  tierResource,
  udp,
  worldWith,
} from '../testing.ts';
import { placeOf } from './places.ts';
import { address } from '../../lib/ip/mod.ts';
import { endpointsOf, policiesOf, withStaged } from './programs.ts';
import { verdictOf } from './path.ts';
import { packet } from '../testing.ts';
import type { WorldResource } from './build.ts';
import type { WorldPacket } from './path.ts';

const webRed = '10.0.0.1';
const apiRed = '10.0.0.2';
const dbRed = '10.0.0.3';
const webBlue = '10.0.1.1';
const action = (
  more: readonly WorldResource[],
  source: string,
  destination: string,
  fields: Partial<WorldPacket> = {},
) => judge(more, source, destination, fields).action;

test('RS-081: without policy the namespace’s profile allows everything', () => {
  const verdict = judge([], webRed, dbRed);
  assert.equal(verdict.action, 'allow');
  assert.deepEqual(
    verdict.steps.map((step) => step.kind === 'program' && step.verdict?.decision),
    [
      { by: 'profile', profile: 'kns.red', rule: 0 },
      { by: 'profile', profile: 'kns.red', rule: 0 },
    ],
  );
  assert.equal(action([], outside, webRed), 'allow');
  assert.equal(action([], 'fd00::1', 'fd00::3'), 'allow');
});

test('what a pod sends to itself never leaves it; what comes back to it from a service has', () => {
  const closed = [kubernetesPolicy('red/closed', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] })];
  assert.equal(action(closed, webRed, webRed), 'allow');
  assert.equal(action(closed, webRed, dbRed), 'deny');
  const service = { preDnatDestination: address('10.96.0.7') };
  assert.equal(action(closed, webRed, webRed, service), 'deny');
});

test('a Kubernetes policy from a file that names no types: egress rules mean both directions', () => {
  const rules = { egress: [{ to: [{ podSelector: {} }] }] };
  const quiet = [kubernetesPolicy('red/p', { podSelector: {}, ...rules })];
  assert.equal(action(quiet, webRed, outside), 'deny');
  assert.equal(action(quiet, outside, webRed), 'deny');
  const ingressOnly = [kubernetesPolicy('red/p', { podSelector: {}, policyTypes: ['Ingress'], ...rules })];
  assert.equal(action(ingressOnly, webRed, outside), 'allow');
});

test('SR-179, RS-082, RS-009: namespace and service account are profiles of the pod, and give it labels', () => {
  const world = worldWith();
  const api = world.workloads.find(({ pod: name }) => name === 'api');
  assert.deepEqual(api?.profiles, ['kns.red', 'ksa.red.api']);
  assert.deepEqual(
    [
      'projectcalico.org/namespace',
      'projectcalico.org/orchestrator',
      'projectcalico.org/serviceaccount',
      'pcns.projectcalico.org/name',
      'pcsa.projectcalico.org/name',
    ].map((label) => api?.label(label)),
    ['red', 'k8s', 'api', 'red', 'api'],
  );
  const account = world.profiles.get('ksa.red.api');
  assert.deepEqual([account?.ingress, account?.egress], [[], []]);
});

test('RS-084: an endpoint whose profile does not exist is closed', () => {
  const stray = pod('green/stray', 'n1', '10.0.2.1');
  assert.equal(action([stray], webRed, '10.0.2.1'), 'deny');
  assert.equal(action([stray, namespace('green')], webRed, '10.0.2.1'), 'allow');
});

test('SR-170, SR-171: a Kubernetes policy denies what it does not allow, to the pods it selects', () => {
  const fromWeb = kubernetesPolicy('red/db', {
    podSelector: { matchLabels: { app: 'db' } },
    ingress: [{ from: [{ podSelector: { matchLabels: { app: 'web' } } }], ports: [{ port: 5432 }] }],
  });
  const ports = { destinationPort: 5432 };
  assert.equal(action([fromWeb], webRed, dbRed, ports), 'allow');
  assert.equal(action([fromWeb], webRed, dbRed), 'deny');
  assert.equal(action([fromWeb], webRed, dbRed, { ...ports, protocol: udp }), 'deny', 'TCP when not said');
  assert.equal(action([fromWeb], apiRed, dbRed, ports), 'deny');
  assert.equal(action([fromWeb], webBlue, dbRed, ports), 'deny', 'another namespace');
  assert.equal(action([fromWeb], outside, dbRed, ports), 'deny');
  assert.equal(action([fromWeb], webRed, apiRed), 'allow', 'not selected');
  assert.equal(action([fromWeb], '192.0.2.1', dbRed, ports), 'deny', 'another node is a stranger');
});

test('RS-131: endPort makes a range, and named ports keep their protocol', () => {
  const policy = kubernetesPolicy('red/p', {
    podSelector: {},
    ingress: [
      {
        ports: [
          { port: 8000, endPort: 8010 },
          { port: 'dns', protocol: 'UDP' },
        ],
      },
    ],
  });
  assert.equal(action([policy], webBlue, webRed, { destinationPort: 8010 }), 'allow');
  assert.equal(action([policy], webBlue, webRed, { destinationPort: 8011 }), 'deny');
  assert.equal(action([policy], webBlue, dbRed, { destinationPort: 53, protocol: udp }), 'allow');
  assert.equal(action([policy], webBlue, dbRed, { destinationPort: 53 }), 'deny');
  assert.equal(
    action([policy], webBlue, webRed, { destinationPort: 53, protocol: udp }),
    'deny',
    'no such port',
  );
});

test('RS-132: ipBlock with exceptions, and namespaceSelector with podSelector', () => {
  const block = kubernetesPolicy('red/p', {
    podSelector: {},
    ingress: [{ from: [{ ipBlock: { cidr: '203.0.113.0/24', except: ['203.0.113.128/25'] } }] }],
  });
  assert.equal(action([block], outside, webRed), 'allow');
  assert.equal(action([block], '203.0.113.200', webRed), 'deny');
  const both = kubernetesPolicy('red/p', {
    podSelector: {},
    ingress: [
      {
        from: [
          {
            namespaceSelector: { matchLabels: { team: 'blue' } },
            podSelector: { matchLabels: { app: 'web' } },
          },
        ],
      },
    ],
  });
  assert.equal(action([both], webBlue, webRed), 'allow');
  assert.equal(action([both], apiRed, webRed), 'deny');
});

test('RS-133: policyTypes decide on directions; an empty list of rules denies, an empty peer list allows', () => {
  const closed = kubernetesPolicy('red/p', { podSelector: {}, policyTypes: ['Egress'] });
  assert.equal(action([closed], webRed, outside), 'deny');
  assert.equal(action([closed], outside, webRed), 'allow');
  const open = kubernetesPolicy('red/p', { podSelector: {}, ingress: [{}] });
  assert.equal(action([open], outside, webRed), 'allow');
});

test('RS-134: a rule that cannot be converted is left out, and the world knows', () => {
  const policy = kubernetesPolicy('red/p', {
    podSelector: {},
    ingress: [{ from: [{ ipBlock: { cidr: 'nowhere' } }] }, { ports: [{ port: 80 }] }],
  });
  assert.equal(action([policy], webBlue, webRed), 'allow');
  assert.deepEqual(
    worldWith(policy).problems.map(({ subject }) => subject),
    ['knp:red/p'],
  );
});

test('RS-130: selectors of Kubernetes’ policies mean pods, not network sets', () => {
  const set: WorldResource = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'GlobalNetworkSet',
    metadata: { name: 's', labels: { app: 'web' } },
    spec: { nets: ['203.0.113.0/24'] },
  };
  const policy = kubernetesPolicy('red/p', {
    podSelector: {},
    ingress: [{ from: [{ namespaceSelector: {}, podSelector: { matchLabels: { app: 'web' } } }] }],
  });
  assert.equal(action([set, policy], outside, webRed), 'deny');
  assert.equal(action([set, policy], webBlue, webRed), 'allow');
});

test('FX-058: the source’s egress and the destination’s ingress must both allow', () => {
  const out = policyIn('red/out', {
    selector: 'app == "web"',
    egress: [{ action: 'Allow', destination: { selector: 'app == "db"' } }],
  });
  const into = policyIn('red/in', {
    selector: 'app == "db"',
    ingress: [{ action: 'Allow', source: { selector: 'app == "api"' } }],
  });
  assert.equal(action([out], webRed, dbRed), 'allow');
  const both = judge([out, into], webRed, dbRed);
  assert.equal(both.action, 'deny');
  assert.equal(both.decidedBy?.direction, 'ingress');
  assert.equal(judge([out, into], webRed, apiRed).decidedBy?.direction, 'egress');
});

test('SR-173, SR-176: bare selectors of a namespaced policy stay in its namespace, those of a global one do not', () => {
  const spec = {
    selector: 'app == "db"',
    ingress: [{ action: 'Allow', source: { selector: 'app == "web"' } }],
  };
  assert.equal(action([policyIn('red/p', spec)], webBlue, dbRed), 'deny');
  assert.equal(action([policyIn('red/p', spec)], webRed, dbRed), 'allow');
  assert.equal(action([policyIn('blue/p', spec)], webBlue, dbRed), 'allow', 'not its namespace');
  assert.equal(action([globalPolicy('p', spec)], webBlue, dbRed), 'allow');
});

test('SR-175: the example of a database that only its front end may reach', () => {
  const labelled = [
    pod('red/cache', 'n2', '10.0.0.9', { labels: { role: 'database' } }),
    pod('red/front', 'n1', '10.0.0.8', { labels: { role: 'frontend' } }),
  ];
  const policy = policyIn('red/allow-redis', {
    selector: "role == 'database'",
    types: ['Ingress', 'Egress'],
    ingress: [
      {
        action: 'Allow',
        protocol: 'TCP',
        source: { selector: "role == 'frontend'" },
        destination: { ports: [6379] },
      },
    ],
    egress: [{ action: 'Allow' }],
  });
  const redis = { destinationPort: 6379 };
  assert.equal(action([...labelled, policy], '10.0.0.8', '10.0.0.9', redis), 'allow');
  assert.equal(action([...labelled, policy], webRed, '10.0.0.9', redis), 'deny');
  assert.equal(action([...labelled, policy], '10.0.0.8', '10.0.0.9'), 'deny');
  assert.equal(action([...labelled, policy], '10.0.0.9', outside), 'allow');
});

test('SR-178, SR-180: profiles decide only what no policy decided, rule by rule', () => {
  const endpoint: WorldResource = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'WorkloadEndpoint',
    metadata: { name: 'vm', namespace: 'red' },
    spec: { node: 'n1', interfaceName: 'caliv', ipNetworks: ['10.0.5.1/32'], profiles: ['vms'] },
  };
  const profile: WorldResource = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'Profile',
    metadata: { name: 'vms' },
    spec: {
      ingress: [
        { action: 'Deny', source: { nets: ['203.0.113.0/24'] } },
        { action: 'Allow', source: { selector: 'app == "web"' } },
      ],
      labelsToApply: { fleet: 'old' },
    },
  };
  const world = [endpoint, profile];
  assert.equal(action(world, webBlue, '10.0.5.1'), 'allow');
  assert.equal(action(world, outside, '10.0.5.1'), 'deny');
  assert.equal(action(world, apiRed, '10.0.5.1'), 'deny', 'no rule matched');
  const byLabel = globalPolicy('p', { selector: 'fleet == "old"', ingress: [{ action: 'Deny' }] });
  assert.equal(action([...world, byLabel], webBlue, '10.0.5.1'), 'deny', 'its labels come from the profile');
});

test('RS-008: labels: the endpoint’s own, then those of profiles in order', () => {
  const own = pod('red/own', 'n1', '10.0.0.7', { labels: { 'pcns.team': 'mine' } });
  const bySelector = (selector: string) => {
    const world = worldWith(own, globalPolicy('p', { selector }));
    const [policy] = world.policies;
    return policy === undefined ? [] : endpointsOf(world, policy).map(({ pod: name }) => name);
  };
  assert.deepEqual(bySelector('pcns.team == "mine"'), ['own']);
  assert.deepEqual(bySelector('pcns.team == "blue"'), ['web']);
  assert.deepEqual(bySelector('pcsa.role == "backend"'), ['api']);
  assert.deepEqual(bySelector('projectcalico.org/serviceaccount == "api"'), ['api']);
  assert.deepEqual(bySelector('pcns.projectcalico.org/name == "blue"'), ['web']);
});

test('SR-182: network sets are found by their labels, namespaced ones in their namespace', () => {
  const set = (kind: string, more: object): WorldResource => ({
    apiVersion: 'projectcalico.org/v3',
    kind,
    metadata: { name: 'partners', labels: { trust: 'partner' }, ...more },
    spec: { nets: ['203.0.113.0/24', '198.51.100.7'] },
  });
  const spec = (namespaceSelector?: string) => ({
    selector: 'app == "web"',
    ingress: [
      {
        action: 'Allow',
        source: { selector: 'trust == "partner"', ...(namespaceSelector ? { namespaceSelector } : {}) },
      },
    ],
  });
  const global = set('GlobalNetworkSet', {});
  assert.equal(action([global, globalPolicy('p', spec())], '198.51.100.7', webRed), 'allow');
  assert.equal(action([global, globalPolicy('p', spec())], '198.51.100.8', webRed), 'deny');
  assert.equal(action([global, policyIn('red/p', spec())], outside, webRed), 'deny');
  assert.equal(action([global, policyIn('red/p', spec('global()'))], outside, webRed), 'allow');
  const own = set('NetworkSet', { namespace: 'red' });
  assert.equal(action([own, policyIn('red/p', spec())], outside, webRed), 'allow');
  assert.equal(action([own, policyIn('blue/p', spec())], outside, webBlue), 'deny');
});

test('RS-095: a service as destination and as source', () => {
  const service: readonly WorldResource[] = [
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'db', namespace: 'red' } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'db-1', namespace: 'red', labels: { 'kubernetes.io/service-name': 'db' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [dbRed], conditions: { ready: false } }],
      ports: [{ port: 5432, protocol: 'TCP' }],
    },
  ];
  const to = policyIn('blue/to', {
    egress: [{ action: 'Allow', destination: { services: { name: 'db', namespace: 'red' } } }],
  });
  assert.equal(action([...service, to], webBlue, dbRed, { destinationPort: 5432 }), 'allow');
  assert.equal(action([...service, to], webBlue, dbRed), 'deny');
  assert.equal(action([to], webBlue, dbRed, { destinationPort: 5432 }), 'deny', 'no such service');
  const from = policyIn('red/from', {
    selector: 'app == "web"',
    ingress: [{ action: 'Allow', source: { services: { name: 'db' } } }],
  });
  assert.equal(action([...service, from], dbRed, webRed), 'allow');
  assert.equal(action([...service, from], webBlue, webRed), 'deny');
});

test('RS-116, RS-113: tiers close for what their policies select, and a missing tier does too', () => {
  const security = tierResource('security', { order: 1 });
  const policy = globalPolicy('p', {
    tier: 'security',
    selector: 'app == "db"',
    ingress: [{ action: 'Pass', source: { selector: 'app == "web"' } }],
  });
  assert.equal(action([security, policy], webRed, dbRed), 'allow');
  assert.equal(action([security, policy], apiRed, dbRed), 'deny');
  const lost = judge([policy], webRed, dbRed);
  assert.equal(lost.action, 'deny');
  assert.match(explain(lost).join('\n'), /tier security does not exist/);
  assert.deepEqual(worldWith(policy).problems, [
    { subject: 'gnp:p', problem: 'tier security does not exist' },
  ]);
  assert.equal(action([policy], webRed, apiRed), 'allow', 'whom it does not select it does not close');
});

test('RS-120, RS-121: staged policies change nothing until they are put into force', () => {
  const deny = policyIn('red/p', { selector: 'all()', ingress: [{ action: 'Deny' }] }, 'StagedNetworkPolicy');
  const enforced = policyIn('red/q', { selector: 'app == "api"', ingress: [{ action: 'Deny' }] });
  const removal = policyIn('red/q', { stagedAction: 'Delete' }, 'StagedNetworkPolicy');
  const ignored = policyIn(
    'red/r',
    { stagedAction: 'Ignore', ingress: [{ action: 'Deny' }] },
    'StagedNetworkPolicy',
  );
  const world = worldWith(deny, enforced, removal, ignored);
  const ask = (w: typeof world, to: string) => verdictOf(w, packet(webBlue, to)).action;
  assert.deepEqual([ask(world, webRed), ask(world, apiRed)], ['allow', 'deny']);
  const later = withStaged(world);
  assert.deepEqual([ask(later, webRed), ask(later, apiRed)], ['deny', 'deny']);
  assert.deepEqual(
    later.policies.map(({ id }) => `${id.kind} ${id.name}`),
    ['NetworkPolicy p'],
  );
  const onlyRemoval = withStaged(worldWith(enforced, removal));
  assert.equal(ask(onlyRemoval, apiRed), 'allow');
});

test('FX-138: a pod sends from its own addresses, and from others only if it asked and the host allows', () => {
  const world = worldWith(
    pod('red/gateway', 'n1', '10.0.0.6', {
      annotations: { 'cni.projectcalico.org/allowedSourcePrefixes': '["198.51.100.0/24"]' },
    }),
  );
  const from = placeOf(world, address('10.0.0.6'));
  const send = (source: string, w = world) => verdictOf(w, packet(source, webBlue, { from }));
  assert.equal(send('10.0.0.6').action, 'allow');
  assert.equal(send('198.51.100.9').action, 'deny');
  assert.equal(send('203.0.113.9').decidedBy?.kind === 'fixed', true);
  const lenient = {
    ...world,
    settings: (name: string) => ({ ...world.settings(name), allowsForeignSources: true }),
  };
  assert.equal(send('198.51.100.9', lenient).action, 'allow');
  assert.equal(send('203.0.113.9', lenient).action, 'deny');
});

test('FX-047: pods do not speak VXLAN or IPIP, and connections that are known pass', () => {
  assert.equal(action([], webRed, outside, { protocol: udp, destinationPort: 4789 }), 'deny');
  assert.equal(action([], webRed, outside, { protocol: 4 }), 'deny');
  const closed = policyIn('red/p', { ingress: [] });
  assert.equal(action([closed], outside, webRed), 'deny');
  assert.equal(action([closed], outside, webRed, { connection: 'established' }), 'allow');
  assert.equal(action([], outside, webRed, { connection: 'invalid' }), 'deny');
  // Nobody looks at connections of a host without endpoint, or of a host with its own pod.
  assert.equal(action([], outside, '192.0.2.1', { connection: 'invalid' }), 'allow');
  assert.equal(action([], '192.0.2.1', webRed, { connection: 'invalid' }), 'allow');
  const guarded = hostEndpoint('h', {
    node: 'n1',
    interfaceName: 'eth0',
    profiles: ['projectcalico-default-allow'],
  });
  assert.equal(action([guarded], outside, '192.0.2.1', { connection: 'invalid' }), 'deny');
});

test('RS-190: limits of a pod are remarked on', () => {
  const limited = pod('red/limited', 'n1', '10.0.0.5', {
    annotations: {
      'qos.projectcalico.org/ingressMaxConnections': '10',
      'kubernetes.io/ingress-bandwidth': '1M',
    },
  });
  const verdict = judge([limited], webBlue, '10.0.0.5');
  assert.equal(verdict.action, 'allow');
  assert.match(explain(verdict).join('\n'), /within the limit of 1000000 bits per second and 10 connections/);
});

test('a pod whose endpoint cannot be made out is closed both ways', () => {
  const broken = pod('red/broken', 'n1', '10.0.0.4', {
    annotations: { 'cni.projectcalico.org/allowedSourcePrefixes': 'not a list' },
  });
  assert.equal(action([broken], webRed, '10.0.0.4'), 'deny');
  assert.equal(action([broken], '10.0.0.4', webRed), 'deny');
  assert.equal(worldWith(broken).problems[0]?.subject, 'Pod red/broken');
});

test('RS-115: a policy is known to every endpoint that it selects, and to no other', () => {
  const world = worldWith(globalPolicy('p', { selector: 'app == "db"' }), policyIn('red/q', {}));
  const names = (path: string) => {
    const endpoint = world.workloads.find((one) => `${one.namespace}/${one.pod}` === path);
    return endpoint === undefined ? [] : policiesOf(world, endpoint).map(({ id }) => id.name);
  };
  assert.deepEqual(names('red/db'), ['p', 'q']);
  assert.deepEqual(names('red/web'), ['q']);
  assert.deepEqual(names('blue/web'), []);
});

test('a verdict explains itself step by step', () => {
  const policy = policyIn('red/db', {
    selector: 'app == "db"',
    ingress: [
      {
        action: 'Allow',
        source: { selector: 'app == "web"' },
        protocol: 'TCP',
        destination: { ports: [5432] },
      },
    ],
  });
  assert.deepEqual(explain(judge([policy], webRed, dbRed)), [
    'egress of pod red/web: allowed by rule egress[0] of profile kns.red',
    '  profile kns.red: allow',
    '    rule 0 allow: matched',
    'ingress of pod red/db: denied by the end of tier default: its policies apply, and no rule matched',
    '  tier default: no rule matched: denied by its default action',
    '    np:red/db: no rule matched',
    '      rule 0 allow: did not match by destination.ports',
  ]);
});
