// Documents as resources: lists are taken apart, kinds are found, names of fields are taken in any case, and what is no
// resource at all is refused with its place.
import {
  formatDuration,
  type KindDefinition,
  type KindName,
  parseDurationMs,
  type SchemaNode,
} from '../../../model/mod.ts';
import { ok, type Result } from '../../../lib/result.ts';
import { kindOfDocument } from '../kinds.ts';
import type { CliError } from '../program.ts';
import { type FieldPath, parseDocuments, type SourceDocument } from './documents.ts';
import { readInputs } from './files.ts';

export type Metadata = {
  readonly name: string;
  readonly namespace?: string;
  readonly resourceVersion?: string;
  readonly uid?: string;
  readonly creationTimestamp?: string;
  readonly generation?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
};
/** Of whatever kind. */
export type Resource = Readonly<Record<string, unknown>> & {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Metadata;
};
export type Origin = { readonly document: SourceDocument; readonly path: FieldPath };
export type Loaded = {
  readonly definition: KindDefinition<KindName>;
  readonly object: Resource;
  readonly origin?: Origin;
};

export type LoadOptions = { readonly recursive: boolean; readonly skipEmpty: boolean };
/** `unreadable`: the file itself is at fault. */
export type LoadError = CliError & { readonly unreadable: boolean };
type Loading<T> = Result<T, LoadError>;

/** Everything that `-f` names. Problems in the shape of objects are found here, others by `validate` of the model. */
export async function loadResources(name: string, options: LoadOptions): Promise<Loading<readonly Loaded[]>> {
  const files = await readInputs(name, options);
  if (!files.ok) return unreadable(files.error.message);
  const loaded: Loaded[] = [];
  for (const file of files.value) {
    const documents = await parseDocuments(file.source, file.text);
    if (!documents.ok) return unreadable(documents.error.message);
    const before = loaded.length;
    for (const document of documents.value) {
      const resources = resourcesIn(document, document.value, []);
      if (!resources.ok) return resources;
      loaded.push(...resources.value);
    }
    if (loaded.length === before && !options.skipEmpty)
      return {
        ok: false,
        error: { code: 'Empty', message: `No resources specified in file ${file.source}`, unreadable: false },
      };
  }
  if (loaded.length === 0 && !options.skipEmpty)
    return {
      ok: false,
      error: { code: 'Empty', message: `No resources specified in directory ${name}`, unreadable: false },
    };
  return ok(loaded);
}

const unreadable = (message: string): { readonly ok: false; readonly error: LoadError } => ({
  ok: false,
  error: { code: 'BadFile', message, unreadable: true },
});

/** The resources of one document. */
export function resourcesIn(
  document: SourceDocument,
  value: unknown,
  path: FieldPath,
  kindOfItems?: { readonly apiVersion: unknown; readonly kind: string },
): Loading<readonly Loaded[]> {
  const at = (steps: FieldPath, message: string) => {
    const position = document.locate([...path, ...steps], 'value');
    const place =
      position === undefined ? document.source : `${document.source}:${position.line}:${position.column}`;
    return unreadable(`${place}: ${message}`);
  };
  if (Array.isArray(value))
    return all(value, (item, i) => resourcesIn(document, item, [...path, i], kindOfItems));
  if (!isObject(value)) return at([], 'a resource is an object with apiVersion, kind, metadata and spec.');
  const { apiVersion = kindOfItems?.apiVersion, kind = kindOfItems?.kind } = value;
  if (typeof kind === 'string' && kind.endsWith('List') && Array.isArray(value['items'])) {
    const kindOfItem = kind.slice(0, -'List'.length);
    const item = kindOfItem === '' ? undefined : { apiVersion, kind: kindOfItem };
    return all(value['items'], (one, i) => resourcesIn(document, one, [...path, 'items', i], item));
  }
  if (typeof kind !== 'string' || kind === '') return at([], 'the resource says no kind.');
  const definition = kindOfDocument(apiVersion, kind);
  if (definition === undefined)
    return at(
      ['apiVersion'],
      `unknown resource type (${kind}) and/or version (${typeof apiVersion === 'string' ? apiVersion : ''})${elsewhere(apiVersion, kind)}`,
    );
  const metadata = value['metadata'] ?? {};
  if (!isObject(metadata)) return at(['metadata'], 'metadata must be an object.');
  const object = {
    ...(readFields(definition.schema, value) as object),
    apiVersion: definition.apiVersion,
    kind: definition.kind,
    metadata: readMetadata(metadata),
  } as Resource;
  return ok([{ definition, object, origin: { document, path } }]);
}

/** Resources of Kubernetes are kubectl's, and of old versions nobody's any more. */
function elsewhere(apiVersion: unknown, kind: string): string {
  if (kindOfDocument('projectcalico.org/v3', kind) !== undefined)
    return `; ${kind} is of projectcalico.org/v3`;
  return apiVersion === 'v1' || String(apiVersion).includes('k8s.io')
    ? '; resources of Kubernetes are applied with kubectl'
    : '';
}

function all(
  items: readonly unknown[],
  each: (item: unknown, index: number) => Loading<readonly Loaded[]>,
): Loading<readonly Loaded[]> {
  const found: Loaded[] = [];
  for (const [i, item] of items.entries()) {
    const loaded = each(item, i);
    if (!loaded.ok) return loaded;
    for (const one of loaded.value) found.push(one);
  }
  return ok(found);
}

/** Empty texts and nulls in metadata count as absent. */
function readMetadata(metadata: Readonly<Record<string, unknown>>): Metadata {
  return Object.fromEntries(
    Object.entries(metadata).filter(([, value]) => value !== '' && value !== null),
  ) as unknown as Metadata;
}

/** The names of fields as the schema writes them, whatever their case; lengths of time in their canonical form. */
export function readFields(node: SchemaNode, value: unknown): unknown {
  if (Array.isArray(value)) {
    const { items } = node;
    return items === undefined ? value : value.map((item) => readFields(items, item));
  }
  if (typeof value === 'string' && node.format === 'duration') return canonicalDuration(value);
  if (!isObject(value) || node.properties === undefined) return value;
  const known = Object.keys(node.properties);
  const read: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    const name = known.includes(key)
      ? key
      : (known.find((one) => one.toLowerCase() === key.toLowerCase() && !(one in value)) ?? key);
    const property = node.properties[name];
    read[name] = property === undefined ? item : readFields(property, item);
  }
  return read;
}

function canonicalDuration(text: string): string {
  const ms = parseDurationMs(text);
  return ms !== undefined && Number.isInteger(ms) ? formatDuration(ms) : text;
}

/** Finding places in a large file takes time: after so many of them one knows enough. */
const placesTold = new WeakMap<SourceDocument, number>();
const mostPlaces = 50;

/** Where an issue is in its file: ` at pool.yaml:7:9`. Empty when the object is of no file. */
export function placeOf(origin: Origin | undefined, field: FieldPath, part: 'name' | 'value'): string {
  if (origin === undefined) return '';
  const told = placesTold.get(origin.document) ?? 0;
  placesTold.set(origin.document, told + 1);
  if (told >= mostPlaces) return ` in ${origin.document.source}`;
  const position = origin.document.locate([...origin.path, ...field], part);
  return position === undefined
    ? ` in ${origin.document.source}`
    : ` at ${origin.document.source}:${position.line}:${position.column}`;
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
