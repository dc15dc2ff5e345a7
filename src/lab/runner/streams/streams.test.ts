import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex, PassThrough } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { constants, createDeflate } from 'node:zlib';
import fc from 'fast-check';
import { CertificateAuthority, nodeClientName } from '../../../lib/certificates.ts';
import { silentLogger } from '../../../lib/log.ts';
import { expect } from '../../../lib/result.ts';
import { sleep, until } from '../../../lib/wait.ts';
import { LogTimes, logTimes } from './log-times.ts';
import { logFile, readLogOptions, sendLog, type LogOptions } from './logs.ts';
import { endingStatus } from './remote-session.ts';
import { type PodPlace, type StreamServerOptions, startStreamServer } from './server.ts';
import { spdyDictionary } from './spdy-dictionary.ts';
import { SpdySession } from './spdy.ts';
import { WebSocketConnection } from './websocket.ts';

/** A socket whose other end is the test's: what the server reads is pushed, what it writes is kept. */
function wire(): { socket: Duplex; sent: () => Buffer } {
  const written: Buffer[] = [];
  const socket = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done: () => void) => {
      written.push(chunk);
      done();
    },
  });
  return { socket, sent: () => Buffer.concat(written) };
}

/** A client's frame: always masked. */
function frame(opcode: number, payload: Buffer, final = true): Buffer {
  const mask = Buffer.from([1, 2, 3, 4]);
  const { length } = payload;
  const head =
    length < 126
      ? Buffer.from([0, 0x80 | length])
      : length < 65536
        ? Buffer.from([0, 0x80 | 126, length >> 8, length & 0xff])
        : Buffer.from([
            0,
            0x80 | 127,
            0,
            0,
            0,
            0,
            ...Buffer.from(new Uint32Array([length]).buffer).reverse(),
          ]);
  head[0] = (final ? 0x80 : 0) | opcode;
  return Buffer.concat([head, mask, Buffer.from(payload.map((byte, i) => byte ^ (mask[i & 3] ?? 0)))]);
}

function* pieces(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

const sizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 });

test('WebSocket: messages arrive whole however they are cut, fragmented or interleaved with pings', async () => {
  const payload = fc.uint8Array({ maxLength: 400 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(payload, { maxLength: 6 }),
      sizes,
      fc.boolean(),
      async (messages, cuts, ping) => {
        const { socket, sent } = wire();
        const seen: string[] = [];
        const connection = new WebSocketConnection(socket, Buffer.alloc(0), {
          onMessage: (message) => seen.push(message.toString('hex')),
          onClose: () => undefined,
        });
        const bytes = messages.flatMap((message) => {
          const all = Buffer.from(message);
          const half = all.length >> 1;
          return [
            frame(2, all.subarray(0, half), false),
            ...(ping ? [frame(9, Buffer.from('p'))] : []),
            frame(0, all.subarray(half)),
          ];
        });
        for (const piece of pieces(Buffer.concat(bytes), cuts)) socket.push(piece);
        await sleep(0);
        assert.deepEqual(
          seen,
          messages.map((message) => Buffer.from(message).toString('hex')),
        );
        assert.equal(sent().length, ping ? messages.length * 3 : 0);
        connection.close();
        socket.destroy();
      },
    ),
    { numRuns: 60 },
  );
});

test('WebSocket: what is no frame ends the connection, and only that', async () => {
  const bad = [
    Buffer.from([0x82, 0x01, 0x00]),
    Buffer.from([0xf2, 0x80, 0, 0, 0, 0]),
    Buffer.from([0x82, 0xff, 0, 0, 0, 9, 0, 0, 0, 0, 1, 2, 3, 4]),
    frame(5, Buffer.from('x')),
  ];
  for (const bytes of bad) {
    const { socket, sent } = wire();
    let closed = 0;
    new WebSocketConnection(socket, bytes, {
      onMessage: () => assert.fail(),
      onClose: () => closed++,
    }).pause();
    await sleep(0);
    assert.equal(closed, 1, bytes.toString('hex'));
    assert.equal(sent()[0], 0x88);
    socket.destroy();
  }
});

