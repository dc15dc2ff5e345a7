// Watch: a stream of changes after a revision, one JSON object per line.
//
// A watcher keeps no queue of its own. It holds a position in the store's history and takes from there as fast as its
// socket does; one that falls behind what is kept gets an Expired error, one whose socket does not move is cut off.
import type { ServerResponse } from 'node:http';
import { stringifyJson } from '../../lib/json.ts';
import { ok, type Result } from '../../lib/result.ts';
import type { Timer } from '../../lib/clock.ts';
import type { Api } from '../api.ts';
import type { Call, Target } from '../http/call.ts';
import type { Form } from '../http/media.ts';
import type { JsonObject } from '../json.ts';
import type { Selection } from '../selectors.ts';
import { expired, refuse, statusBody, type StatusError } from '../status.ts';
import type { Change, ChangeFeed, Stored } from '../store/types.ts';
import { columnDefinitions, metadataOnly, rowOf, table } from '../table/render.ts';
import { groupVersionOf, resourceKeyOf, type ServedKind, storageOf } from '../types.ts';
import { shownAs } from './present.ts';
import { limitToTiers, readRevision, readSelection } from './read.ts';

const bookmarkEveryMs = 30_000;
const defaultTimeoutMs = 45 * 60_000;
/** What a turn writes before others get theirs. */
const turnBytes = 256 * 1024;

type WatchRequest = {
  readonly from: number;
  /** State to send before changes. */
  readonly initial: readonly Stored[] | undefined;
  readonly marksInitialEnd: boolean;
  readonly bookmarks: boolean;
  readonly timeoutMs: number;
  readonly selection: Selection;
};

function readRequest(
  api: Api,
  { kind, namespace, name }: Target,
  query: URLSearchParams,
): Result<WatchRequest, StatusError> {
  const fields = query.get('fieldSelector') ?? '';
  if (name !== undefined)
    query.set('fieldSelector', fields === '' ? `metadata.name=${name}` : `${fields},metadata.name=${name}`);
  const selection = readSelection(query);
  if (!selection.ok) return selection;
  const asked = readRevision(query.get('resourceVersion'));
  if (!asked.ok) return asked;
  const bookmarks = query.get('allowWatchBookmarks') === 'true';
  const initialEvents = query.get('sendInitialEvents');
  if (initialEvents === 'true' && (!bookmarks || query.get('resourceVersionMatch') !== 'NotOlderThan')) {
    return refuse(
      'Invalid',
      'sendInitialEvents: Forbidden: sendInitialEvents needs allowWatchBookmarks and resourceVersionMatch=NotOlderThan',
    );
  }
  const current = api.store.revision;
  // A revision of the future comes from another database (data was removed): the client has to list again.
  if ((asked.value ?? 0) > current) return expired(asked.value ?? 0, current);
  const wantsState = initialEvents === 'true' || (initialEvents === null && (asked.value ?? 0) === 0);
  const from = wantsState || asked.value === undefined || asked.value === 0 ? current : asked.value;
  const seconds = Number(query.get('timeoutSeconds') ?? 0);
  return ok({
    from,
    initial: wantsState
      ? api.store
          .list(resourceKeyOf(storageOf(kind)), namespace)
          .filter((stored) => selection.value.matches(stored.object))
      : undefined,
    marksInitialEnd: initialEvents === 'true',
    bookmarks,
    timeoutMs:
      Number.isFinite(seconds) && seconds > 0
        ? Math.min(seconds, 86_400) * 1000
        : defaultTimeoutMs * (0.8 + 0.4 * Math.random()),
    selection: selection.value,
  });
}

/** Starts the stream; a refusal is answered as any other. */
export function watch(api: Api, target: Target, call: Call): Result<'streaming', StatusError> {
  const limited = limitToTiers(api, target, 'watch', call);
  if (!limited.ok) return limited;
  const request = readRequest(api, target, call.query);
  if (!request.ok) return request;
  new Watcher(api, target, call, request.value).start();
  return ok('streaming');
}

class Watcher {
  readonly #api: Api;
  readonly #kind: ServedKind;
  readonly #namespace: string | undefined;
  readonly #response: ServerResponse;
  readonly #form: Form;
  readonly #request: WatchRequest;
  readonly #feed: ChangeFeed;
  readonly #timers: Timer[] = [];
  #initial: number;
  #definitionsSent = false;
  #blockedSinceMs: number | undefined;
  #scheduled = false;
  #ended = false;
  #lastBookmark = 0;

  constructor(api: Api, target: Target, call: Call, request: WatchRequest) {
    this.#api = api;
    this.#kind = target.kind;
    this.#namespace = target.kind.namespaced ? target.namespace : undefined;
    this.#response = call.response;
    this.#form = call.accepted.form;
    this.#request = request;
    this.#initial = request.initial === undefined ? -1 : 0;
    this.#feed = api.store.feed(resourceKeyOf(storageOf(target.kind)), request.from, () => this.#wake());
  }

