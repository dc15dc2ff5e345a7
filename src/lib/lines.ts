// Lines of a stream of bytes, as they come: what watches, fan-out and control sockets are read with. A line is UTF-8, ends with
// a line feed and is no longer than agreed; whatever breaks that ends the reading, since nothing behind it can be trusted.
import { err, failure, ok, type Failure, type Result } from './result.ts';

/** `CutOff`: the stream broke, or ended within a line. */
export type LinesError = Failure<'LineTooLong' | 'BadText' | 'CutOff'>;

const lineFeed = 10;
/** A byte order mark is a character like others. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Cuts chunks into lines, wherever the chunks begin and end. After a failure it gives nothing any more. */
export class LineCutter {
  readonly #longestBytes: number;
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #failed = false;

  constructor(longestBytes: number) {
    this.#longestBytes = longestBytes;
  }

  /** Whether a line has begun that has not ended. */
  get isWithinLine(): boolean {
    return this.#keptBytes > 0;
  }

  /** The lines that end in the chunk, without their line feeds. */
  *take(chunk: Uint8Array): Generator<Result<string, LinesError>> {
    for (let from = 0; from < chunk.length && !this.#failed; ) {
      const end = chunk.indexOf(lineFeed, from);
      const part = chunk.subarray(from, end < 0 ? chunk.length : end);
      this.#keptBytes += part.length;
      if (this.#keptBytes > this.#longestBytes) {
        yield this.#fail('LineTooLong', `A line has more than ${this.#longestBytes} bytes.`);
        return;
      }
      if (part.length > 0) this.#kept.push(part);
      if (end < 0) return;
      from = end + 1;
      const line = this.#ended();
      yield line === undefined ? this.#fail('BadText', 'A line is not UTF-8.') : ok(line);
    }
  }

  /** Characters are put together again here that came in two chunks. */
  #ended(): string | undefined {
    const [first] = this.#kept;
    const bytes = first !== undefined && this.#kept.length === 1 ? first : Buffer.concat(this.#kept);
    this.#kept = [];
    this.#keptBytes = 0;
    try {
      return utf8.decode(bytes);
    } catch {
      return undefined;
    }
  }

  #fail(code: LinesError['code'], message: string): Result<never, LinesError> {
    this.#failed = true;
    this.#kept = [];
    return err(failure(code, message));
  }
}

/** A stream of Node's, such as a response or a socket. */
export type ByteStream = AsyncIterable<Uint8Array> & { destroy(): unknown };

/** Ends without a failure when the stream ends behind a line. The stream is destroyed whoever ends first. */
export async function* linesOf(
  stream: ByteStream,
  longestBytes: number,
): AsyncGenerator<Result<string, LinesError>> {
  const cutter = new LineCutter(longestBytes);
  try {
    for await (const chunk of stream) {
      for (const line of cutter.take(chunk)) {
        yield line;
        if (!line.ok) return;
      }
    }
  } catch (error) {
    yield cutOff(error instanceof Error ? error.message : String(error));
    return;
  } finally {
    stream.destroy();
  }
  if (cutter.isWithinLine) yield cutOff('it ended within a line');
}

const cutOff = (why: string): Result<never, LinesError> =>
  err(failure('CutOff', `The stream was cut off: ${why}.`));
