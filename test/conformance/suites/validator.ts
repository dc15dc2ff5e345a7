// Suite `validator-v3`: whether a resource is accepted at its creation.
import { kindByResource, validate, validateChange } from '../../../src/model/mod.ts';

type Input = { readonly resource: { readonly apiVersion: string; readonly kind: string } };

export function answer({ resource }: Input): unknown {
  const definition = kindByResource(resource.apiVersion, resource.kind);
  if (definition === undefined) return undefined;
  const own = validate(definition.name, resource);
  const issues = own.length > 0 ? own : validateChange(definition.name, resource, undefined);
  return {
    valid: issues.length === 0,
    errors: issues.map(({ field, reason }) => `${field}: ${reason}`),
  };
}
