// The fields of Kubernetes' NetworkPolicy, which the staged form repeats.
import {
  array,
  integer,
  map,
  numberOrString,
  oneOf,
  openObject,
  optional,
  string,
  type ValueOf,
} from '../schema.ts';

const text = () => optional(string());
const texts = () => optional(array(string()));

export const labelSelector = openObject({
  matchLabels: optional(map(string())),
  matchExpressions: optional(array(openObject({ key: string(), operator: string(), values: texts() }))),
});

const ports = optional(
  array(openObject({ protocol: text(), port: optional(numberOrString()), endPort: optional(integer()) })),
);
const peers = optional(
  array(
    openObject({
      podSelector: optional(labelSelector),
      namespaceSelector: optional(labelSelector),
      ipBlock: optional(openObject({ cidr: string(), except: texts() })),
    }),
  ),
);

export const kubernetesPolicyFields = {
  podSelector: optional(labelSelector),
  policyTypes: texts(),
  ingress: optional(array(openObject({ ports, from: peers }))),
  egress: optional(array(openObject({ ports, to: peers }))),
};

const policySpec = openObject(kubernetesPolicyFields);
export type KubernetesPolicySpec = ValueOf<typeof policySpec>;

const subject = openObject({
  namespaces: optional(labelSelector),
  pods: optional(
    openObject({ namespaceSelector: optional(labelSelector), podSelector: optional(labelSelector) }),
  ),
});
const portMatch = openObject({
  number: optional(integer()),
  range: optional(openObject({ start: integer(), end: integer() })),
});
const transport = optional(
  openObject({ destinationPort: optional(portMatch), sourcePort: optional(portMatch) }),
);
const protocols = optional(
  array(openObject({ tcp: transport, udp: transport, sctp: transport, destinationNamedPort: text() })),
);
const clusterPeers = optional(
  array(
    openObject({
      namespaces: optional(labelSelector),
      pods: optional(
        openObject({ namespaceSelector: optional(labelSelector), podSelector: optional(labelSelector) }),
      ),
      nodes: optional(labelSelector),
      networks: texts(),
      domainNames: texts(),
    }),
  ),
);

const action = oneOf(['Accept', 'Deny', 'Pass'], {
  description: 'Accept and Deny decide; Pass goes on to the next tier.',
});

/** Fields of the ClusterNetworkPolicy of policy.networking.k8s.io. */
export const clusterPolicyFields = {
  tier: oneOf(['Admin', 'Baseline'], {
    description: 'Admin comes before all other policy but that of earlier tiers; Baseline after all.',
  }),
  priority: integer({ minimum: 0, maximum: 1000, description: 'Within a tier, lower comes first.' }),
  subject,
  ingress: optional(array(openObject({ name: text(), action, from: clusterPeers, protocols }))),
  egress: optional(array(openObject({ name: text(), action, to: clusterPeers, protocols }))),
};
