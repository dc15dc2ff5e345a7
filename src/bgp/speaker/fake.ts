// A network in memory for the speaker's transport: hosts with addresses, connections between them, on the caller's clock.
// Bytes arrive in order, a millisecond later, in pieces of a chosen size; hosts can vanish without a word.
import type { Clock } from '../../lib/clock.ts';
import type { Address } from '../../lib/ip/mod.ts';
import { err, failure, ok } from '../../lib/result.ts';
import type { Dial, Transport, Wire, WireHandlers } from './transport.ts';

const delayMs = 1;

type Listening = (wire: Wire) => void;

export class FakeNetwork {
  readonly #clock: Clock;
  readonly #listeners = new Map<string, Listening>();
  readonly #wires = new Set<FakeWire>();
  readonly #silent = new Set<Address>();
  /** How many bytes are delivered at once: small values split messages. */
  pieceBytes = 65536;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The transport of a host with one address per family it speaks. */
  transport(...addresses: readonly Address[]): Transport {
    return {
      listen: (address, port, onWire) => {
        const key = `${address} ${port}`;
        if (this.#listeners.has(key))
          return Promise.resolve(
            err({ ...failure('CannotListen', `Another program listens on ${key}.`), transient: true }),
          );
        this.#listeners.set(key, onWire);
        return Promise.resolve(
          ok({
            close: () => Promise.resolve(void this.#listeners.delete(key)),
            secure: () => undefined,
          }),
        );
      },
      dial: ({ remote, port, source }, onWire, onFailure): Dial => {
        const local = source ?? addresses.find((a) => a.includes(':') === remote.includes(':'));
        const timer = this.#clock.after(delayMs, () => {
          if (local === undefined) return onFailure({ kind: 'unreachable', detail: 'no address' });
          if (this.#silent.has(remote) || this.#silent.has(local)) return undefined;
          const listener = this.#listeners.get(`${remote} ${port}`);
          if (listener === undefined) return onFailure({ kind: 'refused' });
          const ours = new FakeWire(this.#clock, local, remote, this);
          const theirs = new FakeWire(this.#clock, remote, local, this);
          ours.join(theirs);
          theirs.join(ours);
          this.#wires.add(ours).add(theirs);
          listener(theirs);
          return onWire(ours);
        });
        return timer;
      },
      refuses: ({ password }) => (password === undefined ? undefined : 'no passwords here'),
    };
  }

  /** The host neither answers nor closes: cut cable. */
  silence(address: Address, silent = true): void {
    if (silent) this.#silent.add(address);
    else this.#silent.delete(address);
  }

  isSilent(address: Address): boolean {
    return this.#silent.has(address);
  }

  /** Closes every connection of the host, as its kernel does when the process is killed, and stops its listeners. */
  kill(address: Address): void {
    for (const key of this.#listeners.keys()) if (key.startsWith(`${address} `)) this.#listeners.delete(key);
    for (const wire of this.#wires) if (wire.localAddress === address) wire.close();
  }

  forget(wire: FakeWire): void {
    this.#wires.delete(wire);
  }
}

class FakeWire implements Wire {
  readonly localAddress: Address;
  readonly remoteAddress: Address;
  readonly queuedBytes = 0;
  readonly #clock: Clock;
  readonly #network: FakeNetwork;
  #other: FakeWire | undefined;
  #handlers: WireHandlers | undefined;
  #early: Uint8Array[] = [];
  #closed = false;
  #ended = false;

  constructor(clock: Clock, localAddress: Address, remoteAddress: Address, network: FakeNetwork) {
    this.#clock = clock;
    this.localAddress = localAddress;
    this.remoteAddress = remoteAddress;
    this.#network = network;
  }

  join(other: FakeWire): void {
    this.#other = other;
  }

  open(handlers: WireHandlers): void {
    this.#handlers = handlers;
    const early = this.#early;
    this.#early = [];
    for (const bytes of early) this.#deliver(bytes);
    if (this.#ended) this.#clock.after(0, () => this.#end());
  }

  write(chunks: readonly Uint8Array[]): void {
    if (
      this.#closed ||
      this.#network.isSilent(this.localAddress) ||
      this.#network.isSilent(this.remoteAddress)
    )
      return;
    const size = this.#network.pieceBytes;
    for (const chunk of chunks)
      for (let at = 0; at < chunk.length; at += size) {
        const piece = chunk.slice(at, at + size);
        this.#clock.after(delayMs, () => this.#other?.receive(piece));
      }
  }

  receive(bytes: Uint8Array): void {
    if (this.#closed) return;
    if (this.#handlers === undefined) this.#early.push(bytes);
    else this.#deliver(bytes);
  }

  #deliver(bytes: Uint8Array): void {
    if (!this.#closed) this.#handlers?.data(bytes);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#network.forget(this);
    if (this.#network.isSilent(this.localAddress)) return;
    this.#clock.after(delayMs, () => this.#other?.peerClosed());
  }

  peerClosed(): void {
    this.#ended = true;
    if (this.#handlers !== undefined) this.#end();
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#network.forget(this);
    this.#handlers?.closed();
  }
}
