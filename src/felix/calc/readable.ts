// The first stage of the calculation (FX-002): an object that cannot be read is treated as absent, whoever stored it. Looked at
// are types and what must be given, not what values mean: the stages behind do that, and a policy whose meaning is wrong is not
// absent, it denies. A field that is null counts as not given.
import { kindDefinition, type KindName, type SchemaNode } from '../../model/mod.ts';
import type { PolicyKindName } from './policy/types.ts';
import type { CalcKind } from './types.ts';

type Kind = CalcKind | PolicyKindName;
type Fields = Readonly<Record<string, unknown>>;
type Stored = {
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: unknown;
};

/** Kinds whose every field is looked at. */
const typedKinds: ReadonlySet<string> = new Set<Kind>([
  'IPPool',
  'BlockAffinity',
  'Node',
  'WorkloadEndpoint',
  'BGPConfiguration',
  'BGPPeer',
  'HostEndpoint',
  'NetworkSet',
  'GlobalNetworkSet',
  'ClusterNetworkPolicy',
  'IPAMBlock',
]);
/** Kinds of which it is enough that there is something to read. */
const specKinds: ReadonlySet<string> = new Set<Kind>([
  'FelixConfiguration',
  'ClusterInformation',
  'NetworkPolicy',
  'GlobalNetworkPolicy',
  'KubernetesNetworkPolicy',
]);

/** Without which there is nothing to work with. */
const needed: Readonly<Record<string, readonly string[]>> = {
  IPPool: ['cidr'],
  BlockAffinity: ['cidr'],
  IPAMBlock: ['cidr', 'allocations'],
  ClusterNetworkPolicy: ['subject'],
};

export type Reading<T> = { readonly object: T } | { readonly problem: string };

export function readStored<T extends Stored>(kind: string, object: T): Reading<T> {
  const isTyped = typedKinds.has(kind);
  if (!isTyped && !specKinds.has(kind)) return { object };
  const { spec } = object;
  if (!isFields(spec)) return { problem: 'spec: must be an object' };
  const given = withoutNulls(spec);
  // A hint is not worth a policy.
  const { performanceHints, ...rest } = given;
  const read = performanceHints === undefined || Array.isArray(performanceHints) ? given : rest;
  const schema = isTyped ? kindDefinition(kind as KindName).schema.properties?.['spec'] : undefined;
  const missing = needed[kind]?.find((name) => read[name] === undefined);
  if (missing !== undefined) return { problem: `spec.${missing}: must be given` };
  const problem = schema === undefined ? undefined : typeProblem(schema, read, 'spec');
  if (problem !== undefined) return { problem };
  return { object: read === spec ? object : { ...object, spec: read } };
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function withoutNulls(fields: Fields): Fields {
  if (!Object.values(fields).includes(null)) return fields;
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
}

function typeProblem(node: SchemaNode, value: unknown, path: string): string | undefined {
  if (node.anyOf !== undefined || (value === null && node.nullable === true)) return undefined;
  switch (node.type) {
    case 'object':
      return isFields(value) ? fieldProblem(node, value, path) : `${path}: must be an object`;
    case 'array':
      return Array.isArray(value) ? itemProblem(node, value, path) : `${path}: must be a list`;
    case 'string':
      return typeof value === 'string' ? undefined : `${path}: must be a text`;
    default:
      return undefined;
  }
}

function fieldProblem(node: SchemaNode, value: Fields, path: string): string | undefined {
  // Of what stands in a list; one that lacks a part makes no sense.
  for (const name of path.endsWith(']') ? (node.required ?? []) : [])
    if (value[name] === undefined || value[name] === null) return `${path}.${name}: must be given`;
  for (const [name, item] of Object.entries(value)) {
    const field = node.properties?.[name];
    if (field === undefined || item === undefined || item === null) continue;
    const problem = typeProblem(field, item, `${path}.${name}`);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function itemProblem(node: SchemaNode, items: readonly unknown[], path: string): string | undefined {
  if (node.items === undefined) return undefined;
  for (const [i, item] of items.entries()) {
    const problem = typeProblem(node.items, item, `${path}[${i}]`);
    if (problem !== undefined) return problem;
  }
  return undefined;
}
