import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { stringifyJson } from '../lib/json.ts';
import { applyDefaults } from './defaults.ts';
import type { KindName, ResourceOf } from './kinds/mod.ts';
import { kindDefinition } from './registry.ts';
import type { SchemaNode } from './schema.ts';
import { validate, validateChange } from './validate.ts';

/** The fields that are refused, in order; empty when the object is accepted. */
const refused = (kind: KindName, spec: object, name = 'x', metadata: object = {}): string[] =>
  validate(kind, objectOf(kind, spec, name, metadata)).map(({ field }) => field);

function objectOf(kind: KindName, spec: object, name = 'x', metadata: object = {}): object {
  const { apiVersion, kind: word, namespaced } = kindDefinition(kind);
  return {
    apiVersion,
    kind: word,
    metadata: { name, ...(namespaced ? { namespace: 'ns' } : {}), ...metadata },
    spec,
  };
}

const table = (kind: KindName, rows: readonly (readonly [object, ...string[]])[]): void => {
  for (const [spec, ...fields] of rows) assert.deepEqual(refused(kind, spec), fields, stringifyJson(spec));
};
const pool = (over: object) => ({ cidr: '10.0.0.0/16', ...over });

test('RS-005: an issue names field, value and reason; unknown fields are refused and the likely one is named', () => {
  assert.deepEqual(validate('IPPool', objectOf('IPPool', pool({ ipipMod: 'Always', blockSize: 'big' }))), [
    { field: 'spec.ipipMod', value: 'Always', reason: 'is not a field here; did you mean ipipMode?' },
    { field: 'spec.blockSize', value: 'big', reason: 'must be a whole number' },
  ]);
  assert.deepEqual(refused('BGPPeer', { nodeSelctor: 'all()' }), ['spec.nodeSelctor']);
  assert.deepEqual(refused('IPPool', pool({}), 'x', { lables: {} }), ['metadata.lables']);
});

test('RS-005: what is no object, or of another kind, is refused', () => {
  for (const value of [undefined, null, 1, 'x', []]) assert.equal(validate('IPPool', value).length, 1);
  assert.deepEqual(
    validate('IPPool', { apiVersion: 'v7', kind: 'Pool', metadata: { name: 'x' }, spec: pool({}) }).map(
      (i) => i.field,
    ),
    ['apiVersion', 'kind'],
  );
  assert.deepEqual(
    validate('IPPool', { apiVersion: 'projectcalico.org/v3', kind: 'IPPool', metadata: { name: 'x' } }).map(
      (i) => i.field,
    ),
    ['spec'],
  );
});

test('names, labels and annotations', () => {
  const bad = (name: string, metadata: object = {}) => refused('IPPool', pool({}), name, metadata);
  assert.deepEqual(bad('Upper'), ['metadata.name']);
  assert.deepEqual(bad('a'.repeat(254)), ['metadata.name']);
  assert.deepEqual(bad('a.b-c'), []);
  assert.deepEqual(bad('x', { labels: { 'Example.org/a': 'b' } }), ['metadata.labels[Example.org/a]']);
  assert.deepEqual(bad('x', { labels: { a: 'a'.repeat(64) } }), ['metadata.labels[a]']);
  assert.deepEqual(bad('x', { labels: { a: 1 } }), ['metadata.labels']);
  assert.deepEqual(bad('x', { annotations: { a$: 'b' } }), ['metadata.annotations[a$]']);
  assert.deepEqual(bad('x', { annotations: { a: 'b'.repeat(2 ** 18) } }), ['metadata.annotations']);
});

test('RS-020: the range of a pool', () => {
  table('IPPool', [
    [pool({})],
    [{ cidr: 'fd00::/112' }],
    [{}, 'spec.cidr'],
    [{ cidr: '10.0.0.1/16' }, 'spec.cidr'],
    [{ cidr: '10.0.0.0' }, 'spec.cidr'],
    [{ cidr: '169.254.0.0/15' }, 'spec.cidr'],
    [{ cidr: 'fe00::/8' }, 'spec.cidr'],
    [{ cidr: '10.0.0.0/28' }, 'spec'],
    [{ cidr: '10.0.0.0/28', disabled: true }],
  ]);
  const before = objectOf('IPPool', pool({}));
  assert.equal(
    validateChange('IPPool', objectOf('IPPool', { cidr: '10.1.0.0/16' }), before)[0]?.field,
    'spec.cidr',
  );
  assert.deepEqual(validateChange('IPPool', before, before), []);
});

