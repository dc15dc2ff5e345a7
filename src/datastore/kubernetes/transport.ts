// Requests to the API server: credentials, JSON whose integers survive, repetitions, what the server warns of.
import type { IncomingMessage } from 'node:http';
import { parseJson, stringifyJson } from '../../lib/json.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import { sleep } from '../../lib/wait.ts';
import { storeError } from '../errors.ts';
import { HttpClient, isAnswer, type HttpProblem, type HttpRequest } from '../http.ts';
import type { StoreError } from '../types.ts';
import type { Connection, Credentials } from './kubeconfig.ts';
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
const tooManyRequests = 429;

export class Transport {
  readonly #connection: Connection;
  readonly #options: TransportOptions;
  readonly #http: HttpClient;

  constructor(connection: Connection, options: TransportOptions = {}) {
    this.#connection = connection;
    this.#options = options;
    const { connections } = options;
    this.#http = new HttpClient(connection.server, connections === undefined ? {} : { connections });
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
      const asked = await this.#asked(request, body, deadline);
      if (!asked.ok) return asked;
      const answer = await this.#http.exchange(asked.value);
      if (answer.ok) {
        const { response, text } = answer.value;
        for (const warning of warningsOf(response)) this.#options.onWarning?.(warning);
        const retryAfterMs = Math.min(Math.max(Number(response.headers['retry-after'] ?? 1), 0.1), 10) * 1000;
        return ok({ status: response.statusCode ?? 0, text, retryAfterMs });
      }
      // A kept connection that the server closed meanwhile: nothing of a read is lost by asking again.
      if (!(answer.error.wasStale && request.method === 'GET' && attempt < 3))
        return err(problemOf(request, answer.error));
    }
  }

  /** A response whose body is read as it comes; ends when the signal aborts. */
  async stream(path: string, signal: AbortSignal): Promise<Result<IncomingMessage, StoreError>> {
    const request: ApiRequest = { method: 'GET', path, signal };
    const deadline = performance.now() + (this.#options.timeoutMs ?? defaultTimeoutMs);
    const asked = await this.#asked(request, undefined, deadline);
    if (!asked.ok) return asked;
    const opened = await this.#http.stream(asked.value);
    if (!opened.ok) return err(problemOf(request, opened.error));
    if (!isAnswer(opened.value)) return ok(opened.value);
    const { response, text } = opened.value;
    const read = this.#read(request, response.statusCode ?? 0, text);
    return err(read.ok ? storeError('Unavailable', `${describe(request)}: no answer.`) : read.error);
  }

  async #asked(
    request: ApiRequest,
    body: Buffer | undefined,
    deadline: number,
  ): Promise<Result<HttpRequest, StoreError>> {
    const { credentials, tls } = this.#connection;
    let own: Credentials;
    try {
      own = await credentials();
    } catch (error) {
      const why = `no credentials: ${(error as Error).message}`;
      return err(storeError('Unauthorized', `${describe(request)}: ${why}.`));
    }
    return ok({
      method: request.method,
      path: request.path,
      headers: {
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': request.contentType ?? 'application/json' }),
        ...own.headers,
        'user-agent': this.#options.userAgent ?? 'margay',
      },
      body,
      deadline,
      signal: request.signal,
      tls: { ...tls, ...own.tls },
    });
  }

  /** Ends everything that is under way. */
  close(): Promise<void> {
    return this.#http.close();
  }
}

const describe = (request: ApiRequest): string => `${request.method} ${request.path.split('?', 1)[0]}`;
const hintFor = (why: string): string | undefined =>
  why === 'ECONNREFUSED'
    ? 'Nothing listens there: is the API server running, and is this the right kubeconfig?'
    : undefined;
const problemOf = (request: ApiRequest, { code, why }: HttpProblem): StoreError =>
  storeError(code, `${describe(request)}: ${why}.`, hintFor(why));

/** RFC 7234, section 5.5: `299 - "text"`. */
const warningsOf = (response: IncomingMessage): readonly string[] =>
  (response.headersDistinct['warning'] ?? []).flatMap((line) => {
    const quoted = /^\d{3} \S+ ("(?:[^"\\]|\\.)*")/.exec(line)?.[1];
    if (quoted === undefined) return [];
    return [quoted.slice(1, -1).replaceAll(/\\(.)/g, '$1')];
  });
