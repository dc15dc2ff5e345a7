// Names that are made of other names: workload endpoints, profiles of namespaces and service accounts, the host's end of
// a pod's interface, identifiers of derived objects.
import { hex, sha1 } from '../lib/hash.ts';
import { err, failure, ok, type Failure, type Result } from '../lib/result.ts';

/** What a workload endpoint's name is made of. The third part depends on the orchestrator: the pod for `k8s`, the
 *  container for `cni`, the word `libnetwork` for `libnetwork`, the workload for all others. */
export type WorkloadEndpointIdentifiers = {
  readonly node?: string;
  readonly orchestrator?: string;
  readonly pod?: string;
  readonly containerID?: string;
  readonly workload?: string;
  readonly endpoint?: string;
};
export type NameError = Failure<'BadName'> & { readonly field?: string };
type Segment = { readonly field: keyof WorkloadEndpointIdentifiers; readonly value: string | undefined };

const thirdField: Readonly<Record<string, keyof WorkloadEndpointIdentifiers>> = {
  k8s: 'pod',
  cni: 'containerID',
  libnetwork: 'orchestrator',
};

const segmentsOf = (ids: WorkloadEndpointIdentifiers): readonly Segment[] =>
  (['node', 'orchestrator', thirdField[ids.orchestrator ?? ''] ?? 'workload', 'endpoint'] as const).map(
    (field) => ({ field, value: ids[field] }),
  );

/** `<node>-<orchestrator>-<pod or other>-<endpoint>`, dashes inside the parts doubled. */
export function workloadEndpointName(ids: WorkloadEndpointIdentifiers): Result<string, NameError> {
  return joinSegments(ids, false);
}

/** As workloadEndpointName, up to the first part that is missing: the names of all endpoints that match start so. */
export function workloadEndpointNamePrefix(ids: WorkloadEndpointIdentifiers): Result<string, NameError> {
  return joinSegments(ids, true);
}

function joinSegments(ids: WorkloadEndpointIdentifiers, mayEndEarly: boolean): Result<string, NameError> {
  const parts: string[] = [];
  for (const { field, value } of segmentsOf(ids)) {
    if (value === undefined || value === '') {
      if (mayEndEarly && field !== 'node') return ok(`${parts.join('-')}-`);
      return err(badName(field, 'is missing'));
    }
    if (value.startsWith('-') || value.endsWith('-'))
      return err(badName(field, `"${value}" starts or ends with a dash`));
    parts.push(value.replaceAll('-', '--'));
  }
  return ok(parts.join('-'));
}

const badName = (field: string, why: string): NameError => ({
  ...failure('BadName', `The name of a workload endpoint cannot be made: ${field} ${why}.`),
  field,
});

/** The parts of a name; fewer than four when the name is a prefix. */
export function parseWorkloadEndpointName(name: string): Result<WorkloadEndpointIdentifiers, NameError> {
  const parts = splitName(name);
  const [node, orchestrator, third, endpoint] = parts;
  if (name === '' || parts.length > 4)
    return err(failure('BadName', `"${name}" is not the name of a workload endpoint.`));
  const field = thirdField[orchestrator ?? ''] ?? 'workload';
  return ok({
    ...(node ? { node } : {}),
    ...(orchestrator ? { orchestrator } : {}),
    ...(third && field !== 'orchestrator' ? { [field]: third } : {}),
    ...(endpoint ? { endpoint } : {}),
  });
}

/** Whether the name is that of an endpoint with these identifiers; missing ones but the node match anything. */
export function workloadEndpointNameMatches(ids: WorkloadEndpointIdentifiers, name: string): boolean {
  const parts = splitName(name);
  return (
    Boolean(ids.node) &&
    parts.length === 4 &&
    parts.every((part) => part !== '') &&
    segmentsOf(ids).every(({ value }, i) => value === undefined || value === '' || value === parts[i])
  );
}

/** Splits at single dashes and undoubles the others. */
const splitName = (name: string): readonly string[] =>
  name
    .replaceAll('--', '\u0000')
    .split('-')
    .map((part) => part.replaceAll('\u0000', '-'));

export const defaultInterfacePrefix = 'cali';

/** The host's end of a pod's interface: the prefix and 11 hexadecimal digits of the SHA-1 of `<namespace>.<pod>`. Of a
 *  comma-separated list of prefixes the first counts. */
export const interfaceNameFor = (namespace: string, pod: string, prefix = defaultInterfacePrefix): string =>
  `${prefix.split(',')[0] || defaultInterfacePrefix}${hex(sha1(`${namespace}.${pod}`)).slice(0, 11)}`;

/** Name of the profile that a namespace makes. */
export const namespaceProfileName = (namespace: string): string => `kns.${namespace}`;
/** Name of the profile that a service account makes. */
export const serviceAccountProfileName = (namespace: string | undefined, name: string): string =>
  `ksa.${namespace || 'default'}.${name}`;

/** The namespace behind a profile, or undefined when it is not made by one. */
export const namespaceOfProfile = (profile: string): string | undefined =>
  profile.startsWith('kns.') ? profile.slice(4) : undefined;

/** The service account behind a profile, or undefined when it is not made by one. */
export function serviceAccountOfProfile(profile: string): { namespace: string; name: string } | undefined {
  const match = /^ksa\.([^.]*)\.(.*)$/s.exec(profile);
  return match === null ? undefined : { namespace: match[1] ?? '', name: match[2] ?? '' };
}

/** The uid of an object made of another: the bits of each byte reversed, except where version and variant of the UUID
 *  stand. Undefined when the text is no UUID. */
export function derivedUid(uid: string): string | undefined {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(uid)) return undefined;
  const digits = uid.replaceAll('-', '').toLowerCase();
  const bytes = Array.from({ length: 16 }, (_, i) => Number.parseInt(digits.slice(i * 2, i * 2 + 2), 16));
  const mirrored = bytes.map((byte, i) => (i === 6 || i === 8 ? byte : reverseBits(byte)));
  const text = hex(Uint8Array.from(mirrored));
  return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join(
    '-',
  );
}

function reverseBits(byte: number): number {
  let reversed = 0;
  for (let bit = 0; bit < 8; bit++) if (byte & (1 << bit)) reversed |= 0x80 >> bit;
  return reversed;
}
