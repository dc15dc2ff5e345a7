// Kernel events. The netlink socket is put under libuv by public means: a `net.Socket` is made of a fresh socket pair, and
// `dup3` then replaces its descriptor by the netlink socket before the first read. Every chunk of data is one datagram, and
// libuv reads one in each turn of the event loop: the others that wait are read here, in the same turn. Else who is told of a
// link would learn of its address turns later, which on a busy machine is long enough to take that for a difference.
// When the kernel runs out of buffer it says so once (ENOBUFS) and libuv closes the stream: a new socket is opened and the
// subscriber hears `lost` after it is listening, so that reading everything again misses nothing.
import { Socket } from 'node:net';
import { ffi } from '../ffi.ts';
import { withNamespace } from '../namespace.ts';
import { decodeAddress } from '../netlink/addresses.ts';
import * as c from '../netlink/constants.ts';
import { decodeLink } from '../netlink/links.ts';
import { attributes, messages, type MessageHeader } from '../netlink/message.ts';
import { decodeFdbEntry, decodeNeighbour } from '../netlink/neighbours.ts';
import { decodeRoute } from '../netlink/routes.ts';
import { decodeRule } from '../netlink/rules.ts';
import { linkOfTcMessage } from '../netlink/tc.ts';
import { decodeTableOf } from '../nftables/messages.ts';
import { errno } from '../errors.ts';
import { enlargeReceiveBuffer, netlinkAddress } from '../netlink/socket.ts';
import type { EventGroup, KernelEvent, NftTableName, Subscription } from '../types.ts';
import type { KernelSession } from './session.ts';

const eventBufferBytes = 32 * 1024 * 1024;
/** Each loss means a full read by the subscriber: streams that fail again and again are reopened ever later. */
const firstReopenDelayMs = 5;
const lastReopenDelayMs = 320;
const calmMs = 2000;
/** Datagrams of one turn. */
const turnDatagrams = 256;
/** As large as those of libuv: the kernel cuts its messages far below that. */
const datagramBytes = 64 * 1024;

export type EventOptions = {
  /** Smaller than the default only to provoke loss in tests. */
  readonly bufferBytes?: number;
};

export function subscribe(
  session: KernelSession,
  groups: readonly EventGroup[],
  onEvent: (event: KernelEvent) => void,
  options: EventOptions = {},
): Subscription {
  const routeGroups = groups.flatMap((group) => (group === 'nftables' ? [] : c.routeGroups[group]));
  const streams: EventStream[] = [];
  const bufferBytes = options.bufferBytes ?? eventBufferBytes;
  if (routeGroups.length > 0) {
    const own = session.socket(c.NETLINK_ROUTE).portId();
    streams.push(
      new EventStream(session, c.NETLINK_ROUTE, routeGroups, bufferBytes, onEvent, (view, message) =>
        decodeRouteEvent(view, message, own),
      ),
    );
  }
  if (groups.includes('nftables')) {
    const own = session.socket(c.NETLINK_NETFILTER).portId();
    const transactions = new NftTransactions(own);
    streams.push(
      new EventStream(
        session,
        c.NETLINK_NETFILTER,
        [c.NFNLGRP_NFTABLES],
        bufferBytes,
        onEvent,
        (view, message) => transactions.read(view, message),
        () => transactions.clear(),
      ),
    );
  }
  return {
    close: () => {
      for (const stream of streams) stream.close();
    },
  };
}

type Decode = (view: DataView, message: MessageHeader) => KernelEvent | undefined;

class EventStream {
  readonly #open: () => EventSocket;
  readonly #datagram = new Uint8Array(datagramBytes);
  readonly #onEvent: (event: KernelEvent) => void;
  readonly #decode: Decode;
  /** Told when messages were lost. */
  readonly #forget: () => void;
  #socket: EventSocket;
  #closed = false;
  #openedAt = performance.now();
  #reopenDelayMs = firstReopenDelayMs;

  constructor(
    session: KernelSession,
    protocol: number,
    groups: readonly number[],
    bufferBytes: number,
    onEvent: (event: KernelEvent) => void,
    decode: Decode,
    forget: () => void = () => undefined,
  ) {
    this.#onEvent = onEvent;
    this.#decode = decode;
    this.#forget = forget;
    this.#open = () => this.#listen(openEventSocket(session.namespace.fd, protocol, groups, bufferBytes));
    this.#socket = this.#open();
  }

  close(): void {
    this.#closed = true;
    this.#socket.stream.destroy();
  }

  #listen(socket: EventSocket): EventSocket {
    const { stream } = socket;
    stream.on('data', (chunk: Uint8Array) => {
      this.#deliver(chunk);
      this.#readRest(socket);
    });
    // The reason is always the same, and 'close' follows.
    stream.on('error', () => {});
    stream.on('close', () => this.#reopen());
    stream.resume();
    return socket;
  }

  #readRest({ stream, fd }: EventSocket): void {
    const system = ffi();
    for (let read = 1; read < turnDatagrams && !this.#closed && !stream.destroyed; read++) {
      const length = system.recv(fd, this.#datagram, c.MSG_DONTWAIT);
      if (length > 0) this.#deliver(this.#datagram.slice(0, length));
      else if (length === 0 || system.errno() !== errno.EINTR) {
        // Told once, and to us: libuv would close the stream.
        if (length < 0 && system.errno() !== errno.EAGAIN) stream.destroy();
        return;
      }
    }
  }

