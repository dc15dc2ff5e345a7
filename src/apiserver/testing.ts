// For tests: a server in memory on a free port, and a client that speaks to it as plain as the protocol is.
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { silentLogger } from '../lib/log.ts';
import { startApiServer } from './server.ts';
import type { ApiServer, ApiServerOptions } from './types.ts';

export type Reply = { readonly code: number; readonly body: Json; readonly headers: Headers };
// Answers are examined freely in tests.
export type Json = { readonly [field: string]: Json } & {
  readonly [position: number]: Json;
} & { toString(): string };

/** The items of a JSON list; none when it is not one. */
export const itemsOf = (value: Json | undefined): readonly Json[] =>
  Array.isArray(value) ? (value as Json[]) : [];

export type Send = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Record<string, string>,
) => Promise<Reply>;

export type TestServer = { readonly server: ApiServer; readonly url: string; readonly send: Send };

export async function startTestServer(
  t: TestContext,
  options: Partial<ApiServerOptions> = {},
): Promise<TestServer> {
  const started = await startApiServer({
    listen: ['127.0.0.1:0'],
    data: ':memory:',
    logger: silentLogger,
    ...options,
  });
  assert.ok(started.ok, started.ok ? '' : started.error.message);
  const server = started.value;
  t.after(() => server.stop());
  const url = server.addresses[0] ?? '';
  return { server, url, send: sender(url) };
}

export const sender =
  (url: string): Send =>
  async (method, path, body, headers = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      code: response.status,
      body: (isJson(text) ? JSON.parse(text) : text) as Json,
      headers: response.headers,
    };
  };

const isJson = (text: string): boolean => text.startsWith('{') || text.startsWith('[');

export type WatchLine = { readonly type: string; readonly object: Json };

/** A watch as a list that grows; `next` waits for the line after the last one taken. */
export class TestWatch {
  readonly #abort = new AbortController();
  readonly #lines: WatchLine[] = [];
  #taken = 0;
  #wake: () => void = () => undefined;
  ended = false;

  static async open(
    t: TestContext,
    url: string,
    path: string,
    headers: Record<string, string> = {},
  ): Promise<TestWatch> {
    const watch = new TestWatch();
    t.after(() => watch.close());
    const response = await fetch(url + path, { headers, signal: watch.#abort.signal });
    assert.equal(response.status, 200, await (response.status === 200 ? '' : response.text()));
    void watch.#read(response);
    return watch;
  }

  async #read(response: Response): Promise<void> {
    const decoder = new TextDecoder();
    let rest = '';
    try {
      for await (const chunk of response.body ?? []) {
        rest += decoder.decode(chunk as Uint8Array, { stream: true });
        const lines = rest.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) this.#lines.push(JSON.parse(line) as WatchLine);
        this.#wake();
      }
    } catch {
      // Closed by either side.
    }
    this.ended = true;
    this.#wake();
  }

  /** The next line; undefined when the stream has ended. */
  async next(): Promise<WatchLine | undefined> {
    while (this.#taken >= this.#lines.length) {
      if (this.ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#lines[this.#taken++];
  }

  /** The next `count` lines as `TYPE name`. */
  async take(count: number): Promise<readonly string[]> {
    const lines: string[] = [];
    for (let i = 0; i < count; i++) {
      const line = await this.next();
      if (line === undefined) break;
      lines.push(`${line.type} ${String(line.object['metadata']?.['name'])}`);
    }
    return lines;
  }

  close(): void {
    this.#abort.abort();
  }
}

export const podNamed = (
  name: string,
  extra: Record<string, unknown> = {},
  spec: Record<string, unknown> = {},
): unknown => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, ...extra },
  spec: { containers: [{ name: 'c', image: 'web:1' }], ...spec },
});
