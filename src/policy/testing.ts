// Short forms for tests of this module: resources of a small cluster, packets, questions.
import { address } from '../lib/ip/mod.ts';
import type { PolicyRule } from '../model/mod.ts';
import { compileRule, type SetCollection } from './compile/rule.ts';
import { matchRule, type MatchOptions, type Truth } from './match.ts';
import { MemorySets, parseMember } from './sets.ts';
import type { PathVerdict } from './steps.ts';
import type { Action, Packet, PolicyProgram, Rule, SetId, SideMatch, TierRules } from './types.ts';
import { buildWorld, type WorldResource } from './world/build.ts';
import { verdictOf, type WorldPacket } from './world/path.ts';
import type { World } from './world/types.ts';

type Labels = Readonly<Record<string, string>>;
type Fields = { readonly [field: string]: unknown };

export const tcp = 6;
export const udp = 17;

export const packet = (
  source: string,
  destination: string,
  more: Partial<Omit<WorldPacket, 'source' | 'destination'>> = {},
): WorldPacket => {
  const protocol = more.protocol ?? tcp;
  const ports = protocol === tcp || protocol === udp ? { sourcePort: 40_000, destinationPort: 80 } : {};
  return { source: address(source), destination: address(destination), ...ports, ...more, protocol };
};

/** A compiled rule with the fields given, and nothing else. */
export const rule = (
  action: Action,
  { source = {}, destination = {}, ...fields }: Partial<Rule> = {},
): Rule => ({ action, source, destination, ...fields });

export const side = (fields: Readonly<Record<string, unknown>>): SideMatch => fields;

export const setsOf = (sets: Readonly<Record<string, readonly string[]>>): MemorySets =>
  new MemorySets(
    Object.entries(sets).map(([id, members]) => [
      id as SetId,
      members.map((text) => {
        const member = parseMember(text);
        if (!member.ok) throw new Error(member.error.message);
        return member.value;
      }),
    ]),
  );

export const tier = (
  name: string,
  policies: Readonly<Record<string, readonly Rule[]>>,
  endAction: TierRules['endAction'] = 'deny',
): TierRules => ({
  name,
  endAction,
  policies: Object.entries(policies).map(([policy, rules]) => ({
    id: { kind: 'GlobalNetworkPolicy', name: policy },
    rules,
  })),
});

export const program = (
  tiers: readonly TierRules[],
  more: Partial<Omit<PolicyProgram, 'tiers'>> = {},
): PolicyProgram => ({ tiers, profiles: [], otherwise: 'deny', ...more });

/** Whether a rule of a resource matches; sets that it uses are unknown unless they are given. */
export function ruleTruth(
  resource: Omit<PolicyRule, 'action'>,
  given: Packet,
  options: MatchOptions = {},
): Truth {
  const sets: SetCollection = new Map();
  const compiled = compileRule({ action: 'Allow', ...resource }, undefined, sets);
  return matchRule(compiled, new MemorySets(), given, options).truth;
}

const calico = 'projectcalico.org/v3';
const resource = (kind: string, apiVersion: string, name: string, fields: Fields, namespace?: string) => ({
  apiVersion,
  kind,
  metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
  ...fields,
});

export const globalPolicy = (name: string, spec: Fields): WorldResource =>
  resource('GlobalNetworkPolicy', calico, name, { spec });
/** `namespace/name`. */
export const policyIn = (path: string, spec: Fields, kind = 'NetworkPolicy'): WorldResource => {
  const [namespace, name = ''] = path.split('/');
  return resource(kind, calico, name, { spec }, namespace);
};
export const kubernetesPolicy = (path: string, spec: Fields): WorldResource => ({
  ...policyIn(path, spec),
  apiVersion: 'networking.k8s.io/v1',
});
export const tierResource = (name: string, spec: Fields): WorldResource =>
  resource('Tier', calico, name, { spec });
export const hostEndpoint = (name: string, spec: Fields, labels: Labels = {}): WorldResource => ({
  ...resource('HostEndpoint', calico, name, { spec }),
  metadata: { name, labels },
});
export const felixConfiguration = (name: string, spec: Fields): WorldResource =>
  resource('FelixConfiguration', calico, name, { spec });

export const namespace = (name: string, labels: Labels = {}): WorldResource => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name, labels },
});
export const serviceAccount = (path: string, labels: Labels = {}): WorldResource => {
  const [namespace, name = ''] = path.split('/');
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name, namespace: namespace ?? '', labels } };
};
export const node = (name: string, ...addresses: readonly string[]): WorldResource => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name },
  status: { addresses: addresses.map((one) => ({ type: 'InternalIP', address: one })) },
});

type PodFields = {
  readonly labels?: Labels;
  readonly annotations?: Labels;
  readonly account?: string;
  readonly ports?: readonly Fields[];
};
/** A running pod: `namespace/name`, its node, its addresses separated by commas. */
export const pod = (path: string, nodeName: string, ips: string, fields: PodFields = {}): WorldResource => {
  const [namespace = '', name = ''] = path.split('/');
  const { labels = {}, annotations = {}, account = 'default', ports = [] } = fields;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels, annotations },
    spec: { nodeName, serviceAccountName: account, containers: [{ name: 'main', ports }] },
    status: { phase: 'Running', podIPs: ips.split(',').map((ip) => ({ ip })) },
  };
};

/** Two nodes, two namespaces, four pods, without any policy. */
export const cluster: readonly WorldResource[] = [
  node('n1', '192.0.2.1'),
  node('n2', '192.0.2.2'),
  namespace('red', { team: 'red' }),
  namespace('blue', { team: 'blue' }),
  serviceAccount('red/default'),
  serviceAccount('blue/default'),
  serviceAccount('red/api', { role: 'backend' }),
  pod('red/web', 'n1', '10.0.0.1,fd00::1', {
    labels: { app: 'web' },
    ports: [{ name: 'http', containerPort: 80, protocol: 'TCP' }],
  }),
  pod('red/api', 'n1', '10.0.0.2,fd00::2', { labels: { app: 'api' }, account: 'api' }),
  pod('red/db', 'n2', '10.0.0.3,fd00::3', {
    labels: { app: 'db' },
    ports: [
      { name: 'pg', containerPort: 5432, protocol: 'TCP' },
      { name: 'dns', containerPort: 53, protocol: 'UDP' },
    ],
  }),
  pod('blue/web', 'n2', '10.0.1.1,fd00::1:1', { labels: { app: 'web' } }),
];
export const outside = '203.0.113.9';

export const worldWith = (...more: readonly WorldResource[]): World => buildWorld([...cluster, ...more]);

/** The verdict about a packet in the cluster with these resources added. */
export const judge = (
  more: readonly WorldResource[],
  source: string,
  destination: string,
  fields: Partial<WorldPacket> = {},
): PathVerdict & { readonly action: 'allow' | 'deny' } =>
  verdictOf(worldWith(...more), packet(source, destination, fields));
