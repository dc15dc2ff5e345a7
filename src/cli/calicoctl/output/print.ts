// Results in the format that `-o` asks for (CT-014).
import { readFileSync } from 'node:fs';
import type { Datastore } from '../../../datastore/mod.ts';
import { ok, type Result } from '../../../lib/result.ts';
import type { KindDefinition } from '../../../model/mod.ts';
import type { Resource } from '../input/resources.ts';
import { type CliError, fail, print, printLine } from '../program.ts';
import { type CellContext, rowsOf } from './columns.ts';
import { plainTable } from './table.ts';

/** One answer: an object by its name, or the list of a kind. */
export type Answer = {
  readonly definition: KindDefinition;
  readonly items: readonly Resource[];
  /** Of a list only. */
  readonly revision?: string;
};
export type Format =
  | { readonly kind: 'table'; readonly wide: boolean; readonly headings?: readonly string[] }
  | {
      readonly kind: 'columns';
      readonly columns: readonly { readonly heading: string; readonly path: string }[];
    }
  | { readonly kind: 'yaml' | 'json' | 'name' }
  | { readonly kind: 'template' | 'jsonpath'; readonly text: string };

export function parseFormat(text: string): Result<Format, CliError> {
  const [name = '', ...rest] = text.split('=');
  const argument = rest.join('=');
  switch (name.toLowerCase()) {
    case '':
    case 'ps':
    case 'table':
      return ok({ kind: 'table', wide: false });
    case 'wide':
      return ok({ kind: 'table', wide: true });
    case 'yaml':
    case 'yml':
      return ok({ kind: 'yaml' });
    case 'json':
      return ok({ kind: 'json' });
    case 'name':
      return ok({ kind: 'name' });
    case 'custom-columns':
      return customColumns(argument);
    case 'go-template':
    case 'template':
      return argument === ''
        ? fail('go-template needs a template: -o go-template=<template>')
        : ok({ kind: 'template', text: argument });
    case 'jsonpath':
      return argument === ''
        ? fail('jsonpath needs a path: -o jsonpath=<path>')
        : ok({ kind: 'jsonpath', text: argument });
    case 'go-template-file':
    case 'jsonpath-file':
      try {
        const kind = name.startsWith('go') ? 'template' : 'jsonpath';
        return ok({ kind, text: readFileSync(argument, 'utf8').trimEnd() });
      } catch (error) {
        return fail(`The template ${argument} cannot be read: ${(error as Error).message}.`);
      }
    default:
      return fail(
        `unrecognized output format '${text}'`,
        'Use ps, wide, yaml, json, name, custom-columns=, go-template=, go-template-file= or jsonpath=.',
      );
  }
}

/** calicoctl's headings `NAME,CIDR`, or kubectl's `NAME:.metadata.name`. */
function customColumns(text: string): Result<Format, CliError> {
  const parts = text.split(',').filter((part) => part !== '');
  if (parts.length === 0)
    return fail('custom-columns needs at least one column: -o custom-columns=NAME,CIDR');
  if (!parts.every((part) => part.includes(':'))) return ok({ kind: 'table', wide: false, headings: parts });
  const columns = parts.map((part) => {
    const [heading = '', ...path] = part.split(':');
    return { heading, path: path.join(':') };
  });
  return ok({ kind: 'columns', columns });
}

/** Metadata as it is shown: without what the server keeps for itself. */
const shown = (object: Resource): Record<string, unknown> => {
  const {
    managedFields: _managed,
    generation: _generation,
    ...metadata
  } = object.metadata as unknown as Record<string, unknown>;
  const { apiVersion, kind, metadata: _metadata, ...fields } = object;
  return { kind, apiVersion, metadata, ...fields };
};

const documentOf = ({ definition, items, revision }: Answer): unknown => {
  if (revision === undefined) return items[0] === undefined ? undefined : shown(items[0]);
  return {
    kind: `${definition.kind}List`,
    apiVersion: definition.apiVersion,
    metadata: { resourceVersion: revision },
    items: items.map(shown),
  };
};

