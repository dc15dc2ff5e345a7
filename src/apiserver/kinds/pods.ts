// Pods: what users may leave out, what cannot be, what may change later.
import { at, isObject, type JsonObject, listAt, objectAt, sameJson, textAt, without } from '../json.ts';
import type { ApiObject, Issue, World } from '../types.ts';
import { withAccount } from './pod-account.ts';

const port = (value: unknown): unknown => (isObject(value) ? { protocol: 'TCP', ...value } : value);

function probe(value: unknown): unknown {
  if (!isObject(value)) return value;
  const http = value['httpGet'];
  return {
    ...value,
    ...(isObject(http) ? { httpGet: { path: '/', scheme: 'HTTP', ...http } } : {}),
    timeoutSeconds: value['timeoutSeconds'] ?? 1,
    periodSeconds: value['periodSeconds'] ?? 10,
    successThreshold: value['successThreshold'] ?? 1,
    failureThreshold: value['failureThreshold'] ?? 3,
  };
}

function pullPolicy(image: string): string {
  const tag = image.includes('@') ? '@' : image.slice(image.lastIndexOf('/') + 1).split(':')[1];
  return tag === undefined || tag === 'latest' ? 'Always' : 'IfNotPresent';
}

function container(value: unknown): unknown {
  if (!isObject(value)) return value;
  const filled: Record<string, unknown> = { ...value };
  for (const field of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    if (filled[field] !== undefined) filled[field] = probe(filled[field]);
  }
  if (Array.isArray(filled['ports'])) filled['ports'] = filled['ports'].map(port);
  if (Array.isArray(filled['env'])) {
    filled['env'] = filled['env'].map((item: unknown) =>
      at(item, 'valueFrom', 'fieldRef') === undefined || !isObject(item)
        ? item
        : {
            ...item,
            valueFrom: { fieldRef: { apiVersion: 'v1', ...objectAt(item, 'valueFrom', 'fieldRef') } },
          },
    );
  }
  filled['imagePullPolicy'] ??= pullPolicy(textAt(value, 'image') ?? '');
  filled['resources'] ??= {};
  filled['terminationMessagePath'] ??= '/dev/termination-log';
  filled['terminationMessagePolicy'] ??= 'File';
  const { limits, requests } = objectAt(filled, 'resources');
  if (isObject(limits))
    filled['resources'] = {
      ...objectAt(filled, 'resources'),
      requests: { ...limits, ...(isObject(requests) ? requests : {}) },
    };
  return filled;
}

function volume(value: unknown): unknown {
  if (!isObject(value)) return value;
  const sources = Object.keys(value).filter((field) => field !== 'name');
  if (sources.length === 0) return { ...value, emptyDir: {} };
  const filled: Record<string, unknown> = { ...value };
  for (const field of ['secret', 'configMap', 'downwardAPI', 'projected']) {
    if (isObject(filled[field])) filled[field] = { defaultMode: 420, ...filled[field] };
  }
  if (isObject(filled['hostPath'])) filled['hostPath'] = { type: '', ...filled['hostPath'] };
  return filled;
}

/** The spec of a pod or of a pod template with everything filled in that kubectl users see. */
export function defaultedPodSpec(spec: JsonObject): JsonObject {
  const filled: Record<string, unknown> = { ...spec };
  for (const field of ['containers', 'initContainers', 'ephemeralContainers']) {
    if (Array.isArray(filled[field])) filled[field] = filled[field].map(container);
  }
  if (Array.isArray(filled['volumes'])) filled['volumes'] = filled['volumes'].map(volume);
  filled['restartPolicy'] ??= 'Always';
  filled['dnsPolicy'] ??= 'ClusterFirst';
  filled['schedulerName'] ??= 'default-scheduler';
  filled['securityContext'] ??= {};
  filled['terminationGracePeriodSeconds'] ??= 30;
  if (filled['serviceAccountName'] !== undefined) filled['serviceAccount'] = filled['serviceAccountName'];
  return filled;
}

function qosClass(spec: JsonObject): string {
  const all = [...listAt(spec, 'containers'), ...listAt(spec, 'initContainers')].map((one) =>
    objectAt(one, 'resources'),
  );
  const given = all.some(
    (one) => Object.keys(objectAt(one, 'limits')).length + Object.keys(objectAt(one, 'requests')).length > 0,
  );
  if (!given) return 'BestEffort';
  const equal = all.every((one) =>
    ['cpu', 'memory'].every((name) => {
      const limit = at(one, 'limits', name);
      return limit !== undefined && sameJson(limit, at(one, 'requests', name) ?? limit);
    }),
  );
  return equal ? 'Guaranteed' : 'Burstable';
}

