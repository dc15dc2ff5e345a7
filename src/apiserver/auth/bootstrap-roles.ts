// The roles and bindings that every cluster has. Names, subjects and rights are those that users and manuals of Kubernetes
// and Calico take for granted; kinds that this server does not serve are left out.
import type { PolicyRule } from './types.ts';

export type BootstrapRole = {
  readonly name: string;
  readonly rules: readonly PolicyRule[];
  /** Roles with this label make up the rules. */
  readonly aggregates?: string;
  /** Roles of which this one is a part. */
  readonly partOf?: string;
};
export type BootstrapBinding = {
  readonly name: string;
  readonly role: string;
  readonly subjects: readonly (
    | { readonly kind: 'User' | 'Group'; readonly name: string }
    | { readonly kind: 'ServiceAccount'; readonly name: string; readonly namespace: string }
  )[];
};

const rule = (groups: string, resources: string, verbs: string): PolicyRule => ({
  apiGroups: groups.split(' ').map((group) => (group === 'core' ? '' : group)),
  resources: resources.split(' '),
  verbs: verbs.split(' '),
});
const paths = (urls: string): PolicyRule => ({ nonResourceURLs: urls.split(' '), verbs: ['get'] });

const read = 'get list watch';
const write = 'create delete deletecollection patch update';
const all = `${read} ${write}`;
const appKinds =
  'deployments deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale daemonsets controllerrevisions';

const view: readonly PolicyRule[] = [
  rule(
    'core',
    'configmaps endpoints pods pods/log pods/status replicationcontrollers replicationcontrollers/scale replicationcontrollers/status serviceaccounts services services/status events namespaces',
    read,
  ),
  rule(
    'apps',
    `${appKinds} deployments/status replicasets/status statefulsets/status daemonsets/status`,
    read,
  ),
  rule('batch', 'jobs jobs/status cronjobs cronjobs/status', read),
  rule('policy', 'poddisruptionbudgets poddisruptionbudgets/status', read),
  rule('networking.k8s.io', 'ingresses ingresses/status networkpolicies', read),
  rule('discovery.k8s.io', 'endpointslices', read),
  rule('metrics.k8s.io', 'nodes pods', read),
];
const edit: readonly PolicyRule[] = [
  rule('core', 'pods/attach pods/exec pods/portforward', 'get create'),
  rule('core', 'pods/eviction', 'create'),
  rule('core', 'secrets', all),
  rule('core', 'serviceaccounts', `impersonate ${write}`),
  rule('core', 'serviceaccounts/token', 'create'),
  rule(
    'core',
    'configmaps events pods replicationcontrollers replicationcontrollers/scale services endpoints',
    write,
  ),
  rule('apps', appKinds.replace(' controllerrevisions', ''), write),
  rule('batch', 'jobs cronjobs', write),
  rule('policy', 'poddisruptionbudgets', write),
  rule('networking.k8s.io', 'ingresses networkpolicies', write),
  rule('coordination.k8s.io', 'leases', all),
];
const admin: readonly PolicyRule[] = [
  rule('authorization.k8s.io', 'localsubjectaccessreviews', 'create'),
  rule('rbac.authorization.k8s.io', 'roles rolebindings', all),
];

const calicoPolicies =
  'networkpolicies globalnetworkpolicies stagednetworkpolicies stagedglobalnetworkpolicies';

