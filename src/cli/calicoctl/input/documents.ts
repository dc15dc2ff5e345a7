// Text of a file as documents, each of whose values can be found again by line and column. JSON is read by the fast parser
// of the language; the YAML library reads the rest.
import { jsonPosition } from './json-position.ts';
import { parseJson } from '../../../lib/json.ts';
import { err, failure, ok, type Failure, type Result } from '../../../lib/result.ts';

export type Position = { readonly line: number; readonly column: number };
export type FieldPath = readonly (string | number)[];
/** What a position is wanted of: the name of the field, or what stands behind it. */
export type Part = 'name' | 'value';
export type SourceDocument = {
  /** File name, or `stdin`. */
  readonly source: string;
  readonly value: unknown;
  /** Of the field or, when there is none, of what would hold it. */
  locate(path: FieldPath, part: Part): Position | undefined;
};
export type DocumentError = Failure<'BadDocument'>;

/** Aliases in YAML can make a small file huge. */
const maxAliases = 100;

export async function parseDocuments(
  source: string,
  text: string,
): Promise<Result<readonly SourceDocument[], DocumentError>> {
  if (/^\s*[[{]/.test(text)) {
    try {
      const value = parseJson(text);
      return ok([{ source, value, locate: (path, part) => jsonPosition(text, path, part) }]);
    } catch (error) {
      // Several documents, YAML in braces, or a mistake, whose place the other parser tells.
      if (error instanceof RangeError) return tooDeep(source);
    }
  }
  return parseYaml(source, text);
}

async function parseYaml(
  source: string,
  text: string,
): Promise<Result<readonly SourceDocument[], DocumentError>> {
  const { LineCounter, parseAllDocuments } = await import('yaml');
  const lines = new LineCounter();
  try {
    const parsed = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: true });
    const documents: SourceDocument[] = [];
    for (const document of parsed) {
      const [problem] = document.errors;
      if (problem !== undefined) {
        const at = problem.linePos?.[0];
        if (problem.message.includes('call stack')) return tooDeep(source);
        const why = (problem.message.split(/ at line \d|\n/)[0] ?? '').replace(/[.:]$/, '');
        return bad(`${source}:${at?.line ?? 1}:${at?.col ?? 1}: ${why}.`);
      }
      const value: unknown = document.toJS({ maxAliasCount: maxAliases });
      if (value === null || value === undefined) continue;
      const { contents } = document;
      documents.push({
        source,
        value,
        locate: (path, part) => positionIn(contents, lines, path, part),
      });
    }
    return ok(documents);
  } catch (error) {
    if (error instanceof RangeError) return tooDeep(source);
    if (error instanceof ReferenceError)
      return bad(`${source}: the document has more than ${maxAliases} aliases.`);
    throw error;
  }
}

type Lines = { linePos(offset: number): { line: number; col: number } };
type YamlNode = {
  readonly range?: readonly [number, number, number] | null;
  readonly items?: readonly unknown[];
};
type YamlPair = { readonly key: YamlNode & { readonly value?: unknown }; readonly value: YamlNode | null };

function positionIn(root: unknown, lines: Lines, path: FieldPath, part: Part): Position | undefined {
  let node = root as YamlNode | null;
  let at = node?.range?.[0];
  for (const [i, step] of path.entries()) {
    const items = node?.items;
    if (items === undefined) break;
    const pair = pairOf(items, step);
    const next = pair === undefined ? items[Number(step)] : pair.value;
    if (pair === undefined && (typeof step !== 'number' || next === undefined)) break;
    node = next as YamlNode | null;
    const isLast = i === path.length - 1;
    const whole = isLast && part === 'value' ? node?.range?.[0] : undefined;
    at = whole ?? pair?.key.range?.[0] ?? node?.range?.[0] ?? at;
  }
  if (at === undefined) return undefined;
  const { line, col } = lines.linePos(at);
  return { line, column: col };
}

function pairOf(items: readonly unknown[], step: string | number): YamlPair | undefined {
  const pairs = items.filter(
    (item): item is YamlPair => typeof item === 'object' && item !== null && 'key' in item,
  );
  const named = (test: (key: string) => boolean) =>
    pairs.find(({ key }) => typeof key === 'object' && test(String(key?.value)));
  const wanted = String(step);
  return named((key) => key === wanted) ?? named((key) => key.toLowerCase() === wanted.toLowerCase());
}

/** `spec.ingress[0].action` and `metadata.labels[a/b]` as steps. */
export function fieldPath(field: string): FieldPath {
  const steps: (string | number)[] = [];
  for (const [, name, inBrackets] of field.matchAll(/([^.[\]]+)|\[([^\]]*)\]/g)) {
    if (name !== undefined) steps.push(name);
    else if (inBrackets !== undefined) steps.push(/^\d+$/.test(inBrackets) ? Number(inBrackets) : inBrackets);
  }
  return steps;
}

const tooDeep = (source: string) => bad(`${source}: the document is nested too deeply.`);
const bad = (message: string): { readonly ok: false; readonly error: DocumentError } =>
  err(failure('BadDocument', message));
