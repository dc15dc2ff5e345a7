// What clients can do to a server that speaks TLS: much at once, slowly, or nonsense. It is bounded, answered, and others
// are served meanwhile.
import assert from 'node:assert/strict';
import { Agent, request } from 'node:https';
import { connect, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { CertificateAuthority, newPrivateKey } from '../../lib/certificates.ts';
import { until } from '../../lib/wait.ts';
import { startTestServer } from '../testing.ts';
import type { Limits } from '../types.ts';

const now = Date.now();
const authority = CertificateAuthority.create('test-ca', now);
const admin = authority.issue(
  { commonName: 'admin', organizations: ['system:masters'], purposes: ['client'] },
  now,
);
const maps = '/api/v1/namespaces/default/configmaps';

function* pieces(body: string | Buffer): Generator<Buffer> {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}

type Ask = (method: string, path: string, body?: string | Buffer, type?: string) => Promise<number>;

async function start(t: TestContext, limits: Partial<Limits> = {}): Promise<{ port: number; ask: Ask }> {
  const serving = authority.issue({ commonName: 'api', hosts: ['127.0.0.1'], purposes: ['server'] }, now);
  const security = { ...serving, clientCa: authority.cert, tokenKey: newPrivateKey(), nodeClient: admin };
  const { url } = await startTestServer(t, { security, limits });
  const port = Number(new URL(url).port);
  const agent = new Agent({ keepAlive: true, ca: authority.cert, ...admin });
  t.after(() => agent.destroy());
  const ask: Ask = (method, path, body, type = 'application/json') =>
    new Promise((resolve) => {
      let code = 0;
      const outgoing = request(
        {
          host: '127.0.0.1',
          port,
          method,
          path,
          agent,
          headers: body === undefined ? {} : { 'content-type': type },
        },
        (response) => {
          code = response.statusCode ?? 0;
          response.resume();
          response.on('close', () => resolve(code));
        },
      );
      // A server that has refused does not take the rest of the body.
      outgoing.on('error', () => resolve(code));
      // In pieces: the client must not be what takes the memory.
      Readable.from(pieces(body ?? '')).pipe(outgoing);
    });
  return { port, ask };
}

test('many bodies of 10 MB at once are refused, and take no memory', { timeout: 60_000 }, async (t) => {
  const { ask } = await start(t);
  const body = Buffer.alloc(10 * 1024 * 1024, 'x');
  await ask('GET', '/readyz');
  const before = process.memoryUsage().rss;
  const codes = await Promise.all(Array.from({ length: 24 }, () => ask('POST', maps, body)));
  assert.ok(
    codes.every((code) => code === 413 || code === 0),
    codes.join(),
  );
  assert.ok(codes.includes(413));
  const grownMiB = (process.memoryUsage().rss - before) / 2 ** 20;
  // Kept, the bodies would be 240 MiB.
  assert.ok(grownMiB < 150, `${grownMiB} MiB`);
  assert.equal(await ask('GET', '/readyz'), 200);
});

test('deep documents in every form of body', async (t) => {
  const { ask } = await start(t);
  const deep = 100_000;
  const head = '{"metadata":{"name":"a"},"data":';
  assert.equal(await ask('POST', maps, `${head}${'{"a":'.repeat(deep)}1${'}'.repeat(deep)}}`), 400);
  assert.equal(
    await ask('POST', maps, `metadata: {name: a}\ndata: ${'['.repeat(20_000)}`, 'application/yaml'),
    400,
  );
  const bomb = ['a: &a [x,x,x,x,x,x,x,x]', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((name, i, all) =>
    i === 0 ? name : `${name}: &${name} [${`*${(all[i - 1] ?? '')[0]},`.repeat(8)}]`,
  );
  assert.equal(await ask('POST', maps, bomb.join('\n'), 'application/yaml'), 400);
  // The parser would need a minute for it; others do not notice.
  let answered = false;
  const quotes = ask('POST', maps, '"'.repeat(300_000), 'application/yaml').finally(() => (answered = true));
  assert.equal(await ask('GET', '/readyz'), 200);
  assert.ok(!answered);
  assert.equal(await quotes, 400);
  assert.equal(await ask('POST', maps, 'metadata: {name: plain}\ndata: {a: "1"}\n', 'application/yaml'), 201);
  let nested = Buffer.alloc(0);
  for (let i = 0; i < 20_000; i++) {
    const size = [];
    for (let left = nested.length; ; left >>>= 7) {
      size.push(left > 127 ? (left & 127) | 128 : left);
      if (left <= 127) break;
    }
    nested = Buffer.concat([Buffer.from([0x12, ...size]), nested]);
  }
  const magic = Buffer.from([0x6b, 0x38, 0x73, 0]);
  const code = await ask('POST', maps, Buffer.concat([magic, nested]), 'application/vnd.kubernetes.protobuf');
  assert.ok(code >= 400 && code < 500, String(code));
  assert.equal(await ask('POST', maps, Buffer.from([0x22, 0xff, 0x22])), 400);
  assert.equal(await ask('GET', '/readyz'), 200);
});

test('clients that are slow to shake hands, to ask, or to speak TLS at all hold nobody up', {
  timeout: 60_000,
}, async (t) => {
  const { port, ask } = await start(t, { requestTimeoutMs: 500 });
  const sockets: Socket[] = [];
  let closed = 0;
  const keep = (socket: Socket): Socket => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => closed++);
    return socket;
  };
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (let i = 0; i < 100; i++) {
    keep(connect(port, '127.0.0.1'));
    const plain = keep(connect(port, '127.0.0.1'));
    plain.write('GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n');
  }
  for (let i = 0; i < 50; i++) {
    const secure = connectTls({ port, host: '127.0.0.1', ca: authority.cert, ...admin });
    keep(secure);
    secure.write(`POST ${maps} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{`);
    secure.resume();
  }
  assert.equal(await ask('GET', '/readyz'), 200);
  for (let i = 0; i < 20; i++) assert.equal(await ask('POST', maps, `{"metadata":{"name":"m${i}"}}`), 201);
  const gone = await until(() => (closed === sockets.length ? true : undefined), {
    timeoutMs: 30_000,
    everyMs: 100,
  });
  assert.ok(gone, `${closed} of ${sockets.length} were given up`);
  assert.equal(await ask('GET', maps), 200);
});
