// Numbers for Prometheus: samples with the words about them, and the text of a scrape. They are made when asked for, out of what
// is counted anyway; nothing is registered.
export type Sample = {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter' | 'summary';
  readonly value: number;
  readonly labels?: Labels;
  /** Which number of a summary it is. */
  readonly suffix?: '_sum' | '_count';
};
type Labels = Readonly<Record<string, string>>;

const sample = (
  type: Sample['type'],
  name: string,
  help: string,
  value: number,
  labels?: Labels,
): Sample => ({
  name,
  help,
  type,
  value,
  ...(labels === undefined ? {} : { labels }),
});

export const gauge = (name: string, help: string, value: number, labels?: Labels): Sample =>
  sample('gauge', name, help, value, labels);

export const counter = (name: string, help: string, value: number, labels?: Labels): Sample =>
  sample('counter', name, help, value, labels);

/** The sum and the number of what was observed. */
export const summary = (
  name: string,
  help: string,
  { sum, count }: { readonly sum: number; readonly count: number },
  labels?: Labels,
): readonly Sample[] => [
  { ...sample('summary', name, help, sum, labels), suffix: '_sum' },
  { ...sample('summary', name, help, count, labels), suffix: '_count' },
];

export const metricsType = 'text/plain; version=0.0.4';

/** The text of a scrape. Samples of one name stand together; the first has the words for all. */
export function renderSamples(samples: readonly Sample[]): string {
  const lines: string[] = [];
  for (const [name, same] of Map.groupBy(samples, (one) => one.name)) {
    const [first] = same;
    lines.push(`# HELP ${name} ${escaped(first?.help ?? '')}`, `# TYPE ${name} ${first?.type}`);
    for (const { labels = {}, suffix = '', value } of same) {
      const shown = Object.entries(labels).map(([key, text]) => `${key}="${escapedLabel(text)}"`);
      lines.push(`${name}${suffix}${shown.length === 0 ? '' : `{${shown.join(',')}}`} ${value}`);
    }
  }
  return lines.map((line) => `${line}\n`).join('');
}

const escaped = (text: string): string =>
  text.replaceAll('\\', String.raw`\\`).replaceAll('\n', String.raw`\n`);
const escapedLabel = (text: string): string => escaped(text).replaceAll('"', String.raw`\"`);
