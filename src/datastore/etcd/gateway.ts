// etcd over its own JSON gateway: POST with JSON, keys and values in base64, a watch as one JSON object per line. Knows
// several endpoints and goes on to the next when one fails; a write goes to another one only if it was not sent at all.
import type { IncomingMessage } from 'node:http';
import { err, ok, type Result } from '../../lib/result.ts';
import { storeError } from '../errors.ts';
import { HttpClient, isAnswer, type HttpProblem, type HttpRequest } from '../http.ts';
import type { StoreError } from '../types.ts';
import type { EtcdConnection } from './settings.ts';
import {
  errorOfStatus,
  errorOfText,
  type GatewayStatus,
  isAuthDisabled,
  isOldAuthState,
  isStaleToken,
} from './status.ts';

export type GatewayOptions = {
  /** Of one request with all its repetitions; 10 s by default, as Calico's client has it. */
  readonly timeoutMs?: number;
  readonly userAgent?: string;
};
type Asked = {
  readonly signal?: AbortSignal | undefined;
  readonly isRead: boolean;
  readonly timeoutMs?: number;
};
type Broken = { readonly error: StoreError; readonly sent: boolean };

const defaultTimeoutMs = 10_000;

export class Gateway {
  readonly #connection: EtcdConnection;
  readonly #options: GatewayOptions;
  /** By endpoint: TLS sessions and kept connections are each one's own. */
  readonly #clients: readonly HttpClient[];
  /** The endpoint that answered last. */
  #current: number;
  #token: Promise<Result<string | undefined, StoreError>> | undefined;
  #closed = false;

  constructor(connection: EtcdConnection, options: GatewayOptions = {}) {
    this.#connection = connection;
    this.#options = options;
    this.#clients = connection.endpoints.map((endpoint) => new HttpClient(endpoint));
    this.#current = Math.floor(Math.random() * connection.endpoints.length);
  }

