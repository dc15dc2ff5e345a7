// The rules of our own definitions in CEL against the rules of the model: what the model takes passes, what a rule is
// there to refuse is refused by both.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { examplesOf } from '../support/examples.ts';
import {
  allKinds,
  customResourceDefinition,
  isStoredIn,
  kindDefinition,
  type KindName,
  validate,
  validateChange,
} from '../../src/model/mod.ts';
import { at, isObject, type JsonObject, objectAt, textAt } from '../../src/apiserver/json.ts';
import { schemaRules, type SchemaRules } from '../../src/apiserver/cel/rules.ts';

const group = 'projectcalico.org';
const schemas = new Map<KindName, JsonObject>();
const rules = new Map<KindName, SchemaRules>();
for (const kind of allKinds.filter((name) => isStoredIn(name, group))) {
  const [version] = (at(customResourceDefinition(kind, group), 'spec', 'versions') ??
    []) as readonly unknown[];
  const schema = objectAt(version, 'schema', 'openAPIV3Schema');
  schemas.set(kind, schema);
  const compiled = schemaRules(schema, kind);
  if (compiled !== undefined) rules.set(kind, compiled);
}

const refusals = (kind: KindName, object: JsonObject, before?: JsonObject): readonly string[] =>
  (rules.get(kind)?.check(object, before) ?? []).map(({ reason }) => reason);

test('RS-003: all rules of the definitions compile', () => {
  for (const [kind, { issues }] of rules) assert.deepEqual(issues, [], kind);
  assert.equal(rules.size, 13);
});

/** Whether the model takes the object, as it is and as a new one. */
const isTaken = (kind: KindName, object: JsonObject): boolean =>
  validate(kind, object).length === 0 && validateChange(kind, object, undefined).length === 0;

test('RS-003: what the model takes, the rules take: examples of the documentation', () => {
  let count = 0;
  for (const { objects, file } of examplesOf('calico', 'calicoctl', 'tiers'))
    for (const object of objects) {
      const kind = [...rules.keys()].find((name) => kindDefinition(name).kind === textAt(object, 'kind'));
      if (kind === undefined || !isObject(object) || !isTaken(kind, object)) continue;
      assert.deepEqual(refusals(kind, object), [], file);
      count++;
    }
  assert.ok(count > 60, String(count));
});

const pool = (spec: JsonObject): JsonObject => ({ cidr: '10.0.0.0/16', ...spec });
const peer = (spec: JsonObject): JsonObject => ({ peerIP: '10.0.0.1', asNumber: 64512, ...spec });
const filter = (rule: JsonObject): JsonObject => ({ importV4: [{ action: 'Accept', ...rule }] });
const host = (spec: JsonObject): JsonObject => ({ node: 'a', interfaceName: 'eth0', ...spec });
const ingress = (rule: JsonObject): JsonObject => ({ ingress: [{ action: 'Allow', ...rule }] });
const services = { name: 'dns', namespace: 'kube-system' };
const forServices = { allowedUses: ['LoadBalancer'] };
const tcp = { protocol: 'TCP' };