export async function printAnswers(
  store: Datastore,
  answers: readonly Answer[],
  format: Format,
  withNamespace: boolean,
): Promise<Result<void, CliError>> {
  switch (format.kind) {
    case 'table': {
      const context = { asNumber: await defaultAsNumber(store, answers, format) };
      for (const answer of answers) {
        const rows = tableRows(answer, format, withNamespace, context);
        if (!rows.ok) return rows;
        printLine(plainTable(rows.value));
      }
      return ok(undefined);
    }
    case 'columns':
      return printColumns(answers, format.columns);
    case 'name':
      for (const { definition, items } of answers)
        for (const { metadata } of items)
          printLine(`${definition.singular}.${definition.group}/${metadata.name}`);
      return ok(undefined);
    case 'yaml':
    case 'json': {
      const documents = answers.map(documentOf);
      const whole = documents.length === 1 ? documents[0] : documents;
      if (format.kind === 'json') printLine(JSON.stringify(whole, bigintsAsNumbers, 2));
      else print(await yamlText(whole));
      return ok(undefined);
    }
    case 'template': {
      const { goTemplate } = await import('./template.ts');
      const asNumber = format.text.includes('config') ? await globalAsNumber(store) : '';
      const text = goTemplate(format.text, answers.map(documentOf), () => asNumber);
      return text.ok ? ok(print(text.value)) : text;
    }
    default: {
      const { jsonPath } = await import('./jsonpath.ts');
      const documents = answers.map(documentOf);
      const text = jsonPath(format.text, documents.length === 1 ? documents[0] : { items: documents });
      return text.ok ? ok(print(text.value)) : text;
    }
  }
}

/** The wide table of an answer, and its document, as texts. */
export async function answerTexts(
  store: Datastore,
  answer: Answer,
  withNamespace: boolean,
): Promise<{ readonly table: string; readonly yaml: string }> {
  const format = { kind: 'table', wide: true } as const;
  const context = { asNumber: await defaultAsNumber(store, [answer], format) };
  const rows = tableRows(answer, format, withNamespace, context);
  return { table: rows.ok ? plainTable(rows.value) : '', yaml: await yamlText(documentOf(answer)) };
}

function tableRows(
  { definition, items }: Answer,
  format: Format & { readonly kind: 'table' },
  withNamespace: boolean,
  context: CellContext,
): Result<readonly (readonly string[])[], CliError> {
  const { wide, headings } = format;
  const choice = { wide, withNamespace, ...(headings === undefined ? {} : { headings }) };
  const rows = rowsOf(definition, items, choice, context);
  if (!('unknownHeading' in rows)) return ok(rows);
  return fail(`Unknown heading: ${rows.unknownHeading}`, `${definition.kind} has ${rows.known.join(', ')}.`);
}

async function printColumns(
  answers: readonly Answer[],
  columns: readonly { readonly heading: string; readonly path: string }[],
): Promise<Result<void, CliError>> {
  const { jsonPath } = await import('./jsonpath.ts');
  const rows: (readonly string[])[] = [columns.map(({ heading }) => heading)];
  for (const { items } of answers)
    for (const item of items) {
      const cells: string[] = [];
      for (const { path } of columns) {
        const text = jsonPath(path.startsWith('{') ? path : `{${path}}`, item);
        if (!text.ok) return text;
        cells.push(text.value === '' ? '<none>' : text.value);
      }
      rows.push(cells);
    }
  print(plainTable(rows));
  return ok(undefined);
}

/** Nodes without a number of their own show the cluster's; it is only asked for when a table shows it. */
async function defaultAsNumber(
  store: Datastore,
  answers: readonly Answer[],
  format: Format & { readonly kind: 'table' },
): Promise<string> {
  const needed =
    (format.wide || format.headings !== undefined) &&
    answers.some(({ definition }) => definition.name === 'Node');
  return needed ? globalAsNumber(store) : '';
}

async function globalAsNumber(store: Datastore): Promise<string> {
  const found = await store.get('BGPConfiguration', { name: 'default' });
  if (found.ok) return String(found.value.spec.asNumber ?? 64512);
  return found.error.code === 'NotFound' ? '64512' : 'unknown';
}

/** Keys in order, lists at the level of their key, texts that look like something else in quotes: as Go writes it. */
export async function yamlText(value: unknown): Promise<string> {
  const { stringify } = await import('yaml');
  return stringify(value, {
    version: '1.1',
    indentSeq: false,
    lineWidth: 0,
    sortMapEntries: true,
    aliasDuplicateObjects: false,
  });
}

const bigintsAsNumbers = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint'
    ? (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(value))
    : value;