test('RS-021: the size of blocks', () => {
  table('IPPool', [
    [pool({ blockSize: 20 })],
    [pool({ blockSize: 32 })],
    [pool({ blockSize: 19 }), 'spec.blockSize'],
    [{ cidr: 'fd00::/64', blockSize: 116 }],
    [{ cidr: 'fd00::/64', blockSize: 26 }, 'spec.blockSize', 'spec'],
  ]);
  const before = objectOf('IPPool', pool({}));
  assert.deepEqual(validateChange('IPPool', objectOf('IPPool', pool({ blockSize: 26 })), before), []);
  assert.equal(
    validateChange('IPPool', objectOf('IPPool', pool({ blockSize: 27 })), before)[0]?.field,
    'spec.blockSize',
  );
});

test('RS-022: IPIP and VXLAN exclude each other, and IPIP carries no IPv6', () => {
  table('IPPool', [
    [pool({ ipipMode: 'CrossSubnet', vxlanMode: 'Never' })],
    [pool({ ipipMode: 'always' }), 'spec.ipipMode'],
    [pool({ ipipMode: 'Always', vxlanMode: 'CrossSubnet' }), 'spec.ipipMode'],
    [{ cidr: 'fd00::/112', ipipMode: 'Always' }, 'spec.ipipMode'],
    [{ cidr: 'fd00::/112', vxlanMode: 'Always' }],
  ]);
});

test('RS-026: selectors of pools must parse and not use global()', () => {
  table('IPPool', [
    [pool({ nodeSelector: "rack == '1'" })],
    [pool({ nodeSelector: 'rack = 1' }), 'spec.nodeSelector'],
    [pool({ nodeSelector: 'global()' }), 'spec.nodeSelector'],
    [pool({ namespaceSelector: 'global( )' }), 'spec.namespaceSelector'],
  ]);
});

test('RS-027: uses of pools', () => {
  table('IPPool', [
    [pool({ allowedUses: ['Workload'] })],
    [pool({ allowedUses: ['Garbage'] }), 'spec.allowedUses[0]'],
    [pool({ allowedUses: ['LoadBalancer'] })],
    [pool({ allowedUses: ['LoadBalancer', 'Tunnel'] }), 'spec.allowedUses'],
    [pool({ allowedUses: ['LoadBalancer'], vxlanMode: 'Always' }), 'spec.vxlanMode'],
    [pool({ allowedUses: ['LoadBalancer'], nodeSelector: 'has(x)' }), 'spec.nodeSelector'],
    [pool({ allowedUses: ['LoadBalancer'], disableBGPExport: true }), 'spec.disableBGPExport'],
    [pool({ allowedUses: ['Tunnel'], namespaceSelector: 'all()' }), 'spec.namespaceSelector'],
  ]);
  const changed = validateChange(
    'IPPool',
    objectOf('IPPool', pool({ allowedUses: ['LoadBalancer'] })),
    objectOf('IPPool', pool({})),
  );
  assert.equal(changed[0]?.field, 'spec.allowedUses');
});

test('RS-028: how a pool is used without being asked for', () => {
  table('IPPool', [
    [pool({ assignmentMode: 'Manual' })],
    [pool({ assignmentMode: '' }), 'spec.assignmentMode'],
  ]);
});

test('RS-021, RS-022, RS-026, RS-027, RS-028: defaults of a pool', () => {
  const complete = (spec: ResourceOf<'IPPool'>['spec']) =>
    applyDefaults('IPPool', objectOf('IPPool', spec) as ResourceOf<'IPPool'>).spec;
  assert.deepEqual(complete({ cidr: '10.0.0.0/16' }), {
    cidr: '10.0.0.0/16',
    ipipMode: 'Never',
    vxlanMode: 'Never',
    nodeSelector: 'all()',
    assignmentMode: 'Automatic',
    blockSize: 26,
    allowedUses: ['Workload', 'Tunnel'],
  });
  assert.equal(complete({ cidr: 'fd00::/64', nodeSelector: '' }).blockSize, 122);
  assert.deepEqual(complete({ cidr: '10.0.0.0/16', namespaceSelector: 'all()' }).allowedUses, ['Workload']);
});

