// The rules between fields, said once more in CEL for clusters that keep Calico's resources as CustomResourceDefinitions:
// there the API server itself refuses what breaks them, whoever writes. What CEL cannot say well (selectors, ports,
// names of other objects) is left to whoever validates with this module. A test holds both forms against each other.
//
// Fields are read with `has` first: an absent one ends the evaluation with an error. An API server refuses a definition
// whose rules might become expensive: every text that a rule searches has a greatest length in its schema, every list that
// it walks within another a greatest size. Functions on ranges need Kubernetes 1.30.
import type { Validation } from '../schema.ts';

const says = (field: string): string => `(has(self.${field}) && self.${field} != '')`;
const isOn = (field: string): string => `(has(self.${field}) && self.${field})`;
const holds = (field: string): string => `(has(self.${field}) && self.${field}.size() > 0)`;
const not = (...terms: readonly string[]): string => `!(${terms.join(' && ')})`;

const excludes = (a: string, b: string): Validation => ({
  rule: not(says(a), says(b)),
  message: `${a} and ${b} cannot be given together`,
});

/** global() has a meaning in the namespaceSelector of rules only. */
const withoutGlobal = (field: string): Validation => ({
  rule: `!has(self.${field}) || !self.${field}.contains('global()')`,
  message: `${field} must not use global()`,
});

const tunnelled = (field: string): string => `(has(self.${field}) && self.${field} != 'Never')`;
const forServices = (self: string): string =>
  `(has(${self}.allowedUses) && 'LoadBalancer' in ${self}.allowedUses)`;
const blockSize = (self: string): string =>
  `(has(${self}.blockSize) && ${self}.blockSize != 0 ? ${self}.blockSize : (${self}.cidr.contains(':') ? 122 : 26))`;

const linkLocal = ['169.254.0.0/16', 'fe80::/10'];

export const poolValidations: readonly Validation[] = [
  {
    rule: `isCIDR(self.cidr) && cidr(self.cidr) == cidr(self.cidr).masked()`,
    message: 'cidr must be a range: no bits set beyond its length',
  },
  {
    rule: linkLocal
      .map(
        (range) =>
          `!isCIDR(self.cidr) || !(cidr('${range}').containsCIDR(self.cidr) || cidr(self.cidr).containsCIDR('${range}'))`,
      )
      .map((term) => `(${term})`)
      .join(' && '),
    message: 'cidr must not overlap the link-local ranges',
  },
  withoutGlobal('nodeSelector'),
  withoutGlobal('namespaceSelector'),
  {
    rule: not(tunnelled('ipipMode'), tunnelled('vxlanMode')),
    message: 'ipipMode and vxlanMode cannot be used together',
  },
  {
    rule: not(tunnelled('ipipMode'), `self.cidr.contains(':')`),
    message: 'ipipMode must be Never for IPv6: IPIP carries no IPv6',
  },
  {
    rule: `self.cidr.contains(':') ? ${blockSize('self')} >= 116 && ${blockSize('self')} <= 128 : ${blockSize('self')} >= 20 && ${blockSize('self')} <= 32`,
    message: 'blockSize must be 20 to 32, or 116 to 128 for IPv6',
  },
  {
    rule: `${isOn('disabled')} || !self.cidr.contains('/') || int(self.cidr.split('/')[1]) <= ${blockSize('self')}`,
    message: 'the pool must be at least as large as one of its blocks',
  },
  {
    rule: not(forServices('self'), 'self.allowedUses.size() > 1'),
    message: 'LoadBalancer must stand alone in allowedUses',
  },
  {
    rule: not(forServices('self'), `(${tunnelled('ipipMode')} || ${tunnelled('vxlanMode')})`),
    message: 'ipipMode and vxlanMode must be Never for LoadBalancer',
  },
  {
    rule: not(forServices('self'), isOn('disableBGPExport')),
    message: 'disableBGPExport must be false for LoadBalancer',
  },
  {
    rule: not(forServices('self'), says('nodeSelector'), `self.nodeSelector != 'all()'`),
    message: 'nodeSelector must be all() for LoadBalancer',
  },
  {
    rule: not('has(self.allowedUses)', `'Tunnel' in self.allowedUses`, says('namespaceSelector')),
    message: 'namespaceSelector cannot be combined with the use Tunnel',
  },
  { rule: 'self.cidr == oldSelf.cidr', message: 'cidr cannot be changed' },
  { rule: `${blockSize('self')} == ${blockSize('oldSelf')}`, message: 'blockSize cannot be changed' },
  {
    rule: `${forServices('self')} == ${forServices('oldSelf')}`,
    message: 'allowedUses cannot change between LoadBalancer and other uses',
  },
];

const asNumber = '(has(self.asNumber) && self.asNumber != 0)';

