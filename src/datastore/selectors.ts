// Kubernetes label and field selectors (the text of `labelSelector=` and `fieldSelector=`), not Calico's selector
// language. Used by the memory and etcd drivers and by servers; the kubernetes driver passes the text on.
import { err, failure, ok, type Failure, type Result } from '../lib/result.ts';
import { storeError } from './errors.ts';
import type { ListOptions, StoreError } from './types.ts';

/** What a selection looks at. */
export type SelectedObject = {
  readonly metadata: { readonly namespace?: string; readonly labels?: Readonly<Record<string, string>> };
};
export type SelectorError = Failure<'BadSelector'>;
export type LabelMatcher = (labels: Readonly<Record<string, string>> | undefined) => boolean;
export type FieldMatcher = (object: unknown) => boolean;

type Requirement = (labels: Readonly<Record<string, string>>) => boolean;

const key = '[A-Za-z0-9][A-Za-z0-9._/-]*';
const setForm = new RegExp(`^(${key})\\s+(in|notin)\\s*\\(([^()]*)\\)$`);
const equalForm = new RegExp(`^(${key})\\s*(==|=|!=)\\s*([A-Za-z0-9._-]*)$`);
const existsForm = new RegExp(`^(!?)\\s*(${key})$`);

/** `app=web,tier!=db,env in (a,b),!legacy`. The empty text selects everything. */
export function parseLabelSelector(text: string): Result<LabelMatcher, SelectorError> {
  const requirements: Requirement[] = [];
  for (const part of splitOutsideParentheses(text)) {
    const requirement = parseRequirement(part);
    if (requirement === undefined) {
      return err(
        failure(
          'BadSelector',
          `"${part}" is not a label requirement.`,
          'Use key=value, key!=value, key in (a,b), key or !key.',
        ),
      );
    }
    requirements.push(requirement);
  }
  return ok((labels) => requirements.every((matches) => matches(labels ?? {})));
}

/** `spec.nodeName=worker1,metadata.namespace!=kube-system`. A missing field counts as the empty string. */
export function parseFieldSelector(text: string): Result<FieldMatcher, SelectorError> {
  const terms: { readonly path: readonly string[]; readonly equal: boolean; readonly value: string }[] = [];
  for (const part of text.split(',').map((p) => p.trim())) {
    if (part === '') continue;
    const match = /^([A-Za-z][A-Za-z0-9.]*)\s*(==|=|!=)\s*(.*)$/.exec(part);
    if (match === null)
      return err(
        failure('BadSelector', `"${part}" is not a field requirement.`, 'Use path=value or path!=value.'),
      );
    terms.push({ path: (match[1] ?? '').split('.'), equal: match[2] !== '!=', value: match[3] ?? '' });
  }
  return ok((object) => terms.every((t) => (fieldText(object, t.path) === t.value) === t.equal));
}

/** Whether an object is in a selection, for stores that do not select themselves. */
export function matcherOf(
  options: Pick<ListOptions, 'namespace' | 'labelSelector' | 'fieldSelector'>,
): Result<(object: SelectedObject) => boolean, StoreError> {
  const labels = parseLabelSelector(options.labelSelector ?? '');
  if (!labels.ok) return err(storeError('Invalid', labels.error.message, labels.error.hint));
  const fields = parseFieldSelector(options.fieldSelector ?? '');
  if (!fields.ok) return err(storeError('Invalid', fields.error.message, fields.error.hint));
  return ok(
    (object) =>
      (options.namespace === undefined || object.metadata.namespace === options.namespace) &&
      labels.value(object.metadata.labels) &&
      fields.value(object),
  );
}

function parseRequirement(part: string): Requirement | undefined {
  const set = setForm.exec(part);
  if (set !== null) {
    const name = set[1] ?? '';
    const values = new Set((set[3] ?? '').split(',').map((v) => v.trim()));
    if (set[2] === 'in') return (labels) => name in labels && values.has(labels[name] ?? '');
    return (labels) => !(name in labels) || !values.has(labels[name] ?? '');
  }
  const equal = equalForm.exec(part);
  if (equal !== null) {
    const name = equal[1] ?? '';
    const value = equal[3] ?? '';
    return equal[2] === '!=' ? (labels) => labels[name] !== value : (labels) => labels[name] === value;
  }
  const exists = existsForm.exec(part);
  if (exists === null) return undefined;
  const name = exists[2] ?? '';
  return exists[1] === '!' ? (labels) => !(name in labels) : (labels) => name in labels;
}

function splitOutsideParentheses(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i <= text.length; i++) {
    const c = text[i];
    if (c === '(') depth++;
    else if (c === ')') depth--;
    else if (c === undefined || (c === ',' && depth === 0)) {
      parts.push(text.slice(start, i).trim());
      start = i + 1;
    }
  }
  return parts.filter((part) => part !== '');
}

function fieldText(object: unknown, path: readonly string[]): string {
  let value: unknown = object;
  for (const step of path) {
    if (typeof value !== 'object' || value === null) return '';
    value = (value as Readonly<Record<string, unknown>>)[step];
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : '';
}
