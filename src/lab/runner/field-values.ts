// What a pod may be told about itself: the values of `fieldRef` and `resourceFieldRef`, for variables and for files. Pure.
import { parseQuantity, type Pod } from '../../model/mod.ts';

type Container = Pod['spec']['containers'][number];

/** What a node knows of a pod beside its object. */
export type PodFacts = {
  readonly pod: Pod;
  readonly nodeName: string;
  readonly hostAddresses: readonly string[];
  readonly addresses: readonly string[];
  readonly cpus: number;
  readonly memoryBytes: number;
};

export type ResourceReference = {
  readonly containerName?: string;
  readonly resource: string;
  readonly divisor?: string | number;
};

/** undefined: there is no such field, or it has no value. */
export function fieldValue(path: string, facts: PodFacts): string | undefined {
  const { metadata, spec } = facts.pod;
  const entry = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (entry !== null) return metadata[entry[1] as 'labels' | 'annotations']?.[entry[2] ?? ''] ?? '';
  switch (path) {
    case 'metadata.name':
      return metadata.name;
    case 'metadata.namespace':
      return metadata.namespace ?? 'default';
    case 'metadata.uid':
      return metadata.uid ?? '';
    case 'metadata.labels':
      return pairs(metadata.labels);
    case 'metadata.annotations':
      return pairs(metadata.annotations);
    case 'spec.nodeName':
      return facts.nodeName;
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? 'default';
    case 'status.podIP':
      return facts.addresses[0] ?? '';
    case 'status.podIPs':
      return facts.addresses.join(',');
    case 'status.hostIP':
      return facts.hostAddresses[0] ?? '';
    case 'status.hostIPs':
      return facts.hostAddresses.join(',');
    default:
      return undefined;
  }
}

/** One line per entry, values quoted, keys in order: what a file of labels holds. */
const pairs = (map: Readonly<Record<string, string>> | undefined): string =>
  Object.entries(map ?? {})
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join('\n');

/** A limit or request in units of the divisor, rounded up; a limit that is not set is what the node has. */
export function resourceValue(
  reference: ResourceReference,
  container: Container | undefined,
  facts: PodFacts,
): string | undefined {
  const [, part, name = ''] = /^(limits|requests)\.(.+)$/.exec(reference.resource) ?? [];
  if (part === undefined || !/^(cpu|memory|ephemeral-storage|hugepages-.+)$/.test(name)) return undefined;
  const all: Container['resources'] = container?.resources;
  const asked = all?.[part as 'limits' | 'requests']?.[name];
  const limit = part === 'limits' ? nodeHas(name, facts) : '0';
  const divisor = thousandths(reference.divisor ?? '1') ?? 1000;
  const value = thousandths(asked ?? limit);
  if (value === undefined) return undefined;
  return String(Math.ceil(value / (divisor === 0 ? 1000 : divisor)));
}

const thousandths = (quantity: string | number): number | undefined => parseQuantity(String(quantity), 3);

const nodeHas = (name: string, facts: PodFacts): string =>
  name === 'cpu' ? String(facts.cpus) : name === 'memory' ? String(facts.memoryBytes) : '0';
