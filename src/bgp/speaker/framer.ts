// A stream of bytes cut into messages. Whole messages are handed on in place; only the piece of one that is split between
// two chunks is copied.
import { frameLength, headerProblem, type Notification } from '../packet/mod.ts';

export type FrameHandler = {
  /** A message stands in `bytes` from `start` to `end`. False: stop, the connection is gone. */
  message(bytes: Uint8Array, start: number, end: number): boolean;
  broken(notification: Notification): void;
};

export class Framer {
  #carry = new Uint8Array(0);
  /** The largest message allowed; raised when extended messages are agreed on. */
  limit = 4096;

  push(chunk: Uint8Array, handler: FrameHandler): void {
    let bytes = chunk;
    if (this.#carry.length > 0) {
      bytes = new Uint8Array(this.#carry.length + chunk.length);
      bytes.set(this.#carry);
      bytes.set(chunk, this.#carry.length);
      this.#carry = new Uint8Array(0);
    }
    let at = 0;
    while (at < bytes.length) {
      const length = frameLength(bytes, at, bytes.length, this.limit);
      if (length < 0) return handler.broken(headerProblem(bytes, at, length));
      if (length === 0 || at + length > bytes.length) break;
      if (!handler.message(bytes, at, at + length)) return;
      at += length;
    }
    // A copy: the chunk belongs to the transport. It is shorter than one message.
    if (at < bytes.length) this.#carry = bytes.slice(at);
  }
}
