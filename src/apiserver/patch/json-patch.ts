// JSON patch (RFC 6902) over JSON pointers (RFC 6901). The target is not changed; paths that are touched are copied.
import { err, ok, type Result } from '../../lib/result.ts';
import { isObject, sameJson } from '../json.ts';

type Path = readonly string[];

/** Array.isArray that also narrows read-only lists away. */
const isArray = (value: unknown): value is readonly unknown[] => Array.isArray(value);
type Outcome = Result<unknown, string>;

const maxOperations = 10_000;

function pointer(value: unknown): Result<Path, string> {
  if (typeof value !== 'string') return err('missing JSON pointer');
  if (value === '') return ok([]);
  if (!value.startsWith('/')) return err(`"${value}" is not a JSON pointer`);
  return ok(
    value
      .slice(1)
      .split('/')
      .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~')),
  );
}

function index(step: string, length: number, forAdd: boolean): number | undefined {
  if (forAdd && step === '-') return length;
  if (!/^(0|[1-9]\d{0,8})$/.test(step)) return undefined;
  const position = Number(step);
  return position < length || (forAdd && position === length) ? position : undefined;
}

function read(document: unknown, path: Path): Outcome {
  let here = document;
  for (const step of path) {
    if (Array.isArray(here)) {
      const position = index(step, here.length, false);
      if (position === undefined) return err(`index ${step} is out of range`);
      here = here[position];
    } else if (isObject(here) && Object.hasOwn(here, step)) here = here[step];
    else return err(`missing value at /${path.join('/')}`);
  }
  return ok(here);
}

type Edit = (container: readonly unknown[] | Record<string, unknown>, step: string) => Outcome;

/** Copies the way down to the last container, edits it there. */
function edit(document: unknown, path: Path, change: Edit): Outcome {
  const [step = '', ...rest] = path;
  if (!Array.isArray(document) && !isObject(document)) return err(`missing container at /${path.join('/')}`);
  if (rest.length === 0) return change(Array.isArray(document) ? [...document] : { ...document }, step);
  const inner = read(document, [step]);
  if (!inner.ok) return inner;
  const changed = edit(inner.value, rest, change);
  if (!changed.ok) return changed;
  if (Array.isArray(document)) return ok(document.with(Number(step), changed.value));
  return ok({ ...document, [step]: changed.value });
}

function add(document: unknown, path: Path, value: unknown): Outcome {
  if (path.length === 0) return ok(value);
  return edit(document, path, (container, step) => {
    if (!isArray(container)) return ok({ ...container, [step]: value });
    const position = index(step, container.length, true);
    return position === undefined
      ? err(`index ${step} is out of range`)
      : ok(container.toSpliced(position, 0, value));
  });
}

function remove(document: unknown, path: Path): Outcome {
  const there = read(document, path);
  if (!there.ok) return there;
  if (path.length === 0) return ok(null);
  return edit(document, path, (container, step) => {
    if (Array.isArray(container)) return ok(container.toSpliced(Number(step), 1));
    const { [step]: _, ...rest } = container as Record<string, unknown>;
    return ok(rest);
  });
}

function replace(document: unknown, path: Path, value: unknown): Outcome {
  const there = read(document, path);
  if (!there.ok) return there;
  if (path.length === 0) return ok(value);
  return edit(document, path, (container, step) =>
    ok(isArray(container) ? container.with(Number(step), value) : { ...container, [step]: value }),
  );
}

function apply(document: unknown, operation: unknown): Outcome {
  if (!isObject(operation)) return err('an operation must be an object');
  const path = pointer(operation['path']);
  if (!path.ok) return path;
  switch (operation['op']) {
    case 'add':
      return add(document, path.value, operation['value']);
    case 'remove':
      return remove(document, path.value);
    case 'replace':
      return replace(document, path.value, operation['value']);
    case 'test': {
      const there = read(document, path.value);
      const found = there.ok ? there.value : null;
      return sameJson(found, operation['value'])
        ? ok(document)
        : err(`testing path ${String(operation['path'])}: the value is another`);
    }
    case 'move':
    case 'copy': {
      const from = pointer(operation['from']);
      if (!from.ok) return from;
      const there = read(document, from.value);
      if (!there.ok) return there;
      if (operation['op'] === 'copy') return add(document, path.value, there.value);
      const taken = remove(document, from.value);
      return taken.ok ? add(taken.value, path.value, there.value) : taken;
    }
    default:
      return err(`unknown operation ${JSON.stringify(operation['op'])}`);
  }
}

export function jsonPatch(target: unknown, patch: unknown): Outcome {
  if (!Array.isArray(patch)) return err('a JSON patch is a list of operations');
  if (patch.length > maxOperations)
    return err(`the allowed maximum operations in a JSON patch is ${maxOperations}`);
  let document = target;
  for (const operation of patch) {
    const next = apply(document, operation);
    if (!next.ok) return next;
    document = next.value;
  }
  return ok(document);
}
