// JSONPath templates as kubectl knows them: `{.items[*].metadata.name}`, `{range .items[*]}{.spec.cidr}{"\n"}{end}`, filters
// `[?(@.spec.disabled==true)]`, slices `[0:2]`, `..name`, unions `['a','b']`.
import { err, failure, ok, type Failure, type Result } from '../../../lib/result.ts';
import { formatCell } from './paths.ts';

export type TemplateError = Failure<'BadTemplate'>;
type Values = readonly unknown[];
type Step = (values: Values) => Values;
type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'path'; readonly steps: readonly Step[] }
  | { readonly kind: 'range'; readonly steps: readonly Step[]; readonly body: readonly Part[] };

/** The text that the template makes of the object. */
export function jsonPath(template: string, object: unknown): Result<string, TemplateError> {
  try {
    const cursor = { pieces: piecesOf(template), next: 0 };
    const parts = parseParts(cursor, false);
    return ok(render(parts, object));
  } catch (error) {
    if (error instanceof BadPath)
      return err(failure('BadTemplate', `The JSONPath is not valid: ${error.message}.`));
    throw error;
  }
}

class BadPath extends Error {}

type Piece = { readonly kind: 'text' | 'action'; readonly text: string };

/** Text outside and inside of braces; a path without braces is one in braces. */
function piecesOf(template: string): readonly Piece[] {
  if (!template.includes('{')) return [{ kind: 'action', text: template }];
  const pieces: Piece[] = [];
  let rest = template;
  while (rest !== '') {
    const open = rest.indexOf('{');
    if (open < 0) {
      pieces.push({ kind: 'text', text: rest });
      break;
    }
    if (open > 0) pieces.push({ kind: 'text', text: rest.slice(0, open) });
    const close = closing(rest, open);
    pieces.push({ kind: 'action', text: rest.slice(open + 1, close).trim() });
    rest = rest.slice(close + 1);
  }
  return pieces;
}

function closing(text: string, open: number): number {
  let quote = '';
  for (let i = open + 1; i < text.length; i++) {
    const c = text[i] ?? '';
    if (quote !== '') {
      if (c === '\\') i++;
      else if (c === quote) quote = '';
    } else if (c === '"' || c === "'") quote = c;
    else if (c === '}') return i;
  }
  throw new BadPath('a brace is not closed');
}

