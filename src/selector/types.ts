// Selectors as data: the syntax tree, frozen once parsed.
import type { Failure } from '../lib/result.ts';

export type SelectorNode =
  | { readonly kind: 'all' }
  /** True for what lives outside of namespaces; only namespace selectors of policies give it meaning. */
  | { readonly kind: 'global' }
  | { readonly kind: 'has'; readonly label: string }
  | { readonly kind: LabelOperator; readonly label: string; readonly value: string }
  | { readonly kind: 'in' | 'not-in'; readonly label: string; readonly values: readonly string[] }
  | { readonly kind: 'not'; readonly operand: SelectorNode }
  | { readonly kind: 'and' | 'or'; readonly operands: readonly SelectorNode[] };

export type LabelOperator = 'equals' | 'not-equals' | 'contains' | 'starts-with' | 'ends-with';

export type Selector = {
  readonly root: SelectorNode;
  /** Canonical text: selectors of equal meaning by spacing, quoting and set order have equal text. */
  readonly text: string;
};

/** `at` is the offset in the text where it stopped making sense. */
export type SelectorError = Failure<'BadSelector'> & { readonly at: number };

export type Labels = Readonly<Record<string, string>>;
/** Finds the value of a label, undefined when there is none: for labels that come in layers. */
export type LabelLookup = (label: string) => string | undefined;
