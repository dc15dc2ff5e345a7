// What form of answer a client accepts: objects, tables, metadata only, aggregated discovery.
import type { Included } from '../table/render.ts';

export type Form =
  | { readonly as: 'object' }
  | { readonly as: 'table'; readonly included: Included }
  | { readonly as: 'metadata' }
  | { readonly as: 'discovery'; readonly version: string };

export type Accepted = { readonly form: Form };

const served = new Set(['application/json', 'application/*', '*/*']);

const includes: readonly Included[] = ['None', 'Metadata', 'Object'];

/** The first acceptable form of the Accept header; undefined when the server has none of them. */
export function negotiate(accept: string | undefined, includeObject: string | null): Accepted | undefined {
  if (accept === undefined || accept.trim() === '') return { form: { as: 'object' } };
  for (const range of accept.split(',').slice(0, 32)) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
    if (!served.has(type.toLowerCase())) continue;
    const given = new Map(
      parameters.map((part) => [part.slice(0, part.indexOf('=')), part.slice(part.indexOf('=') + 1)]),
    );
    const as = given.get('as');
    if (as === undefined) return { form: { as: 'object' } };
    const group = given.get('g');
    if (as === 'Table' && group === 'meta.k8s.io') {
      return { form: { as: 'table', included: includes.find((one) => one === includeObject) ?? 'Metadata' } };
    }
    if ((as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') && group === 'meta.k8s.io') {
      return { form: { as: 'metadata' } };
    }
    const version = given.get('v');
    if (as === 'APIGroupDiscoveryList' && (version === 'v2' || version === 'v2beta1')) {
      return { form: { as: 'discovery', version } };
    }
  }
  return undefined;
}
