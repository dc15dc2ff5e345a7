// Two kinds of tables: columns three blanks apart, as Go's tabwriter aligns them, and boxes drawn with lines.

/** Every cell is padded, the last one too; a column is at least five wide. */
export function plainTable(rows: readonly (readonly string[])[]): string {
  const widths = columnWidths(rows).map((width) => Math.max(5, width + 3));
  return rows.map((row) => `${row.map((cell, i) => padded(cell, widths[i] ?? 0)).join('')}\n`).join('');
}

export type Align = 'left' | 'right' | 'centre';

/** `+---+` above, below and under the head. */
export function boxedTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  align: { readonly head?: Align; readonly cells?: readonly Align[] } = {},
): string {
  const widths = columnWidths([head, ...rows]);
  const line = `+${widths.map((width) => '-'.repeat(width + 2)).join('+')}+\n`;
  const drawn = (cells: readonly string[], of: (i: number) => Align): string =>
    `|${cells.map((cell, i) => ` ${aligned(cell, widths[i] ?? 0, of(i))} `).join('|')}|\n`;
  const cells = rows.map((row) => drawn(row, (i) => align.cells?.[i] ?? 'left')).join('');
  return `${line}${drawn(head, () => align.head ?? 'centre')}${line}${cells}${rows.length === 0 ? '' : line}`;
}

const columnWidths = (rows: readonly (readonly string[])[]): readonly number[] =>
  (rows[0] ?? []).map((_, i) => rows.reduce((most, row) => Math.max(most, widthOf(row[i] ?? '')), 0));

const widthOf = (text: string): number => Array.from(text).length;
const padded = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - widthOf(text)));

function aligned(text: string, width: number, align: Align): string {
  const free = width - widthOf(text);
  if (align === 'left') return padded(text, width);
  const before = align === 'right' ? free : Math.floor(free / 2);
  return `${' '.repeat(before)}${text}${' '.repeat(free - before)}`;
}
