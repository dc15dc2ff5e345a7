// A netlink socket of one namespace: single requests, batches in which every message is answered on its own, and dumps.
// The kernel works inside `send`, so replies are there when it returns and nothing ever blocks in `recv`.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { errno } from '../errors.ts';
import { ffi } from '../ffi.ts';
import { withNamespace } from '../namespace.ts';
import * as c from './constants.ts';
import { attributes, messages, MessageWriter, stringAt, type MessageHeader } from './message.ts';

/** errno 0 is success; `text` is the kernel's explanation. */
export type Answer = { readonly errno: number; readonly text?: string };
export type Visit = (view: DataView, message: MessageHeader) => void;

/** Messages of one send: sequence numbers with the items they stand for, until they are answered. */
type Chunk = {
  readonly next: number;
  readonly pending: Map<number, number>;
  readonly last: number;
  complete: boolean;
};

const success: Answer = { errno: 0 };
const receiveBufferBytes = 8 * 1024 * 1024;
/** Most messages and bytes of one send: what the kernel's default buffers hold with their answers. */
const batchMessages = 256;
const batchBytes = 64 * 1024;
/** How long synchronous work may hold the event loop before it gives way. */
const turnMs = 8;
const dumpAttempts = 20;
/** More messages than one transaction has. */
const sequenceRun = 0x100000;

export class NetlinkSocket {
  readonly fd: number;
  readonly #writer = new MessageWriter(batchBytes);
  readonly #receive = new Uint8Array(64 * 1024);
  readonly #view = new DataView(this.#receive.buffer);
  #sequence = 1;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /** Opened in the namespace, to which it stays bound. Throws a `NetlinkOpenError` when there is no such protocol. */
  static open(protocol: number, namespaceFd: number): NetlinkSocket {
    const system = ffi();
    const fd = withNamespace(namespaceFd, () => {
      const made = system.socket(c.AF_NETLINK, c.SOCK_RAW_CLOEXEC, protocol);
      if (made < 0) throw new NetlinkOpenError(protocol, system.errno());
      return made;
    });
    enlargeReceiveBuffer(fd, receiveBufferBytes);
    system.setOption(fd, c.SOL_NETLINK, c.NETLINK_CAP_ACK, 1);
    system.setOption(fd, c.SOL_NETLINK, c.NETLINK_EXT_ACK, 1);
    if (protocol === c.NETLINK_ROUTE) system.setOption(fd, c.SOL_NETLINK, c.NETLINK_GET_STRICT_CHK, 1);
    system.bind(fd, netlinkAddress(0));
    return new NetlinkSocket(fd);
  }

  /** The kernel's name of this socket; it stands in the events of what the socket caused. */
  portId(): number {
    const address = new Uint8Array(12);
    ffi().getsockname(this.fd, address);
    return new DataView(address.buffer).getUint32(4, true);
  }

  close(): void {
    ffi().close(this.fd);
  }

  nextSequence(): number {
    this.#sequence = this.#sequence === 0xffffffff ? 1 : this.#sequence + 1;
    return this.#sequence;
  }

