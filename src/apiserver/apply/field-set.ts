// Sets of fields of an object. A path is a list of steps as the API writes them in `fieldsV1`: `f:name` a field, `k:{...}`
// the list item with these keys, `v:...` an item of a set. Sets hold paths as texts.
import { isObject, type JsonObject, sameJson } from '../json.ts';
import { stringifyJson } from '../../lib/json.ts';
import type { Shape } from './shape.ts';

export type FieldSet = ReadonlySet<string>;

const separator = '\u0000';
export const stepsOf = (path: string): readonly string[] => path.split(separator);
export const pathOf = (steps: readonly string[]): string => steps.join(separator);

/** Keys that an item may leave out, with what then counts. */
const keyDefaults: Readonly<Record<string, unknown>> = { protocol: 'TCP' };

/** The step of an item of a keyed list; undefined when it lacks a key. */
export function itemStep(item: unknown, keys: readonly string[]): string | undefined {
  if (!isObject(item)) return undefined;
  const found = [...keys].sort().map((key) => [key, item[key] ?? keyDefaults[key]] as const);
  return found.some(([, value]) => value === undefined)
    ? undefined
    : `k:${stringifyJson(Object.fromEntries(found))}`;
}
export const memberStep = (item: unknown): string => `v:${stringifyJson(item)}`;

const isEmpty = (value: unknown): boolean =>
  isObject(value) ? Object.keys(value).length === 0 : Array.isArray(value) && value.length === 0;

/** Every owned path of the value, with what is there: values as they are, items of lists as `true`. */
export function leavesOf(value: unknown, shape: Shape): Map<string, unknown> {
  const leaves = new Map<string, unknown>();
  const walk = (here: unknown, form: Shape, steps: readonly string[]): void => {
    if (form.form === 'fields' && isObject(here) && !(isEmpty(here) && steps.length > 0)) {
      for (const [field, inner] of Object.entries(here))
        if (inner !== undefined) walk(inner, form.field(field), [...steps, `f:${field}`]);
      return;
    }
    if (form.form === 'items' && Array.isArray(here) && here.length > 0) {
      const named = here.map((item: unknown) => itemStep(item, form.keys));
      if (named.every((step) => step !== undefined)) {
        for (const [i, step] of named.entries()) {
          const inner = [...steps, step];
          leaves.set(pathOf(inner), true);
          walk(here[i], form.of, inner);
        }
        return;
      }
    }
    if (form.form === 'set' && Array.isArray(here) && here.length > 0) {
      for (const item of here) leaves.set(pathOf([...steps, memberStep(item)]), true);
      return;
    }
    leaves.set(pathOf(steps), here);
  };
  walk(value, shape, []);
  return leaves;
}

/** What the server itself sets, and what names the object, belongs to nobody. */
const unowned = new Set([
  'f:apiVersion',
  'f:kind',
  'f:metadata',
  ...'name generateName namespace creationTimestamp selfLink uid generation managedFields resourceVersion deletionTimestamp deletionGracePeriodSeconds'
    .split(' ')
    .map((field) => pathOf(['f:metadata', `f:${field}`])),
]);
export const isOwnable = (path: string): boolean => {
  const [first = '', second] = stepsOf(path);
  return !unowned.has(first === 'f:metadata' && second !== undefined ? pathOf([first, second]) : first);
};

export const fieldsOf = (value: unknown, shape: Shape): FieldSet =>
  new Set([...leavesOf(value, shape).keys()].filter(isOwnable));

export type Difference = { readonly changed: FieldSet; readonly removed: FieldSet };

/** Which fields a write added or changed, and which it removed. */
export function difference(before: unknown, after: unknown, shape: Shape): Difference {
  const old = leavesOf(before, shape);
  const fresh = leavesOf(after, shape);
  const changed = new Set<string>();
  for (const [path, value] of fresh)
    if (isOwnable(path) && !(old.has(path) && sameJson(old.get(path), value))) changed.add(path);
  const removed = new Set([...old.keys()].filter((path) => isOwnable(path) && !fresh.has(path)));
  return { changed, removed };
}

export function writeFieldSet(set: FieldSet): JsonObject {
  type Tree = { [step: string]: Tree };
  const root: Tree = {};
  for (const path of [...set].sort()) {
    let here = root;
    for (const step of stepsOf(path)) here = here[step] ??= {};
    // A list item is itself owned beside what is in it.
    if ((stepsOf(path).at(-1) ?? '').startsWith('k:')) here['.'] = {};
  }
  return root;
}

export function readFieldSet(tree: unknown): FieldSet {
  const set = new Set<string>();
  const walk = (here: unknown, steps: readonly string[]): void => {
    const inner = Object.entries(isObject(here) ? here : {});
    if (inner.length === 0 && steps.length > 0) set.add(pathOf(steps));
    for (const [step, below] of inner) {
      if (step === '.') set.add(pathOf(steps));
      else walk(below, [...steps, step]);
    }
  };
  walk(tree, []);
  return set;
}

/** The path as people read it: `.spec.containers[name="web"].image`. */
export function printPath(path: string): string {
  return stepsOf(path)
    .map((step) => {
      const rest = step.slice(2);
      if (step.startsWith('f:')) return `.${rest}`;
      if (step.startsWith('v:')) return `[=${rest}]`;
      const keys = JSON.parse(rest) as Record<string, unknown>;
      const parts = Object.entries(keys).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
      return `[${parts.join(',')}]`;
    })
    .join('');
}