test('RS-035: reserved addresses are CIDRs', () => {
  table('IPReservation', [
    [{ reservedCIDRs: ['10.0.0.1/32', '10.0.0.2', 'fd00::/64'] }],
    [{ reservedCIDRs: ['10.0.0.0/33'] }, 'spec.reservedCIDRs[0]'],
    [{ reservedCIDRs: ['10.0.0.1/32', '10.0.0.1/32'] }, 'spec.reservedCIDRs'],
  ]);
});

test('RS-040, NM-031: switches of address management', () => {
  table('IPAMConfiguration', [
    [{ strictAffinity: true, autoAllocateBlocks: false, maxBlocksPerHost: 5, ipCooldownSeconds: 1200 }],
    [{ strictAffinity: false, autoAllocateBlocks: false }, 'spec.autoAllocateBlocks'],
    [{ maxBlocksPerHost: -1 }, 'spec.maxBlocksPerHost'],
    [{ ipCooldownSeconds: 1201 }, 'spec.ipCooldownSeconds'],
  ]);
});

test('RS-041: a block as Calico writes it is accepted', () => {
  table('IPAMBlock', [
    [
      {
        cidr: '10.0.0.0/30',
        affinity: 'host:node-1.example',
        allocations: [0, null, null, null],
        unallocated: [1, 2, 3],
        attributes: [{ handle_id: 'k8s-pod-network.abc', secondary: { pod: 'a', namespace: 'b' } }],
        sequenceNumber: 1763720000123456789n,
        sequenceNumberForAllocation: { '0': 1763720000123456788n },
        deleted: false,
        strictAffinity: false,
      },
    ],
    [
      { cidr: '10.0.0.0/30', affinity: 'node-1', allocations: [], unallocated: [], attributes: [] },
      'spec.affinity',
    ],
  ]);
});

test('RS-046: affinities of blocks', () => {
  const claim = { state: 'pending', node: 'n', type: 'host', cidr: '10.0.0.0/26' };
  table('BlockAffinity', [[claim], [{ ...claim, state: 'mine' }, 'spec.state']]);
});

test('RS-060: nodes', () => {
  table('Node', [
    [{ bgp: { ipv4Address: '10.0.0.11/24', asNumber: 64512 } }],
    [{ bgp: {} }, 'spec.bgp'],
    [{ bgp: { ipv4Address: 'fd00::1/64' } }, 'spec.bgp.ipv4Address'],
    [{ bgp: { asNumber: 4294967296 } }, 'spec.bgp.asNumber'],
    [{ vxlanTunnelMACAddr: '66:01' }, 'spec.vxlanTunnelMACAddr'],
  ]);
});

test('RS-064: the cluster id of a route reflector has the form of an IPv4 address', () => {
  table('Node', [
    [{ bgp: { routeReflectorClusterID: '244.0.0.1' } }],
    [{ bgp: { routeReflectorClusterID: '300.0.0.1' } }, 'spec.bgp.routeReflectorClusterID'],
  ]);
});

test('RS-071: workload endpoints', () => {
  const port = { name: 'http', protocol: 'TCP', port: 80 };
  const nat = (internalIP: string, externalIP: string) => ({ ipNATs: [{ internalIP, externalIP }] });
  const rows: readonly (readonly [object, ...string[]])[] = [
    [{ ipNetworks: ['10.0.0.1/32', 'fd00::1'], ports: [port] }],
    [{ ipNetworks: ['10.0.0.0/31'] }, 'spec.ipNetworks[0]'],
    [{ ports: [{ ...port, protocol: 'ICMP' }] }, 'spec.ports[0].protocol'],
    [{ ports: [{ protocol: 'TCP', port: 80 }] }, 'spec.ports[0].name'],
    [{ ports: [{ ...port, port: 0 }] }, 'spec.ports[0].port'],
    [{ interfaceName: 'much-too-long-a-name' }, 'spec.interfaceName'],
    [{ interfaceName: '' }, 'spec.interfaceName'],
    [{ ipNetworks: ['10.0.0.1/32'], ...nat('10.0.0.2', '1.1.1.1') }, 'spec.ipNATs[0].internalIP'],
    [{ ipNetworks: ['10.0.0.1/32'], ...nat('10.0.0.1', 'fd00::1') }, 'spec.ipNATs[0].externalIP'],
  ];
  table(
    'WorkloadEndpoint',
    rows.map(([spec, ...fields]) => [{ interfaceName: 'cali0', ...spec }, ...fields] as const),
  );
});