/** For each rule an object that it refuses; a name where it is about names; what was before, where it is about changes. */
const broken: readonly {
  readonly kind: KindName;
  readonly says: RegExp;
  readonly spec: JsonObject;
  readonly name?: string;
  readonly before?: JsonObject;
}[] = [
  {
    kind: 'IPPool',
    says: /^ipipMode and vxlanMode cannot/,
    spec: pool({ ipipMode: 'Always', vxlanMode: 'CrossSubnet' }),
  },
  { kind: 'IPPool', says: /^cidr must be a range/, spec: { cidr: '10.0.0.1/16' } },
  { kind: 'IPPool', says: /link-local/, spec: { cidr: '169.254.0.0/15' } },
  { kind: 'IPPool', says: /link-local/, spec: { cidr: 'fe00::/8' } },
  { kind: 'IPPool', says: /^nodeSelector must not/, spec: pool({ nodeSelector: 'global()' }) },
  { kind: 'IPPool', says: /^namespaceSelector must not/, spec: pool({ namespaceSelector: 'global()' }) },
  { kind: 'IPPool', says: /carries no IPv6/, spec: { cidr: 'fd00::/48', ipipMode: 'Always' } },
  { kind: 'IPPool', says: /^blockSize must/, spec: pool({ blockSize: 19 }) },
  { kind: 'IPPool', says: /^blockSize must/, spec: { cidr: 'fd00::/48', blockSize: 26 } },
  { kind: 'IPPool', says: /at least as large/, spec: { cidr: '10.0.0.0/28' } },
  { kind: 'IPPool', says: /stand alone/, spec: pool({ allowedUses: ['LoadBalancer', 'Workload'] }) },
  {
    kind: 'IPPool',
    says: /must be Never for LoadBalancer/,
    spec: pool({ ...forServices, vxlanMode: 'Always' }),
  },
  { kind: 'IPPool', says: /^disableBGPExport/, spec: pool({ ...forServices, disableBGPExport: true }) },
  { kind: 'IPPool', says: /^nodeSelector/, spec: pool({ ...forServices, nodeSelector: 'has(a)' }) },
  {
    kind: 'IPPool',
    says: /use Tunnel/,
    spec: pool({ allowedUses: ['Tunnel'], namespaceSelector: 'has(a)' }),
  },
  { kind: 'IPPool', says: /^cidr cannot be/, spec: pool({}), before: pool({ cidr: '10.1.0.0/16' }) },
  { kind: 'IPPool', says: /^blockSize cannot/, spec: pool({ blockSize: 27 }), before: pool({}) },
  { kind: 'IPPool', says: /cannot change between/, spec: pool(forServices), before: pool({}) },
  { kind: 'BGPPeer', says: /^node and nodeSelector/, spec: peer({ node: 'a', nodeSelector: 'all()' }) },
  { kind: 'BGPPeer', says: /^peerIP and peerSelector/, spec: { peerIP: '10.0.0.1', peerSelector: 'all()' } },
  {
    kind: 'BGPPeer',
    says: /^peerIP and localWorkloadSelector/,
    spec: peer({ localWorkloadSelector: 'all()' }),
  },
  {
    kind: 'BGPPeer',
    says: /^peerSelector and localWorkloadSelector/,
    spec: { asNumber: 1, peerSelector: 'all()', localWorkloadSelector: 'all()' },
  },
  { kind: 'BGPPeer', says: /^asNumber cannot/, spec: { asNumber: 1, peerSelector: 'all()' } },
  { kind: 'BGPPeer', says: /^asNumber must/, spec: { localWorkloadSelector: 'all()' } },
  { kind: 'BGPPeer', says: /^reachableBy/, spec: { peerSelector: 'all()', reachableBy: '10.0.0.1' } },
  {
    kind: 'BGPPeer',
    says: /^keepOriginalNextHop/,
    spec: peer({ keepOriginalNextHop: true, nextHopMode: 'Keep' }),
  },
  { kind: 'BGPFilter', says: /^cidr must/, spec: filter({ cidr: 'a', matchOperator: 'In' }) },
  { kind: 'BGPFilter', says: /^cidr and matchOperator/, spec: filter({ cidr: '10.0.0.0/8' }) },
  { kind: 'BGPFilter', says: /^cidr and matchOperator/, spec: filter({ matchOperator: 'In' }) },
  { kind: 'BGPFilter', says: /^prefixLength/, spec: filter({ prefixLength: { min: 8 } }) },
  {
    kind: 'BGPFilter',
    says: /^operations/,
    spec: filter({ action: 'Reject', operations: [{ setPriority: { value: 1 } }] }),
  },
  {
    kind: 'BGPFilter',
    says: /^must be exactly one/,
    spec: filter({
      operations: [{ setPriority: { value: 1 }, addCommunity: { value: '64512:1' } }],
    }),
  },
  { kind: 'HostEndpoint', says: /^node must/, spec: { interfaceName: 'eth0' } },
  { kind: 'HostEndpoint', says: /^interfaceName must/, spec: { node: 'a' } },
  {
    kind: 'HostEndpoint',
    says: /^protocol must/,
    spec: host({ ports: [{ name: 'a', protocol: 'ICMP', port: 1 }] }),
  },
  {
    kind: 'GlobalNetworkPolicy',
    says: /^preDNAT and doNotTrack/,
    spec: { preDNAT: true, doNotTrack: true, applyOnForward: true },
  },
  {
    kind: 'GlobalNetworkPolicy',
    says: /^egress must/,
    spec: { preDNAT: true, applyOnForward: true, egress: [{ action: 'Deny' }] },
  },
  {
    kind: 'GlobalNetworkPolicy',
    says: /^types must/,
    spec: { preDNAT: true, applyOnForward: true, types: ['Egress'] },
  },
  { kind: 'GlobalNetworkPolicy', says: /^applyOnForward/, spec: { doNotTrack: true } },
  {
    kind: 'StagedNetworkPolicy',
    says: /stagedAction is Delete/,
    spec: { stagedAction: 'Delete', selector: 'all()' },
  },
  {
    kind: 'StagedGlobalNetworkPolicy',
    says: /stagedAction is Delete/,
    spec: { stagedAction: 'Delete', ingress: [{ action: 'Deny' }] },
  },
  { kind: 'NetworkPolicy', says: /^a code needs/, spec: ingress({ protocol: 'ICMP', icmp: { code: 1 } }) },
  { kind: 'NetworkPolicy', says: /^icmp needs/, spec: ingress({ protocol: 6, icmp: { type: 8 } }) },
  {
    kind: 'NetworkPolicy',
    says: /^ports of the source need/,
    spec: ingress({ protocol: 'ICMP', source: { ports: [80] } }),
  },
  {
    kind: 'NetworkPolicy',
    says: /^ports of the destination need/,
    spec: ingress({ protocol: 47, destination: { notPorts: [80] } }),
  },
  {
    kind: 'GlobalNetworkPolicy',
    says: /^ports of the destination cannot/,
    spec: { egress: [{ action: 'Allow', ...tcp, destination: { services, ports: [53] } }] },
  },
  {
    kind: 'NetworkPolicy',
    says: /^http can/,
    spec: ingress({ action: 'Deny', http: { methods: ['GET'] } }),
  },
  { kind: 'Profile', says: /^http needs/, spec: ingress({ protocol: 'UDP', http: { methods: ['GET'] } }) },
  {
    kind: 'NetworkPolicy',
    says: /^services cannot/,
    spec: ingress({ source: { services, selector: 'has(a)' } }),
  },
  { kind: 'NetworkPolicy', says: /^selector must not/, spec: { selector: 'global()' } },
  {
    kind: 'NetworkPolicy',
    says: /^serviceAccountSelector must not/,
    spec: { serviceAccountSelector: 'global()' },
  },
  {
    kind: 'GlobalNetworkPolicy',
    says: /^namespaceSelector must not/,
    spec: { namespaceSelector: 'global()' },
  },
  {
    kind: 'NetworkPolicy',
    says: /^notSelector must/,
    spec: ingress({ source: { notSelector: 'global()' } }),
  },
  {
    kind: 'NetworkPolicy',
    says: /^namespaceSelector must not combine/,
    spec: ingress({ source: { namespaceSelector: 'global() && all()' } }),
  },
  { kind: 'NetworkPolicy', says: /^notNets/, spec: ingress({ source: { notNets: ['0.0.0.0/0'] } }) },
  {
    kind: 'NetworkPolicy',
    says: /with the protocol ICMP/,
    spec: ingress({ ipVersion: 6, protocol: 'ICMP' }),
  },
  {
    kind: 'NetworkPolicy',
    says: /with the notProtocol ICMP/,
    spec: ingress({ ipVersion: 4, notProtocol: 58 }),
  },
  {
    kind: 'NetworkPolicy',
    says: /cannot be the destination of ingress/,
    spec: ingress({ destination: { services } }),
  },
  {
    kind: 'NetworkPolicy',
    says: /cannot be the source of egress/,
    spec: { egress: [{ action: 'Allow', source: { services } }] },
  },
  {
    kind: 'NetworkPolicy',
    says: /^http can be judged/,
    spec: { egress: [{ action: 'Allow', http: { methods: ['GET'] } }] },
  },
  {
    kind: 'GlobalNetworkPolicy',
    says: /^services of ingress/,
    spec: ingress({ source: { services: { name: 'dns' } } }),
  },
  {
    kind: 'GlobalNetworkPolicy',
    says: /^services of egress/,
    spec: { egress: [{ action: 'Allow', destination: { services: { name: 'dns' } } }] },
  },
  { kind: 'NetworkPolicy', says: /^services must/, spec: ingress({ source: { services: {} } }) },
  { kind: 'Tier', says: /^the name of a tier/, name: 'a.b', spec: {} },
  { kind: 'Tier', says: /^the tier default/, name: 'default', spec: { order: 5 } },
  { kind: 'Tier', says: /^the tier kube-admin/, name: 'kube-admin', spec: { order: 5 } },
  {
    kind: 'Tier',
    says: /^the tier kube-baseline/,
    name: 'kube-baseline',
    spec: { order: 10_000_000, defaultAction: 'Deny' },
  },
  {
    kind: 'BGPConfiguration',
    says: /only be set on the object named default/,
    name: 'node.a',
    spec: { asNumber: 64512 },
  },
  {
    kind: 'BGPConfiguration',
    says: /^communities are not used/,
    spec: { communities: [{ name: 'a', value: '1:1' }] },
  },
  {
    kind: 'BGPConfiguration',
    says: /while the mesh is off/,
    spec: { nodeToNodeMeshEnabled: false, nodeMeshMaxRestartTime: '10s' },
  },
  { kind: 'FelixConfiguration', says: /^nodeSelector/, name: 'default', spec: { nodeSelector: 'all()' } },
  {
    kind: 'FelixConfiguration',
    says: /^routeTableRange is/,
    spec: { routeTableRange: { min: 1, max: 2 }, routeTableRanges: [{ min: 1, max: 2 }] },
  },
  { kind: 'FelixConfiguration', says: /^a range/, spec: { routeTableRanges: [{ min: 2, max: 1 }] } },
  { kind: 'IPAMConfiguration', says: /^autoAllocateBlocks/, spec: { autoAllocateBlocks: false } },
];

