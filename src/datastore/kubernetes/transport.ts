// HTTP to the API server: kept-alive connections, a deadline on every request, JSON whose integers survive. Node's own
// client is used because every process of a node starts it: it costs a third of what undici costs to load and answers
// single requests as fast (docs/datastore.md has the numbers).
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import type { Agent } from 'node:http';
import { parseJson, stringifyJson } from '../../lib/json.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import { sleep } from '../../lib/wait.ts';
import { storeError } from '../errors.ts';
import type { StoreError } from '../types.ts';
import type { Connection, Tls } from './kubeconfig.ts';
import { errorOfStatus } from './status.ts';

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
export type ApiRequest = {
  readonly method: HttpMethod;
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
};

export type TransportOptions = {
  /** Of one request with all its repetitions; 30 s by default. */
  readonly timeoutMs?: number;
  readonly userAgent?: string;
  /** Connections for requests; watches have their own on top. 32 by default. */
  readonly connections?: number;
  /** What the server wants said to whoever made a request. */
  readonly onWarning?: (text: string) => void;
};

const defaultTimeoutMs = 30_000;
/** An answer larger than this is refused. */
const largestAnswerBytes = 512 * 1024 * 1024;
const tooManyRequests = 429;

type HttpModule = {
  request(options: RequestOptions, onResponse: (response: IncomingMessage) => void): ClientRequest;
  Agent: new (options: {
    keepAlive: boolean;
    keepAliveMsecs: number;
    maxSockets: number;
    scheduling: 'lifo';
  }) => Agent;
};

export class Transport {
  readonly #connection: Connection;
  readonly #options: TransportOptions;
  #http: Promise<{ module: HttpModule; agent: Agent; watchAgent: Agent }> | undefined;
  readonly #open = new Set<ClientRequest>();
  #closed = false;

  constructor(connection: Connection, options: TransportOptions = {}) {
    this.#connection = connection;
    this.#options = options;
  }

  /** The answer's JSON. Requests that the server turned away unread (429) are repeated until the deadline. */
  async json(request: ApiRequest): Promise<Result<unknown, StoreError>> {
    const deadline = performance.now() + (request.timeoutMs ?? this.#options.timeoutMs ?? defaultTimeoutMs);
    const body = request.body === undefined ? undefined : Buffer.from(stringifyJson(request.body));
    for (;;) {
      const answer = await this.#exchange(request, body, deadline);
      if (!answer.ok) return answer;
      const { status, text, retryAfterMs } = answer.value;
      if (status === tooManyRequests && performance.now() + retryAfterMs < deadline) {
        if (await sleep(retryAfterMs, request.signal)) continue;
      }
      return this.#read(request, status, text);
    }
  }

  #read(request: ApiRequest, status: number, text: string): Result<unknown, StoreError> {
    let value: unknown;
    try {
      value = text === '' ? {} : parseJson(text);
    } catch {
      if (status < 300)
        return err(storeError('Unavailable', `${describe(request)}: the server's answer is not JSON.`));
    }
    return status < 300 ? ok(value) : err(errorOfStatus(status, value, describe(request)));
  }

