// Label and field selectors of list and watch requests, in the Kubernetes grammar.
//   labels:  a=b  a==b  a!=b  a in (x,y)  a notin (x,y)  a  !a  a>5  a<5, joined by commas
//   fields:  path=value  path==value  path!=value, joined by commas; `\,` `\=` `\\` stand for themselves
import { err, ok, type Result } from '../lib/result.ts';
import type { JsonObject } from './json.ts';
import { at } from './json.ts';
import type { ApiObject } from './types.ts';

export type Predicate = (object: ApiObject) => boolean;

type Labels = Readonly<Record<string, string>>;
type LabelTest = (labels: Labels) => boolean;

const maxSelectorLength = 16 * 1024;
const labelKey =
  /^([a-z0-9A-Z]([-a-z0-9A-Z.]*[a-z0-9A-Z])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const labelValue = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

export function parseLabelSelector(text: string): Result<LabelTest, string> {
  if (text.length > maxSelectorLength) return err('the label selector is too long');
  const tests: LabelTest[] = [];
  let rest = text.trim();
  while (rest !== '') {
    const one = requirement(rest);
    if (!one.ok) return err(`unable to parse requirement: ${one.error}`);
    tests.push(one.value.test);
    rest = one.value.rest.trim();
    if (rest === '') break;
    if (!rest.startsWith(','))
      return err(`unable to parse requirement: found '${rest.slice(0, 20)}', expected: ','`);
    rest = rest.slice(1).trim();
    if (rest === '') return err(`unable to parse requirement: found '', expected: identifier after ','`);
  }
  return ok((labels) => tests.every((test) => test(labels)));
}

const pattern = /^(!)?\s*([^\s!=<>,()]+)\s*(?:(==|=|!=|>|<)\s*([^\s,()!=<>]*)|(in|notin)\s*\(([^()]*)\))?/;

function requirement(text: string): Result<{ test: LabelTest; rest: string }, string> {
  const match = pattern.exec(text);
  if (match === null) return err(`found '${text.slice(0, 20)}', expected: !, identifier, or 'end of string'`);
  const [whole, not, key = '', operator, value = '', setOperator, set] = match;
  const rest = text.slice(whole.length);
  if (!labelKey.test(key))
    return err(`key: Invalid value: ${JSON.stringify(key)}: not a qualified label name`);
  const has = (labels: Labels): boolean => Object.hasOwn(labels, key);
  if (not !== undefined) {
    if (operator !== undefined || setOperator !== undefined)
      return err(`found '${whole}', expected: end of '!${key}'`);
    return ok({ test: (labels) => !has(labels), rest });
  }
  if (setOperator !== undefined) {
    const values = (set ?? '').split(',').map((item) => item.trim());
    const bad = values.find((item) => !labelValue.test(item));
    if (bad !== undefined) return err(`values: Invalid value: ${JSON.stringify(bad)}: not a label value`);
    const wanted = new Set(values);
    const inside = (labels: Labels): boolean => has(labels) && wanted.has(labels[key] ?? '');
    return ok({ test: setOperator === 'in' ? inside : (labels) => !inside(labels), rest });
  }
  if (operator === undefined) return ok({ test: has, rest });
  if (operator === '>' || operator === '<') {
    if (!/^-?\d+$/.test(value))
      return err(
        `values[0]: Invalid value: ${JSON.stringify(value)}: for '>', '<' operators, the value must be an integer`,
      );
    const bound = Number(value);
    const compare = (found: number): boolean => (operator === '>' ? found > bound : found < bound);
    return ok({
      test: (labels) => has(labels) && /^-?\d+$/.test(labels[key] ?? '') && compare(Number(labels[key])),
      rest,
    });
  }
  if (!labelValue.test(value))
    return err(`values[0]: Invalid value: ${JSON.stringify(value)}: not a label value`);
  if (operator === '!=') return ok({ test: (labels) => labels[key] !== value, rest });
  return ok({ test: (labels) => has(labels) && labels[key] === value, rest });
}

export type FieldTerm = { readonly path: string; readonly value: string; readonly equal: boolean };

export function parseFieldSelector(text: string): Result<readonly FieldTerm[], string> {
  if (text.length > maxSelectorLength) return err('the field selector is too long');
  const terms: FieldTerm[] = [];
  for (const part of splitUnescaped(text, ',')) {
    if (part === '') continue;
    const match = /^((?:[^\\=!]|\\.)*)(==|!=|=)((?:[^\\]|\\.)*)$/.exec(part);
    if (match === null) return err(`invalid selector: '${text}'; can't understand '${part}'`);
    const [, path = '', operator, value = ''] = match;
    if (!/^[A-Za-z][A-Za-z0-9.]*$/.test(path)) return err(`field label not supported: ${path}`);
    terms.push({ path, value: value.replace(/\\(.)/g, '$1'), equal: operator !== '!=' });
  }
  return ok(terms);
}

function splitUnescaped(text: string, separator: string): readonly string[] {
  const parts: string[] = [''];
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i);
    if (char === '\\') parts[parts.length - 1] += char + text.charAt(++i);
    else if (char === separator) parts.push('');
    else parts[parts.length - 1] += char;
  }
  return parts;
}

/** The text of a field for comparison: missing and false-like fields are '', as in Kubernetes. */
function fieldText(object: JsonObject, path: readonly string[]): string {
  const found = at(object, ...path);
  if (typeof found === 'string') return found;
  if (typeof found === 'number' || typeof found === 'boolean') return String(found);
  return '';
}

/** Other names of fields, kept for old clients. */
const fieldAliases: Readonly<Record<string, string>> = {
  'spec.host': 'spec.nodeName',
  name: 'metadata.name',
};

export function fieldPredicate(terms: readonly FieldTerm[]): Predicate {
  const tests = terms.map(({ path, value, equal }) => {
    const steps = (fieldAliases[path] ?? path).split('.');
    // An absent boolean is false: `spec.unschedulable=false` selects nodes that do not say.
    const same = (found: string): boolean => found === value || (found === '' && value === 'false');
    return (object: ApiObject): boolean => same(fieldText(object, steps)) === equal;
  });
  return (object) => tests.every((test) => test(object));
}

export type Selection = {
  readonly matches: Predicate;
  /** Set when only one name can match: saves looking at the others. */
  readonly name?: string;
  readonly everything: boolean;
};

export function parseSelection(labels: string, fields: string): Result<Selection, string> {
  const byLabel = parseLabelSelector(labels);
  if (!byLabel.ok) return byLabel;
  const terms = parseFieldSelector(fields);
  if (!terms.ok) return terms;
  const everything = labels.trim() === '' && terms.value.length === 0;
  const byField = fieldPredicate(terms.value);
  const name = terms.value.find((term) => term.path === 'metadata.name' && term.equal)?.value;
  return ok({
    everything,
    ...(name === undefined ? {} : { name }),
    matches: (object: ApiObject) =>
      everything || (byLabel.value(object.metadata.labels ?? {}) && byField(object)),
  });
}
