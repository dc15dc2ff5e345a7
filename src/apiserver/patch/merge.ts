// JSON merge patch (RFC 7386): objects merge, null removes, everything else replaces.
import { isObject, type JsonObject } from '../json.ts';

export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: Record<string, unknown> = { ...(isObject(target) ? target : {}) };
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) delete result[field];
    else result[field] = mergePatch(result[field], value);
  }
  return result satisfies JsonObject;
}
