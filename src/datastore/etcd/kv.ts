// etcd's keys and values in plain words: ranges, one compare-and-write at a time, a watch. Base64 and the gateway's names
// stay in here.
import { linesOf } from '../../lib/lines.ts';
import { ok, type Result } from '../../lib/result.ts';
import { storeError } from '../errors.ts';
import type { StoreError } from '../types.ts';
import type { Gateway } from './gateway.ts';
import { errorOfStatus, type GatewayStatus } from './status.ts';
import type { KeyRange, KeyValue } from './types.ts';

type RawKeyValue = {
  readonly key?: string;
  readonly value?: string;
  readonly create_revision?: string;
  readonly mod_revision?: string;
  readonly lease?: string;
};
type RawHeader = { readonly revision?: string };
type RawRange = { readonly kvs?: readonly RawKeyValue[]; readonly more?: boolean };
type RawEvent = { readonly type?: string; readonly kv?: RawKeyValue; readonly prev_kv?: RawKeyValue };
type RawWatch = {
  readonly header?: RawHeader;
  readonly created?: boolean;
  readonly canceled?: boolean;
  readonly compact_revision?: string;
  readonly cancel_reason?: string;
  readonly events?: readonly RawEvent[];
};
type RawStream = {
  readonly result?: RawWatch;
  readonly error?: GatewayStatus & { readonly grpc_code?: number };
};

export type Listed = {
  readonly items: readonly KeyValue[];
  readonly revision: string;
  readonly more: boolean;
};
/** The key as it must be for a write: absent, or last written at a revision. */
export type Condition = { readonly absent: true } | { readonly modRevision: string };
export type Change = { readonly put: string; readonly ttlSeconds?: number } | { readonly delete: true };
/** `revision` of what was written, or what is there in place of what the condition says. */
export type Written =
  | { readonly done: true; readonly revision: string }
  | { readonly done: false; readonly found: KeyValue | undefined };
export type KeyEvent = {
  readonly key: string;
  readonly revision: string;
  readonly after?: KeyValue;
  readonly before?: KeyValue;
};
export type WatchMessage =
  | { readonly type: 'events'; readonly events: readonly KeyEvent[] }
  /** Everything up to the revision was sent. */
  | { readonly type: 'progress'; readonly revision: string }
  | { readonly type: 'error'; readonly error: StoreError };

const listTimeoutMs = 60_000;
const longestLineBytes = 256 * 1024 * 1024;

const encoded = (text: string): string => Buffer.from(text, 'utf8').toString('base64');
const decoded = (text: string | undefined): string => Buffer.from(text ?? '', 'base64').toString('utf8');
const keyValueOf = (raw: RawKeyValue): KeyValue => ({
  key: decoded(raw.key),
  value: decoded(raw.value),
  createRevision: raw.create_revision ?? '0',
  modRevision: raw.mod_revision ?? '0',
});