export const peerValidations: readonly Validation[] = [
  excludes('node', 'nodeSelector'),
  excludes('peerIP', 'peerSelector'),
  excludes('peerIP', 'localWorkloadSelector'),
  excludes('peerSelector', 'localWorkloadSelector'),
  {
    rule: not(asNumber, says('peerSelector')),
    message: 'asNumber cannot be given with peerSelector: each node has its own',
  },
  {
    rule: not(says('localWorkloadSelector'), `!${asNumber}`),
    message: 'asNumber must be given with localWorkloadSelector',
  },
  { rule: not(says('reachableBy'), `!${says('peerIP')}`), message: 'reachableBy needs peerIP' },
  {
    rule: not(isOn('keepOriginalNextHop'), says('nextHopMode')),
    message: 'keepOriginalNextHop is replaced by nextHopMode: give only that',
  },
];

export const filterRuleValidations: readonly Validation[] = [
  { rule: `!${says('cidr')} || isCIDR(self.cidr)`, message: 'cidr must be a range' },
  {
    rule: `${says('cidr')} == ${says('matchOperator')}`,
    message: 'cidr and matchOperator must be given together',
  },
  { rule: not('has(self.prefixLength)', `!${says('cidr')}`), message: 'prefixLength needs cidr' },
  {
    rule: not(holds('operations'), `self.action != 'Accept'`),
    message: 'operations can only change accepted routes',
  },
];

export const filterOperationValidations: readonly Validation[] = [
  {
    rule: '[has(self.addCommunity), has(self.prependASPath), has(self.setPriority)].filter(one, one).size() == 1',
    message: 'must be exactly one operation',
  },
];

/** Names in their usual spellings and numbers; a list has only one type of value. */
const protocolIn = (field: string, names: readonly string[], numbers: readonly number[]): string => {
  const words = [...names, ...names.map((name) => name.toLowerCase()), ...numbers.map(String)];
  return `(self.${field} in [${numbers.join(', ')}] || self.${field} in [${words.map((word) => `'${word}'`).join(', ')}])`;
};
const hasPorts = (field: string): string => protocolIn(field, ['TCP', 'UDP', 'SCTP'], [6, 17, 132]);

export const hostEndpointValidations: readonly Validation[] = [
  { rule: says('node'), message: 'node must be given' },
  {
    rule: `${says('interfaceName')} || ${holds('expectedIPs')}`,
    message: 'interfaceName must be given unless expectedIPs is',
  },
];
export const hostPortValidations: readonly Validation[] = [
  { rule: hasPorts('protocol'), message: 'protocol must be TCP, UDP or SCTP' },
];

export const policyValidations: readonly Validation[] = [
  withoutGlobal('selector'),
  withoutGlobal('serviceAccountSelector'),
];

export const globalPolicyValidations: readonly Validation[] = [
  ...policyValidations,
  withoutGlobal('namespaceSelector'),
  ...(['ingress', 'egress'] as const).map((direction) => {
    const peer = direction === 'ingress' ? 'source' : 'destination';
    const services = `one.${peer}.services`;
    return {
      rule: `!has(self.${direction}) || self.${direction}.all(one, !has(one.${peer}) || !has(${services}) || (has(${services}.__namespace__) && ${services}.__namespace__ != ''))`,
      message: `services of ${direction} rules must name the namespace`,
    };
  }),
  {
    rule: not(isOn('doNotTrack'), isOn('preDNAT')),
    message: 'preDNAT and doNotTrack cannot both be true',
  },
  {
    rule: not(isOn('preDNAT'), holds('egress')),
    message: 'egress must be empty with preDNAT, which sees only what comes in',
  },
  {
    rule: not(isOn('preDNAT'), 'has(self.types)', `'Egress' in self.types`),
    message: 'types must not have Egress with preDNAT',
  },
  {
    rule: not(`(${isOn('doNotTrack')} || ${isOn('preDNAT')})`, `!${isOn('applyOnForward')}`),
    message: 'applyOnForward must be true with doNotTrack and preDNAT',
  },
];

const contradictsDeletion = ['ingress', 'egress', 'types'].map(holds).concat(says('selector'));
export const stagedValidations: readonly Validation[] = [
  {
    rule: not(
      'has(self.stagedAction)',
      `self.stagedAction == 'Delete'`,
      `(${contradictsDeletion.join(' || ')})`,
    ),
    message: 'selector, types, ingress and egress must be absent when stagedAction is Delete',
  },
];

export const icmpValidations: readonly Validation[] = [
  { rule: '!has(self.code) || has(self.type)', message: 'a code needs a type' },
];

const side = (name: string, field: string): string => `(has(self.${name}) && has(self.${name}.${field}))`;

/** What rules of one direction cannot have: services belong to the other side, requests to what comes in. */
export const directionValidations = (direction: 'ingress' | 'egress'): readonly Validation[] => {
  const other = direction === 'ingress' ? 'destination' : 'source';
  return [
    {
      rule: `self.all(one, !has(one.${other}) || !has(one.${other}.services))`,
      message: `services cannot be the ${other} of ${direction} rules`,
    },
    ...(direction === 'egress'
      ? [{ rule: 'self.all(one, !has(one.http))', message: 'http can be judged only for ingress' }]
      : []),
  ];
};

const versionOf = (field: string, name: string, number: number, version: 4 | 6): string =>
  `(!has(self.${field}) || self.ipVersion == ${version} || !${protocolIn(field, [name], [number])})`;

