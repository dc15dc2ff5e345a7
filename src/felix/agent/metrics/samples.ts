// One number for a scrape, with the words about it.
export type Sample = {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter';
  readonly value: number;
  readonly labels?: Readonly<Record<string, string>>;
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

/** What Felix has as a summary: the sum and the number of what was observed. */
export const summary = (
  name: string,
  help: string,
  { sum, count }: { readonly sum: number; readonly count: number },
  labels?: Labels,
): readonly Sample[] => [
  counter(`${name}_sum`, `${help} In sum.`, sum, labels),
  counter(`${name}_count`, `${help} How many.`, count, labels),
];
