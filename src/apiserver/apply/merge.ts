// Merging an applied configuration into the object as it is, and taking out what nobody wants any more.
import { isObject, type JsonObject, sameJson, without } from '../json.ts';
import { type FieldSet, itemStep, memberStep, pathOf, stepsOf } from './field-set.ts';
import type { Shape } from './shape.ts';

/** The live value with everything the configuration says. */
export function mergeApplied(live: unknown, applied: unknown, shape: Shape): unknown {
  if (shape.form === 'fields' && isObject(live) && isObject(applied)) {
    const merged: Record<string, unknown> = { ...live };
    for (const [field, value] of Object.entries(applied))
      merged[field] = field in live ? mergeApplied(live[field], value, shape.field(field)) : value;
    return merged;
  }
  if (!Array.isArray(live) || !Array.isArray(applied)) return applied;
  if (shape.form === 'set')
    return [...live, ...applied.filter((item) => !live.some((one) => sameJson(one, item)))];
  return shape.form === 'items' ? mergeItems(live, applied, shape) : applied;
}

/** Items stand in the order of the configuration; those it does not name keep their place between them. */
function mergeItems(
  live: readonly unknown[],
  applied: readonly unknown[],
  shape: Extract<Shape, { form: 'items' }>,
): readonly unknown[] {
  const stepOf = (item: unknown): string => itemStep(item, shape.keys) ?? memberStep(item);
  const pending = new Set(applied.map(stepOf));
  const there = new Map(live.map((item) => [stepOf(item), item]));
  const done = new Set<string>();
  const merged: unknown[] = [];
  let next = 0;
  const takeOthers = (): void => {
    for (; next < live.length; next++) {
      const step = stepOf(live[next]);
      if (pending.has(step)) return;
      if (!done.has(step)) merged.push(live[next]);
    }
  };
  for (const item of applied) {
    takeOthers();
    const step = stepOf(item);
    merged.push(there.has(step) ? mergeApplied(there.get(step), item, shape.of) : item);
    pending.delete(step);
    done.add(step);
  }
  takeOthers();
  return merged;
}

/** The object without the fields of `dropped` that are in none of the `owned` sets; what is left empty goes as well. */
export function prune<T extends JsonObject>(
  object: T,
  shape: Shape,
  dropped: FieldSet,
  owned: readonly FieldSet[],
): T {
  if (dropped.size === 0) return object;
  const kept = new Set<string>();
  for (const set of owned) {
    for (const path of set) {
      const steps = stepsOf(path);
      for (let length = steps.length; length > 0; length--) {
        const prefix = pathOf(steps.slice(0, length));
        if (kept.has(prefix)) break;
        kept.add(prefix);
      }
    }
  }
  let result: unknown = object;
  for (const path of dropped) {
    const steps = stepsOf(path);
    const length = steps.findIndex((_, i) => !kept.has(pathOf(steps.slice(0, i + 1))));
    if (length >= 0) result = removeAt(result, shape, steps.slice(0, length + 1));
  }
  return result as T;
}

function removeAt(value: unknown, shape: Shape, [step = '', ...rest]: readonly string[]): unknown {
  if (step.startsWith('f:')) {
    const field = step.slice(2);
    if (!isObject(value) || !(field in value)) return value;
    if (rest.length === 0) return without(value, field);
    const inner = shape.form === 'fields' ? shape.field(field) : shape;
    return { ...value, [field]: removeAt(value[field], inner, rest) };
  }
  if (!Array.isArray(value)) return value;
  const isIt = (item: unknown): boolean =>
    (shape.form === 'items' ? itemStep(item, shape.keys) : memberStep(item)) === step;
  if (rest.length === 0) return value.filter((item) => !isIt(item));
  const inner = shape.form === 'items' ? shape.of : shape;
  return value.map((item: unknown) => (isIt(item) ? removeAt(item, inner, rest) : item));
}