test('RS-003: what each rule is there to refuse, the model refuses too', () => {
  const said = new Set<string>();
  for (const { kind, says, spec, name = 'default', before } of broken) {
    const object = (value: JsonObject): JsonObject => ({
      apiVersion: 'projectcalico.org/v3',
      kind: kindDefinition(kind).kind,
      metadata: { name, ...(kindDefinition(kind).namespaced ? { namespace: 'default' } : {}) },
      spec: value,
    });
    const label = `${kind} ${name} ${JSON.stringify(spec)}`;
    const reasons = refusals(kind, object(spec), before === undefined ? undefined : object(before));
    const found = reasons.find((reason) => says.test(reason));
    assert.ok(found !== undefined, `${label}: ${reasons.join('; ')}`);
    said.add(found);
    const byModel = [
      ...validate(kind, object(spec)),
      ...validateChange(kind, object(spec), before === undefined ? undefined : object(before)),
    ];
    assert.ok(byModel.length > 0, label);
  }
  assert.deepEqual([...messages()].filter((message) => !said.has(message)).toSorted(), []);
});

/** Of all rules of the definitions. */
function* messages(): Generator<string> {
  const below = function* (value: unknown): Generator<string> {
    if (Array.isArray(value)) for (const one of value) yield* below(one);
    else if (isObject(value)) {
      const own = value['x-kubernetes-validations'];
      if (Array.isArray(own)) for (const one of own) yield textAt(one, 'message') ?? '';
      yield* below(Object.values(value));
    }
  };
  for (const schema of schemas.values()) yield* below(schema);
}