export class KeyValueStore {
  readonly #gateway: Gateway;

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  /** The values of all these keys that exist, as of one moment. */
  async read(
    keys: readonly string[],
    signal?: AbortSignal,
  ): Promise<Result<readonly KeyValue[], StoreError>> {
    const [first] = keys;
    if (first === undefined) return ok([]);
    if (keys.length === 1) {
      const read = await this.#gateway.json(
        '/v3/kv/range',
        { key: encoded(first) },
        { signal, isRead: true },
      );
      return read.ok ? ok(((read.value as RawRange).kvs ?? []).map(keyValueOf)) : read;
    }
    const success = keys.map((key) => ({ request_range: { key: encoded(key) } }));
    const read = await this.#gateway.json('/v3/kv/txn', { success }, { signal, isRead: true });
    if (!read.ok) return read;
    const { responses = [] } = read.value as { responses?: readonly { response_range?: RawRange }[] };
    return ok(responses.flatMap(({ response_range: range }) => (range?.kvs ?? []).map(keyValueOf)));
  }

  /** In order of keys; at an earlier revision when one is given, after a key when one is given. */
  async list(
    range: KeyRange,
    options: {
      readonly limit?: number;
      readonly revision?: string;
      readonly after?: string;
      readonly keysOnly?: boolean;
      readonly signal?: AbortSignal | undefined;
    } = {},
  ): Promise<Result<Listed, StoreError>> {
    const body = {
      key: encoded(options.after === undefined ? range.start : `${options.after}\0`),
      range_end: encoded(range.end),
      ...(options.limit === undefined ? {} : { limit: String(options.limit) }),
      ...(options.revision === undefined ? {} : { revision: options.revision }),
      ...(options.keysOnly ? { keys_only: true } : {}),
    };
    const asked = { signal: options.signal, isRead: true, timeoutMs: listTimeoutMs };
    const read = await this.#gateway.json('/v3/kv/range', body, asked);
    if (!read.ok) return read;
    const raw = read.value as RawRange & { header?: RawHeader };
    return ok({
      items: (raw.kvs ?? []).map(keyValueOf),
      revision: options.revision ?? raw.header?.revision ?? '0',
      more: raw.more ?? false,
    });
  }

  /** All changes, or none when one of the keys is not as its condition says; then what was found of the first key. */
  async write(
    changes: readonly { readonly key: string; readonly change: Change; readonly condition?: Condition }[],
    signal?: AbortSignal,
  ): Promise<Result<Written, StoreError>> {
    const success: unknown[] = [];
    for (const { key, change } of changes) {
      if ('delete' in change) {
        success.push({ request_delete_range: { key: encoded(key) } });
        continue;
      }
      const lease =
        change.ttlSeconds === undefined ? ok(undefined) : await this.#lease(change.ttlSeconds, signal);
      if (!lease.ok) return lease;
      success.push({
        request_put: {
          key: encoded(key),
          value: encoded(change.put),
          ...(lease.value === undefined ? {} : { lease: lease.value }),
        },
      });
    }
    const compare = changes.flatMap(({ key, condition }) => {
      if (condition === undefined) return [];
      const target =
        'absent' in condition
          ? { target: 'CREATE', create_revision: '0' }
          : { target: 'MOD', mod_revision: condition.modRevision };
      return [{ key: encoded(key), result: 'EQUAL', ...target }];
    });
    const failure = [{ request_range: { key: encoded(changes[0]?.key ?? '') } }];
    const answer = await this.#gateway.json(
      '/v3/kv/txn',
      { compare, success, failure },
      { signal, isRead: false },
    );
    if (!answer.ok) return answer;
    const { header, succeeded, responses } = answer.value as {
      header?: RawHeader;
      succeeded?: boolean;
      responses?: readonly { response_range?: RawRange }[];
    };
    if (succeeded) return ok({ done: true, revision: header?.revision ?? '0' });
    const found = responses?.[0]?.response_range?.kvs?.[0];
    return ok({ done: false, found: found === undefined ? undefined : keyValueOf(found) });
  }

  async #lease(
    ttlSeconds: number,
    signal: AbortSignal | undefined,
  ): Promise<Result<string | undefined, StoreError>> {
    const body = { TTL: String(ttlSeconds) };
    const granted = await this.#gateway.json('/v3/lease/grant', body, { signal, isRead: false });
    return granted.ok ? ok((granted.value as { ID?: string }).ID) : granted;
  }

  /** The revision of the last write. */
  async revision(signal?: AbortSignal): Promise<Result<string, StoreError>> {
    const listed = await this.list({ start: '/', end: '/\0' }, { keysOnly: true, signal });
    return listed.ok ? ok(listed.value.revision) : listed;
  }

  /** Forgets what was before the revision; TooOld when that is forgotten already. */
  async compact(revision: string, signal?: AbortSignal): Promise<Result<void, StoreError>> {
    const done = await this.#gateway.json('/v3/kv/compaction', { revision }, { signal, isRead: true });
    return done.ok ? ok(undefined) : done;
  }

  /** Changes after `from`. Ends with an error, or when the signal aborts. */
  async *watch(range: KeyRange, from: string, signal: AbortSignal): AsyncGenerator<WatchMessage> {
    const request = {
      create_request: {
        key: encoded(range.start),
        range_end: encoded(range.end),
        start_revision: String(BigInt(from) + 1n),
        progress_notify: true,
        prev_kv: true,
      },
    };
    const opened = await this.#gateway.stream('/v3/watch', request, signal);
    if (!opened.ok) {
      if (!signal.aborted) yield { type: 'error', error: opened.error };
      return;
    }
    for await (const line of linesOf(opened.value, longestLineBytes)) {
      if (signal.aborted) return;
      if (!line.ok) break;
      if (line.value.trim() === '') continue;
      const message = messageOf(line.value, from);
      if (message === undefined) break;
      if (message === 'nothing') continue;
      if (message.type === 'error') this.#gateway.leave();
      if (message.type === 'error' && message.error.code === 'Unauthorized') this.#gateway.forgetToken();
      yield message;
      if (message.type === 'error') return;
    }
    if (signal.aborted) return;
    // etcd ends no watch in peace.
    this.#gateway.leave();
    yield { type: 'error', error: cutOff };
  }
}

const cutOff = storeError('Unavailable', 'The watch was cut off by etcd or the network.');

function messageOf(line: string, from: string): WatchMessage | 'nothing' | undefined {
  let parsed: RawStream;
  try {
    parsed = JSON.parse(line) as RawStream;
  } catch {
    return undefined;
  }
  const { result, error } = parsed;
  if (error !== undefined)
    return {
      type: 'error',
      error: errorOfStatus({ ...error, code: error.code ?? error.grpc_code ?? 0 }, 'watch'),
    };
  if (result === undefined) return undefined;
  const revision = result.header?.revision ?? '0';
  // A store that was put back to an earlier state has not come to `from` yet, and would be silent until it does.
  if (result.created && !result.canceled && BigInt(revision) < BigInt(from))
    return { type: 'error', error: tooOld(`revision ${from} is not known to this etcd`) };
  if (result.canceled) {
    if (result.compact_revision !== undefined && result.compact_revision !== '0')
      return { type: 'error', error: tooOld(`changes since revision ${from} were compacted`) };
    const why = result.cancel_reason ?? 'etcd ended the watch';
    const code = /permission denied/.test(why)
      ? 'Forbidden'
      : /auth token/.test(why)
        ? 'Unauthorized'
        : 'Unavailable';
    return { type: 'error', error: storeError(code, `The watch ended: ${why}.`) };
  }
  if (result.events !== undefined && result.events.length > 0)
    return { type: 'events', events: result.events.map(eventOf) };
  return result.created ? 'nothing' : { type: 'progress', revision };
}

const tooOld = (why: string): StoreError =>
  storeError('TooOld', `The watch cannot go on: ${why}.`, 'List again.');

function eventOf({ type, kv = {}, prev_kv: previous }: RawEvent): KeyEvent {
  const current = keyValueOf(kv);
  return {
    key: current.key,
    revision: current.modRevision,
    ...(type === 'DELETE' ? {} : { after: current }),
    ...(previous === undefined ? {} : { before: keyValueOf(previous) }),
  };
}
