// The columns of nodes, services and the other core kinds.
import { at, listAt, objectAt, textAt } from '../json.ts';
import type { ApiObject, Column } from '../types.ts';
import { ageColumn, column, countOf, nameColumn, pairsOf, sizeOf, textOf, wide } from './columns.ts';
import { ageOf } from './duration.ts';

function nodeState(object: ApiObject): string {
  const ready = listAt(object, 'status', 'conditions').find((one) => at(one, 'type') === 'Ready');
  const state = at(ready, 'status');
  const words = [state === 'True' ? 'Ready' : state === undefined ? 'Unknown' : 'NotReady'];
  if (at(object, 'spec', 'unschedulable') === true) words.push('SchedulingDisabled');
  return words.join(',');
}

function nodeRoles(object: ApiObject): string | undefined {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(object.metadata.labels ?? {})) {
    if (key.startsWith('node-role.kubernetes.io/')) roles.add(key.slice('node-role.kubernetes.io/'.length));
    else if (key === 'kubernetes.io/role') roles.add(value);
  }
  roles.delete('');
  return roles.size === 0 ? undefined : [...roles].sort().join(',');
}

const nodeAddress = (object: ApiObject, type: string): string | undefined =>
  textOf(
    listAt(object, 'status', 'addresses').find((one) => at(one, 'type') === type),
    'address',
  );

const nodeInfo = (object: ApiObject, field: string): string =>
  textOf(object, 'status', 'nodeInfo', field) ?? '<unknown>';

export const nodeColumns: readonly Column[] = [
  nameColumn,
  column('Status', nodeState),
  column('Roles', nodeRoles),
  ageColumn,
  column('Version', (object) => textOf(object, 'status', 'nodeInfo', 'kubeletVersion') ?? ''),
  wide('Internal-IP', (object) => nodeAddress(object, 'InternalIP')),
  wide('External-IP', (object) => nodeAddress(object, 'ExternalIP')),
  wide('OS-Image', (object) => nodeInfo(object, 'osImage')),
  wide('Kernel-Version', (object) => nodeInfo(object, 'kernelVersion')),
  wide('Container-Runtime', (object) => nodeInfo(object, 'containerRuntimeVersion')),
];

export const namespaceColumns: readonly Column[] = [
  nameColumn,
  column('Status', (object) => textOf(object, 'status', 'phase') ?? ''),
  ageColumn,
];

function servicePorts(object: ApiObject): string | undefined {
  const ports = listAt(object, 'spec', 'ports').map((one) => {
    const node = countOf(one, 'nodePort');
    return `${countOf(one, 'port')}${node === 0 ? '' : `:${node}`}/${textAt(one, 'protocol') ?? 'TCP'}`;
  });
  return ports.length === 0 ? undefined : ports.join(',');
}

function externalAddress(object: ApiObject): string | undefined {
  const given = listAt(object, 'spec', 'externalIPs').map(String);
  const type = textAt(object, 'spec', 'type');
  if (type === 'ExternalName') return textAt(object, 'spec', 'externalName');
  if (type !== 'LoadBalancer') return given.length === 0 ? undefined : given.join(',');
  const balanced = listAt(object, 'status', 'loadBalancer', 'ingress').map(
    (one) => textAt(one, 'ip') ?? textAt(one, 'hostname') ?? '',
  );
  const all = [...balanced, ...given];
  return all.length === 0 ? '<pending>' : all.join(',');
}

export const serviceColumns: readonly Column[] = [
  nameColumn,
  column('Type', (object) => textOf(object, 'spec', 'type') ?? 'ClusterIP'),
  column('Cluster-IP', (object) => textOf(object, 'spec', 'clusterIP')),
  column('External-IP', externalAddress),
  column('Port(s)', servicePorts),
  ageColumn,
  wide('Selector', (object) => pairsOf(at(object, 'spec', 'selector'))),
];

function endpointList(object: ApiObject): string | undefined {
  const all = listAt(object, 'subsets').flatMap((subset) =>
    listAt(subset, 'ports').flatMap((port) =>
      listAt(subset, 'addresses').map((one) => `${String(at(one, 'ip'))}:${String(at(port, 'port'))}`),
    ),
  );
  return shortList(all);
}

function shortList(all: readonly string[]): string | undefined {
  if (all.length === 0) return undefined;
  return all.length > 3 ? `${all.slice(0, 3).join(',')} + ${all.length - 3} more...` : all.join(',');
}

