// How the report looks: sections, tables, and the matrix.
import type { Matrix } from './matrix.ts';

export function table(rows: readonly (readonly string[])[]): string[] {
  const columns = Math.max(0, ...rows.map((r) => r.length));
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(...rows.map((row) => (row[i] ?? '').length)),
  );
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd((widths[i] ?? 0) + 2))
      .join('')
      .trimEnd(),
  );
}

export const section = (title: string, lines: readonly string[]): string[] => [
  '',
  `── ${title} ${'─'.repeat(Math.max(3, 90 - title.length))}`,
  ...lines.map((line) => `  ${line}`.trimEnd()),
];

/** A letter per pod; each cell is the TTL that the ping saw and the HTTP status. */
export function matrixLines(matrix: Matrix): string[] {
  const pods = [...new Set(matrix.cells.map((c) => c.from))];
  const letter = (i: number): string => (i < 26 ? String.fromCharCode(65 + i) : `${i + 1}`);
  const header = ['', '', ...pods.map((_, i) => letter(i))];
  const rows = pods.map((from, i) => [
    letter(i),
    `${from.address} ${from.node}`,
    ...matrix.cells
      .filter((c) => c.from === from)
      .map(({ probe, asExpected }) => {
        const ttl = probe.ttl === undefined ? '--' : String(probe.ttl);
        const status = probe.status === undefined ? '---' : String(probe.status);
        return `${ttl}/${status}${asExpected ? '' : ' !'}`;
      }),
  ]);
  return table([header, ...rows]);
}