test('the dictionary of SPDY is the one that zlib knows by its checksum', () => {
  let [a, b] = [1, 0];
  for (const byte of spdyDictionary()) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  assert.equal((b * 65536 + a).toString(16), 'e3c6a7c2');
});

/** The client's half of SPDY, as Go's clients speak it. */
class SpdyClient {
  readonly #deflate = createDeflate({ dictionary: spdyDictionary(), flush: constants.Z_SYNC_FLUSH });
  #out: Buffer[] = [];

  constructor() {
    this.#deflate.on('data', (chunk: Buffer) => this.#out.push(chunk));
  }

  async open(id: number, headers: Readonly<Record<string, string>>): Promise<Buffer> {
    const number = (n: number): Buffer => Buffer.from(new Uint32Array([n]).buffer).reverse();
    const text = (value: string): Buffer => Buffer.concat([number(value.length), Buffer.from(value)]);
    const block = [number(Object.keys(headers).length)];
    for (const [name, value] of Object.entries(headers)) block.push(text(name), text(value));
    this.#out = [];
    await new Promise<void>((resolve) => {
      this.#deflate.write(Buffer.concat(block), () => resolve());
    });
    const head = Buffer.concat([number(id), number(0), Buffer.from([0, 0])]);
    return control(1, Buffer.concat([head, ...this.#out]));
  }
}

function control(type: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt16BE(0x8003);
  head.writeUInt16BE(type, 2);
  head.writeUInt32BE(payload.length, 4);
  return Buffer.concat([head, payload]);
}

function data(id: number, payload: Buffer, fin = false): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(id);
  head.writeUInt32BE(payload.length, 4);
  head[4] = fin ? 1 : 0;
  return Buffer.concat([head, payload]);
}

test('SPDY: streams with their headers and bytes, however the connection is cut', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 5 }),
      sizes,
      async (bodies, cuts) => {
        const { socket, sent } = wire();
        const seen = new Map<string, string>();
        let open = bodies.length;
        const done = new Promise<void>((resolve) => {
          new SpdySession(socket, Buffer.alloc(0), (stream) => {
            const chunks: Buffer[] = [];
            stream.on('data', (chunk: Buffer) => chunks.push(chunk));
            stream.on('end', () => {
              seen.set(stream.headers['name'] ?? '', Buffer.concat(chunks).toString('hex'));
              if (--open === 0) resolve();
            });
          }).closed.catch(() => undefined);
        });
        const client = new SpdyClient();
        const bytes: Buffer[] = [control(6, Buffer.from([0, 0, 0, 1]))];
        for (const [i] of bodies.entries())
          bytes.push(await client.open(i * 2 + 1, { name: `n${i}`, x: 'y' }));
        for (const [i, body] of bodies.entries()) {
          bytes.push(data(i * 2 + 1, Buffer.from(body).subarray(0, 100)));
          bytes.push(data(i * 2 + 1, Buffer.from(body).subarray(100), true));
        }
        for (const piece of pieces(Buffer.concat(bytes), cuts)) socket.push(piece);
        await done;
        assert.deepEqual(
          [...seen],
          bodies.map((body, i) => [`n${i}`, Buffer.from(body).toString('hex')]),
        );
        assert.equal(
          sent().subarray(0, 12).toString('hex'),
          '800300060000000400000001',
          'the ping is answered',
        );
        socket.destroy();
      },
    ),
    { numRuns: 40 },
  );
});

test('SPDY: any bytes end the session or wait for more, without harm', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (noise) => {
      const { socket } = wire();
      const session = new SpdySession(socket, Buffer.alloc(0), (stream) => stream.resume());
      socket.push(Buffer.from(noise));
      socket.push(null);
      await session.closed;
    }),
    { numRuns: 200 },
  );
});

// ── logs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'margay-logs-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function read(path: string, options: Partial<LogOptions>): Promise<string> {
  const output = new PassThrough();
  let text = '';
  output.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  const plain = { follow: false, previous: false, timestamps: false };
  await sendLog(path, { ...plain, ...options }, output, () => false, new AbortController().signal);
  await sleep(0);
  return text;
}