export const ruleValidations: readonly Validation[] = [
  ...(['protocol', 'notProtocol'] as const).map((field) => ({
    rule: `!has(self.ipVersion) || (${versionOf(field, 'ICMP', 1, 4)} && ${versionOf(field, 'ICMPv6', 58, 6)})`,
    message: `ipVersion must be 4 with the ${field} ICMP, and 6 with ICMPv6`,
  })),
  {
    rule: `!has(self.icmp) || (has(self.protocol) && ${protocolIn('protocol', ['ICMP', 'ICMPv6'], [1, 58])})`,
    message: 'icmp needs the protocol ICMP or ICMPv6',
  },
  ...(['source', 'destination'] as const).map((name) => ({
    rule: `!has(self.protocol) || ${hasPorts('protocol')} || !(${side(name, 'ports')} && self.${name}.ports.size() > 0 || ${side(name, 'notPorts')} && self.${name}.notPorts.size() > 0)`,
    message: `ports of the ${name} need the protocol TCP, UDP or SCTP`,
  })),
  {
    rule: `!${side('destination', 'services')} || !(${side('destination', 'ports')} && self.destination.ports.size() > 0 || ${side('destination', 'notPorts')} && self.destination.notPorts.size() > 0)`,
    message: 'ports of the destination cannot be combined with services, which bring their own ports',
  },
  {
    rule: `!has(self.http) || self.action == 'Allow'`,
    message: 'http can be used only with the action Allow',
  },
  {
    rule: `!has(self.http) || !has(self.protocol) || ${protocolIn('protocol', ['TCP'], [6])}`,
    message: 'http needs the protocol TCP, or none',
  },
];

export const entityValidations: readonly Validation[] = [
  withoutGlobal('selector'),
  withoutGlobal('notSelector'),
  {
    rule: `!has(self.namespaceSelector) || !self.namespaceSelector.contains('global()') || self.namespaceSelector.trim() == 'global()'`,
    message: 'namespaceSelector must not combine global() with anything else',
  },
  {
    rule: `!has(self.notNets) || !self.notNets.exists(net, net.endsWith('/0'))`,
    message: 'notNets must not leave out every address: the rule could never match',
  },
  {
    rule: `!has(self.services) || !(${[
      ...['selector', 'notSelector', 'namespaceSelector'].map(says),
      ...['nets', 'notNets'].map(holds),
      'has(self.serviceAccounts)',
    ].join(' || ')})`,
    message: 'services cannot be combined with selectors, serviceAccounts and nets',
  },
  {
    rule: `!has(self.services) || (has(self.services.name) && self.services.name != '')`,
    message: 'services must name a service',
  },
];

export const tierValidations: readonly Validation[] = [
  {
    rule: `!self.metadata.name.contains('.') && self.metadata.name.size() <= 63`,
    message: 'the name of a tier must be one label: at most 63 characters, no dot',
  },
];

/** A tier that always exists is as it must be. */
export const builtInTierValidation = (name: string, order: number, action: string): Validation => ({
  rule: `self.metadata.name != '${name}' || (has(self.spec.order) && self.spec.order == ${order}.0 && (!has(self.spec.defaultAction) || self.spec.defaultAction == '${action}'))`,
  message: `the tier ${name} must have the order ${order} and the default action ${action}`,
});

/** Fields that only the object for the whole cluster may have. */
export const clusterWideValidation = (fields: readonly string[]): Validation => ({
  rule: `!self.metadata.name.startsWith('node.') || !(${fields.map((field) => `has(self.spec.${field})`).join(' || ')})`,
  message: `${fields.join(', ')} can only be set on the object named default`,
});

export const communityValidation: Validation = {
  rule: `!${holds('communities')} || ${holds('prefixAdvertisements')}`,
  message: 'communities are not used by any of prefixAdvertisements',
};

export const meshValidation = (fields: readonly string[]): Validation => ({
  rule: `!has(self.nodeToNodeMeshEnabled) || self.nodeToNodeMeshEnabled || !(${fields.map((field) => `has(self.${field})`).join(' || ')})`,
  message: `${fields.join(', ')} cannot be set while the mesh is off`,
});

export const felixScopeValidations: readonly Validation[] = [
  {
    rule: `!(has(self.spec.nodeSelector) && self.spec.nodeSelector != '') || !(self.metadata.name == 'default' || self.metadata.name.startsWith('node.'))`,
    message: 'nodeSelector cannot be set on default and node.<name>: their names say what they are for',
  },
];
export const felixTableValidations: readonly Validation[] = [
  {
    rule: not('has(self.routeTableRange)', holds('routeTableRanges')),
    message: 'routeTableRange is replaced by routeTableRanges: give only that',
  },
];
export const rangeValidations: readonly Validation[] = [
  { rule: 'self.min <= self.max', message: 'a range must not end before it starts' },
];

export const ipamValidations: readonly Validation[] = [
  {
    rule: `${isOn('strictAffinity')} || !has(self.autoAllocateBlocks) || self.autoAllocateBlocks`,
    message:
      'autoAllocateBlocks must be true unless strictAffinity is: nodes could only borrow, and nobody would own a block',
  },
];