  /** The first of a run of sequence numbers for a caller that frames its messages itself (one before it is left free). */
  reserveSequences(): number {
    if (this.#sequence > 0x7fffffff) this.#sequence = 1;
    const first = this.#sequence + 2;
    this.#sequence += sequenceRun;
    return first;
  }

  /** One request; `visit` sees the replies that come before the acknowledgement. */
  request(type: number, flags: number, body: (w: MessageWriter) => void, visit?: Visit): Answer {
    const writer = this.#writer;
    writer.reset();
    const sequence = this.nextSequence();
    writer.message(type, flags | c.NLM_F_REQUEST | c.NLM_F_ACK, sequence);
    body(writer);
    writer.end();
    let answer: Answer | undefined;
    const failed = this.#exchange((view, message) => {
      if (message.sequence !== sequence) return;
      if (message.type === c.NLMSG_ERROR) answer = readAnswer(view, message);
      else visit?.(view, message);
    });
    return failed ?? answer ?? { errno: errno.ENOBUFS, text: 'the answer was lost' };
  }

  /**
   * `count` requests, of which `write(i)` writes number i with the sequence number given (or returns false to leave it
   * out); `done(i)` gets every answer. Gives way to the event loop between chunks; `aside`: also while the kernel works,
   * during which nobody else may use the socket.
   */
  async batch(
    count: number,
    write: (index: number, writer: MessageWriter, sequence: number) => boolean,
    done: (index: number, answer: Answer) => void,
    aside = false,
  ): Promise<void> {
    let turnEnds = performance.now() + turnMs;
    for (let at = 0; at < count; ) {
      const chunk = this.#compose(at, count, write);
      at = chunk.next;
      if (chunk.pending.size > 0) {
        if (aside) await this.#sendAside(chunk, done);
        else this.#answer(chunk, this.#exchange(this.#reader(chunk, done)), done);
      }
      if (at < count && performance.now() > turnEnds) {
        await nextTurn();
        turnEnds = performance.now() + turnMs;
      }
    }
  }

  /**
   * Writes the messages from `first` on, as many as fit. The kernel answers every failure; success is told by the last
   * message alone, whose acknowledgement shows that all were seen.
   */
  #compose(
    first: number,
    count: number,
    write: (index: number, writer: MessageWriter, sequence: number) => boolean,
  ): Chunk {
    const writer = this.#writer;
    writer.reset();
    const pending = new Map<number, number>();
    let next = first;
    let last = { start: 0, sequence: 0 };
    while (next < count && pending.size < batchMessages && writer.length < batchBytes - 4096) {
      const sequence = this.nextSequence();
      const start = writer.length;
      if (write(next, writer, sequence)) {
        pending.set(sequence, next);
        last = { start, sequence };
      }
      next++;
    }
    if (pending.size > 0) writer.addFlags(last.start, c.NLM_F_ACK);
    return { next, pending, last: last.sequence, complete: false };
  }

  #reader(chunk: Chunk, done: (index: number, answer: Answer) => void): Visit {
    return (view, message) => {
      const index = chunk.pending.get(message.sequence);
      if (message.type !== c.NLMSG_ERROR || index === undefined) return;
      if (message.sequence === chunk.last) chunk.complete = true;
      chunk.pending.delete(message.sequence);
      done(index, readAnswer(view, message));
    };
  }

  /** What the kernel said nothing about. */
  #answer(chunk: Chunk, failed: Answer | undefined, done: (index: number, answer: Answer) => void): void {
    const rest = failed ?? (chunk.complete ? success : { errno: errno.ENOBUFS, text: 'the answer was lost' });
    for (const index of chunk.pending.values()) done(index, rest);
  }

  async #sendAside(chunk: Chunk, done: (index: number, answer: Answer) => void): Promise<void> {
    const { bytes } = this.#writer;
    const sent = await ffi().sendAsync(this.fd, bytes, bytes.length, 0);
    const failed = sent.value < 0 ? { errno: sent.errno } : this.#collect(this.#reader(chunk, done));
    this.#answer(chunk, failed, done);
  }

  /** Sends raw bytes and shows every reply: for transactions that frame themselves. */
  exchange(bytes: Uint8Array, visit: Visit): Answer {
    return this.#exchange(visit, bytes) ?? success;
  }

  #exchange(visit: Visit, bytes: Uint8Array = this.#writer.bytes): Answer | undefined {
    const system = ffi();
    if (system.send(this.fd, bytes, bytes.length, 0) < 0) return { errno: system.errno() };
    return this.#collect(visit);
  }

  #collect(visit: Visit): Answer | undefined {
    const system = ffi();
    let lost = false;
    for (;;) {
      const length = system.recv(this.fd, this.#receive, c.MSG_DONTWAIT);
      if (length >= 0) {
        for (const message of messages(this.#view, length)) visit(this.#view, message);
        continue;
      }
      const number = system.errno();
      if (number === errno.EINTR) continue;
      if (number === errno.ENOBUFS) {
        lost = true;
        continue;
      }
      if (number !== errno.EAGAIN) return { errno: number };
      return lost ? { errno: errno.ENOBUFS, text: 'answers were lost' } : undefined;
    }
  }

  /**
   * A dump that is consistent: started again when the table changed under it. Gives way to the event loop in the first
   * attempt only, so that changes of our own cannot starve it. The caller makes sure that one dump runs at a time.
   */
  async dump<T>(
    type: number,
    body: (w: MessageWriter) => void,
    decode: (view: DataView, message: MessageHeader) => T | undefined,
    flags = 0,
  ): Promise<{ readonly answer: Answer; readonly items: T[] }> {
    for (let attempt = 1; ; attempt++) {
      const items: T[] = [];
      const outcome = await this.#dumpOnce(type, flags, body, attempt === 1, (view, message) => {
        const item = decode(view, message);
        if (item !== undefined) items.push(item);
      });
      if (!outcome.interrupted || attempt === dumpAttempts) return { answer: outcome.answer, items };
    }
  }

  async #dumpOnce(
    type: number,
    flags: number,
    body: (w: MessageWriter) => void,
    mayYield: boolean,
    visit: Visit,
  ): Promise<{ answer: Answer; interrupted: boolean }> {
    const system = ffi();
    const writer = this.#writer;
    writer.reset();
    const sequence = this.nextSequence();
    writer.message(type, flags | c.NLM_F_REQUEST | c.NLM_F_DUMP, sequence);
    body(writer);
    writer.end();
    if (system.send(this.fd, writer.bytes, writer.length, 0) < 0)
      return { answer: { errno: system.errno() }, interrupted: false };
    let turnEnds = performance.now() + turnMs;
    let interrupted = false;
    for (;;) {
      const length = system.recv(this.fd, this.#receive, 0);
      if (length < 0) {
        const number = system.errno();
        if (number === errno.EINTR) continue;
        return { answer: { errno: number }, interrupted: false };
      }
      for (const message of messages(this.#view, length)) {
        if (message.sequence !== sequence) continue;
        if (message.flags & c.NLM_F_DUMP_INTR) interrupted = true;
        if (message.type === c.NLMSG_DONE) return { answer: readDone(this.#view, message), interrupted };
        if (message.type === c.NLMSG_ERROR) return { answer: readAnswer(this.#view, message), interrupted };
        visit(this.#view, message);
      }
      if (mayYield && performance.now() > turnEnds) {
        await nextTurn();
        turnEnds = performance.now() + turnMs;
      }
    }
  }
}

export class NetlinkOpenError extends Error {
  readonly errno: number;
  constructor(protocol: number, number: number) {
    super(`netlink protocol ${protocol} cannot be opened: errno ${number}`);
    this.errno = number;
  }
}

/** struct sockaddr_nl: family, pad, port (0: the kernel chooses), groups. */
export function netlinkAddress(groups: number): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, c.AF_NETLINK, true);
  view.setUint32(8, groups >>> 0, true);
  return bytes;
}

/** Beyond the limit of the machine when we may, up to it otherwise. */
export function enlargeReceiveBuffer(fd: number, bytes: number): void {
  const system = ffi();
  if (system.setOption(fd, c.SOL_SOCKET, c.SO_RCVBUFFORCE, bytes) < 0)
    system.setOption(fd, c.SOL_SOCKET, c.SO_RCVBUF, bytes);
}

/** NLMSG_ERROR: negative errno, the header of the request, and with extended acknowledgements attributes behind it. */
function readAnswer(view: DataView, message: MessageHeader): Answer {
  const number = -view.getInt32(message.start, true);
  if (number === 0) return success;
  return withText(number, view, message, message.start + 4 + 16);
}

function readDone(view: DataView, message: MessageHeader): Answer {
  if (message.end - message.start < 4) return success;
  const number = -view.getInt32(message.start, true);
  return number <= 0 ? success : withText(number, view, message, message.start + 4);
}

function withText(number: number, view: DataView, message: MessageHeader, start: number): Answer {
  if ((message.flags & c.NLM_F_ACK_TLVS) === 0) return { errno: number };
  let text: string | undefined;
  attributes(view, start, message.end, (type, offset, length) => {
    if (type === c.NLMSGERR_ATTR_MSG) text = stringAt(view, offset, length);
  });
  return text === undefined ? { errno: number } : { errno: number, text };
}