export const bootstrapRoles: readonly BootstrapRole[] = [
  {
    name: 'cluster-admin',
    rules: [rule('*', '*', '*'), { nonResourceURLs: ['*'], verbs: ['*'] }],
  },
  {
    name: 'system:discovery',
    rules: [
      paths('/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/'),
    ],
  },
  { name: 'system:public-info-viewer', rules: [paths('/healthz /livez /readyz /version /version/')] },
  {
    name: 'system:basic-user',
    rules: [
      rule('authorization.k8s.io', 'selfsubjectaccessreviews selfsubjectrulesreviews', 'create'),
      rule('authentication.k8s.io', 'selfsubjectreviews', 'create'),
    ],
  },
  { name: 'admin', rules: [], aggregates: 'aggregate-to-admin' },
  { name: 'edit', rules: [], aggregates: 'aggregate-to-edit', partOf: 'aggregate-to-admin' },
  { name: 'view', rules: [], aggregates: 'aggregate-to-view', partOf: 'aggregate-to-edit' },
  { name: 'system:aggregate-to-admin', rules: admin, partOf: 'aggregate-to-admin' },
  { name: 'system:aggregate-to-edit', rules: edit, partOf: 'aggregate-to-edit' },
  { name: 'system:aggregate-to-view', rules: view, partOf: 'aggregate-to-view' },
  {
    name: 'system:node',
    rules: [
      rule('authentication.k8s.io', 'tokenreviews', 'create'),
      rule('authorization.k8s.io', 'localsubjectaccessreviews subjectaccessreviews', 'create'),
      rule('core', 'services endpoints namespaces', read),
      rule('discovery.k8s.io', 'endpointslices', read),
      rule('core', 'nodes', `create ${read} patch update`),
      rule('core', 'nodes/status', 'patch update'),
      rule('core', 'events', 'create patch update'),
      rule('core', 'pods', `${read} create delete`),
      rule('core', 'pods/status', 'patch update'),
      rule('core', 'pods/eviction', 'create'),
      rule('core', 'configmaps secrets', read),
      rule('core', 'serviceaccounts', 'get'),
      rule('core', 'serviceaccounts/token', 'create'),
      rule('coordination.k8s.io', 'leases', 'create delete get patch update'),
    ],
  },
  {
    name: 'system:node-proxier',
    rules: [
      rule('core', 'services endpoints nodes', read),
      rule('discovery.k8s.io', 'endpointslices', read),
      rule('core events.k8s.io', 'events', 'create patch update'),
    ],
  },
  {
    name: 'system:kube-scheduler',
    rules: [
      rule('core events.k8s.io', 'events', 'create patch update'),
      rule('core', 'nodes namespaces replicationcontrollers services', read),
      rule('core', 'pods', `${read} delete`),
      rule('core', 'bindings pods/binding', 'create'),
      rule('core', 'pods/status', 'patch update'),
      rule('apps', 'replicasets statefulsets', read),
      rule('policy', 'poddisruptionbudgets', read),
      rule('coordination.k8s.io', 'leases', all),
    ],
  },
  {
    name: 'system:kube-controller-manager',
    rules: [
      rule('core events.k8s.io', 'events', 'create patch update'),
      rule('*', '*', read),
      rule('core', '*', write),
      rule('apps batch policy discovery.k8s.io coordination.k8s.io', '*', write),
    ],
  },
  // Calico's manifest.
  {
    name: 'calico-node',
    rules: [
      rule('core', 'serviceaccounts/token', 'create'),
      rule('core', 'nodes namespaces configmaps serviceaccounts services endpoints pods secrets', read),
      rule('core', 'nodes nodes/status pods/status', 'patch update'),
      rule('discovery.k8s.io', 'endpointslices', read),
      rule('networking.k8s.io', 'networkpolicies', read),
      rule('policy.networking.k8s.io', '*', read),
      rule('core events.k8s.io', 'events', 'create patch update'),
      rule('coordination.k8s.io', 'leases', all),
      rule('projectcalico.org crd.projectcalico.org', '*', all),
    ],
  },
  {
    name: 'calico-tiered-policy-passthrough',
    rules: [rule('projectcalico.org', calicoPolicies, '*')],
  },
];

const group = (name: string): { readonly kind: 'Group'; readonly name: string } => ({ kind: 'Group', name });
const user = (name: string): { readonly kind: 'User'; readonly name: string } => ({ kind: 'User', name });

export const bootstrapBindings: readonly BootstrapBinding[] = [
  { name: 'cluster-admin', role: 'cluster-admin', subjects: [group('system:masters')] },
  { name: 'system:discovery', role: 'system:discovery', subjects: [group('system:authenticated')] },
  { name: 'system:basic-user', role: 'system:basic-user', subjects: [group('system:authenticated')] },
  {
    name: 'system:public-info-viewer',
    role: 'system:public-info-viewer',
    subjects: [group('system:authenticated'), group('system:unauthenticated')],
  },
  { name: 'system:node', role: 'system:node', subjects: [group('system:nodes')] },
  { name: 'system:node-proxier', role: 'system:node-proxier', subjects: [user('system:kube-proxy')] },
  { name: 'system:kube-scheduler', role: 'system:kube-scheduler', subjects: [user('system:kube-scheduler')] },
  {
    name: 'system:kube-controller-manager',
    role: 'system:kube-controller-manager',
    subjects: [user('system:kube-controller-manager')],
  },
  {
    name: 'calico-node',
    role: 'calico-node',
    subjects: [{ kind: 'ServiceAccount', name: 'calico-node', namespace: 'kube-system' }],
  },
  {
    name: 'calico-tiered-policy-passthrough',
    role: 'calico-tiered-policy-passthrough',
    subjects: [group('system:authenticated')],
  },
];