  start(): void {
    const { clock, stopping } = this.#api;
    this.#response.writeHead(200, {
      'content-type': 'application/json',
      'cache-control': 'no-cache, private',
    });
    this.#response.flushHeaders();
    this.#response.on('drain', () => {
      this.#blockedSinceMs = undefined;
      this.#wake();
    });
    const end = (): void => this.#end();
    this.#response.on('close', end);
    this.#response.on('error', end);
    stopping.addEventListener('abort', end, { once: true });
    this.#response.on('close', () => stopping.removeEventListener('abort', end));
    this.#timers.push(clock.after(this.#request.timeoutMs, () => this.#timeout()));
    this.#tick();
    this.#turn();
  }

  /** Bookmarks, and the check for sockets that do not move. */
  #tick(): void {
    const { clock, limits, logger } = this.#api;
    const everyMs = Math.min(bookmarkEveryMs, limits.stalledWatchMs);
    const timer = clock.after(everyMs, () => {
      if (this.#ended) return;
      this.#timers.splice(1, 1);
      if (
        this.#blockedSinceMs !== undefined &&
        clock.monotonic() - this.#blockedSinceMs >= limits.stalledWatchMs
      ) {
        logger.warn('A watcher does not read and is disconnected', { resource: resourceKeyOf(this.#kind) });
        this.#response.destroy();
        return;
      }
      this.#bookmark();
      this.#tick();
    });
    this.#timers.push(timer);
  }

  #wake(): void {
    if (this.#scheduled || this.#ended || this.#blockedSinceMs !== undefined) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#turn();
    });
  }

  /** Writes what is there until the socket is full or the turn is over. */
  #turn(): void {
    if (this.#ended || this.#blockedSinceMs !== undefined) return;
    let bytes = 0;
    this.#response.cork();
    let more = true;
    while (more && bytes < turnBytes) {
      const line = this.#nextLine();
      if (line === undefined) more = false;
      else if (line !== '') {
        bytes += line.length;
        this.#response.write(line);
      }
      if (this.#ended) break;
    }
    this.#response.uncork();
    if (this.#ended) return;
    if (this.#response.writableNeedDrain) this.#blockedSinceMs = this.#api.clock.monotonic();
    else if (more) this.#wake();
  }

  /** The next line to write, '' for a change that does not concern this watcher, undefined when there is none. */
  #nextLine(): string | undefined {
    const { initial, marksInitialEnd } = this.#request;
    if (initial !== undefined && this.#initial >= 0) {
      const stored = initial[this.#initial++];
      if (stored !== undefined) return this.#line('ADDED', stored);
      this.#initial = -1;
      if (marksInitialEnd) return this.#bookmarkLine({ 'k8s.io/initial-events-end': 'true' });
    }
    const change = this.#feed.next();
    if (change === undefined) return undefined;
    if (change === 'expired') {
      const { error } = expired(this.#feed.seen, this.#api.store.compacted);
      this.#response.end(`${JSON.stringify({ type: 'ERROR', object: statusBody(error) })}\n`);
      this.#end();
      return undefined;
    }
    return this.#changeLine(change);
  }

  #changeLine({ type, current, previous }: Change): string {
    if (this.#namespace !== undefined && current.namespace !== this.#namespace) return '';
    const { everything, matches, name } = this.#request.selection;
    if (name !== undefined && current.name !== name) return '';
    if (everything) return this.#line(type, current);
    // What leaves the selection is deleted for this watcher, what enters it is added.
    const before = previous !== undefined && matches(previous.object);
    const after = type !== 'DELETED' && matches(current.object);
    if (after) return this.#line(before ? 'MODIFIED' : 'ADDED', current);
    if (!before || previous === undefined) return '';
    if (type === 'DELETED') return this.#line('DELETED', current);
    const object = {
      ...previous.object,
      metadata: { ...previous.object.metadata, resourceVersion: String(current.revision) },
    };
    return this.#line('DELETED', { ...previous, object, text: stringifyJson(object) });
  }

  #line(type: string, stored: Stored): string {
    const form = this.#form;
    const shown = shownAs(this.#kind, stored);
    if (form.as === 'table') {
      const row = rowOf(shown.object, this.#kind.columns, form.included, this.#api.clock.now());
      return this.#wrap(type, this.#table(stored.object.metadata.resourceVersion ?? '', [row]));
    }
    if (form.as === 'metadata') return this.#wrap(type, metadataOnly(shown.object));
    return `{"type":"${type}","object":${shown.text}}\n`;
  }

  #table(resourceVersion: string, rows: readonly JsonObject[]): JsonObject {
    const definitions = this.#definitionsSent ? undefined : columnDefinitions(this.#kind.columns);
    this.#definitionsSent = true;
    return table({ resourceVersion }, definitions, rows);
  }

  #wrap = (type: string, object: JsonObject): string => `${stringifyJson({ type, object })}\n`;

  #bookmarkLine(annotations?: Readonly<Record<string, string>>): string {
    const resourceVersion = String(Math.max(this.#feed.seen, this.#request.from));
    const metadata = {
      resourceVersion,
      creationTimestamp: null,
      ...(annotations === undefined ? {} : { annotations }),
    };
    if (this.#form.as === 'table')
      return this.#wrap('BOOKMARK', { ...this.#table(resourceVersion, []), metadata });
    const { kind } = this.#kind;
    const head =
      this.#form.as === 'metadata'
        ? { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1' }
        : { kind, apiVersion: groupVersionOf(this.#kind) };
    return this.#wrap('BOOKMARK', { ...head, metadata });
  }

  /** Only when everything before has been written: a bookmark promises that. */
  #bookmark(): void {
    // Changes of other kinds wake nobody: only a look at the history tells how far this watcher has come.
    this.#turn();
    if (
      !this.#request.bookmarks ||
      this.#ended ||
      this.#initial >= 0 ||
      this.#blockedSinceMs !== undefined ||
      this.#scheduled
    )
      return;
    if (this.#feed.seen === this.#lastBookmark) return;
    this.#lastBookmark = this.#feed.seen;
    this.#response.write(this.#bookmarkLine());
  }

  #timeout(): void {
    if (this.#ended) return;
    this.#bookmark();
    this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#feed.close();
    for (const timer of this.#timers) timer.cancel();
    if (!this.#response.writableEnded) this.#response.end();
  }
}
