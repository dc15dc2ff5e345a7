// Random worlds of policy and packets through them, repeated by their seed: pods of three namespaces on one node, tiers,
// policies of all kinds, network sets, services, profiles, and now and then a host endpoint. Some of it is broken on purpose:
// what cannot be made out must be closed in the kernel, too.
import { address, familyOf, type Address } from '../../src/lib/ip/mod.ts';
import type { KindName } from '../../src/model/mod.ts';
import type { WorldResource } from '../../src/policy/mod.ts';
import type { Random } from './policy-random.ts';
import { clusterSpec, kubernetesSpec } from './policy-kubernetes.ts';
import { someRules, type RuleWords } from './policy-rules.ts';
import {
  namespaces,
  namespaceSelectors,
  networks4,
  networks6,
  portNames,
  selectors,
} from './policy-words.ts';

export const nodeName = 'n1';
export const podCount = 6;
export const nodeAddresses = { 4: '10.0.0.1', 6: 'fd00:0:0:1::1' } as const;
/** Addresses that a pod may have. */
export const podAddresses = (pod: number): readonly string[] => [
  `10.65.${pod}.1`,
  `10.65.${pod}.2`,
  `fd00:65:${pod}::1`,
  `fd00:65:${pod}::2`,
];
export const outsideAddresses = [
  '10.0.0.254',
  '203.0.113.9',
  '198.51.100.77',
  'fd00:0:0:1::fe',
  '2001:db8::9',
  '2001:db8:1::5',
];

export type KindOfResource = Exclude<KindName, 'Pod'>;
export type WorldObject = { readonly kind: KindOfResource; readonly object: WorldResource };

export type RandomWorld = { readonly objects: readonly WorldObject[]; readonly pods: readonly PodFacts[] };
type PodFacts = { readonly addresses: readonly Address[]; readonly interfaceName: string };

const calico = 'projectcalico.org/v3';
const words: RuleWords = { selectors, namespaceSelectors, networks4, networks6, portNames };

/** `hosts` is how probable a host endpoint is. */
export function randomWorld(random: Random, { hosts = 0.3 } = {}): RandomWorld {
  const object = (
    kind: KindOfResource,
    apiVersion: string,
    name: string,
    fields: object,
    more: { readonly namespace?: string; readonly labels?: object } = {},
  ): WorldObject => ({
    kind,
    object: {
      apiVersion,
      kind: kind === 'KubernetesNetworkPolicy' ? 'NetworkPolicy' : kind,
      metadata: { name, ...more },
      ...fields,
    },
  });
  const labels = (): Record<string, unknown> =>
    random.fields({ app: [0.9, () => random.of('a', 'b', 'c')], tier: [0.4, () => random.of('x', 'y')] });
  const pods = Array.from({ length: podCount }, (_, pod) => {
    const [a = '', b = '', c = '', d = ''] = podAddresses(pod);
    const addresses = [a, c, ...(random.chance(0.2) ? [b] : []), ...(random.chance(0.2) ? [d] : [])].map(
      address,
    );
    return { addresses, interfaceName: `cali${pod}` };
  });
  const workloads = pods.map(({ addresses, interfaceName }, pod) => {
    const namespace = random.of(...namespaces);
    const own = {
      ...labels(),
      'projectcalico.org/namespace': namespace,
      'projectcalico.org/orchestrator': 'k8s',
    };
    const profiles = random.weighted<readonly string[]>(
      [12, [`kns.${namespace}`, `ksa.${namespace}.api`]],
      [1, ['own', `kns.${namespace}`]],
      [0.5, ['missing', `kns.${namespace}`]],
      [0.5, []],
    );
    const spec = {
      node: nodeName,
      orchestrator: 'k8s',
      pod: `p${pod}`,
      endpoint: 'eth0',
      containerID: `c${pod}`,
      interfaceName,
      ipNetworks: addresses.map((one) => `${one}/${familyOf(one) === 4 ? 32 : 128}`),
      profiles,
      ports: random.some(
        [
          { name: 'http', protocol: 'TCP', port: random.of(80, 8080) },
          { name: 'dns', protocol: 'UDP', port: 53 },
          { name: 'pg', protocol: random.of('TCP', 'SCTP'), port: 5432 },
        ],
        0,
        3,
      ),
    };
    return object('WorkloadEndpoint', calico, `n1-k8s-p${pod}-eth0`, { spec }, { namespace, labels: own });
  });
  const sets = random.list(0, 4, () => {
    const nets = random.some(random.chance(0.5) ? networks4 : networks6, 1, 3);
    const inNamespace = random.chance(0.5);
    const name = `set${random.below(1000)}`;
    return inNamespace
      ? object(
          'NetworkSet',
          calico,
          name,
          { spec: { nets } },
          { namespace: random.of(...namespaces), labels: labels() },
        )
      : object('GlobalNetworkSet', calico, name, { spec: { nets } }, { labels: labels() });
  });
  const slices = ['db', 'web'].map((service) =>
    object(
      'EndpointSlice',
      'discovery.k8s.io/v1',
      service,
      {
        addressType: 'IPv4',
        endpoints: random.list(0, 3, () => ({
          addresses: [random.of(...podAddresses(random.below(podCount)).filter((one) => !one.includes(':')))],
        })),
        ports: random.some(
          [
            { name: 'a', port: 80, protocol: 'TCP' },
            { name: 'b', port: 53, protocol: 'UDP' },
          ],
          0,
          2,
        ),
      },
      { namespace: 'red', labels: { 'kubernetes.io/service-name': service } },
    ),
  );
  const hostEndpoints = random.chance(hosts)
    ? [
        object(
          'HostEndpoint',
          calico,
          'wire',
          {
            spec: {
              node: nodeName,
              interfaceName: random.of('eth0', '*'),
              expectedIPs: [nodeAddresses[4], nodeAddresses[6]],
              profiles: random.of<readonly string[]>([], ['projectcalico-default-allow']),
            },
          },
          { labels: { ...labels(), host: 'yes' } },
        ),
      ]
    : [];
  const hasHost = hostEndpoints.length > 0;
  const policies = unique(random.list(1, 7, () => somePolicy(random, hasHost, object)));
  return {
    pods,
    objects: [
      ...namespaces.map((name) =>
        object('Namespace', 'v1', name, {}, { labels: { team: name, 'kubernetes.io/metadata.name': name } }),
      ),
      ...namespaces.map((namespace) =>
        object('ServiceAccount', 'v1', 'api', {}, { namespace, labels: { role: random.of('api', 'web') } }),
      ),
      object('Profile', calico, 'own', {
        spec: {
          labelsToApply: { tier: 'x' },
          ingress: someRules(random, words, 'ingress', 2),
          egress: [{ action: 'Allow' }],
        },
      }),
      object('Tier', calico, 'first', { spec: { order: 10, defaultAction: random.of('Pass', 'Deny') } }),
      object('Tier', calico, 'open', { spec: { order: 20, defaultAction: 'Pass' } }),
      object('Node', calico, nodeName, {
        spec: { bgp: { ipv4Address: `${nodeAddresses[4]}/24`, ipv6Address: `${nodeAddresses[6]}/64` } },
      }),
      object('FelixConfiguration', calico, 'default', {
        spec: { defaultEndpointToHostAction: random.of('Drop', 'Drop', 'Accept', 'Return') },
      }),
      ...workloads,
      ...sets,
      ...slices,
      ...hostEndpoints,
      ...policies,
    ],
  };
}

