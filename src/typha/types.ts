// What the fan-out process and its clients say to each other, and the options of both. See docs/typha.md.
import type { SecureContextOptions } from 'node:tls';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { Failure } from '../lib/result.ts';
import type { KindName } from '../model/mod.ts';

/** Who asks; the words of metrics and logs (OT-011). */
export type ClientType = 'felix' | 'bgp';

/** Lines of JSON. A client that follows a kind gets `begin`, a `set` per object, `listed`, and from then on each change. Of an
 *  object that changed more than once before a client took it, the last state is sent only. */
export type ClientMessage =
  | { readonly hello: { readonly protocol: number; readonly host: string; readonly type: ClientType } }
  /** A second one for the same kind begins anew; `round` says which of them an answer belongs to. */
  | { readonly follow: KindName; readonly round: number }
  | { readonly leave: KindName }
  | { readonly pong: number };

export type ServerMessage =
  | {
      readonly hello: {
        readonly protocol: number;
        readonly host: string;
        readonly kinds: readonly KindName[];
      };
    }
  | { readonly begin: KindName; readonly round: number }
  | { readonly set: KindName; readonly object: StoredObject }
  /** With the last state that was known. */
  | { readonly gone: KindName; readonly object: StoredObject }
  | { readonly listed: KindName; readonly round: number }
  | { readonly ping: number }
  /** Why the connection ends. */
  | { readonly bye: string };

export type StoredObject = {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
  };
};

export const protocolVersion = 1;
/** An object is at most 1.5 MiB in etcd. */
export const longestLine = 8 * 1024 * 1024;

/** Certificates of one side, and who the other has to be: its common name, or one of its URI names. */
export type TlsSettings = Pick<SecureContextOptions, 'ca' | 'cert' | 'key'> & {
  readonly peerCommonName?: string;
  readonly peerUri?: string;
};

/** Milliseconds; NM-017 has Calico's, which are the defaults. */
export type ServerTimers = {
  readonly pingMs: number;
  readonly pongMs: number;
  readonly handshakeMs: number;
  /** How long a change may wait for a client that does not take it. */
  readonly fallBehindMs: number;
  /** A new client has that much longer for the first of everything. */
  readonly graceMs: number;
  /** Over how long the clients are sent away at the end. */
  readonly drainMs: number;
};
export const defaultTimers: ServerTimers = {
  pingMs: 10_000,
  pongMs: 60_000,
  handshakeMs: 10_000,
  fallBehindMs: 300_000,
  graceMs: 300_000,
  drainMs: 300_000,
};

export type ServerOptions = {
  readonly host?: string;
  /** 0: any that is free. */
  readonly port: number;
  /** What it calls itself. */
  readonly name: string;
  readonly tls?: TlsSettings;
  readonly kinds: readonly KindName[];
  /** More are refused, and go to another server. */
  readonly maxConnections: number;
  readonly timers?: Partial<ServerTimers>;
  readonly clock?: Clock;
  readonly logger: Logger;
};

export type ClientOptions = {
  /** `address:port` of every server that there is now; asked at each connection. */
  readonly servers: () => Promise<readonly string[]>;
  readonly host: string;
  readonly type: ClientType;
  readonly tls?: TlsSettings;
  /** How long nothing may come, and how long a line may take to go. */
  readonly readTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly logger: Logger;
};

export type TyphaError = Failure<'CannotListen' | 'BadConfig'>;
