// Transcripts: Markdown files with what a user types in a lab and what comes back, read as tests.
//
//   ```console              commands, run once           ```console eventually     until it looks so
//   $ kubectl get nodes     outside of the lab           worker1$ ip route         on a machine
//   pod/box$ ping …         in a pod                     # exits with 1            the code, when it is not 0
//
// Output is compared by its shape. `…` stands for any text in a line or a cell; alone on a line, for any lines. `NAME=$(…)`
// keeps what a command prints for later ones. A table is compared as a table: columns by their heads, of which the transcript
// may show some, rows in order; widths do not count. Everything else line by line, blanks counted as one.
import assert from 'node:assert/strict';

export type Step = {
  readonly line: number;
  /** Where it runs: a machine, `pod/NAME`, or outside of the lab. */
  readonly place?: string;
  readonly command: string;
  readonly output: readonly string[];
  readonly code: number;
  readonly isEventual: boolean;
};
export type Transcript = {
  readonly title: string;
  readonly ids: readonly string[];
  readonly steps: readonly Step[];
};

/** `source` is the Markdown text; ids are those its headline names. */
export function parseTranscript(source: string): Transcript {
  const lines = source.split('\n');
  const title = lines.find((line) => line.startsWith('# '))?.slice(2) ?? '';
  const ids = source.match(/\b(?:SR|RS|FX|BG|CN|CT)-\d{3}\b/g) ?? [];
  const steps: Step[] = [];
  let fence: string | undefined;
  let current: (Omit<Step, 'output' | 'code'> & { output: string[]; code: number }) | undefined;
  const finish = (): void => {
    if (current === undefined) return;
    while (current.output.at(-1) === '') current.output.pop();
    steps.push(current);
    current = undefined;
  };
  for (const [i, line] of lines.entries()) {
    if (line.startsWith('```')) {
      finish();
      fence = fence === undefined ? line.slice(3).trim() : undefined;
      continue;
    }
    if (fence === undefined || !fence.startsWith('console')) continue;
    const prompt = /^((?:[\w./-]|\$(?=[A-Z]))*)\$ (.*)$/.exec(line);
    const code = /^# exits with (\d+)$/.exec(line);
    if (prompt !== null) {
      finish();
      const [, place = '', command = ''] = prompt;
      current = {
        line: i + 1,
        command,
        output: [],
        code: 0,
        isEventual: fence.includes('eventually'),
        ...(place === '' ? {} : { place }),
      };
    } else if (current?.command.endsWith('\\') === true && current.output.length === 0) {
      current = { ...current, command: `${current.command}\n${line}` };
    } else if (hereDocument(current) !== undefined) {
      current = { ...(current as NonNullable<typeof current>), command: `${current?.command}\n${line}` };
    } else if (code !== null && current !== undefined) current.code = Number(code[1]);
    else current?.output.push(line.trimEnd());
  }
  finish();
  return { title, ids: [...new Set(ids)], steps };
}

/** The end word of a here-document that is still open. */
function hereDocument(step: { readonly command: string } | undefined): string | undefined {
  const word = /<<'?(\w+)'?/.exec(step?.command ?? '')?.[1];
  return word === undefined || step?.command.split('\n').slice(1).includes(word) === true ? undefined : word;
}

/** Fails with both texts when the output does not have the shape that is expected. */
export function compareOutput(place: string, expected: readonly string[], actual: string): void {
  const problem = differenceOf(expected, actual);
  assert.equal(
    problem,
    undefined,
    `${place}\n${problem}\n── expected ──\n${expected.join('\n')}\n── actual ──\n${actual}`,
  );
}

export function differenceOf(expected: readonly string[], actual: string): string | undefined {
  if (expected.length === 0) return undefined;
  const lines = actual.split('\n').map((line) => line.trimEnd());
  while (lines.at(-1) === '') lines.pop();
  return matchLines(expected, lines) ?? undefined;
}

const isAny = (line: string): boolean => line.trim() === '…';
const isRule = (line: string): boolean => /^\+[-+]+\+$/.test(line.trim());