function parseParts(
  cursor: { readonly pieces: readonly Piece[]; next: number },
  inRange: boolean,
): readonly Part[] {
  const parts: Part[] = [];
  for (;;) {
    const piece = cursor.pieces[cursor.next++];
    if (piece === undefined) {
      if (inRange) throw new BadPath('{range} needs an {end}');
      return parts;
    }
    if (piece.kind === 'text') parts.push({ kind: 'text', text: piece.text });
    else if (piece.text === 'end') {
      if (!inRange) throw new BadPath('{end} without {range}');
      return parts;
    } else if (/^range\s/.test(piece.text)) {
      const steps = parseSteps(piece.text.slice('range'.length).trim());
      parts.push({ kind: 'range', steps, body: parseParts(cursor, true) });
    } else if (/^["']/.test(piece.text)) parts.push({ kind: 'text', text: unquote(piece.text) });
    else parts.push({ kind: 'path', steps: parseSteps(piece.text) });
  }
}

function unquote(text: string): string {
  const inner = text.slice(1, -1);
  return inner.replaceAll(/\\(.)/g, (_, c: string) => ({ n: '\n', t: '\t', r: '\r' })[c] ?? c);
}

function render(parts: readonly Part[], object: unknown): string {
  return parts
    .map((part) => {
      if (part.kind === 'text') return part.text;
      const values = run(part.steps, [object]);
      if (part.kind === 'path') return values.map(formatCell).join(' ');
      return values.map((value) => render(part.body, value)).join('');
    })
    .join('');
}

const run = (steps: readonly Step[], values: Values): Values =>
  steps.reduce<Values>((found, step) => step(found), values);

const grammar =
  /\.\.([\w-]+)|\.([\w/-]+(?:\\\.[\w/-]+)*)|\.\*|\[\*\]|\[(-?\d*):(-?\d*)\]|\[(-?\d+(?:,-?\d+)*)\]|\[\?\((.*?)\)\]|\[((?:'[^']*'|"[^"]*")(?:,(?:'[^']*'|"[^"]*"))*)\]|[$@.]/;

function parseSteps(text: string): readonly Step[] {
  const steps: Step[] = [];
  // Filters hold paths of their own: each parse has its own place in the text.
  const pattern = new RegExp(grammar.source, 'y');
  while (pattern.lastIndex < text.length) {
    const at = pattern.lastIndex;
    const found = pattern.exec(text);
    if (found === null) throw new BadPath(`"${text.slice(at)}" is not understood`);
    const [whole, below, name, from, to, indexes, filter, names] = found;
    if (below !== undefined) steps.push((values) => values.flatMap((value) => allBelow(value, below)));
    else if (name !== undefined) steps.push(each((value) => member(value, name.replaceAll('\\.', '.'))));
    else if (whole === '.*' || whole === '[*]') steps.push(each(children));
    else if (from !== undefined || to !== undefined)
      steps.push(each((value) => (Array.isArray(value) ? value.slice(numberOr(from), numberOr(to)) : [])));
    else if (indexes !== undefined)
      steps.push(
        each((value) =>
          Array.isArray(value)
            ? indexes.split(',').flatMap((i) => {
                const item: unknown = value.at(Number(i));
                return item === undefined ? [] : [item];
              })
            : [],
        ),
      );
    else if (filter !== undefined) {
      const test = parseFilter(filter);
      steps.push(each((value) => children(value).filter(test)));
    } else if (names !== undefined)
      steps.push(each((value) => names.split(',').flatMap((one) => member(value, one.slice(1, -1)))));
  }
  return steps;
}

const each =
  (step: (value: unknown) => Values): Step =>
  (values) =>
    values.flatMap(step);
const numberOr = (text: string | undefined): number | undefined =>
  text === undefined || text === '' ? undefined : Number(text);

function member(value: unknown, name: string): Values {
  if (typeof value !== 'object' || value === null) return [];
  const found = (value as Readonly<Record<string, unknown>>)[name];
  return found === undefined ? [] : [found];
}

const children = (value: unknown): Values =>
  Array.isArray(value)
    ? (value as Values)
    : typeof value === 'object' && value !== null
      ? Object.values(value)
      : [];

const allBelow = (value: unknown, name: string): Values => [
  ...(Array.isArray(value) ? [] : member(value, name)),
  ...children(value).flatMap((child) => allBelow(child, name)),
];

function parseFilter(text: string): (value: unknown) => boolean {
  const comparison = /^\s*(@[^=!<>]*?)\s*(==|!=|<=|>=|<|>)\s*(.+?)\s*$/.exec(text);
  if (comparison === null) {
    const steps = parseSteps(text.trim());
    return (value) => run(steps, [value]).length > 0;
  }
  const [, left = '', operator = '', right = ''] = comparison;
  const steps = parseSteps(left);
  const wanted = /^["']/.test(right) ? unquote(right) : literal(right);
  return (value) => run(steps, [value]).some((found) => compare(found, operator, wanted));
}

const literal = (text: string): unknown =>
  text === 'true' ? true : text === 'false' ? false : Number.isNaN(Number(text)) ? text : Number(text);

function compare(a: unknown, operator: string, b: unknown): boolean {
  const same = a === b || formatCell(a) === formatCell(b);
  if (operator === '==') return same;
  if (operator === '!=') return !same;
  const [x, y] = typeof a === 'number' && typeof b === 'number' ? [a, b] : [formatCell(a), formatCell(b)];
  return operator === '<' ? x < y : operator === '>' ? x > y : operator === '<=' ? x <= y : x >= y;
}