test('logs: the last lines and a limit, compared with a slow model', async (t) => {
  const path = join(folder(t), '0.log');
  const line = fc.string({ maxLength: 20 }).map((text) => text.replaceAll('\n', '.'));
  const arbitrary = fc.tuple(fc.array(line, { maxLength: 30 }), fc.boolean(), fc.nat(35), fc.nat(200));
  await fc.assert(
    fc.asyncProperty(arbitrary, async ([lines, ended, tailLines, limitBytes]) => {
      const text = Buffer.from(lines.join('\n') + (ended && lines.length > 0 ? '\n' : '')).toString('latin1');
      writeFileSync(path, text, 'latin1');
      const all = text.split(/(?<=\n)/);
      const last = tailLines === 0 ? '' : all.slice(-tailLines).join('');
      assert.equal(await read(path, { tailLines }), last);
      assert.equal(await read(path, { tailLines, limitBytes }), last.slice(0, limitBytes));
    }),
    { numRuns: 100 },
  );
});

test('logs: a long one from its end, times of lines, since', async (t) => {
  const directory = folder(t);
  const path = join(directory, '0.log');
  writeFileSync(path, '');
  const times = new LogTimes();
  t.after(() => times.forgetBelow(directory));
  times.follow(path);
  appendFileSync(path, 'first\n');
  assert.ok(await until(() => (logTimes(path)(0) > 0 ? true : undefined), { timeoutMs: 2000 }));
  await sleep(60);
  const between = Date.now();
  await sleep(60);
  appendFileSync(path, 'second\nthird\n');
  await sleep(60);
  assert.equal(await read(path, { sinceMs: between }), 'second\nthird\n');
  const stamped = (await read(path, { timestamps: true })).trimEnd().split('\n');
  assert.equal(stamped.length, 3);
  const [first = '', second = ''] = stamped.map((text) => text.split(' ')[0]);
  assert.ok(Date.parse(first) < between && between < Date.parse(second), stamped.join());
  const long = Array.from({ length: 50_000 }, (_, i) => `line ${i}`).join('\n');
  writeFileSync(join(directory, '3.log'), `${long}\n`);
  assert.equal(await logFile(directory, false), join(directory, '3.log'));
  assert.equal(await logFile(directory, true), path);
  assert.equal((await read(join(directory, '3.log'), { tailLines: 20_000 })).split('\n').length, 20_001);
  assert.equal(
    readLogOptions(new URLSearchParams('tailLines=-1'), 0),
    'tailLines: must be a whole number, not negative',
  );
});

// ── the server ───────────────────────────────────────────────────────────────────────────────────────────────────────
test('how a command ended, as a Status', () => {
  assert.deepEqual(JSON.parse(endingStatus({ exitCode: 0 })), { metadata: {}, status: 'Success' });
  assert.deepEqual((JSON.parse(endingStatus({ exitCode: 3 })) as { details: unknown }).details, {
    causes: [{ reason: 'ExitCode', message: '3' }],
  });
});

async function serve(t: TestContext, more: Partial<StreamServerOptions> = {}): Promise<number> {
  const directory = folder(t);
  mkdirSync(join(directory, 'main'));
  writeFileSync(join(directory, 'main', '0.log'), 'hello\n');
  const place: PodPlace = {
    netns: undefined,
    isAttached: true,
    container: (name) =>
      name === 'main'
        ? { logFolder: join(directory, name), initPid: undefined, isRunning: () => false, console: undefined }
        : undefined,
  };
  const server = expect(
    await startStreamServer({
      host: '127.0.0.1',
      port: 0,
      findPod: (namespace, name) => (namespace === 'default' && name === 'web' ? place : undefined),
      usage: async () => ({
        atMs: 5,
        windowMs: 1000,
        node: { cpuCores: 0.5, memoryBytes: 7 },
        containers: [],
      }),
      logger: silentLogger,
      ...more,
    }),
    'stream server',
  );
  t.after(() => server.close());
  return server.port;
}

