// Containers that asked for standard input (`kubectl run -it`): the runner holds the other end of their terminal or pipes,
// copies what they print into their log, and lets clients attach. Such a container ends with its runner: its terminal
// hangs up.
import { createWriteStream } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import type { Execution } from './execution.ts';
import type { TerminalSize } from './remote-session.ts';

/** What a client that attaches brings. */
export type Attachment = { readonly stdout?: Writable; readonly stderr?: Writable };

/** A client that does not read loses output rather than stopping the container. */
const mostUnreadBytes = 1024 * 1024;
/** What a client sees that attaches a moment after the start: a shell prints its prompt once. */
const rememberedBytes = 4096;

export class Console {
  readonly #execution: Execution;
  readonly #attached = new Set<Attachment>();
  readonly #options: { readonly stdin: boolean; readonly once: boolean };
  #remembered: Buffer = Buffer.alloc(0);
  #wasAttached = false;

  constructor(
    execution: Execution,
    log: string,
    options: { readonly stdin: boolean; readonly once: boolean },
  ) {
    this.#execution = execution;
    this.#options = options;
    const file = createWriteStream(log, { flags: 'a' });
    // A log that cannot be written must not stop the container.
    file.on('error', () => undefined);
    this.#copy(execution.stdout, 'stdout', file);
    if (execution.stderr !== undefined) this.#copy(execution.stderr, 'stderr', file);
    void execution.exitCode.then(() => file.end());
    if (!options.stdin && execution.stderr !== undefined) execution.stdin.end();
  }

  get exitCode(): Promise<number> {
    return this.#execution.exitCode;
  }

  #copy(source: Readable, name: 'stdout' | 'stderr', file: Writable): void {
    source.on('data', (chunk: Buffer) => {
      if (!file.writableEnded) file.write(chunk);
      if (!this.#wasAttached)
        this.#remembered = Buffer.concat([this.#remembered, chunk]).subarray(-rememberedBytes);
      for (const client of this.#attached) {
        const target = client[name];
        if (target !== undefined && !target.destroyed && target.writableLength < mostUnreadBytes)
          target.write(chunk);
      }
    });
    source.on('error', () => undefined);
  }

  /** Gives the function that lets go. */
  attach(client: Attachment, stdin: Readable | undefined): () => void {
    if (!this.#wasAttached && this.#remembered.length > 0) client.stdout?.write(this.#remembered);
    this.#wasAttached = true;
    this.#attached.add(client);
    const { stdin: target } = this.#execution;
    const takes = this.#options.stdin && stdin !== undefined && !target.writableEnded;
    if (takes) stdin.pipe(target, { end: this.#options.once && this.#execution.stderr !== undefined });
    return () => {
      this.#attached.delete(client);
      if (takes) stdin.unpipe(target);
    };
  }

  resize(size: TerminalSize): void {
    this.#execution.resize(size);
  }
}
