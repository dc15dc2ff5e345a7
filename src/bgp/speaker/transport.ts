// Connections as the speaker sees them: listen on addresses, dial from an address, exchange bytes. tcp-transport.ts is the
// real one, fake.ts the one in memory.
import type { Address } from '../../lib/ip/mod.ts';
import type { Failure, Result } from '../../lib/result.ts';
import type { DownReason } from '../fsm/mod.ts';
import type { SessionSecurity } from './types.ts';

export type WireHandlers = {
  /** The bytes are valid during the call only. */
  readonly data: (bytes: Uint8Array) => void;
  /** The end, once; `detail` says more than "closed by the peer". */
  readonly closed: (detail?: string) => void;
  /** `queuedBytes` has fallen to zero. */
  readonly drained: () => void;
};

export interface Wire {
  readonly localAddress: Address;
  readonly remoteAddress: Address;
  /** Bytes not yet taken by the kernel. */
  readonly queuedBytes: number;
  /** Starts delivery. */
  open(handlers: WireHandlers): void;
  /** The chunks must not change afterwards. */
  write(chunks: readonly Uint8Array[]): void;
  /** Sends what is queued, then closes; no handler is called any more. */
  close(): void;
}

export type DialOptions = {
  readonly remote: Address;
  readonly port: number;
  readonly source?: Address;
  readonly security?: SessionSecurity;
};
export interface Dial {
  cancel(): void;
}
/** A peer whose sessions need socket options, on the listener's side too. */
export type SecuredPeer = { readonly address: Address; readonly security: SessionSecurity };
export interface Listener {
  close(): Promise<void>;
  /** Takes the place of the peers given before; says what did not work. */
  secure(peers: readonly SecuredPeer[]): string | undefined;
}
export type ListenError = Failure<'CannotListen'> & { readonly transient: boolean };

export interface Transport {
  listen(
    address: Address,
    port: number,
    onWire: (wire: Wire) => void,
    secured?: readonly SecuredPeer[],
  ): Promise<Result<Listener, ListenError>>;
  /** Exactly one of the callbacks is called, unless cancelled. */
  dial(options: DialOptions, onWire: (wire: Wire) => void, onFailure: (reason: DownReason) => void): Dial;
  /** Why sessions with these options are impossible here; undefined when they are possible. */
  refuses(security: SessionSecurity): string | undefined;
}
