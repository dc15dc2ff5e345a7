// Where a value stands in a JSON text: a walk over the text along a path. Positions are asked for seldom, and reading a large
// text into a tree of nodes with places would take a hundred times its size. The text is known to be valid.
import type { FieldPath, Part, Position } from './documents.ts';

/** Of the field or, when there is none, of what would hold it. */
export function jsonPosition(text: string, path: FieldPath, part: Part): Position {
  let at = skipSpace(text, 0);
  let found = at;
  for (const [i, step] of path.entries()) {
    const inside =
      text[at] === '{'
        ? memberAt(text, at, String(step))
        : text[at] === '['
          ? itemAt(text, at, Number(step))
          : undefined;
    if (inside === undefined) break;
    const isLast = i === path.length - 1;
    found = isLast && part === 'value' ? inside.value : inside.name;
    at = inside.value;
  }
  return positionOf(text, found);
}

type Place = { readonly name: number; readonly value: number };

/** The member of that name; else one whose name differs in case only. */
function memberAt(text: string, open: number, name: string): Place | undefined {
  let similar: Place | undefined;
  let at = skipSpace(text, open + 1);
  while (text[at] === '"') {
    const end = skipString(text, at);
    const key = JSON.parse(text.slice(at, end)) as string;
    const value = skipSpace(text, skipSpace(text, end) + 1);
    if (key === name) return { name: at, value };
    if (key.toLowerCase() === name.toLowerCase()) similar ??= { name: at, value };
    at = afterComma(text, skipValue(text, value));
  }
  return similar;
}

function itemAt(text: string, open: number, index: number): Place | undefined {
  let at = skipSpace(text, open + 1);
  for (let i = 0; at < text.length && text[at] !== ']'; i++) {
    if (i === index) return { name: at, value: at };
    at = afterComma(text, skipValue(text, at));
  }
  return undefined;
}

function afterComma(text: string, at: number): number {
  const next = skipSpace(text, at);
  return text[next] === ',' ? skipSpace(text, next + 1) : next;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && ' \n\r\t'.includes(text[at] ?? '')) at++;
  return at;
}

function skipString(text: string, from: number): number {
  let at = from + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

function skipValue(text: string, from: number): number {
  const first = text[from];
  if (first === '"') return skipString(text, from);
  if (first !== '{' && first !== '[') {
    let at = from;
    while (at < text.length && !',]} \n\r\t'.includes(text[at] ?? '')) at++;
    return at;
  }
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const c = text[at];
    if (c === '"') at = skipString(text, at) - 1;
    else if (c === '{' || c === '[') depth++;
    else if ((c === '}' || c === ']') && --depth === 0) return at + 1;
  }
  return text.length;
}

function positionOf(text: string, at: number): Position {
  const before = text.slice(0, at);
  const start = before.lastIndexOf('\n') + 1;
  let line = 1;
  for (let i = before.indexOf('\n'); i >= 0; i = before.indexOf('\n', i + 1)) line++;
  return { line, column: at - start + 1 };
}
