// A load generator for BGP daemons: many clients on loopback addresses, each with prefixes of its own, counting what they
// hear. Messages are made before the clock starts and read without making objects.
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { address, type Address } from '../../src/lib/ip/mod.ts';
import {
  encodeAttributes,
  encodeKeepalive,
  encodeOpen,
  UpdateBuilder,
  type Attributes,
} from '../../src/bgp/packet/mod.ts';

export const serverAddress = address('10.50.0.1');
export const as = 64512;
/** Everything below is an address of this machine inside the benchmark's namespace. */
export const clientAddress = (i: number): Address => address(`10.50.${1 + (i >> 8)}.${i & 255}`);
const routerId = (i: number): number => ((10 << 24) | (50 << 16) | ((1 + (i >> 8)) << 8) | (i & 255)) >>> 0;

export type Profile = 'dense' | 'sparse';
/** Prefix number `index` is 16.0.0.0/24 and following. */
const firstWord = 0x10000000;

export class LoadClient {
  readonly index: number;
  readonly #socket: Socket;
  readonly #seen: Uint8Array;
  readonly #own: { readonly from: number; readonly to: number };
  #carry: Buffer = Buffer.alloc(0);
  state: 'opening' | 'up' | 'down' = 'opening';
  /** Different prefixes of others. */
  heard = 0;
  /** Called for every announcement, also of what was heard before. */
  onPrefix: ((prefix: number) => void) | undefined;
  bytes = 0;

  constructor(index: number, port: number, total: number, each: number) {
    this.index = index;
    this.#seen = new Uint8Array((total + 7) >> 3);
    this.#own = { from: index * each, to: (index + 1) * each };
    this.#socket = connect({ host: serverAddress, port, localAddress: clientAddress(index), noDelay: true });
    this.#socket.on('connect', () => this.#socket.write(open(index)));
    this.#socket.on('data', (chunk: Buffer) => this.#data(chunk));
    this.#socket.on('error', () => this.#end());
    this.#socket.on('close', () => this.#end());
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  close(): void {
    this.#socket.destroy();
  }

  #end(): void {
    this.state = 'down';
  }

  #data(chunk: Buffer): void {
    this.bytes += chunk.length;
    const data = this.#carry.length === 0 ? chunk : Buffer.concat([this.#carry, chunk]);
    let at = 0;
    while (at + 19 <= data.length) {
      const length = (data[at + 16]! << 8) | data[at + 17]!;
      if (at + length > data.length) break;
      const type = data[at + 18];
      if (type === 2) this.#update(data, at, at + length);
      else if (type === 1) this.#socket.write(encodeKeepalive());
      else if (type === 4) this.state = 'up';
      else if (type === 3) this.#end();
      at += length;
    }
    this.#carry = at === data.length ? Buffer.alloc(0) : Buffer.from(data.subarray(at));
  }

  #update(data: Buffer, start: number, end: number): void {
    const withdrawn = (data[start + 19]! << 8) | data[start + 20]!;
    const attributes = start + 21 + withdrawn;
    let at = attributes + 2 + ((data[attributes]! << 8) | data[attributes + 1]!);
    const { from, to } = this.#own;
    while (at < end) {
      const bits = data[at]!;
      if (bits === 24) {
        const prefix = ((data[at + 1]! << 16) | (data[at + 2]! << 8) | data[at + 3]!) - (firstWord >>> 8);
        const bit = 1 << (prefix & 7);
        const seen = this.#seen[prefix >> 3]!;
        if ((seen & bit) === 0 && (prefix < from || prefix >= to)) {
          this.#seen[prefix >> 3] = seen | bit;
          this.heard++;
        }
        this.onPrefix?.(prefix);
      }
      at += 1 + ((bits + 7) >> 3);
    }
  }
}

const open = (index: number): Uint8Array =>
  encodeOpen({
    version: 4,
    asn: as,
    holdTimeS: 240,
    routerId: routerId(index),
    capabilities: [
      { type: 'multiprotocol', afi: 1, safi: 1 },
      { type: 'route-refresh' },
      { type: 'four-octet-as', asn: as },
    ],
  });

