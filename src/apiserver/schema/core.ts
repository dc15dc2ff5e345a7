// The remaining kinds: networking, configuration, identity.
import { conditions, kindOf, labelSelector, localReference, objectReference } from './meta.ts';
import {
  anything,
  atomic,
  keyed,
  titled,
  each,
  flag,
  integer,
  intOrText,
  joined,
  list,
  named,
  object,
  text,
  textMap,
  texts,
} from './notation.ts';

export const namespace = kindOf({
  spec: object({ finalizers: texts }),
  status: object({ phase: text, conditions }),
});

const ingressStatus = list(
  object({
    ...each('ip ipMode hostname', text),
    ports: list(object({ port: integer, ...each('protocol error', text) })),
  }),
);
export const service = kindOf({
  spec: object({
    ports: keyed(
      ['port', 'protocol'],
      titled(
        'ServicePort',
        object(
          {
            ...each('name protocol appProtocol', text),
            ...each('port nodePort', integer),
            targetPort: intOrText,
          },
          'port',
        ),
      ),
    ),
    selector: atomic(textMap),
    ...each(
      'clusterIP type sessionAffinity loadBalancerIP externalName externalTrafficPolicy internalTrafficPolicy ipFamilyPolicy loadBalancerClass trafficDistribution',
      text,
    ),
    ...each('clusterIPs externalIPs loadBalancerSourceRanges ipFamilies', texts),
    healthCheckNodePort: integer,
    ...each('publishNotReadyAddresses allocateLoadBalancerNodePorts', flag),
    sessionAffinityConfig: anything,
  }),
  status: object({ loadBalancer: object({ ingress: ingressStatus }), conditions }),
});

const endpointAddress = object({ ...each('ip hostname nodeName', text), targetRef: objectReference }, 'ip');
export const endpoints = kindOf({
  subsets: list(
    object({
      ...each('addresses notReadyAddresses', list(endpointAddress)),
      ports: list(object({ ...each('name protocol appProtocol', text), port: integer }, 'port')),
    }),
  ),
});
export const endpointSlice = kindOf(
  {
    addressType: text,
    endpoints: list(
      object(
        {
          addresses: texts,
          conditions: object(each('ready serving terminating', flag)),
          ...each('hostname nodeName zone', text),
          targetRef: objectReference,
          deprecatedTopology: textMap,
          hints: anything,
        },
        'addresses',
      ),
    ),
    ports: list(object({ ...each('name protocol appProtocol', text), port: integer })),
  },
  'addressType',
  'endpoints',
);

export const event = kindOf({
  involvedObject: objectReference,
  related: objectReference,
  ...each(
    'reason message firstTimestamp lastTimestamp type eventTime action reportingComponent reportingInstance',
    text,
  ),
  source: object(each('component host', text)),
  count: integer,
  series: object({ count: integer, lastObservedTime: text }),
});

export const configMap = kindOf({ ...each('data binaryData', textMap), immutable: flag });
export const secret = kindOf({ ...each('data stringData', textMap), type: text, immutable: flag });
export const serviceAccount = kindOf({
  secrets: named('name', objectReference),
  imagePullSecrets: list(localReference),
  automountServiceAccountToken: flag,
});

export const lease = kindOf({
  spec: object({
    ...each('holderIdentity acquireTime renewTime strategy preferredHolder', text),
    ...each('leaseDurationSeconds leaseTransitions', integer),
  }),
});

const peer = object({
  ...each('podSelector namespaceSelector', labelSelector),
  ipBlock: object({ cidr: text, except: texts }, 'cidr'),
});
const policyPorts = list(object({ protocol: text, port: intOrText, endPort: integer }));
export const networkPolicy = kindOf({
  spec: object({
    podSelector: labelSelector,
    ingress: list(object({ from: list(peer), ports: policyPorts })),
    egress: list(object({ to: list(peer), ports: policyPorts })),
    policyTypes: texts,
  }),
  status: object({ conditions }),
});

const backend = object({
  service: object({ name: text, port: object({ name: text, number: integer }) }, 'name'),
  resource: anything,
});
export const ingress = kindOf({
  spec: object({
    ingressClassName: text,
    defaultBackend: backend,
    tls: list(object({ hosts: texts, secretName: text })),
    rules: list(
      object({
        host: text,
        http: object({
          paths: list(object({ ...each('path pathType', text), backend }, 'pathType', 'backend')),
        }),
      }),
    ),
  }),
  status: object({ loadBalancer: object({ ingress: ingressStatus }) }),
});

const rules = list(object(each('verbs apiGroups resources resourceNames nonResourceURLs', texts), 'verbs'));
const subjects = list(object(each('kind apiGroup name namespace', text), 'kind', 'name'));
const roleRef = object(each('apiGroup kind name', text), 'kind', 'name');
export const role = kindOf({ rules });
export const clusterRole = kindOf({
  rules,
  aggregationRule: object({ clusterRoleSelectors: list(labelSelector) }),
});
export const roleBinding = kindOf({ subjects, roleRef }, 'roleRef');

export const priorityClass = kindOf({
  value: integer,
  globalDefault: flag,
  ...each('description preemptionPolicy', text),
});

export const customResourceDefinition = kindOf({
  spec: object(
    {
      ...each('group scope', text),
      names: object(
        { ...each('plural singular kind listKind', text), ...each('shortNames categories', texts) },
        'plural',
        'kind',
      ),
      versions: list(anything),
      conversion: anything,
      preserveUnknownFields: flag,
    },
    'group',
    'names',
    'scope',
  ),
  status: object({
    conditions: named('type', anything),
    acceptedNames: anything,
    storedVersions: joined(text),
  }),
});
