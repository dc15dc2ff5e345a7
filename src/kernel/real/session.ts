// What the parts of a real kernel share: the namespace, its sockets, the refusal to write into the root namespace, and
// the forms of "apply many, tell each outcome".
import { err, ok, type Result } from '../../lib/result.ts';
import { kernelError, rootNamespaceRefused } from '../errors.ts';
import type { Namespace } from '../namespace.ts';
import { isRootNamespace, openNamespaceFile } from '../namespace.ts';
import { NETLINK_ROUTE, NLM_F_REQUEST } from '../netlink/constants.ts';
import type { MessageHeader, MessageWriter } from '../netlink/message.ts';
import { NetlinkSocket, type Answer, type Visit } from '../netlink/socket.ts';
import type { KernelError, Outcome } from '../types.ts';
import { ffi } from '../ffi.ts';

export const done: Outcome = ok(undefined);

/** A failed encoding, or nothing when the message is written. */
export type Written = KernelError | void;

/** Its users come one after the other. */
type SharedSocket = { readonly socket: NetlinkSocket; turn: Promise<unknown> };

export class KernelSession {
  readonly namespace: Namespace;
  readonly writesRefused: boolean;
  readonly #sockets = new Map<number, NetlinkSocket>();
  readonly #dumpSockets = new Map<number, SharedSocket>();
  /** For changes on another thread. */
  #asideSocket: SharedSocket | undefined;
  #closed = false;

  constructor(namespace: Namespace, allowRootNamespace: boolean) {
    this.namespace = namespace;
    this.writesRefused = !allowRootNamespace && isRootNamespace(namespace.fd);
    this.socket(NETLINK_ROUTE);
  }

  /** The kept socket of a protocol (NETLINK_ROUTE, NETLINK_NETFILTER). */
  socket(protocol: number): NetlinkSocket {
    if (this.#closed) throw new Error('this kernel is closed');
    let socket = this.#sockets.get(protocol);
    if (socket === undefined) {
      socket = NetlinkSocket.open(protocol, this.namespace.fd);
      this.#sockets.set(protocol, socket);
    }
    return socket;
  }

  request(type: number, flags: number, body: (w: MessageWriter) => void, visit?: Visit): Answer {
    return this.socket(NETLINK_ROUTE).request(type, flags, body, visit);
  }

  /** Dumps have a socket of their own, one at a time, so that changes go on while a long one gives way. */
  async dump<T>(
    what: string,
    type: number,
    body: (w: MessageWriter) => void,
    decode: (view: DataView, message: MessageHeader) => T | undefined,
    options: { readonly protocol?: number; readonly flags?: number } = {},
  ): Promise<Result<T[], KernelError>> {
    const protocol = options.protocol ?? NETLINK_ROUTE;
    if (this.#closed) throw new Error('this kernel is closed');
    let entry = this.#dumpSockets.get(protocol);
    if (entry === undefined) {
      entry = { socket: NetlinkSocket.open(protocol, this.namespace.fd), turn: Promise.resolve() };
      this.#dumpSockets.set(protocol, entry);
    }
    const { socket, turn } = entry;
    const run = turn.then(() => socket.dump(type, body, decode, options.flags ?? 0));
    entry.turn = run.catch(() => {});
    const { answer, items } = await run;
    return answer.errno === 0 ? ok(items) : err(kernelError(what, answer.errno, answer.text));
  }

  /** One route-netlink message per item. `forgiven` are the errno values that mean "as wished". `aside`: the kernel does
   *  its work on another thread, one call at a time. */
  async apply<T>(
    items: readonly T[],
    encode: (item: T, w: MessageWriter) => Written,
    form: (item: T) => MessageForm,
    aside = false,
  ): Promise<Outcome[]> {
    if (this.writesRefused) return items.map(() => err(rootNamespaceRefused()));
    if (!aside) return this.#applyOn(this.socket(NETLINK_ROUTE), items, encode, form, false);
    if (this.#closed) throw new Error('this kernel is closed');
    this.#asideSocket ??= {
      socket: NetlinkSocket.open(NETLINK_ROUTE, this.namespace.fd),
      turn: Promise.resolve(),
    };
    const entry = this.#asideSocket;
    const run = entry.turn.then(() => this.#applyOn(entry.socket, items, encode, form, true));
    entry.turn = run.catch(() => {});
    return run;
  }

  async #applyOn<T>(
    socket: NetlinkSocket,
    items: readonly T[],
    encode: (item: T, w: MessageWriter) => Written,
    form: (item: T) => MessageForm,
    aside: boolean,
  ): Promise<Outcome[]> {
    const outcomes: Outcome[] = Array.from({ length: items.length }, () => done);
    await socket.batch(
      items.length,
      (index, w, sequence) => {
        const item = items[index] as T;
        const { type, flags } = form(item);
        const start = w.length;
        w.message(type, flags | NLM_F_REQUEST, sequence);
        const refused = encode(item, w);
        if (!refused) {
          w.end();
          return true;
        }
        w.truncate(start);
        outcomes[index] = err(refused);
        return false;
      },
      (index, answer) => {
        if (answer.errno === 0) return;
        const { forgiven, describe } = form(items[index] as T);
        if (forgiven?.includes(answer.errno)) return;
        outcomes[index] = err(kernelError(describe(), answer.errno, answer.text));
      },
      aside,
    );
    return outcomes;
  }

  /** Runs with a namespace file open; the root namespace is refused as a place to put things, too. */
  withTarget(path: string | undefined, run: (fd: number | undefined) => Outcome): Outcome {
    if (path === undefined) return run(undefined);
    const opened = openNamespaceFile(path);
    if (!opened.ok) return opened;
    try {
      if (isRootNamespace(opened.value) && !isRootNamespace(this.namespace.fd))
        return err(rootNamespaceRefused());
      return run(opened.value);
    } finally {
      ffi().close(opened.value);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const shared = [...this.#dumpSockets.values(), ...(this.#asideSocket ? [this.#asideSocket] : [])];
    await Promise.all(shared.map((entry) => entry.turn));
    for (const { socket } of shared) socket.close();
    for (const socket of this.#sockets.values()) socket.close();
    this.namespace.close();
  }
}

export type MessageForm = {
  readonly type: number;
  readonly flags: number;
  readonly forgiven?: readonly number[];
  readonly describe: () => string;
};
