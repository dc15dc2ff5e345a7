// The model's checks and defaults of a kind, as the server calls them.
import { applyDefaults, type KindName, type ResourceOf, validate, validateChange } from '../../model/mod.ts';
import type { ApiObject, ServedKind } from '../types.ts';

export function modelChecks(name: KindName): Pick<ServedKind, 'applyDefaults' | 'validate'> {
  return {
    // Defaults come before validation: an object of the wrong shape goes through them unchanged and is refused after.
    applyDefaults: (object) =>
      applyDefaults(name, object as unknown as ResourceOf<KindName>) as unknown as ApiObject,
    validate: (object, previous) => {
      const issues = validate(name, object);
      return issues.length > 0 ? issues : validateChange(name, object, previous);
    },
  };
}