export function defaultedPod(object: ApiObject): ApiObject {
  const filled = defaultedPodSpec({ enableServiceLinks: true, ...objectAt(object, 'spec') });
  const account = textAt(filled, 'serviceAccountName') ?? 'default';
  const given = listAt(filled, 'tolerations');
  const tolerations = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']
    .filter(
      (key) =>
        !given.some(
          (one) =>
            at(one, 'key') === key || (at(one, 'key') === undefined && at(one, 'operator') === 'Exists'),
        ),
    )
    .map((key) => ({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 }));
  const spec = {
    ...filled,
    serviceAccountName: account,
    serviceAccount: account,
    priority: filled['priority'] ?? 0,
    preemptionPolicy: filled['preemptionPolicy'] ?? 'PreemptLowerPriority',
    tolerations: [...given, ...tolerations],
  };
  return { ...object, spec };
}

/** A new pod is Pending whatever its sender says; the spec stays apart from a node's status writes. */
export function preparedPod(object: ApiObject, previous: ApiObject | undefined, world: World): ApiObject {
  if (previous !== undefined) return object;
  const ready = withAccount(object, world);
  return { ...ready, status: { phase: 'Pending', qosClass: qosClass(objectAt(ready, 'spec')) } };
}

/** `claims`: volumes that pods get beside those of the spec. */
export function podSpecIssues(
  spec: JsonObject,
  path: string,
  claims: readonly string[] = [],
): readonly Issue[] {
  const issues: Issue[] = [];
  const containers = listAt(spec, 'containers');
  if (containers.length === 0) issues.push({ field: `${path}.containers`, reason: 'Required value' });
  const names = new Set<string>();
  const volumes = new Set([...listAt(spec, 'volumes').map((one) => textAt(one, 'name')), ...claims]);
  for (const field of ['initContainers', 'containers', 'ephemeralContainers'] as const) {
    listAt(spec, field).forEach((one, i) => {
      const here = `${path}.${field}[${i}]`;
      const name = textAt(one, 'name') ?? '';
      if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) {
        issues.push(
          name === ''
            ? { field: `${here}.name`, reason: 'Required value' }
            : { field: `${here}.name`, value: name, reason: dnsLabel },
        );
      } else if (names.has(name))
        issues.push({ field: `${here}.name`, value: name, reason: 'Duplicate value' });
      names.add(name);
      if ((textAt(one, 'image') ?? '').trim() === '')
        issues.push({ field: `${here}.image`, reason: 'Required value' });
      listAt(one, 'volumeMounts').forEach((mount, j) => {
        const name = textAt(mount, 'name');
        if (!volumes.has(name))
          issues.push({ field: `${here}.volumeMounts[${j}].name`, value: name, reason: 'Not found' });
      });
      listAt(one, 'ports').forEach((p, j) => {
        const number = at(p, 'containerPort');
        if (typeof number !== 'number' || number < 1 || number > 65535) {
          issues.push({
            field: `${here}.ports[${j}].containerPort`,
            value: number,
            reason: 'must be between 1 and 65535, inclusive',
          });
        }
      });
    });
  }
  const restart = textAt(spec, 'restartPolicy') ?? 'Always';
  if (!['Always', 'OnFailure', 'Never'].includes(restart)) {
    issues.push({
      field: `${path}.restartPolicy`,
      value: restart,
      reason: 'Unsupported value: supported values: "Always", "OnFailure", "Never"',
    });
  }
  return issues;
}

const dnsLabel =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

/** A pod's spec without what may change during its life. */
function fixedPart(spec: JsonObject): JsonObject {
  const images = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map((one: unknown) => (isObject(one) ? without(without(one, 'image'), 'resources') : one))
      : value;
  const rest: Record<string, unknown> = {
    ...spec,
    containers: images(spec['containers']),
    initContainers: images(spec['initContainers']),
  };
  for (const field of [
    'activeDeadlineSeconds',
    'tolerations',
    'terminationGracePeriodSeconds',
    'schedulingGates',
    'ephemeralContainers',
  ]) {
    delete rest[field];
  }
  return rest;
}

export const fixedPodSpec: Issue = {
  field: 'spec',
  reason:
    'Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
};

export function podIssues(object: ApiObject, previous: ApiObject | undefined): readonly Issue[] {
  const spec = objectAt(object, 'spec');
  const issues = podSpecIssues(spec, 'spec');
  if (previous === undefined || issues.length > 0) return issues;
  const before = objectAt(previous, 'spec');
  // The bindings subresource is the only way to a node for a pod that has none; it goes around this check.
  if (!sameJson(fixedPart(before), fixedPart(spec))) {
    return [fixedPodSpec];
  }
  return [];
}