test('requests that lead nowhere are refused, and the server goes on', async (t) => {
  const port = await serve(t);
  const get = async (path: string): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return `${response.status} ${await response.text()}`;
  };
  assert.equal(await get('/containerLogs/default/web/main'), '200 hello\n');
  assert.match(await get('/containerLogs/default/other/main'), /^404 .*not on this node/);
  assert.match(await get('/containerLogs/default/web/side'), /^400 container side is not valid/);
  assert.match(await get('/containerLogs/default/web/main?tailLines=x'), /^400 tailLines/);
  assert.match(await get('/containerLogs/default/web/main?previous=true'), /^400 previous terminated/);
  assert.match(await get('/exec/default/web/main'), /^400 Upgrade/);
  assert.match(await get('/pods'), /^404/);
  assert.match(await get('/containerLogs/%zz/web/main'), /^400/);
  const raw = (upgrade: string, path: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1');
      let text = '';
      socket.on('data', (chunk) => (text += chunk.toString()));
      socket.on('close', () => resolve(text));
      socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: ${upgrade}\r\n\r\n`);
    });
  assert.match(
    await raw('websocket', '/exec/default/web/main?output=1&command=x'),
    /^HTTP\/1\.1 409.*[\s\S]*not running/,
  );
  assert.match(await raw('websocket', '/portForward/default/web?ports=80'), /^HTTP\/1\.1 400/);
  assert.match(await raw('h2c', '/exec/default/web/main'), /^HTTP\/1\.1 400/);
  assert.equal(await get('/containerLogs/default/web/main'), '200 hello\n');
});

test('port-forward on channels: both directions, and why a port cannot be reached', async (t) => {
  const echo = createServer((socket: Socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => {
    echo.listen(0, '127.0.0.1', resolve);
  });
  t.after(() => echo.close());
  const { port: target } = echo.address() as AddressInfo;
  const port = await serve(t);
  const socket = new WebSocket(`ws://127.0.0.1:${port}/portForward/default/web?ports=${target}&ports=1`, [
    'v5.channel.k8s.io',
    'v4.channel.k8s.io',
  ]);
  socket.binaryType = 'arraybuffer';
  const said = ['', '', '', ''];
  socket.addEventListener('message', ({ data: message }) => {
    const bytes = Buffer.from(message as ArrayBuffer);
    said[bytes[0] ?? 0] += bytes.subarray(1).toString('latin1');
  });
  await new Promise<void>((resolve) => {
    socket.addEventListener('open', () => resolve());
  });
  assert.equal(socket.protocol, 'v4.channel.k8s.io');
  socket.send(new Uint8Array(Buffer.concat([Buffer.from([0]), Buffer.from('there and back')])));
  const number = Buffer.from(new Uint16Array([target]).buffer).toString('latin1');
  assert.ok(
    await until(() => (said[0] === `${number}there and back` ? true : undefined), { timeoutMs: 5000 }),
  );
  assert.ok(
    await until(() => (said[3]?.includes('connection refused') ? true : undefined), { timeoutMs: 5000 }),
    said[3] ?? '',
  );
  socket.close();
});

test('with TLS only the API server is let in', async (t) => {
  const now = Date.now();
  const authority = CertificateAuthority.create('margay-ca', now);
  const own = authority.issue(
    { commonName: 'system:node:n', hosts: ['127.0.0.1'], purposes: ['server'] },
    now,
  );
  const port = await serve(t, { tls: { ...own, ca: authority.cert, clientName: nodeClientName } });
  const { request } = await import('node:https');
  const ask = (client: object, path = '/containerLogs/default/web/main'): Promise<number | string> =>
    new Promise((resolve) => {
      const outgoing = request(
        { host: '127.0.0.1', port, path, ca: authority.cert, agent: false, ...client },
        (answer) => {
          answer.resume();
          resolve(answer.statusCode ?? 0);
        },
      );
      outgoing.on('error', () => resolve('closed'));
      outgoing.end();
    });
  const issue = (commonName: string): object => authority.issue({ commonName, purposes: ['client'] }, now);
  assert.equal(await ask(issue(nodeClientName)), 200);
  assert.equal(await ask(issue('jane')), 403);
  assert.equal(await ask(issue(nodeClientName), '/usage'), 200);
  assert.equal(await ask(issue('jane'), '/usage'), 403);
  assert.equal(await ask({}), 'closed');
});