export const endpointsColumns: readonly Column[] = [nameColumn, column('Endpoints', endpointList), ageColumn];

export const endpointSliceColumns: readonly Column[] = [
  nameColumn,
  column('AddressType', (object) => textOf(object, 'addressType')),
  column('Ports', (object) => {
    const ports = listAt(object, 'ports').map((one) => textOf(one, 'port') ?? '*');
    return ports.length === 0 ? '<unset>' : shortList(ports);
  }),
  column('Endpoints', (object) => {
    const all = listAt(object, 'endpoints').flatMap((one) => listAt(one, 'addresses').map(String));
    return all.length === 0 ? '<unset>' : shortList(all);
  }),
  ageColumn,
];

const eventTime = (object: ApiObject): string | undefined =>
  textOf(object, 'series', 'lastObservedTime') ??
  textOf(object, 'lastTimestamp') ??
  textOf(object, 'eventTime') ??
  object.metadata.creationTimestamp;

export const eventColumns: readonly Column[] = [
  column('Last Seen', (object, nowMs) => ageOf(eventTime(object), nowMs)),
  column('Type', (object) => textOf(object, 'type') ?? ''),
  column('Reason', (object) => textOf(object, 'reason') ?? ''),
  column('Object', (object) => {
    const about = objectAt(object, 'involvedObject');
    return `${(textAt(about, 'kind') ?? '').toLowerCase()}/${textAt(about, 'name') ?? ''}`;
  }),
  wide('Subobject', (object) => textOf(object, 'involvedObject', 'fieldPath') ?? ''),
  wide('Source', (object) =>
    [textOf(object, 'source', 'component'), textOf(object, 'source', 'host')].filter(Boolean).join(', '),
  ),
  column('Message', (object) => (textOf(object, 'message') ?? '').trim()),
  wide('First Seen', (object, nowMs) =>
    ageOf(textOf(object, 'firstTimestamp') ?? textOf(object, 'eventTime'), nowMs),
  ),
  wide('Count', (object) => String(countOf(object, 'series', 'count') || countOf(object, 'count') || 1)),
  { ...nameColumn, priority: 1 },
];

export const configMapColumns: readonly Column[] = [
  nameColumn,
  column('Data', (object) => sizeOf(object, 'data') + sizeOf(object, 'binaryData'), 'integer'),
  ageColumn,
];
export const secretColumns: readonly Column[] = [
  nameColumn,
  column('Type', (object) => textOf(object, 'type') ?? 'Opaque'),
  column('Data', (object) => sizeOf(object, 'data'), 'integer'),
  ageColumn,
];
export const serviceAccountColumns: readonly Column[] = [
  nameColumn,
  column('Secrets', (object) => sizeOf(object, 'secrets'), 'integer'),
  ageColumn,
];
export const leaseColumns: readonly Column[] = [
  nameColumn,
  column('Holder', (object) => textOf(object, 'spec', 'holderIdentity')),
  ageColumn,
];

/** A label selector as kubectl shows it; `<none>` when it selects everything. */
export function selectorColumnText(selector: unknown): string | undefined {
  const parts = [pairsOf(at(selector, 'matchLabels'))];
  for (const one of listAt(selector, 'matchExpressions')) {
    const [key, values] = [textAt(one, 'key') ?? '', listAt(one, 'values').join(',')];
    const operator = textAt(one, 'operator');
    if (operator === 'In') parts.push(`${key} in (${values})`);
    else if (operator === 'NotIn') parts.push(`${key} notin (${values})`);
    else if (operator === 'Exists') parts.push(key);
    else if (operator === 'DoesNotExist') parts.push(`!${key}`);
  }
  const text = parts.filter((part) => part !== undefined).join(',');
  return text === '' ? undefined : text;
}

export const networkPolicyColumns: readonly Column[] = [
  nameColumn,
  column('Pod-Selector', (object) => selectorColumnText(at(object, 'spec', 'podSelector'))),
  ageColumn,
];

export const createdAtColumns: readonly Column[] = [
  nameColumn,
  column('Created At', (object) => object.metadata.creationTimestamp),
];
export const bindingColumns: readonly Column[] = [
  nameColumn,
  column(
    'Role',
    (object) => `${textOf(object, 'roleRef', 'kind') ?? ''}/${textOf(object, 'roleRef', 'name') ?? ''}`,
  ),
  ageColumn,
];
export const plainColumns: readonly Column[] = [nameColumn, ageColumn];