test('RS-161, BG-025: an AS number may be text, with a dot too, and becomes a number', () => {
  table('BGPConfiguration', [
    [{ asNumber: '64513' }],
    [{ asNumber: '65161.5018' }],
    [{ asNumber: 'many' }, 'spec.asNumber'],
    [{ asNumber: '1.2.3' }, 'spec.asNumber'],
    [{ asNumber: 1.5 }, 'spec.asNumber'],
  ]);
  const read = (asNumber: string): unknown =>
    applyDefaults('BGPPeer', objectOf('BGPPeer', { peerIP: '1.1.1.1', asNumber }) as ResourceOf<'BGPPeer'>)
      .spec.asNumber;
  assert.deepEqual([read('64513'), read('1.10'), read('many')], [64513, 65546, 'many']);
});

test('RS-160: what concerns the cluster is refused on the configuration of one node', () => {
  const change = (name: string, spec: object) =>
    validateChange('BGPConfiguration', objectOf('BGPConfiguration', spec, name), undefined).map(
      (i) => i.field,
    );
  assert.deepEqual(change('default', { asNumber: 1, nodeToNodeMeshEnabled: false }), []);
  assert.deepEqual(change('node.a', { listenPort: 1790 }), []);
  assert.deepEqual(change('node.a', { asNumber: 1, nodeToNodeMeshEnabled: false, serviceClusterIPs: [] }), [
    'spec.nodeToNodeMeshEnabled',
    'spec.asNumber',
    'spec.serviceClusterIPs',
  ]);
});

test('RS-161, RS-162, RS-165, RS-166, RS-167: fields of the BGP configuration', () => {
  table('BGPConfiguration', [
    [
      {
        logSeverityScreen: 'info',
        listenPort: 1790,
        bindMode: 'NodeIP',
        ignoredInterfaces: ['dummy*'],
        serviceClusterIPs: [{ cidr: '10.96.0.0/12' }],
        serviceLoadBalancerAggregation: 'Disabled',
        localWorkloadPeeringIPV4: '169.254.1.2',
        programClusterRoutes: 'EnabledIPIPOnly',
        ipv4NormalRoutePriority: 1024,
      },
    ],
    [{ logSeverityScreen: 'loud' }, 'spec.logSeverityScreen'],
    [{ listenPort: 0 }, 'spec.listenPort'],
    [{ ignoredInterfaces: ['*'] }, 'spec.ignoredInterfaces[0]'],
    [{ serviceExternalIPs: [{ cidr: 'y' }] }, 'spec.serviceExternalIPs[0].cidr'],
    [{ localWorkloadPeeringIPV6: '10.0.0.1' }, 'spec.localWorkloadPeeringIPV6'],
    [{ programClusterRoutes: 'Some' }, 'spec.programClusterRoutes'],
    [{ ipv6NormalRoutePriority: 2147483647 }, 'spec.ipv6NormalRoutePriority'],
  ]);
});

test('RS-163: communities are values or names that are defined, and defined ones are used', () => {
  const named = [{ name: 'c', value: '64512:1' }];
  const advertise = (...communities: string[]) => [{ cidr: '10.0.0.0/24', communities }];
  table('BGPConfiguration', [
    [{ communities: named, prefixAdvertisements: advertise('c', '1:2', '4294967295:1:1') }],
    [{ communities: named }, 'spec.communities'],
    [{ prefixAdvertisements: advertise('c') }, 'spec.prefixAdvertisements[0].communities[0]'],
    [{ prefixAdvertisements: advertise('1:65536') }, 'spec.prefixAdvertisements[0].communities[0]'],
    [{ communities: [{ name: 'c', value: '65536:1' }] }, 'spec.communities[0].value'],
    [{ prefixAdvertisements: [{ communities: ['1:1'] }] }, 'spec.prefixAdvertisements[0].cidr'],
  ]);
});