/** UPDATEs for the prefixes `first` and following. */
export function announcements(profile: Profile, client: number, first: number, count: number): Uint8Array {
  const builder = new UpdateBuilder(4096);
  const perSet = profile === 'dense' ? count : 5;
  const parts: Uint8Array[] = [];
  for (let i = 0; i < count; ) {
    const bytes = encodeAttributes(attributesOf(profile, client, first + i), {
      as4: true,
      nextHop: 'attribute',
    });
    const end = Math.min(count, i + perSet);
    while (i < end) {
      builder.beginAnnounce(4, bytes, false);
      while (i < end && builder.add((firstWord + ((first + i) << 8)) | 0, 0, 0, 0, 24, 0)) i++;
      parts.push(builder.finish());
    }
  }
  return Buffer.concat(parts);
}

function attributesOf(profile: Profile, client: number, number: number): Attributes {
  const nextHop = clientAddress(client);
  if (profile === 'dense') return { origin: 0, asPath: [], localPref: 100, nextHop };
  return {
    origin: 0,
    asPath: [{ type: 'sequence', asns: [65001, 65000 + (number % 400), 3_000_000 + number] }],
    localPref: 100,
    med: number % 1000,
    communities: [((65000 << 16) | (number & 0xffff)) >>> 0],
    nextHop,
  };
}

/** One prefix with a MED that nobody has seen yet. */
export function change(client: number, prefix: number, med: number): Uint8Array {
  const builder = new UpdateBuilder(4096);
  const attributes = { ...attributesOf('dense', client, prefix), med };
  builder.beginAnnounce(4, encodeAttributes(attributes, { as4: true, nextHop: 'attribute' }), false);
  builder.add((firstWord + (prefix << 8)) | 0, 0, 0, 0, 24, 0);
  return builder.finish();
}

/** Sessions of all clients. `width` at a time; all at once is a storm. */
export async function connectAll(
  count: number,
  total: number,
  each: number,
  options: { readonly port: number; readonly width: number; readonly timeoutMs: number },
): Promise<LoadClient[] | undefined> {
  const clients: (LoadClient | undefined)[] = Array.from({ length: count });
  const end = performance.now() + options.timeoutMs;
  let next = 0;
  const waiting = new Set<number>();
  for (;;) {
    while (next < count && waiting.size < options.width) {
      clients[next] = new LoadClient(next, options.port, total, each);
      waiting.add(next++);
    }
    await delay(2);
    for (const i of waiting) {
      const state = clients[i]?.state;
      if (state === 'up') waiting.delete(i);
      if (state === 'down') clients[i] = new LoadClient(i, options.port, total, each);
    }
    if (next === count && waiting.size === 0) return clients as LoadClient[];
    if (performance.now() > end) {
      for (const client of clients) client?.close();
      return undefined;
    }
  }
}

export const percentile = (sorted: readonly number[], p: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * p) / 100))] ?? 0;

/** Every client has heard of so many prefixes. */
export async function converged(
  clients: readonly LoadClient[],
  wanted: number,
  timeoutMs: number,
): Promise<boolean> {
  const end = performance.now() + timeoutMs;
  while (clients.some((c) => c.heard < wanted)) {
    if (performance.now() > end || clients.some((c) => c.state === 'down')) return false;
    await delay(1);
  }
  return true;
}

/** One prefix changes; how long until the last of the others knows, in milliseconds. Sorted. */
export async function changeTimes(
  clients: readonly LoadClient[],
  total: number,
  changes: number,
): Promise<number[]> {
  const times: number[] = [];
  const each = total / clients.length;
  await delay(200);
  for (let i = 0; i < changes; i++) {
    const sender = i % clients.length;
    const prefix = sender * each;
    let left = clients.length - 1;
    await new Promise<void>((done) => {
      const timer = setTimeout(done, 5_000);
      const started = performance.now();
      for (const client of clients) {
        client.onPrefix = (heard) => {
          if (heard !== prefix || client.index === sender) return;
          client.onPrefix = undefined;
          if (--left > 0) return;
          times.push(performance.now() - started);
          clearTimeout(timer);
          done();
        };
      }
      clients[sender]?.write(change(sender, prefix, 100 + i));
    });
    await delay(3);
  }
  return times.sort((a, b) => a - b);
}
