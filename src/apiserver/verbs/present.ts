// One object, or many, in the form the client accepts.
import { stringifyJson } from '../../lib/json.ts';
import type { JsonObject } from '../json.ts';
import type { Api } from '../api.ts';
import type { Answer } from '../http/call.ts';
import type { Form } from '../http/media.ts';
import type { Stored } from '../store/types.ts';
import { columnDefinitions, metadataOnly, rowOf, table } from '../table/render.ts';
import { groupVersionOf, type ServedKind } from '../types.ts';

/** The object in the form of the kind that was asked for. */
export function shownAs(kind: ServedKind, stored: Stored): Pick<Stored, 'object' | 'text'> {
  if (kind.view === undefined) return stored;
  const object = kind.view.outward(stored.object);
  return { object, text: stringifyJson(object) };
}

export function presentOne(
  api: Api,
  kind: ServedKind,
  stored: Stored,
  form: Form,
  code: number,
  warnings: readonly string[] = [],
): Answer {
  const { object, text } = shownAs(kind, stored);
  if (form.as === 'table') {
    const { resourceVersion } = object.metadata;
    const rows = [rowOf(object, kind.columns, form.included, api.clock.now())];
    return { code, body: table({ resourceVersion }, columnDefinitions(kind.columns), rows), warnings };
  }
  if (form.as === 'metadata') return { code, body: metadataOnly(object), warnings };
  return { code, body: object, text, warnings };
}

export type ListMetadata = {
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
};

export function presentMany(
  api: Api,
  kind: ServedKind,
  items: readonly Stored[],
  metadata: ListMetadata,
  form: Form,
): Answer {
  if (form.as === 'table') {
    const nowMs = api.clock.now();
    const rows = items.map((item) => rowOf(shownAs(kind, item).object, kind.columns, form.included, nowMs));
    return { code: 200, body: table(metadata, columnDefinitions(kind.columns), rows) };
  }
  if (form.as === 'metadata') {
    const list: JsonObject = {
      kind: 'PartialObjectMetadataList',
      apiVersion: 'meta.k8s.io/v1',
      metadata,
      items: items.map((item) => metadataOnly(shownAs(kind, item).object)),
    };
    return { code: 200, body: list };
  }
  const head = { kind: `${kind.kind}List`, apiVersion: groupVersionOf(kind), metadata };
  // Objects are kept as JSON text: a long list is put together without writing any of them again.
  const text = `${JSON.stringify(head).slice(0, -1)},"items":[${items.map((item) => shownAs(kind, item).text).join(',')}]}`;
  return { code: 200, body: undefined, text };
}