function matchLines(expected: readonly string[], actual: readonly string[]): string | undefined {
  const [first, ...rest] = expected;
  if (first === undefined) return actual.length === 0 ? undefined : `there is more: "${actual[0]}"`;
  if (isAny(first)) {
    for (let i = 0; i <= actual.length; i++)
      if (matchLines(rest, actual.slice(i)) === undefined) return undefined;
    return rest.length === 0 ? undefined : `"${rest[0]}" does not follow`;
  }
  const [line, ...more] = actual;
  if (line === undefined) return `"${first}" is missing`;
  const table = isHead(first) ? takeTable(expected, actual) : undefined;
  if (table !== undefined) return table.problem ?? matchLines(table.expected, table.actual);
  return matchText(first, line) ? matchLines(rest, more) : `"${line}" is not "${first}"`;
}

/** The head of a table of kubectl's kind, or the frame of one with bars. */
const isHead = (line: string): boolean =>
  isRule(line) ||
  /^[A-Z][A-Z0-9()_/-]*(?: [A-Z0-9()_/-]+)*(?: {2,}[A-Z0-9()_/-]+(?: [A-Z0-9()_/-]+)*)+$/.test(line);

const cellsOf = (line: string): string[] =>
  line.trim().startsWith('|')
    ? line
        .trim()
        .replace(/^\||\|$/g, '')
        .split('|')
        .map((cell) => cell.trim())
    : line.trim().split(/ {2,}/);

function takeTable(
  expected: readonly string[],
  actual: readonly string[],
): { problem?: string; expected: readonly string[]; actual: readonly string[] } | undefined {
  const ends = (lines: readonly string[]): number => {
    const at = lines.findIndex((line) => line === '');
    return at < 0 ? lines.length : at;
  };
  const framed = isRule(expected[0] ?? '');
  const body = (lines: readonly string[]): string[] =>
    lines.slice(0, ends(lines)).filter((line) => !isRule(line));
  const wanted = body(expected);
  const found = body(actual);
  if (framed !== isRule(actual[0] ?? ''))
    return { problem: 'one of both is framed', expected: [], actual: [] };
  const heads = cellsOf(wanted[0] ?? '');
  const actualHead = found[0] ?? '';
  const columns = framed ? cellsOf(actualHead) : headsOf(actualHead);
  const places = heads.map((head) => columns.indexOf(head));
  const missing = heads.find((_, i) => (places[i] ?? -1) < 0);
  const after = { expected: expected.slice(ends(expected)), actual: actual.slice(ends(actual)) };
  if (missing !== undefined) return { problem: `there is no column ${missing}`, ...after };
  const rows = found.slice(1).map((line) => (framed ? cellsOf(line) : cellsAt(line, actualHead, columns)));
  const problem = matchRows(
    wanted.slice(1),
    rows.map((cells) => places.map((at) => cells[at] ?? '')),
  );
  return { ...(problem === undefined ? {} : { problem }), ...after };
}

const headsOf = (line: string): string[] => line.trim().split(/ {2,}/);

/** Cells lie below their heads: one that is empty leaves blanks. */
function cellsAt(line: string, head: string, columns: readonly string[]): string[] {
  let at = 0;
  const begins = columns.map((column) => {
    at = head.indexOf(column, at);
    const begin = at;
    at += column.length;
    return begin;
  });
  return begins.map((begin, i) => line.slice(begin, begins[i + 1]).trim());
}

function matchRows(wanted: readonly string[], rows: readonly (readonly string[])[]): string | undefined {
  const [first, ...rest] = wanted;
  if (first === undefined)
    return rows.length === 0 ? undefined : `there are more rows: "${rows[0]?.join('  ')}"`;
  if (isAny(first)) {
    for (let i = 0; i <= rows.length; i++) if (matchRows(rest, rows.slice(i)) === undefined) return undefined;
    return `no row is "${rest[0]}"`;
  }
  const [row, ...more] = rows;
  if (row === undefined) return `the row "${first}" is missing`;
  const cells = cellsOf(first);
  const isSame = cells.length <= row.length && row.every((cell, i) => matchText(cells[i] ?? '', cell));
  return isSame ? matchRows(rest, more) : `the row "${row.join('  ')}" is not "${first}"`;
}

/** Blanks count as one; `…` is any text. */
function matchText(expected: string, actual: string): boolean {
  const plain = (text: string): string => text.trim().replace(/\s+/g, ' ');
  const pattern = plain(expected)
    .split('…')
    .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*');
  return new RegExp(`^${pattern}$`).test(plain(actual));
}
