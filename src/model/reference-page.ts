// Reference pages of the kinds, from the same definitions as everything else.
import { allKinds, kindDefinition } from './registry.ts';
import type { KindName } from './kinds/mod.ts';
import type { SchemaNode } from './schema.ts';

/** Calico's kinds, each with a page. */
export const documentedKinds: readonly KindName[] = allKinds.filter(
  (kind) => kindDefinition(kind).family === 'calico',
);

const generatedNote =
  '<!-- Generated from src/model by `npm run generate`; edit the definitions, not this page. -->';

/** Markdown page of one kind. */
export function referencePage(kind: KindName): string {
  const definition = kindDefinition(kind);
  const rows = fieldRows(definition.schema, '');
  const lines = [
    generatedNote,
    `# ${definition.kind}`,
    '',
    definition.description,
    '',
    `- \`apiVersion: ${definition.apiVersion}\`, \`kind: ${definition.kind}\`, ${definition.namespaced ? 'in a namespace' : 'for the whole cluster'}`,
    `- Names for commands: ${[definition.plural, definition.singular, ...definition.shortNames].map(code).join(', ')}`,
    ...(definition.storedAs === 'view'
      ? [
          '- Not stored by itself with the Kubernetes datastore, but read from the object of Kubernetes that it describes.',
        ]
      : []),
    ...(definition.columns.length > 0
      ? [`- Columns of lists: ${definition.columns.map(({ name }) => name).join(', ')}`]
      : []),
    '',
    '| Field | Value | Meaning |',
    '| --- | --- | --- |',
    ...rows.map(({ path, value, meaning }) => `| ${code(path)} | ${value} | ${meaning} |`),
    '',
  ];
  return lines.join('\n');
}

/** Markdown list of all pages. */
export const referenceIndex = (): string =>
  [
    generatedNote,
    '# Resources',
    '',
    ...documentedKinds.map((kind) => {
      const { kind: word, singular, description } = kindDefinition(kind);
      return `- [${word}](${singular}.md): ${description}`;
    }),
    '',
  ].join('\n');

type Row = { readonly path: string; readonly value: string; readonly meaning: string };
const code = (text: string): string => `\`${text}\``;

function fieldRows(node: SchemaNode, path: string): readonly Row[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]): readonly Row[] => {
    const childPath = path === '' ? key : `${path}.${key}`;
    const isRequired = node.required?.includes(key) ?? false;
    const [inner, innerPath] = innerNode(child, childPath);
    const isContainer = inner.type === 'object' && inner.properties !== undefined;
    const own = { path: innerPath, value: valueText(child, isRequired), meaning: meaningText(child) };
    return isContainer && own.meaning === ''
      ? fieldRows(inner, innerPath)
      : [own, ...fieldRows(inner, innerPath)];
  });
}

/** What stands inside lists and maps. */
function innerNode(node: SchemaNode, path: string): readonly [SchemaNode, string] {
  if (node.type === 'array' && node.items !== undefined) return innerNode(node.items, `${path}[]`);
  if (typeof node.additionalProperties === 'object') return innerNode(node.additionalProperties, `${path}.*`);
  return [node, path];
}

function valueText(node: SchemaNode, isRequired: boolean): string {
  return `${typeText(node)}${isRequired ? ', required' : ''}`;
}

function typeText(node: SchemaNode): string {
  if (node.enum !== undefined)
    return node.enum.map((word) => code(word === '' ? '""' : String(word))).join(' ');
  if (node.anyOf !== undefined) return 'number or text';
  if (node.type === 'array') return `list of ${typeText(node.items ?? {})}`;
  if (typeof node.additionalProperties === 'object') return `map of ${typeText(node.additionalProperties)}`;
  const words: Readonly<Record<string, string>> = {
    integer: 'whole number',
    string: 'text',
    boolean: 'true or false',
    object: 'object',
    number: 'number',
  };
  return `${words[node.type ?? ''] ?? 'anything'}${boundsText(node)}`;
}

function boundsText({ minimum, maximum }: SchemaNode): string {
  if (minimum !== undefined && maximum !== undefined) return `, ${minimum} to ${maximum}`;
  if (minimum !== undefined) return `, at least ${minimum}`;
  return maximum === undefined ? '' : `, at most ${maximum}`;
}

function meaningText(node: SchemaNode): string {
  const inner = node.type === 'array' && node.description === undefined ? node.items : node;
  const text = inner?.description ?? '';
  const value = node.default === undefined ? '' : ` Default: ${code(JSON.stringify(node.default))}.`;
  return `${node.deprecated ? 'Deprecated. ' : ''}${text}${value}`.trim().replaceAll('|', '\\|');
}
