// Patches as Kubernetes defines them, over plain JSON: merge (RFC 7386) and JSON patch (RFC 6902). A strategic patch is
// taken only where it means the same as a merge patch (no lists): merging lists needs each type's merge keys, which a
// server has.
import { err, failure, ok, type Failure, type Result } from '../lib/result.ts';
import type { PatchType } from './types.ts';

export type PatchError = Failure<'BadPatch' | 'NotSupported'>;
type Json = unknown;
type JsonObject = Record<string, unknown>;

const isObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const bad = (message: string): { ok: false; error: PatchError } => err(failure('BadPatch', message));

/** The patched value; the input is not changed. */
export function applyPatch(type: PatchType, target: Json, body: Json): Result<Json, PatchError> {
  if (type === 'json') return applyJsonPatch(structuredClone(target), body);
  if (type === 'strategic' && holdsList(body)) {
    return err(
      failure(
        'NotSupported',
        'A strategic patch of lists needs a server that knows the merge keys.',
        'Use a merge or JSON patch.',
      ),
    );
  }
  return ok(mergePatch(target, body));
}

export function mergePatch(target: Json, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const result: JsonObject = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

function holdsList(value: Json): boolean {
  if (Array.isArray(value)) return true;
  return isObject(value) && Object.values(value).some(holdsList);
}

function applyJsonPatch(document: Json, body: Json): Result<Json, PatchError> {
  if (!Array.isArray(body)) return bad('A JSON patch is a list of operations.');
  let current = document;
  for (const operation of body as readonly Json[]) {
    if (!isObject(operation) || typeof operation['path'] !== 'string')
      return bad('An operation of a JSON patch has "op" and "path".');
    const result = applyOperation(current, operation, operation['path']);
    if (!result.ok) return result;
    current = result.value;
  }
  return ok(current);
}

function applyOperation(document: Json, operation: JsonObject, path: string): Result<Json, PatchError> {
  const from = operation['from'];
  switch (operation['op']) {
    case 'add':
      return add(document, path, structuredClone(operation['value']));
    case 'remove':
      return remove(document, path);
    case 'replace': {
      const removed = remove(document, path);
      return removed.ok ? add(removed.value, path, structuredClone(operation['value'])) : removed;
    }
    case 'move':
    case 'copy': {
      if (typeof from !== 'string') return bad(`The operation "${operation['op']}" needs "from".`);
      const value = read(document, from);
      if (!value.ok) return value;
      const kept = structuredClone(value.value);
      if (operation['op'] === 'copy') return add(document, path, kept);
      const removed = remove(document, from);
      return removed.ok ? add(removed.value, path, kept) : removed;
    }
    case 'test': {
      const value = read(document, path);
      if (!value.ok) return value;
      const same = JSON.stringify(value.value) === JSON.stringify(operation['value']);
      return same ? ok(document) : bad(`The test of "${path}" failed.`);
    }
    default:
      return bad(`"${String(operation['op'])}" is not an operation of a JSON patch.`);
  }
}

const steps = (path: string): string[] =>
  path === ''
    ? []
    : path
        .slice(1)
        .split('/')
        .map((s) => s.replaceAll('~1', '/').replaceAll('~0', '~'));

function read(document: Json, path: string): Result<Json, PatchError> {
  let value = document;
  for (const step of steps(path)) {
    const inside = Array.isArray(value)
      ? (value as Json[])[Number(step)]
      : isObject(value)
        ? value[step]
        : undefined;
    if (inside === undefined) return bad(`"${path}" does not exist.`);
    value = inside;
  }
  return ok(value);
}

function add(document: Json, path: string, value: Json): Result<Json, PatchError> {
  const route = steps(path);
  const last = route.pop();
  if (last === undefined) return ok(value);
  const parent = read(document, path.slice(0, path.lastIndexOf('/')));
  if (!parent.ok) return parent;
  if (Array.isArray(parent.value)) {
    const list = parent.value as Json[];
    const index = last === '-' ? list.length : Number(last);
    if (!Number.isInteger(index) || index < 0 || index > list.length)
      return bad(`"${path}" is outside of the list.`);
    list.splice(index, 0, value);
  } else if (isObject(parent.value)) parent.value[last] = value;
  else return bad(`"${path}" has no parent that could hold it.`);
  return ok(document);
}

function remove(document: Json, path: string): Result<Json, PatchError> {
  const route = steps(path);
  const last = route.pop();
  if (last === undefined) return ok(undefined);
  const parent = read(document, path.slice(0, path.lastIndexOf('/')));
  if (!parent.ok) return parent;
  if (Array.isArray(parent.value)) {
    const index = Number(last);
    if (!Number.isInteger(index) || index < 0 || index >= parent.value.length)
      return bad(`"${path}" does not exist.`);
    parent.value.splice(index, 1);
    return ok(document);
  }
  if (!isObject(parent.value) || !(last in parent.value)) return bad(`"${path}" does not exist.`);
  delete parent.value[last];
  return ok(document);
}
