// etcd over its own JSON gateway: POST with JSON, keys and values in base64, a watch as one JSON object per line. Knows
// several endpoints and goes on to the next when one fails; a write goes to another one only if it was not sent at all.
import type { Agent, ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import { err, ok, type Result } from '../../lib/result.ts';
import { storeError } from '../errors.ts';
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
type Opened = { readonly response: IncomingMessage; readonly finish: () => void };
type Broken = { readonly error: StoreError; readonly sent: boolean };
type HttpModule = {
  request(options: RequestOptions, onResponse: (response: IncomingMessage) => void): ClientRequest;
  Agent: new (options: { keepAlive: boolean; keepAliveMsecs: number; maxSockets: number }) => Agent;
};

const defaultTimeoutMs = 10_000;
const largestAnswerBytes = 512 * 1024 * 1024;
const connectionsPerEndpoint = 32;

export class Gateway {
  readonly #connection: EtcdConnection;
  readonly #options: GatewayOptions;
  readonly #open = new Set<ClientRequest>();
  #http: Promise<{ module: HttpModule; agent: Agent; watchAgent: Agent }>[] = [];
  /** The endpoint that answered last. */
  #current: number;
  #token: Promise<Result<string | undefined, StoreError>> | undefined;
  #closed = false;

  constructor(connection: EtcdConnection, options: GatewayOptions = {}) {
    this.#connection = connection;
    this.#options = options;
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
  ): Promise<Result<{ response: IncomingMessage }, StoreError>> {
    const text = Buffer.from(JSON.stringify(body));
    const deadline = performance.now() + (this.#options.timeoutMs ?? defaultTimeoutMs);
    const token = await this.#authenticated(deadline);
    if (!token.ok) return token;
    const opened = await this.#send(this.#current, path, text, token.value, signal, deadline, true);
    if (!opened.ok) {
      this.#leave();
      return err(opened.error.error);
    }
    const { response, finish } = opened.value;
    response.once('close', finish);
    if (response.statusCode === 200) return ok({ response });
    const read = await readAll(response, deadline);
    const refusal = read.ok ? (parsed(read.value) as GatewayStatus | undefined) : undefined;
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
    for (const request of this.#open) request.destroy();
    for (const http of this.#http) {
      if (http === undefined) continue;
      const { agent, watchAgent } = await http;
      agent.destroy();
      watchAgent.destroy();
    }
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
      const answer = await this.#exchange(
        at,
        path,
        body,
        token,
        asked.signal,
        Math.min(deadline, performance.now() + share),
      );
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
    path: string,
    body: Buffer,
    token: string | undefined,
    signal: AbortSignal | undefined,
    deadline: number,
  ): Promise<Result<{ status: number; value: unknown }, Broken>> {
    const opened = await this.#send(endpoint, path, body, token, signal, deadline, false);
    if (!opened.ok) return opened;
    const { response, finish } = opened.value;
    const read = await readAll(response, deadline);
    finish();
    if (!read.ok)
      return err({ error: storeError(read.error, `${path}: the answer of etcd was cut off.`), sent: true });
    const value = parsed(read.value);
    if (value === undefined) return err({ error: errorOfText(read.value, path), sent: true });
    return ok({ status: response.statusCode ?? 500, value });
  }

  async #send(
    endpoint: number,
    path: string,
    body: Buffer,
    token: string | undefined,
    signal: AbortSignal | undefined,
    deadline: number,
    isWatch: boolean,
  ): Promise<Result<Opened, Broken>> {
    const url = this.#connection.endpoints[endpoint] as URL;
    const failed = (code: StoreError['code'], why: string, sent: boolean) =>
      err({ error: storeError(code, `etcd at ${url.host}: ${why}.`, hintFor(why)), sent });
    if (this.#closed) return failed('Unavailable', 'the datastore is closed', false);
    if (signal?.aborted) return failed('Timeout', 'the request was aborted', false);
    const { module, agent, watchAgent } = await this.#load(endpoint);
    return new Promise((resolve) => {
      let connected = false;
      const outgoing = module.request(
        {
          method: 'POST',
          protocol: url.protocol,
          hostname: url.hostname.replace(/^\[|\]$/g, ''),
          port: url.port,
          path: `${url.pathname.replace(/\/$/, '')}${path}`,
          agent: isWatch ? watchAgent : agent,
          headers: {
            'content-type': 'application/json',
            'content-length': String(body.length),
            'user-agent': this.#options.userAgent ?? 'margay',
            ...(token === undefined ? {} : { authorization: token }),
            // A member that has lost the others ends its watches, instead of keeping silent.
            ...(isWatch ? { 'grpc-metadata-hasleader': 'true' } : {}),
          },
          ...(url.protocol === 'https:' ? this.#connection.tls : {}),
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
        signal?.removeEventListener('abort', onAbort);
      };
      const abort = (code: StoreError['code'], why: string): void => {
        finish();
        outgoing.destroy();
        resolve(failed(code, why, connected));
      };
      const onAbort = (): void => abort('Timeout', 'the request was aborted');
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#open.add(outgoing);
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        finish();
        resolve(failed('Unavailable', error.code ?? error.message, connected));
      });
      outgoing.on('socket', (socket) => {
        socket.setKeepAlive(true, 15_000);
        if (!socket.connecting) connected = true;
        else socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => (connected = true));
      });
      outgoing.end(body);
    });
  }

  /** TLS sessions and kept connections are one endpoint's own. */
  #load(endpoint: number): Promise<{ module: HttpModule; agent: Agent; watchAgent: Agent }> {
    return (this.#http[endpoint] ??= (async () => {
      const isTls = this.#connection.endpoints[endpoint]?.protocol === 'https:';
      const module = (isTls
        ? await import('node:https')
        : await import('node:http')) as unknown as HttpModule;
      const make = (maxSockets: number): Agent =>
        new module.Agent({ keepAlive: true, keepAliveMsecs: 15_000, maxSockets });
      return { module, agent: make(connectionsPerEndpoint), watchAgent: make(1024) };
    })());
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

async function readAll(
  response: IncomingMessage,
  deadline: number,
): Promise<Result<string, 'Timeout' | 'Unavailable'>> {
  const chunks: Buffer[] = [];
  let size = 0;
  const timer = setTimeout(() => response.destroy(), Math.max(1, deadline - performance.now()));
  const broken = () => err(performance.now() >= deadline ? ('Timeout' as const) : ('Unavailable' as const));
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > largestAnswerBytes) return broken();
      chunks.push(chunk);
    }
  } catch {
    return broken();
  } finally {
    clearTimeout(timer);
  }
  return response.complete ? ok(Buffer.concat(chunks, size).toString('utf8')) : broken();
}