  #reopen(): void {
    if (this.#closed) return;
    const calm = performance.now() - this.#openedAt > calmMs;
    this.#reopenDelayMs = calm ? firstReopenDelayMs : Math.min(lastReopenDelayMs, this.#reopenDelayMs * 2);
    setTimeout(() => {
      if (this.#closed) return;
      this.#forget();
      this.#socket = this.#open();
      this.#openedAt = performance.now();
      this.#onEvent({ type: 'lost' });
    }, this.#reopenDelayMs);
  }

  #deliver(chunk: Uint8Array): void {
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    for (const message of messages(view, chunk.length)) {
      const event = this.#decode(view, message);
      if (event !== undefined && !this.#closed) this.#onEvent(event);
    }
  }
}

type EventSocket = { readonly stream: Socket; readonly fd: number };

function openEventSocket(
  namespaceFd: number,
  protocol: number,
  groups: readonly number[],
  bufferBytes: number,
): EventSocket {
  const system = ffi();
  const fd = withNamespace(namespaceFd, () => system.socket(c.AF_NETLINK, c.SOCK_RAW_CLOEXEC, protocol));
  if (fd < 0) throw new Error(`cannot open an event socket: errno ${system.errno()}`);
  enlargeReceiveBuffer(fd, bufferBytes);
  system.bind(fd, netlinkAddress(0));
  for (const group of groups) {
    if (system.setOption(fd, c.SOL_NETLINK, c.NETLINK_ADD_MEMBERSHIP, group) < 0)
      throw new Error(`cannot join event group ${group}: errno ${system.errno()}`);
  }
  const pair = system.socketPair();
  if (pair === undefined) throw new Error(`cannot make a socket pair: errno ${system.errno()}`);
  const [shell, other] = pair;
  // `manualStart` keeps libuv from polling before the descriptor is exchanged.
  const options = { fd: shell, readable: true, writable: false, manualStart: true };
  const stream = new Socket(options);
  if (system.replaceDescriptor(fd, shell) < 0)
    throw new Error(`cannot exchange the event socket: errno ${system.errno()}`);
  system.close(fd);
  system.close(other);
  return { stream, fd: shell };
}

function decodeRouteEvent(view: DataView, message: MessageHeader, own: number): KernelEvent | undefined {
  switch (message.type) {
    case c.RTM_NEWLINK:
    case c.RTM_DELLINK: {
      const link = decodeLink(view, message);
      return link && { type: message.type === c.RTM_NEWLINK ? 'link' : 'link-deleted', link };
    }
    case c.RTM_NEWADDR:
    case c.RTM_DELADDR: {
      const address = decodeAddress(view, message);
      return address && { type: message.type === c.RTM_NEWADDR ? 'address' : 'address-deleted', address };
    }
    case c.RTM_NEWROUTE:
    case c.RTM_DELROUTE: {
      const route = decodeRoute(view, message);
      const type = message.type === c.RTM_NEWROUTE ? 'route' : 'route-deleted';
      return route && { type, route, own: message.port === own };
    }
    case c.RTM_NEWNEIGH:
    case c.RTM_DELNEIGH: {
      const neighbour = decodeNeighbour(view, message);
      const isNew = message.type === c.RTM_NEWNEIGH;
      if (neighbour !== undefined) return { type: isNew ? 'neighbour' : 'neighbour-deleted', neighbour };
      const entry = decodeFdbEntry(view, message);
      return entry && { type: isNew ? 'fdb' : 'fdb-deleted', entry };
    }
    case c.RTM_NEWTFILTER:
    case c.RTM_DELTFILTER:
    case c.RTM_NEWQDISC:
    case c.RTM_DELQDISC:
      return { type: 'filters', linkIndex: linkOfTcMessage(view, message), own: message.port === own };
    case c.RTM_NEWRULE:
    case c.RTM_DELRULE: {
      const rule = decodeRule(view, message);
      return rule && { type: message.type === c.RTM_NEWRULE ? 'rule' : 'rule-deleted', rule };
    }
    default:
      return undefined;
  }
}

/** A transaction is told as one message for each change, and NFT_MSG_NEWGEN at its end. That names the process, and in its
 *  header the socket that committed. */
class NftTransactions {
  readonly #own: number;
  readonly #tables = new Map<string, NftTableName>();

  constructor(own: number) {
    this.#own = own;
  }

  /** Part of a transaction was lost. */
  clear(): void {
    this.#tables.clear();
  }

  read(view: DataView, message: MessageHeader): KernelEvent | undefined {
    const NFT_MSG_NEWGEN = 0x0a0f;
    const NFTA_GEN_PROC_PID = 2;
    const own = message.port === this.#own;
    if (message.type !== NFT_MSG_NEWGEN) {
      if (!own) this.#note(view, message);
      return undefined;
    }
    let pid = 0;
    attributes(view, message.start + 4, message.end, (type, offset) => {
      if (type === NFTA_GEN_PROC_PID) pid = view.getUint32(offset);
    });
    const tables = [...this.#tables.values()];
    this.#tables.clear();
    return { type: 'nftables', pid, own, tables };
  }

  #note(view: DataView, message: MessageHeader): void {
    const table = decodeTableOf(view, message);
    if (table !== undefined) this.#tables.set(`${table.family} ${table.name}`, table);
  }
}
