// The built-in kinds: what Kubernetes' own groups are here, with names and short names as kubectl users know them.
import { at, listAt, objectAt, without } from '../json.ts';
import * as core from '../schema/core.ts';
import * as pods from '../schema/pod.ts';
import * as work from '../schema/workloads.ts';
import * as columns from '../table/core.ts';
import { podColumns } from '../table/pods.ts';
import * as workColumns from '../table/workloads.ts';
import type { ApiObject, Issue, ServedKind } from '../types.ts';
import { type BuiltinOptions, builtin } from './builtin.ts';
import { defaultedService, preparedService, serviceIssues } from './services.ts';
import { missingAccount } from './pod-account.ts';
import { defaultedPod, podIssues, preparedPod } from './pods.ts';
import {
  definitionIssues,
  finalizerOfDefinition,
  preparedDefinition,
  whyDefinitionStays,
} from './defined.ts';
import { eventView } from './events.ts';
import { reviewKinds } from './reviews.ts';
import * as workloads from './workloads.ts';

const all = ['all'];

/** A namespace lives until the `kubernetes` finalizer is taken off, when it is empty. */
function preparedNamespace(object: ApiObject, previous: ApiObject | undefined): ApiObject {
  const labels = { ...object.metadata.labels, 'kubernetes.io/metadata.name': object.metadata.name };
  const named = { ...object, metadata: { ...object.metadata, labels } };
  if (previous !== undefined) return { ...named, spec: previous['spec'] ?? {} };
  return { ...named, spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } };
}

/** Clear text of `stringData` becomes base64 in `data`. */
function preparedSecret(object: ApiObject): ApiObject {
  const clear = objectAt(object, 'stringData');
  const encoded = Object.fromEntries(
    Object.entries(clear).map(([key, value]) => [key, Buffer.from(String(value)).toString('base64')]),
  );
  const secret = { ...object, type: object['type'] ?? 'Opaque' };
  if (Object.keys(encoded).length === 0) return without(secret, 'stringData');
  return without({ ...secret, data: { ...objectAt(object, 'data'), ...encoded } }, 'stringData');
}

function secretIssues(object: ApiObject): readonly Issue[] {
  return Object.entries(objectAt(object, 'data'))
    .filter(([, value]) => !/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(String(value)))
    .map(([key]) => ({ field: `data[${key}]`, value: '<hidden>', reason: 'illegal base64 data' }));
}

function immutableData(object: ApiObject, previous: ApiObject | undefined): readonly Issue[] {
  if (previous?.['immutable'] !== true) return [];
  const same =
    JSON.stringify([previous['data'], previous['binaryData']]) ===
    JSON.stringify([object['data'], object['binaryData']]);
  return same && object['immutable'] === true
    ? []
    : [{ field: 'data', reason: 'Forbidden: field is immutable when `immutable` is set' }];
}

function defaultedNetworkPolicy(object: ApiObject): ApiObject {
  const spec = objectAt(object, 'spec');
  const given = listAt(spec, 'policyTypes');
  const meant = listAt(spec, 'egress').length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
  const types = given.length > 0 ? given : meant;
  const ports = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map((rule: unknown) =>
          at(rule, 'ports') === undefined
            ? rule
            : {
                ...objectAt({ rule }, 'rule'),
                ports: listAt(rule, 'ports').map((one) => ({ protocol: 'TCP', ...objectAt({ one }, 'one') })),
              },
        )
      : value;
  const filled: Record<string, unknown> = { podSelector: {}, ...spec, policyTypes: types };
  for (const field of ['ingress', 'egress'])
    if (filled[field] !== undefined) filled[field] = ports(filled[field]);
  return { ...object, spec: filled };
}

/** Nodes register themselves and bring their status along. */
const preparedNode = (object: ApiObject, previous: ApiObject | undefined): ApiObject =>
  previous === undefined && object['status'] === undefined ? { ...object, status: {} } : object;