type MakeObject = (
  kind: KindOfResource,
  apiVersion: string,
  name: string,
  fields: object,
  more?: { readonly namespace?: string; readonly labels?: object },
) => WorldObject;

function somePolicy(random: Random, hasHost: boolean, object: MakeObject): WorldObject {
  const name = `p${random.below(1000)}`;
  const types = random.weighted<readonly string[]>(
    [3, ['Ingress']],
    [3, ['Egress']],
    [3, ['Ingress', 'Egress']],
  );
  const spec = {
    tier: random.weighted([6, 'default'], [3, 'first'], [3, 'open'], [0.3, 'lost']),
    ...random.fields({
      order: [0.7, () => random.of(1, 2, 2.5, 1000)],
      serviceAccountSelector: [0.1, () => "role == 'api'"],
    }),
    selector: random.chance(0.02) ? 'app ==' : random.of(...selectors),
    types,
    ...(types.includes('Ingress') ? { ingress: someRules(random, words, 'ingress', 4) } : {}),
    ...(types.includes('Egress') ? { egress: someRules(random, words, 'egress', 4) } : {}),
  };
  switch (
    random.weighted(
      [4, 'NetworkPolicy'],
      [5, 'GlobalNetworkPolicy'],
      [3, 'Kubernetes'],
      [1, 'Cluster'],
      [1, 'Staged'],
    )
  ) {
    case 'NetworkPolicy':
      return object('NetworkPolicy', calico, name, { spec }, { namespace: random.of(...namespaces) });
    case 'Kubernetes':
      return object(
        'KubernetesNetworkPolicy',
        'networking.k8s.io/v1',
        name,
        { spec: kubernetesSpec(random) },
        { namespace: random.of(...namespaces) },
      );
    case 'Cluster':
      return object('ClusterNetworkPolicy', 'policy.networking.k8s.io/v1alpha2', name, {
        spec: clusterSpec(random),
      });
    case 'Staged':
      return object('StagedGlobalNetworkPolicy', calico, name, { spec: { stagedAction: 'Set', ...spec } });
    default:
      return object('GlobalNetworkPolicy', calico, name, {
        spec: { ...spec, ...hostFields(random, hasHost, types) },
      });
  }
}

/** Policies for hosts need fields of their own. */
function hostFields(random: Random, hasHost: boolean, types: readonly string[]): object {
  if (!hasHost || random.chance(0.4))
    return random.fields({ namespaceSelector: [0.2, () => random.of("team == 'red'", 'all()')] });
  const selector = random.of("host == 'yes'", 'all()');
  const place = random.weighted<object>(
    [2, {}],
    [3, { applyOnForward: true }],
    [1, { applyOnForward: true, doNotTrack: true }],
    [types.includes('Egress') ? 0 : 2, { applyOnForward: true, preDNAT: true }],
  );
  return { selector, ...place };
}

/** Names and namespaces make an object: the last of equals counts. */
const unique = (objects: readonly WorldObject[]): readonly WorldObject[] => [
  ...new Map(objects.map((one) => [objectKey(one), one])).values(),
];
export const objectKey = ({ kind, object: { metadata } }: WorldObject): string =>
  `${kind} ${metadata.namespace ?? ''}/${metadata.name}`;
