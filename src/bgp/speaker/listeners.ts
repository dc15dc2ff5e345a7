// Listening sockets: one per own address. An address that is not on the host yet, or a port that is still taken, is tried
// again; what does not work is told.
import type { Clock, Timer } from '../../lib/clock.ts';
import { address, type Address } from '../../lib/ip/mod.ts';
import type { Logger } from '../../lib/log.ts';
import type { Listener, SecuredPeer, Transport, Wire } from './transport.ts';

const retryMs = 1_000;
const everyAddress: readonly Address[] = [address('0.0.0.0'), address('::')];

type Entry = {
  readonly address: Address;
  readonly port: number;
  listener?: Listener;
  problem?: string;
  retry?: Timer;
  closed: boolean;
};

export class Listeners {
  readonly #transport: Transport;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onWire: (wire: Wire) => void;
  readonly #entries = new Map<string, Entry>();
  #secured: readonly SecuredPeer[] = [];

  constructor(options: { transport: Transport; clock: Clock; logger: Logger; onWire: (wire: Wire) => void }) {
    this.#transport = options.transport;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#onWire = options.onWire;
  }

  /** Listens on exactly these; on every address of the host when there are none. Resolves when each has been tried once.
   *  `secured`: peers that may only come with their password or from near by. */
  async set(
    addresses: readonly Address[],
    port: number,
    secured: readonly SecuredPeer[] = [],
  ): Promise<void> {
    this.#secured = secured;
    for (const entry of this.#entries.values()) this.#secure(entry);
    const list = addresses.length > 0 ? addresses : everyAddress;
    await this.#keep(new Map(list.map((address) => [`${address} ${port}`, address])), port);
  }

  async #keep(wanted: ReadonlyMap<string, Address>, port: number): Promise<void> {
    const closing: Promise<void>[] = [];
    for (const [key, entry] of this.#entries) {
      if (wanted.has(key)) continue;
      this.#entries.delete(key);
      closing.push(close(entry));
    }
    await Promise.all(closing);
    const opening: Promise<void>[] = [];
    for (const [key, own] of wanted) {
      if (this.#entries.has(key)) continue;
      const entry: Entry = { address: own, port, closed: false };
      this.#entries.set(key, entry);
      opening.push(this.#open(entry));
    }
    await Promise.all(opening);
  }

  #secure(entry: Entry): void {
    const why = entry.listener?.secure(this.#secured);
    if (why === undefined) return;
    entry.problem = why;
    this.#logger.error('cannot secure the listener', { address: entry.address, reason: why });
  }

  async close(): Promise<void> {
    await this.#keep(new Map(), 0);
  }

  status(): { readonly address: Address; readonly port: number; readonly problem?: string }[] {
    return [...this.#entries.values()].map(({ address, port, problem }) =>
      problem === undefined ? { address, port } : { address, port, problem },
    );
  }

  async #open(entry: Entry): Promise<void> {
    const { address, port } = entry;
    const result = await this.#transport.listen(address, port, this.#onWire, this.#secured);
    if (result.ok) {
      delete entry.problem;
      entry.listener = result.value;
      if (entry.closed) await result.value.close();
      else this.#secure(entry);
      return;
    }
    const { message, hint, transient } = result.error;
    if (entry.problem === undefined)
      this.#logger.error('cannot listen', { address, port, reason: message, hint });
    entry.problem = hint === undefined ? message : `${message} ${hint}`;
    if (transient && !entry.closed) entry.retry = this.#clock.after(retryMs, () => void this.#open(entry));
  }
}

async function close(entry: Entry): Promise<void> {
  entry.closed = true;
  entry.retry?.cancel();
  await entry.listener?.close();
}
