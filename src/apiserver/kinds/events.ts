// events.k8s.io/v1: the same events as those of the core group, under other field names.
import { textAt, without } from '../json.ts';
import * as core from '../schema/core.ts';
import { eventColumns } from '../table/core.ts';
import type { ApiObject, ServedKind } from '../types.ts';
import { builtin } from './builtin.ts';

/** core name → name here. */
const renamed = {
  involvedObject: 'regarding',
  message: 'note',
  reportingComponent: 'reportingController',
  count: 'deprecatedCount',
  firstTimestamp: 'deprecatedFirstTimestamp',
  lastTimestamp: 'deprecatedLastTimestamp',
  source: 'deprecatedSource',
} as const;

function rename(
  object: ApiObject,
  from: readonly string[],
  to: readonly string[],
  apiVersion: string,
): ApiObject {
  let result: ApiObject = { ...object, apiVersion };
  for (const [i, name] of from.entries()) {
    const value = result[name];
    if (value === undefined) continue;
    result = { ...without(result, name), [to[i] ?? name]: value };
  }
  return result;
}

const inner = Object.keys(renamed);
const outer = Object.values(renamed);
const outward = (object: ApiObject): ApiObject => rename(object, inner, outer, 'events.k8s.io/v1');
function inward(object: ApiObject): ApiObject {
  const event = rename(object, outer, inner, 'v1');
  // kubectl's older columns read the source.
  const component = textAt(event, 'reportingComponent');
  return event['source'] === undefined && component !== undefined
    ? { ...event, source: { component } }
    : event;
}

/** `base` is the core kind, whose objects these are. */
export function eventView(base: ServedKind): ServedKind {
  const fields = core.event.type === 'object' ? core.event.fields : {};
  const schema = {
    ...core.event,
    fields: Object.fromEntries(
      Object.entries(fields).map(([name, field]) => [
        (renamed as Record<string, string>)[name] ?? name,
        field,
      ]),
    ),
  } as typeof core.event;
  return {
    ...builtin({
      group: 'events.k8s.io',
      kind: 'Event',
      plural: 'events',
      shortNames: ['ev'],
      schema,
      columns: eventColumns.map((column) => ({
        ...column,
        value: (object: ApiObject, nowMs: number) => column.value(inward(object), nowMs),
      })),
    }),
    view: { base, outward, inward },
  };
}