  async json(path: string, body: unknown, asked: Asked): Promise<Result<unknown, StoreError>> {
    const text = Buffer.from(JSON.stringify(body));
    const deadline = performance.now() + (asked.timeoutMs ?? this.#options.timeoutMs ?? defaultTimeoutMs);
    for (let renewed = false; ; renewed = true) {
      const token = await this.#authenticated(deadline);
      if (!token.ok) return token;
      const answer = await this.#anywhere(path, text, token.value, asked, deadline);
      if (!answer.ok) return answer;
      const { status, value } = answer.value;
      if (status < 300) return ok(value);
      const refusal = value as GatewayStatus;
      if (renewed || !this.#isRenewable(refusal)) return err(errorOfStatus(refusal, path));
      this.#token = undefined;
    }
  }

  /** Messages of a stream as they come; ends without an error when etcd ends it. */
  async stream(
    path: string,
    body: unknown,
    signal: AbortSignal,
  ): Promise<Result<IncomingMessage, StoreError>> {
    const text = Buffer.from(JSON.stringify(body));
    const deadline = performance.now() + (this.#options.timeoutMs ?? defaultTimeoutMs);
    const token = await this.#authenticated(deadline);
    if (!token.ok) return token;
    const endpoint = this.#current;
    const request = this.#request(path, text, token.value);
    // A member that has lost the others ends its watches, instead of keeping silent.
    const headers = { ...request.headers, 'grpc-metadata-hasleader': 'true' };
    const opened = await this.#at(endpoint).stream({ ...request, headers, deadline, signal });
    if (!opened.ok) {
      this.#leave();
      return err(this.#broken(endpoint, opened.error).error);
    }
    if (!isAnswer(opened.value)) return ok(opened.value);
    const refusal = parsed(opened.value.text) as GatewayStatus | undefined;
    if (refusal !== undefined && this.#isRenewable(refusal)) this.#token = undefined;
    return err(errorOfStatus(refusal ?? {}, path));
  }

  /** What a stream ended with may be that the endpoint has lost the cluster: the next request goes elsewhere. */
  leave(): void {
    this.#leave();
  }

  /** A token that a stream was refused with is not used again. */
  forgetToken(): void {
    this.#token = undefined;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  #isRenewable(refusal: GatewayStatus): boolean {
    return this.#connection.user !== undefined && (isStaleToken(refusal) || isOldAuthState(refusal));
  }

  #leave(): void {
    this.#current = (this.#current + 1) % this.#connection.endpoints.length;
  }

  /** One authentication at a time; a failed one is tried again by the next request. */
  async #authenticated(deadline: number): Promise<Result<string | undefined, StoreError>> {
    const { user } = this.#connection;
    if (user === undefined) return ok(undefined);
    const asked = (this.#token ??= this.#authenticate(user, deadline));
    const token = await asked;
    if (!token.ok && this.#token === asked) this.#token = undefined;
    return token;
  }

  async #authenticate(
    { name, password }: { readonly name: string; readonly password: string },
    deadline: number,
  ): Promise<Result<string | undefined, StoreError>> {
    const path = '/v3/auth/authenticate';
    const text = Buffer.from(JSON.stringify({ name, password }));
    const answer = await this.#anywhere(path, text, undefined, { isRead: true }, deadline);
    if (!answer.ok) return answer;
    if (answer.value.status < 300) return ok((answer.value.value as { token?: string }).token);
    const refusal = answer.value.value as GatewayStatus;
    return isAuthDisabled(refusal) ? ok(undefined) : err(errorOfStatus(refusal, path));
  }

  /** Each endpoint once, beginning with the one that answered last; reads go round until the deadline. */
  async #anywhere(
    path: string,
    body: Buffer,
    token: string | undefined,
    asked: Asked,
    deadline: number,
  ): Promise<Result<{ status: number; value: unknown }, StoreError>> {
    const { endpoints } = this.#connection;
    let last: StoreError | undefined;
    for (let attempt = 0; attempt < endpoints.length + 1; attempt++) {
      const at = this.#current;
      const left = deadline - performance.now();
      // An endpoint that says nothing must leave time for the others.
      const share =
        endpoints.length > 1
          ? Math.max(1000, left / (endpoints.length - Math.min(attempt, endpoints.length - 1)))
          : left;
      const answer = await this.#exchange(at, {
        ...this.#request(path, body, token),
        signal: asked.signal,
        deadline: Math.min(deadline, performance.now() + share),
      });
      if (answer.ok) {
        const unavailable = isUnavailable(answer.value);
        if (!unavailable) return answer;
        last = errorOfStatus(answer.value.value as GatewayStatus, path);
        if (this.#current === at) this.#leave();
        // A write that a member without a leader had may still be carried out.
        if (!asked.isRead || performance.now() >= deadline) return err(last);
        continue;
      }
      last = answer.error.error;
      if (asked.signal?.aborted || this.#closed) return err(last);
      if (this.#current === at) this.#leave();
      if ((answer.error.sent && !asked.isRead) || performance.now() >= deadline) return err(last);
    }
    return err(last ?? storeError('Unavailable', `${path}: no endpoint of etcd answered.`));
  }

  async #exchange(
    endpoint: number,
    request: HttpRequest,
  ): Promise<Result<{ status: number; value: unknown }, Broken>> {
    const answer = await this.#at(endpoint).exchange(request);
    if (!answer.ok) return err(this.#broken(endpoint, answer.error));
    const { response, text } = answer.value;
    const value = parsed(text);
    if (value === undefined) return err({ error: errorOfText(text, request.path), sent: true });
    return ok({ status: response.statusCode ?? 500, value });
  }

  #at(endpoint: number): HttpClient {
    return this.#clients[endpoint] as HttpClient;
  }

  #broken(endpoint: number, { code, why, wasSent }: HttpProblem): Broken {
    const { host } = this.#connection.endpoints[endpoint] as URL;
    return { error: storeError(code, `etcd at ${host}: ${why}.`, hintFor(why)), sent: wasSent };
  }

  #request(path: string, body: Buffer, token: string | undefined): Omit<HttpRequest, 'deadline'> {
    return {
      method: 'POST',
      path,
      headers: {
        'content-type': 'application/json',
        'user-agent': this.#options.userAgent ?? 'margay',
        ...(token === undefined ? {} : { authorization: token }),
      },
      body,
      tls: this.#connection.tls,
    };
  }
}

const unavailableCode = 14;
const isUnavailable = ({ status, value }: { status: number; value: unknown }): boolean =>
  status >= 500 && (value as GatewayStatus).code === unavailableCode;

const hintFor = (why: string): string | undefined =>
  why === 'ECONNREFUSED'
    ? 'Nothing listens there: is etcd running, and are these the right endpoints?'
    : undefined;

function parsed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