const coreKinds: readonly BuiltinOptions[] = [
  {
    kind: 'Namespace',
    plural: 'namespaces',
    shortNames: ['ns'],
    namespaced: false,
    status: true,
    names: 'label',
    schema: core.namespace,
    columns: columns.namespaceColumns,
    prepare: preparedNamespace,
  },
  {
    kind: 'Node',
    plural: 'nodes',
    shortNames: ['no'],
    namespaced: false,
    status: true,
    schema: pods.node,
    columns: columns.nodeColumns,
    prepare: preparedNode,
  },
  {
    kind: 'Pod',
    plural: 'pods',
    shortNames: ['po'],
    categories: all,
    status: true,
    schema: pods.pod,
    columns: podColumns,
    defaults: defaultedPod,
    validate: podIssues,
    prepare: preparedPod,
    forbid: missingAccount,
  },
  {
    kind: 'Service',
    plural: 'services',
    shortNames: ['svc'],
    categories: all,
    status: true,
    names: 'label',
    schema: core.service,
    columns: columns.serviceColumns,
    defaults: defaultedService,
    validate: serviceIssues,
    prepare: preparedService,
  },
  {
    kind: 'Endpoints',
    plural: 'endpoints',
    shortNames: ['ep'],
    schema: core.endpoints,
    columns: columns.endpointsColumns,
  },
  { kind: 'Event', plural: 'events', shortNames: ['ev'], schema: core.event, columns: columns.eventColumns },
  {
    kind: 'ConfigMap',
    plural: 'configmaps',
    shortNames: ['cm'],
    schema: core.configMap,
    columns: columns.configMapColumns,
    validate: immutableData,
  },
  {
    kind: 'Secret',
    plural: 'secrets',
    schema: core.secret,
    columns: columns.secretColumns,
    prepare: preparedSecret,
    validate: (object, previous) => [...secretIssues(object), ...immutableData(object, previous)],
  },
  {
    kind: 'ServiceAccount',
    plural: 'serviceaccounts',
    shortNames: ['sa'],
    schema: core.serviceAccount,
    columns: columns.serviceAccountColumns,
  },
  {
    kind: 'ReplicationController',
    plural: 'replicationcontrollers',
    shortNames: ['rc'],
    categories: all,
    status: true,
    scale: true,
    generation: true,
    schema: work.replicationController,
    columns: workColumns.replicationControllerColumns,
    defaults: workloads.defaultedReplicationController,
    validate: workloads.workloadIssues,
    prepare: workloads.withEmptyStatus,
  },
];

const apps = {
  group: 'apps',
  categories: all,
  status: true,
  generation: true,
  validate: workloads.workloadIssues,
  prepare: workloads.withEmptyStatus,
};
const appsKinds: readonly BuiltinOptions[] = [
  {
    ...apps,
    kind: 'Deployment',
    plural: 'deployments',
    shortNames: ['deploy'],
    scale: true,
    schema: work.deployment,
    columns: workColumns.deploymentColumns,
    defaults: workloads.defaultedDeployment,
  },
  {
    ...apps,
    kind: 'ReplicaSet',
    plural: 'replicasets',
    shortNames: ['rs'],
    scale: true,
    schema: work.replicaSet,
    columns: workColumns.replicaSetColumns,
    defaults: workloads.defaultedReplicaSet,
  },
  {
    ...apps,
    kind: 'DaemonSet',
    plural: 'daemonsets',
    shortNames: ['ds'],
    schema: work.daemonSet,
    columns: workColumns.daemonSetColumns,
    defaults: workloads.defaultedDaemonSet,
  },
  {
    ...apps,
    kind: 'StatefulSet',
    plural: 'statefulsets',
    shortNames: ['sts'],
    scale: true,
    schema: work.statefulSet,
    columns: workColumns.statefulSetColumns,
    defaults: workloads.defaultedStatefulSet,
  },
  {
    group: 'apps',
    kind: 'ControllerRevision',
    plural: 'controllerrevisions',
    schema: work.controllerRevision,
  },
];

