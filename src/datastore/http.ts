// One server over HTTP: kept connections, a deadline on every request, an end to everything that is under way. Node's own client
// is used because every process of a node starts it: it costs a third of what undici costs to load and answers single requests
// as fast (docs/datastore.md has the numbers). What is said and what answers mean is the drivers' own.
import type { Agent, ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import { err, ok, type Result } from '../lib/result.ts';

export type HttpRequest = {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer | undefined;
  /** By `performance.now()`. */
  readonly deadline: number;
  readonly signal?: AbortSignal | undefined;
  readonly tls?: ClientTls;
};
export type ClientTls = {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
};
export type HttpAnswer = { readonly response: IncomingMessage; readonly text: string };
export type HttpProblem = {
  readonly code: 'Timeout' | 'Unavailable';
  /** A clause without an end: `no answer in time`, or the system's code as `ECONNREFUSED`. */
  readonly why: string;
  /** The server may have read the request. */
  readonly wasSent: boolean;
  /** A kept connection that the server had closed meanwhile. */
  readonly wasStale: boolean;
};
export type HttpClientOptions = {
  /** Connections for requests; streams have their own on top. 32 by default. */
  readonly connections?: number;
  /** An answer larger than this is refused; 512 MiB by default. */
  readonly largestAnswerBytes?: number;
};

type HttpModule = {
  request(options: RequestOptions, onResponse: (response: IncomingMessage) => void): ClientRequest;
  Agent: new (options: { keepAlive: boolean; keepAliveMsecs: number; maxSockets: number }) => Agent;
};
type Loaded = { readonly module: HttpModule; readonly agent: Agent; readonly streamAgent: Agent };
type Opened = { readonly response: IncomingMessage; readonly finish: () => void };

const keepAliveMs = 15_000;
const mostStreams = 1024;

export class HttpClient {
  readonly #server: URL;
  readonly #options: HttpClientOptions;
  readonly #open = new Set<ClientRequest>();
  #loaded: Promise<Loaded> | undefined;
  #closed = false;

  constructor(server: URL, options: HttpClientOptions = {}) {
    this.#server = server;
    this.#options = options;
  }

  async exchange(request: HttpRequest): Promise<Result<HttpAnswer, HttpProblem>> {
    const opened = await this.#send(request, false);
    if (!opened.ok) return opened;
    const { response, finish } = opened.value;
    const read = await this.#readAll(response, request);
    finish();
    return read;
  }

  /** The response of an answer with status 200, to be read as it comes: the deadline ends with its headers, the signal ends it
   *  later, too. Any other answer is read at once. */
  async stream(request: HttpRequest): Promise<Result<IncomingMessage | HttpAnswer, HttpProblem>> {
    const opened = await this.#send(request, true);
    if (!opened.ok) return opened;
    const { response, finish } = opened.value;
    response.once('close', finish);
    return response.statusCode === 200 ? ok(response) : this.#readAll(response, request);
  }

  /** Ends everything that is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const request of this.#open) request.destroy();
    if (this.#loaded === undefined) return;
    const { agent, streamAgent } = await this.#loaded;
    agent.destroy();
    streamAgent.destroy();
  }

  async #send(request: HttpRequest, isStream: boolean): Promise<Result<Opened, HttpProblem>> {
    const { signal } = request;
    const failed = (code: HttpProblem['code'], why: string, wasSent = false, wasStale = false) =>
      err({ code, why, wasSent, wasStale });
    if (this.#closed) return failed('Unavailable', 'the datastore is closed');
    if (signal?.aborted) return failed('Timeout', aborted);
    const { module, agent, streamAgent } = await this.#load();
    const isTls = this.#server.protocol === 'https:';
    return new Promise((resolve) => {
      let connected = false;
      const outgoing = module.request(
        {
          method: request.method,
          protocol: this.#server.protocol,
          hostname: this.#server.hostname.replace(/^\[|\]$/g, ''),
          port: this.#server.port,
          path: `${this.#server.pathname.replace(/\/$/, '')}${request.path}`,
          agent: isStream ? streamAgent : agent,
          headers: {
            ...request.headers,
            ...(request.body === undefined ? {} : { 'content-length': String(request.body.length) }),
          },
          ...(isTls ? request.tls : {}),
        },
        (response) => {
          if (isStream) clearTimeout(timer);
          resolve(ok({ response, finish }));
        },
      );
      const timer = setTimeout(() => abort('no answer in time'), leftMs(request.deadline));
      const finish = (): void => {
        clearTimeout(timer);
        this.#open.delete(outgoing);
        signal?.removeEventListener('abort', onAbort);
      };
      const abort = (why: string): void => {
        finish();
        outgoing.destroy();
        resolve(failed('Timeout', why, connected));
      };
      const onAbort = (): void => abort(aborted);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#open.add(outgoing);
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        finish();
        const wasStale = outgoing.reusedSocket && isReset(error);
        resolve(failed('Unavailable', error.code ?? error.message, connected, wasStale));
      });
      outgoing.on('socket', (socket) => {
        socket.setKeepAlive(true, keepAliveMs);
        if (!socket.connecting) connected = true;
        else socket.once(isTls ? 'secureConnect' : 'connect', () => (connected = true));
      });
      outgoing.end(request.body);
    });
  }

  async #readAll(
    response: IncomingMessage,
    { deadline, signal }: HttpRequest,
  ): Promise<Result<HttpAnswer, HttpProblem>> {
    const largest = this.#options.largestAnswerBytes ?? 512 * 1024 * 1024;
    const chunks: Buffer[] = [];
    let size = 0;
    let why = 'the answer was cut off';
    const timer = setTimeout(() => response.destroy(), leftMs(deadline));
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        size += chunk.length;
        if (size > largest) {
          why = `the answer has more than ${largest} bytes`;
          break;
        }
        chunks.push(chunk);
      }
    } catch {
      // Whatever broke it: it is not complete.
    } finally {
      clearTimeout(timer);
    }
    if (size <= largest && response.complete) return ok({ response, text: textOf(chunks, size) });
    const isLate = performance.now() >= deadline || signal?.aborted === true;
    return err({ code: isLate ? 'Timeout' : 'Unavailable', why, wasSent: true, wasStale: false });
  }

  #load(): Promise<Loaded> {
    this.#loaded ??= (async () => {
      const isTls = this.#server.protocol === 'https:';
      const module = (isTls
        ? await import('node:https')
        : await import('node:http')) as unknown as HttpModule;
      const make = (maxSockets: number): Agent =>
        new module.Agent({ keepAlive: true, keepAliveMsecs: keepAliveMs, maxSockets });
      return { module, agent: make(this.#options.connections ?? 32), streamAgent: make(mostStreams) };
    })();
    return this.#loaded;
  }
}

export const isAnswer = (got: IncomingMessage | HttpAnswer): got is HttpAnswer => 'response' in got;

const aborted = 'the request was aborted';
const leftMs = (deadline: number): number => Math.max(1, deadline - performance.now());
const isReset = (error: NodeJS.ErrnoException): boolean =>
  error.code === 'ECONNRESET' || error.code === 'EPIPE';
const textOf = (chunks: readonly Buffer[], size: number): string =>
  chunks.length === 1 ? (chunks[0] as Buffer).toString('utf8') : Buffer.concat(chunks, size).toString('utf8');