test('RS-164: password and restart time of the mesh need the mesh', () => {
  const password = { secretKeyRef: { name: 's', key: 'k' } };
  table('BGPConfiguration', [
    [{ nodeMeshPassword: password, nodeMeshMaxRestartTime: '2m' }],
    [{ nodeToNodeMeshEnabled: false, nodeMeshPassword: password }, 'spec.nodeMeshPassword'],
    [{ nodeToNodeMeshEnabled: false, nodeMeshMaxRestartTime: '2m' }, 'spec.nodeMeshMaxRestartTime'],
    [{ nodeMeshMaxRestartTime: 'soon' }, 'spec.nodeMeshMaxRestartTime'],
  ]);
});

test('RS-170: who peers with whom is said in one way', () => {
  table('BGPPeer', [
    [{ node: 'n', peerIP: '192.168.1.1', asNumber: 63400 }],
    [{ peerIP: '192.168.1.1:1790', asNumber: 1 }],
    [{ peerIP: '[fd00::1]:1790', asNumber: 1 }],
    [{ peerSelector: 'all()' }],
    [{ node: 'n', nodeSelector: 'all()' }, 'spec.node'],
    [{ peerIP: '192.168.1.1', peerSelector: 'all()' }, 'spec.peerIP'],
    [{ asNumber: 1, peerSelector: 'all()' }, 'spec.asNumber'],
    [{ peerIP: '192.168.1.1:0' }, 'spec.peerIP'],
    [{ peerIP: '[192.168.1.1]:179' }, 'spec.peerIP'],
    [{ peerIP: ':179' }, 'spec.peerIP'],
    [{ peerIP: '[fd00::1]:' }, 'spec.peerIP'],
  ]);
});

test('RS-171: details of sessions', () => {
  table('BGPPeer', [
    [
      {
        peerIP: '1.1.1.1',
        reachableBy: '1.1.1.2',
        nextHopMode: 'Keep',
        sourceAddress: 'None',
        ttlSecurity: 1,
      },
    ],
    [{ peerIP: '1.1.1.1:179', reachableBy: '1.1.1.2', keepaliveTime: '30s', reversePeering: 'Manual' }],
    [{ reachableBy: '1.1.1.2' }, 'spec.reachableBy'],
    [{ peerIP: 'fd00::1', reachableBy: '1.1.1.2' }, 'spec.reachableBy'],
    [{ peerIP: '1.1.1.1', keepOriginalNextHop: true, nextHopMode: 'Self' }, 'spec.keepOriginalNextHop'],
    [{ peerIP: '1.1.1.1', nextHopMode: 'None' }, 'spec.nextHopMode'],
  ]);
});

test('filters of a peer are named as objects are', () => {
  table('BGPPeer', [
    [{ peerIP: '10.0.0.1', filters: ['one', 'two.of.them'] }],
    [{ peerIP: '10.0.0.1', filters: ['One', 'two'] }, 'spec.filters[0]'],
  ]);
});

test('parameters of the agent: patience is not negative, patterns are such in Go', () => {
  const patience = (timeout: string) => ({ healthTimeoutOverrides: [{ name: 'graph', timeout }] });
  table('FelixConfiguration', [
    [patience('0s')],
    [patience('2m')],
    [patience('-1ns'), 'spec.healthTimeoutOverrides[0].timeout'],
    [{ mtuIfacePattern: '^(?i:eth)[0-9]+$' }],
    [{ mtuIfacePattern: '(?=eth)' }, 'spec.mtuIfacePattern'],
  ]);
});

test('RS-172: sessions with workloads need an AS number and nothing else that names a peer', () => {
  table('BGPPeer', [
    [{ localWorkloadSelector: 'has(bgp)', asNumber: 65001 }],
    [{ localWorkloadSelector: 'has(bgp)' }, 'spec.asNumber'],
    [{ localWorkloadSelector: 'has(bgp)', asNumber: 1, peerIP: '1.1.1.1' }, 'spec.peerIP'],
    [
      { localWorkloadSelector: 'has(bgp)', asNumber: 1, peerSelector: 'all()' },
      'spec.asNumber',
      'spec.peerSelector',
    ],
  ]);
});

