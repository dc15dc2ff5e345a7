import assert from 'node:assert/strict';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import { linesOf } from '../lib/lines.ts';
import { until } from '../lib/wait.ts';
import { HttpClient, type HttpClientOptions, type HttpRequest, isAnswer } from './http.ts';

type Stage = { readonly server: Server; readonly client: HttpClient; readonly sockets: readonly Socket[] };

async function withServer(
  listener: RequestListener,
  work: (stage: Stage) => Promise<void>,
  options: HttpClientOptions = {},
): Promise<void> {
  const server = createServer(listener);
  const sockets: Socket[] = [];
  server.on('connection', (socket) => sockets.push(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const client = new HttpClient(new URL(`http://127.0.0.1:${port}/base/`), options);
  try {
    await work({ server, client, sockets });
  } finally {
    await client.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const asked = (more: Partial<HttpRequest> = {}): HttpRequest => ({
  method: 'GET',
  path: '/x',
  headers: {},
  deadline: performance.now() + 30_000,
  ...more,
});
const soon = (): number => performance.now() + 50;
async function problem(client: HttpClient, request: HttpRequest) {
  const got = await client.exchange(request);
  assert.ok(!got.ok);
  return got.error;
}

test('an exchange sends a body with its length below the path of the server, and keeps its connection', () =>
  withServer(
    (request, response) => {
      request.setEncoding('utf8');
      let body = '';
      request.on('data', (text: string) => (body += text));
      request.on('end', () => {
        const { url, method, headers } = request;
        response.writeHead(201).end(`${method} ${url} ${headers['content-length']} ${body} ä`);
      });
    },
    async ({ client, sockets }) => {
      for (let i = 0; i < 3; i++) {
        const got = await client.exchange(asked({ method: 'POST', body: Buffer.from('ö') }));
        assert.ok(got.ok);
        assert.equal(got.value.text, 'POST /base/x 2 ö ä');
        assert.equal(got.value.response.statusCode, 201);
      }
      assert.equal(sockets.length, 1);
    },
  ));

test('the deadline ends waiting for an answer and within one', () =>
  withServer(
    (request, response) => {
      if (request.url?.endsWith('/half')) response.writeHead(200).write('half');
    },
    async ({ client }) => {
      const silent = await problem(client, asked({ deadline: soon() }));
      assert.deepEqual([silent.code, silent.why], ['Timeout', 'no answer in time']);
      assert.equal((await problem(client, asked({ path: '/half', deadline: soon() }))).code, 'Timeout');
    },
  ));

test('a signal ends a request at once, and one that was given before sends nothing', () =>
  withServer(
    () => undefined,
    async ({ client, server, sockets }) => {
      const abort = new AbortController();
      server.once('request', () => abort.abort());
      const ended = await problem(client, asked({ signal: abort.signal }));
      assert.deepEqual([ended.code, ended.why], ['Timeout', 'the request was aborted']);
      const before = sockets.length;
      const unsent = await problem(client, asked({ signal: abort.signal }));
      assert.deepEqual([unsent.code, unsent.wasSent], ['Timeout', false]);
      assert.equal(sockets.length, before);
    },
  ));

test('an answer that breaks off or is too large is none', () =>
  withServer(
    (request, response) => {
      response.writeHead(200, { 'content-length': '100' });
      if (!request.url?.endsWith('/cut')) response.end('x'.repeat(100));
      else response.write('x', () => response.socket?.end());
    },
    async ({ client }) => {
      const cut = await problem(client, asked({ path: '/cut' }));
      assert.deepEqual([cut.code, cut.why, cut.wasSent], ['Unavailable', 'the answer was cut off', true]);
      const large = await problem(client, asked());
      assert.equal(large.why, 'the answer has more than 50 bytes');
    },
    { largestAnswerBytes: 50 },
  ));

test('a server that is not there was sent nothing; a kept connection that it closed is told apart', async () => {
  let port = 0;
  await withServer(
    (_request, response) => void response.end('ok'),
    async ({ client, server, sockets }) => {
      port = (server.address() as AddressInfo).port;
      assert.ok((await client.exchange(asked())).ok);
      // The next request of the connection is met by its end.
      server.removeAllListeners('request');
      server.on('request', (request) => request.socket.resetAndDestroy());
      const stale = await problem(client, asked());
      assert.equal(sockets.length, 1);
      assert.deepEqual([stale.code, stale.wasStale, stale.wasSent], ['Unavailable', true, true]);
      const fresh = await problem(client, asked());
      assert.deepEqual([fresh.wasStale, fresh.wasSent], [false, true]);
    },
  );
  const nobody = new HttpClient(new URL(`http://127.0.0.1:${port}`));
  const refused = await problem(nobody, asked());
  assert.deepEqual(
    [refused.code, refused.why, refused.wasSent, refused.wasStale],
    ['Unavailable', 'ECONNREFUSED', false, false],
  );
  await nobody.close();
  assert.equal((await problem(nobody, asked())).why, 'the datastore is closed');
});

test('a stream outlives the deadline of its request, and ends with its signal', () =>
  withServer(
    (_request, response) => {
      response.writeHead(200).write('one\n');
      setTimeout(() => response.write('two\n'), 400);
    },
    async ({ client }) => {
      const abort = new AbortController();
      // A busy machine may need more for the connection alone.
      const response = await until(
        async () => {
          const opened = await client.stream(
            asked({ signal: abort.signal, deadline: performance.now() + 300 }),
          );
          return opened.ok && !isAnswer(opened.value) ? opened.value : undefined;
        },
        { timeoutMs: 30_000 },
      );
      assert.ok(response !== undefined);
      const lines = linesOf(response, 100);
      for (const value of ['one', 'two'])
        assert.deepEqual(await lines.next(), { done: false, value: { ok: true, value } });
      abort.abort();
      const last = await lines.next();
      assert.ok(last.value !== undefined && !last.value.ok);
      assert.equal(last.value.error.code, 'CutOff');
    },
  ));

test('a stream that is refused is an answer', () =>
  withServer(
    (_request, response) => void response.writeHead(410).end('too old'),
    async ({ client }) => {
      const refused = await client.stream(asked());
      assert.ok(refused.ok && isAnswer(refused.value));
      assert.deepEqual([refused.value.response.statusCode, refused.value.text], [410, 'too old']);
    },
  ));