const batch = {
  group: 'batch',
  categories: all,
  status: true,
  generation: true,
  prepare: workloads.withEmptyStatus,
};
const rbac = { group: 'rbac.authorization.k8s.io', names: 'path' as const };
const otherKinds: readonly BuiltinOptions[] = [
  {
    ...batch,
    kind: 'Job',
    plural: 'jobs',
    schema: work.job,
    columns: workColumns.jobColumns,
    defaults: workloads.defaultedJob,
  },
  {
    ...batch,
    kind: 'CronJob',
    plural: 'cronjobs',
    shortNames: ['cj'],
    schema: work.cronJob,
    columns: workColumns.cronJobColumns,
    defaults: workloads.defaultedCronJob,
    validate: workloads.cronJobIssues,
  },
  {
    group: 'policy',
    kind: 'PodDisruptionBudget',
    plural: 'poddisruptionbudgets',
    shortNames: ['pdb'],
    status: true,
    generation: true,
    schema: work.podDisruptionBudget,
  },
  {
    group: 'discovery.k8s.io',
    kind: 'EndpointSlice',
    plural: 'endpointslices',
    generation: true,
    schema: core.endpointSlice,
    columns: columns.endpointSliceColumns,
  },
  {
    group: 'coordination.k8s.io',
    kind: 'Lease',
    plural: 'leases',
    schema: core.lease,
    columns: columns.leaseColumns,
  },
  {
    group: 'networking.k8s.io',
    kind: 'NetworkPolicy',
    plural: 'networkpolicies',
    shortNames: ['netpol'],
    generation: true,
    schema: core.networkPolicy,
    columns: columns.networkPolicyColumns,
    defaults: defaultedNetworkPolicy,
  },
  {
    group: 'networking.k8s.io',
    kind: 'Ingress',
    plural: 'ingresses',
    shortNames: ['ing'],
    status: true,
    generation: true,
    schema: core.ingress,
  },
  { ...rbac, kind: 'Role', plural: 'roles', schema: core.role, columns: columns.createdAtColumns },
  {
    ...rbac,
    kind: 'RoleBinding',
    plural: 'rolebindings',
    schema: core.roleBinding,
    columns: columns.bindingColumns,
  },
  {
    ...rbac,
    kind: 'ClusterRole',
    plural: 'clusterroles',
    namespaced: false,
    schema: core.clusterRole,
    columns: columns.createdAtColumns,
  },
  {
    ...rbac,
    kind: 'ClusterRoleBinding',
    plural: 'clusterrolebindings',
    namespaced: false,
    schema: core.roleBinding,
    columns: columns.bindingColumns,
  },
  {
    group: 'scheduling.k8s.io',
    kind: 'PriorityClass',
    plural: 'priorityclasses',
    shortNames: ['pc'],
    namespaced: false,
    schema: core.priorityClass,
  },
  {
    group: 'apiextensions.k8s.io',
    kind: 'CustomResourceDefinition',
    plural: 'customresourcedefinitions',
    shortNames: ['crd', 'crds'],
    categories: ['api-extensions'],
    namespaced: false,
    status: true,
    generation: true,
    schema: core.customResourceDefinition,
    columns: columns.createdAtColumns,
    prepare: preparedDefinition,
    validate: definitionIssues,
    keep: whyDefinitionStays,
    finalizeWith: finalizerOfDefinition,
  },
];

export function builtinKinds(): readonly ServedKind[] {
  const kinds = [...coreKinds, ...appsKinds, ...otherKinds].map(builtin);
  const events = kinds.filter((kind) => kind.group === '' && kind.kind === 'Event').map(eventView);
  return [...kinds, ...events, ...reviewKinds()];
}
