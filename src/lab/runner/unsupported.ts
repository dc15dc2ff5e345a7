// What a pod asks for that the nodes of a lab do not give it. It runs without, and its events say so: nothing is left out in
// silence.
import type { Pod } from '../../model/mod.ts';

type Container = Pod['spec']['containers'][number];
type Fields = Readonly<Record<string, unknown>>;

const provided: ReadonlySet<string> = new Set([
  'emptyDir',
  'hostPath',
  'configMap',
  'secret',
  'downwardAPI',
  'projected',
]);
const variableSources: ReadonlySet<string> = new Set([
  'fieldRef',
  'resourceFieldRef',
  'configMapKeyRef',
  'secretKeyRef',
]);
const projectedSources: ReadonlySet<string> = new Set([
  'configMap',
  'secret',
  'downwardAPI',
  'serviceAccountToken',
]);
/** Containers run as root with all of the lab's rights. */
const ofSecurity = [
  'runAsUser',
  'runAsGroup',
  'runAsNonRoot',
  'readOnlyRootFilesystem',
  'capabilities',
  'seccompProfile',
  'appArmorProfile',
  'seLinuxOptions',
  'fsGroup',
  'supplementalGroups',
  'sysctls',
];

/** A sentence, or undefined when the container and its pod ask for nothing else. */
export function unsupportedIn(pod: Pod, container: Container): string | undefined {
  const missing = [...ofPod(pod), ...ofContainer(pod, container)];
  return missing.length === 0
    ? undefined
    : `Runs without what the lab's nodes do not provide: ${missing.join(', ')}`;
}

function ofPod({ spec }: Pod): string[] {
  const fields = spec as Fields;
  return [
    ...['hostIPC', 'shareProcessNamespace'].filter((name) => fields[name] === true),
    ...given(fields['securityContext'], ofSecurity).map((name) => `securityContext.${name}`),
    ...(fields['runtimeClassName'] === undefined ? [] : ['runtimeClassName']),
  ];
}

function ofContainer(pod: Pod, container: Container): string[] {
  const fields = container as Fields;
  const limits = Object.keys(container.resources?.limits ?? {});
  const isInit = (pod.spec.initContainers ?? []).some(({ name }) => name === container.name);
  return [
    ...volumesOf(pod, container),
    ...(container.env ?? [])
      .filter(({ valueFrom }) => hasOther(valueFrom, variableSources))
      .map(({ name }) => `variable ${name}`),
    ...list(fields['volumeDevices']).map((device) => `device ${String((device as Fields)['devicePath'])}`),
    ...Object.keys(object(fields['lifecycle'])).map((hook) => `lifecycle.${hook}`),
    ...given(fields['securityContext'], ofSecurity).map((name) => `securityContext.${name}`),
    ...(limits.length === 0 ? [] : [`limits of ${limits.join(' and ')}`]),
    ...(isInit && container.restartPolicy === 'Always' ? ['restartPolicy of an init container'] : []),
  ];
}

function volumesOf(pod: Pod, container: Container): string[] {
  return (container.volumeMounts ?? []).flatMap(
    ({ name, mountPath, mountPropagation, recursiveReadOnly }) => {
      const volume = object((pod.spec.volumes ?? []).find((one) => one.name === name));
      const type = Object.keys(volume).find((field) => field !== 'name') ?? 'emptyDir';
      const sources = list(object(volume['projected'])['sources']);
      return [
        ...(provided.has(type) ? [] : [`volume ${name} (${type}; ${mountPath} is an empty directory)`]),
        ...sources.flatMap((source) =>
          Object.keys(object(source))
            .filter((field) => !projectedSources.has(field))
            .map((field) => `${field} in volume ${name}`),
        ),
        ...(mountPropagation === undefined || mountPropagation === 'None'
          ? []
          : [`mountPropagation of ${mountPath}`]),
        ...(recursiveReadOnly === undefined || recursiveReadOnly === 'Disabled'
          ? []
          : [`recursiveReadOnly of ${mountPath}`]),
      ];
    },
  );
}

const object = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const given = (value: unknown, names: readonly string[]): string[] =>
  names.filter((name) => {
    const asked = object(value)[name];
    return asked !== undefined && asked !== false && asked !== null;
  });
const hasOther = (valueFrom: unknown, known: ReadonlySet<string>): boolean =>
  Object.keys(object(valueFrom)).some((source) => !known.has(source));