test('RS-175: rules of BGP filters', () => {
  const rules = (...importV4: object[]) => ({ importV4 });
  table('BGPFilter', [
    [rules({ action: 'Accept' })],
    [
      rules({
        action: 'Reject',
        cidr: '10.0.0.0/8',
        matchOperator: 'In',
        prefixLength: { min: 16, max: 24 },
      }),
    ],
    [rules({ action: 'Accept', interface: '*.calico', source: 'RemotePeers', peerType: 'iBGP' })],
    [rules({ action: 'Accept', communities: { values: ['1:2'] }, asPathPrefix: [65000], priority: 1 })],
    [rules({}), 'spec.importV4[0].action'],
    [rules({ action: '' }), 'spec.importV4[0].action'],
    [rules({ action: 'Accept', cidr: '10.0.0.0/8' }), 'spec.importV4[0].matchOperator'],
    [rules({ action: 'Accept', matchOperator: 'In' }), 'spec.importV4[0].cidr'],
    [rules({ action: 'Accept', prefixLength: { min: 1 } }), 'spec.importV4[0].prefixLength'],
    [
      rules({ action: 'Accept', cidr: '10.0.0.0/8', matchOperator: 'In', prefixLength: { max: 33 } }),
      'spec.importV4[0].prefixLength.max',
    ],
    [rules({ action: 'Accept', cidr: 'fd00::/8', matchOperator: 'In' }), 'spec.importV4[0].cidr'],
    [rules({ action: 'Accept', interface: 'eth&' }), 'spec.importV4[0].interface'],
    [
      rules({ action: 'Accept', communities: { values: ['1:2', '3:4'] } }),
      'spec.importV4[0].communities.values',
    ],
  ]);
});

test('RS-176: operations of BGP filters change accepted routes, one thing each', () => {
  const rule = (action: string, ...operations: object[]) => ({ exportV4: [{ action, operations }] });
  const path = 'spec.exportV4[0].operations';
  table('BGPFilter', [
    [rule('Accept', { setPriority: { value: 5 } }, { addCommunity: { value: '1:2' } })],
    [rule('Accept', { prependASPath: { prefix: [1] } })],
    [rule('Reject', { setPriority: { value: 5 } }), path],
    [rule('Accept', {}), `${path}[0]`],
    [rule('Accept', { setPriority: { value: 5 }, addCommunity: { value: '1:2' } }), `${path}[0]`],
    [rule('Accept', { prependASPath: { prefix: [] } }), `${path}[0].prependASPath.prefix`],
  ]);
});

test('RS-181: information on the cluster', () => {
  table('ClusterInformation', [
    [{ clusterGUID: 'x', clusterType: 'k8s,bgp', datastoreReady: true }],
    [{ datastoreReady: 'yes' }, 'spec.datastoreReady'],
  ]);
});

test('Kubernetes objects are checked only where they are used, and may have any other field', () => {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'UPPER', other: 1 },
    spec: { containers: [], new: 1 },
  };
  assert.deepEqual(validate('Pod', pod), []);
  assert.deepEqual(
    validate('Pod', { ...pod, spec: { containers: [{}] } }).map(({ field }) => field),
    ['spec.containers[0].name'],
  );
});

/** Any JSON value, with the words of the schema mixed in so that it gets deep. */
function words(node: SchemaNode): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) => [
    key,
    ...words(child.items ?? child),
  ]);
}

test('an empty text where a list or object belongs is refused, not taken for absent', () => {
  for (const spec of [{ importV4: '' }, { exportV6: '' }]) {
    const issues = validate('BGPFilter', objectOf('BGPFilter', spec));
    assert.match(issues[0]?.reason ?? '', /must be a list/);
  }
});

test('any value is judged and completed without an exception, and completing twice is completing once', () => {
  for (const kind of ['IPPool', 'BGPFilter', 'WorkloadEndpoint', 'NetworkPolicy', 'Tier'] as const) {
    const names = [...new Set(words(kindDefinition(kind).schema))];
    const leaf = fc.oneof(fc.string({ maxLength: 5 }), fc.integer(), fc.boolean(), fc.constant(null));
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        leaf,
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom(...names), tie('value'), { maxKeys: 4 }),
      ),
    }));
    fc.assert(
      fc.property(value, (spec) => {
        const object = objectOf(kind, spec as object);
        const complete = applyDefaults(kind, object as ResourceOf<typeof kind>);
        assert.deepEqual(applyDefaults(kind, complete), complete);
        if (validate(kind, object).length === 0) assert.deepEqual(validate(kind, complete), []);
        for (const issue of validate(kind, object)) assert.ok(issue.reason.length > 0);
      }),
      { numRuns: 200 },
    );
  }
});
