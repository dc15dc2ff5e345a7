// A watch over HTTP: one JSON event per line, resumed where it stopped when the server ends it in peace.
import type { IncomingMessage } from 'node:http';
import { parseJson } from '../../lib/json.ts';
import { linesOf } from '../../lib/lines.ts';
import { sleep } from '../../lib/wait.ts';
import { storeError } from '../errors.ts';
import type { Revision, StoreError } from '../types.ts';
import { errorOfStatus } from './status.ts';
import type { StoredObject } from './resources.ts';
import type { Transport } from './transport.ts';

export type RawEvent =
  | {
      readonly type: 'added' | 'modified' | 'deleted';
      readonly object: StoredObject;
      readonly revision: Revision;
    }
  | { readonly type: 'bookmark'; readonly revision: Revision }
  | { readonly type: 'error'; readonly error: StoreError };

type Line = { readonly type?: string; readonly object?: StoredObject & { readonly code?: number } };

const longestLineBytes = 64 * 1024 * 1024;
/** How long the server keeps one watch; spread, so that watches of many nodes do not end together. */
const lifetimeSeconds = (): number => Math.floor(300 + Math.random() * 300);

/** `path` has the selection already. Ends with an error event or when the signal aborts. */
export async function* watchEvents(
  transport: Transport,
  path: string,
  from: Revision,
  signal: AbortSignal,
): AsyncGenerator<RawEvent> {
  let revision = from;
  let quiet = 0;
  while (!signal.aborted) {
    const url = `${path}${path.includes('?') ? '&' : '?'}watch=true&allowWatchBookmarks=true&timeoutSeconds=${lifetimeSeconds()}&resourceVersion=${encodeURIComponent(revision)}`;
    const opened = await transport.stream(url, signal);
    if (signal.aborted) return;
    if (!opened.ok) {
      yield { type: 'error', error: opened.error };
      return;
    }
    let received = false;
    for await (const event of eventsOf(opened.value, path)) {
      if (signal.aborted) return;
      yield event;
      if (event.type === 'error') return;
      revision = event.revision;
      received = true;
    }
    if (signal.aborted) return;
    // A server that ends watches at once is not asked again at once.
    quiet = received ? 0 : quiet + 1;
    if (quiet > 0) await sleep(Math.min(5000, 100 * 2 ** quiet), signal);
  }
}

/** Ends without an error when the server ends the watch in peace. */
async function* eventsOf(response: IncomingMessage, path: string): AsyncGenerator<RawEvent> {
  const unavailable = (why: string): RawEvent => ({
    type: 'error',
    error: storeError('Unavailable', `The watch of ${path.split('?', 1)[0]} ${why}.`),
  });
  for await (const line of linesOf(response, longestLineBytes)) {
    if (!line.ok) {
      yield unavailable(line.error.code === 'CutOff' ? 'was cut off' : 'told what is no event');
      return;
    }
    const event = line.value.trim() === '' ? undefined : eventOf(line.value);
    if (event !== undefined) yield event;
  }
  if (!response.complete) yield unavailable('was cut off');
}

function eventOf(line: string): RawEvent | undefined {
  let parsed: Line;
  try {
    parsed = parseJson(line) as Line;
  } catch {
    return { type: 'error', error: storeError('Unavailable', 'An event of the watch is not JSON.') };
  }
  const { type, object } = parsed;
  if (type === 'ERROR') return { type: 'error', error: errorOfStatus(object?.code ?? 500, object, 'watch') };
  const revision = object?.metadata?.resourceVersion;
  if (object === undefined || revision === undefined) return undefined;
  if (type === 'BOOKMARK') return { type: 'bookmark', revision };
  if (type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED') {
    return {
      type: type === 'ADDED' ? 'added' : type === 'MODIFIED' ? 'modified' : 'deleted',
      object,
      revision,
    };
  }
  return undefined;
}
