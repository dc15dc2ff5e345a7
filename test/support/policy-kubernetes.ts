// Random policies of Kubernetes: NetworkPolicy and ClusterNetworkPolicy.
import { namespaces, portNames, ports } from './policy-words.ts';
import type { Random } from './policy-random.ts';

const kubernetesPorts = (random: Random): readonly object[] =>
  random.list(0, 2, () => ({
    ...random.fields({ protocol: [0.6, () => random.of('TCP', 'UDP', 'SCTP')] }),
    ...random.weighted<object>(
      [3, { port: random.of(...ports) }],
      [1, { port: 80, endPort: 8085 }],
      [1, { port: random.of(...portNames) }],
      [1, {}],
    ),
  }));
const podSelector = (random: Random): object =>
  random.weighted<object>(
    [2, {}],
    [3, { matchLabels: { app: random.of('a', 'b', 'c') } }],
    [1, { matchExpressions: [{ key: 'tier', operator: random.of('Exists', 'DoesNotExist') }] }],
    [1, { matchExpressions: [{ key: 'app', operator: random.of('In', 'NotIn'), values: ['a', 'c'] }] }],
  );
const kubernetesPeers = (random: Random): readonly object[] =>
  random.list(0, 2, () =>
    random.weighted<object>(
      [3, { podSelector: podSelector(random) }],
      [2, { namespaceSelector: { matchLabels: { team: random.of(...namespaces) } } }],
      [2, { namespaceSelector: {}, podSelector: podSelector(random) }],
      [1, { ipBlock: { cidr: '10.65.0.0/16', except: ['10.65.1.0/24', '10.65.2.1/32'] } }],
      [1, { ipBlock: { cidr: random.of('2001:db8::/32', '203.0.113.0/24', 'fd00:65::/32') } }],
    ),
  );
type KubernetesSpec = {
  readonly podSelector: object;
  readonly policyTypes?: readonly string[];
  readonly ingress?: readonly object[];
  readonly egress?: readonly object[];
};
export const kubernetesSpec = (random: Random): object =>
  completed({
    podSelector: podSelector(random),
    ...random.fields({
      policyTypes: [0.6, () => random.of(['Ingress'], ['Egress'], ['Ingress', 'Egress'])],
      ingress: [
        0.8,
        () => random.list(0, 2, () => ({ from: kubernetesPeers(random), ports: kubernetesPorts(random) })),
      ],
      egress: [
        0.4,
        () => random.list(0, 2, () => ({ to: kubernetesPeers(random), ports: kubernetesPorts(random) })),
      ],
    }),
  });

/** As the API server stores it: without types, those of its rules. */
const completed = (spec: KubernetesSpec): KubernetesSpec =>
  spec.policyTypes === undefined
    ? { ...spec, policyTypes: spec.egress?.length ? ['Ingress', 'Egress'] : ['Ingress'] }
    : spec;

export const clusterSpec = (random: Random): object => {
  const peer = () =>
    random.of<object>(
      { namespaces: { matchLabels: { team: random.of(...namespaces) } } },
      { pods: { namespaceSelector: {}, podSelector: podSelector(random) } },
    );
  const rules = (side: 'from' | 'to') =>
    random.list(0, 2, () => ({ action: random.of('Accept', 'Deny', 'Pass'), [side]: [peer()] }));
  return {
    tier: random.of('Admin', 'Baseline'),
    priority: random.of(1, 10),
    subject: random.of<object>(
      { namespaces: {} },
      { pods: { namespaceSelector: {}, podSelector: podSelector(random) } },
    ),
    ingress: rules('from'),
    egress: rules('to'),
  };
};
