// What a watcher of a selection sees of a change of a key: an object that stops matching is deleted for it, one that starts
// is added.
import type { KindName, ResourceOf } from '../../model/mod.ts';
import type { SelectedObject } from '../selectors.ts';
import type { Revision, WatchEvent } from '../types.ts';
import type { KeyEvent } from './kv.ts';
import type { KeyValue, Place, StoredObject } from './types.ts';

/** `show` reads a value, undefined when it cannot be read; it may tell of that. */
export function eventOf<K extends KindName>(
  place: Place,
  { key, after, before }: KeyEvent,
  matches: (object: SelectedObject) => boolean,
  revision: Revision,
  show: (stored: KeyValue, tell: boolean) => StoredObject | undefined,
): WatchEvent<ResourceOf<K>> | undefined {
  const name = place.nameOf(key);
  if (name === undefined) return undefined;
  const typed = (object: StoredObject): ResourceOf<K> => object as unknown as ResourceOf<K>;
  const now = after === undefined ? undefined : show(after, true);
  const then = before === undefined ? undefined : show(before, false);
  const was = then !== undefined && matches(then);
  if (now !== undefined && matches(now))
    return { type: was ? 'modified' : 'added', object: typed(now), revision };
  if (was) return { type: 'deleted', object: typed(then), revision };
  // What it was is not known any more (compacted): whoever knew it must hear of its end.
  const isUnknown =
    before === undefined && (after === undefined || after.createRevision !== after.modRevision);
  if (!isUnknown) return undefined;
  const { apiVersion, kind } = place.definition;
  return { type: 'deleted', object: typed({ apiVersion, kind, metadata: name, spec: {} }), revision };
}