  async #exchange(
    request: ApiRequest,
    body: Buffer | undefined,
    deadline: number,
  ): Promise<Result<{ status: number; text: string; retryAfterMs: number }, StoreError>> {
    for (let attempt = 0; ; attempt++) {
      const opened = await this.#send(
        request,
        body,
        { ...headersOf(request, body), accept: 'application/json' },
        deadline,
        false,
      );
      if (opened.ok) {
        const { response, finish } = opened.value;
        const text = await readAll(response, deadline);
        finish();
        for (const warning of warningsOf(response)) this.#options.onWarning?.(warning);
        if (!text.ok) return err(storeError(text.error, `${describe(request)}: the answer was cut off.`));
        const retryAfterMs = Math.min(Math.max(Number(response.headers['retry-after'] ?? 1), 0.1), 10) * 1000;
        return ok({ status: response.statusCode ?? 0, text: text.value, retryAfterMs });
      }
      // A kept connection that the server closed meanwhile: nothing of a read is lost by asking again.
      if (!(opened.error.stale && request.method === 'GET' && attempt < 3)) return err(opened.error.error);
    }
  }

  /** A response whose body is read as it comes; ends when the signal aborts. */
  async stream(path: string, signal: AbortSignal): Promise<Result<IncomingMessage, StoreError>> {
    const request: ApiRequest = { method: 'GET', path, signal };
    const deadline = performance.now() + (this.#options.timeoutMs ?? defaultTimeoutMs);
    const opened = await this.#send(request, undefined, { accept: 'application/json' }, deadline, true);
    if (!opened.ok) return err(opened.error.error);
    const { response, finish } = opened.value;
    response.once('close', finish);
    if (response.statusCode === 200) return ok(response);
    const text = await readAll(response, deadline);
    const read = text.ok ? this.#read(request, response.statusCode ?? 0, text.value) : undefined;
    return err(
      read?.ok === false ? read.error : storeError('Unavailable', `${describe(request)}: no answer.`),
    );
  }

  async #send(
    request: ApiRequest,
    body: Buffer | undefined,
    headers: Readonly<Record<string, string>>,
    deadline: number,
    isWatch: boolean,
  ): Promise<
    Result<{ response: IncomingMessage; finish: () => void }, { error: StoreError; stale: boolean }>
  > {
    const failed = (code: StoreError['code'], why: string, stale = false) =>
      err({ error: storeError(code, `${describe(request)}: ${why}.`, hintFor(why)), stale });
    if (this.#closed) return failed('Unavailable', 'the datastore is closed');
    if (request.signal?.aborted) return failed('Timeout', 'the request was aborted');
    const { module, agent, watchAgent } = await this.#load();
    let credentials: Awaited<ReturnType<Connection['credentials']>>;
    try {
      credentials = await this.#connection.credentials();
    } catch (error) {
      return failed('Unauthorized', `no credentials: ${(error as Error).message}`);
    }
    const { server, tls } = this.#connection;
    return new Promise((resolve) => {
      const outgoing = module.request(
        {
          method: request.method,
          protocol: server.protocol,
          hostname: server.hostname.replace(/^\[|\]$/g, ''),
          port: server.port,
          path: join(server.pathname, request.path),
          agent: isWatch ? watchAgent : agent,
          headers: { ...headers, ...credentials.headers, 'user-agent': this.#options.userAgent ?? 'margay' },
          ...(tls satisfies Tls),
          ...credentials.tls,
        },
        (response) => {
          if (isWatch) clearTimeout(timer);
          resolve(ok({ response, finish }));
        },
      );
      const timer = setTimeout(
        () => abort('Timeout', 'no answer in time'),
        Math.max(1, deadline - performance.now()),
      );
      const finish = (): void => {
        clearTimeout(timer);
        this.#open.delete(outgoing);
        request.signal?.removeEventListener('abort', onAbort);
      };
      const abort = (code: StoreError['code'], why: string): void => {
        finish();
        outgoing.destroy();
        resolve(failed(code, why));
      };
      const onAbort = (): void => abort('Timeout', 'the request was aborted');
      request.signal?.addEventListener('abort', onAbort, { once: true });
      this.#open.add(outgoing);
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        finish();
        resolve(failed('Unavailable', error.code ?? error.message, outgoing.reusedSocket && isReset(error)));
      });
      outgoing.on('socket', (socket) => void socket.setKeepAlive(true, 15_000));
      outgoing.end(body);
    });
  }

  async #load(): Promise<{ module: HttpModule; agent: Agent; watchAgent: Agent }> {
    this.#http ??= (async () => {
      const isTls = this.#connection.server.protocol === 'https:';
      const module = (isTls
        ? await import('node:https')
        : await import('node:http')) as unknown as HttpModule;
      const make = (maxSockets: number): Agent =>
        new module.Agent({ keepAlive: true, keepAliveMsecs: 15_000, maxSockets, scheduling: 'lifo' });
      return { module, agent: make(this.#options.connections ?? 32), watchAgent: make(1024) };
    })();
    return this.#http;
  }

  /** Ends everything that is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const request of this.#open) request.destroy();
    if (this.#http === undefined) return;
    const { agent, watchAgent } = await this.#http;
    agent.destroy();
    watchAgent.destroy();
  }
}

const describe = (request: ApiRequest): string => `${request.method} ${request.path.split('?', 1)[0]}`;
const hintFor = (why: string): string | undefined =>
  why === 'ECONNREFUSED'
    ? 'Nothing listens there: is the API server running, and is this the right kubeconfig?'
    : undefined;
const isReset = (error: NodeJS.ErrnoException): boolean =>
  error.code === 'ECONNRESET' || error.code === 'EPIPE';

/** RFC 7234, section 5.5: `299 - "text"`. */
const warningsOf = (response: IncomingMessage): readonly string[] =>
  (response.headersDistinct['warning'] ?? []).flatMap((line) => {
    const quoted = /^\d{3} \S+ ("(?:[^"\\]|\\.)*")/.exec(line)?.[1];
    if (quoted === undefined) return [];
    return [quoted.slice(1, -1).replaceAll(/\\(.)/g, '$1')];
  });

const headersOf = (request: ApiRequest, body: Buffer | undefined): Record<string, string> =>
  body === undefined
    ? {}
    : { 'content-type': request.contentType ?? 'application/json', 'content-length': String(body.length) };

const join = (base: string, path: string): string =>
  base === '/' ? path : `${base.replace(/\/$/, '')}${path}`;

async function readAll(
  response: IncomingMessage,
  deadline: number,
): Promise<Result<string, 'Timeout' | 'Unavailable'>> {
  const chunks: Buffer[] = [];
  let size = 0;
  const timer = setTimeout(() => response.destroy(), Math.max(1, deadline - performance.now()));
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > largestAnswerBytes) break;
      chunks.push(chunk);
    }
  } catch {
    return err(performance.now() >= deadline ? 'Timeout' : 'Unavailable');
  } finally {
    clearTimeout(timer);
  }
  if (size > largestAnswerBytes || !response.complete)
    return err(performance.now() >= deadline ? 'Timeout' : 'Unavailable');
  return ok(
    chunks.length === 1
      ? (chunks[0] as Buffer).toString('utf8')
      : Buffer.concat(chunks, size).toString('utf8'),
  );
}
