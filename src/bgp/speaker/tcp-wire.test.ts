// What comes in large chunks is handed on in pieces, whole and in order, and others get their turn in between.
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import { until } from '../../lib/wait.ts';
import { TcpWire } from './tcp-wire.ts';

test('a megabyte that is there at once arrives in order, in pieces of a turn each; the end comes last', async () => {
  const sent = Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * 31) & 255);
  const received: Uint8Array[] = [];
  let turnsBetween = 0;
  const server = createServer((socket) => {
    const wire = new TcpWire(socket);
    // The socket's buffer is full before anybody reads.
    setTimeout(() => {
      let lastPiece = false;
      const turn = setInterval(() => {
        if (lastPiece) turnsBetween++;
        lastPiece = false;
      }, 0);
      wire.open({
        data: (chunk) => {
          assert.ok(chunk.length <= 8192, `${chunk.length} bytes in one turn`);
          received.push(Uint8Array.from(chunk));
          lastPiece = true;
        },
        drained: () => undefined,
        closed: () => {
          clearInterval(turn);
          server.close();
        },
      });
    }, 50);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const client = connect(port, '127.0.0.1', () => client.end(sent));
  await new Promise<void>((resolve) => server.on('close', resolve));
  const whole = Buffer.concat(received);
  assert.equal(whole.length, sent.length);
  assert.ok(whole.equals(sent));
  assert.ok(turnsBetween > 0);
});

test('many peers that speak at once are heard a few per turn', async () => {
  const peers = 40;
  const busyMs = 3;
  const heard = new Set<number>();
  let inTurn = 0;
  let most = 0;
  const wires: { readonly close: () => void }[] = [];
  const server = createServer((socket) => {
    const number = socket.remotePort ?? 0;
    const wire = new TcpWire(socket);
    wires.push(wire);
    wire.open({
      data: () => {
        heard.add(number);
        inTurn++;
        for (const end = performance.now() + busyMs; performance.now() < end; );
      },
      drained: () => undefined,
      closed: () => undefined,
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const clients = Array.from({ length: peers }, () => connect(port, '127.0.0.1'));
  await Promise.all(clients.map((c) => new Promise<void>((up) => c.once('connect', up))));
  let running = true;
  const turn = (): void => {
    most = Math.max(most, inTurn);
    inTurn = 0;
    if (running) setImmediate(turn);
  };
  turn();
  for (const client of clients) client.write('hello');
  await until(() => (heard.size === peers ? true : undefined), { timeoutMs: 30_000, everyMs: 5 });
  running = false;
  assert.equal(heard.size, peers);
  // Twelve milliseconds: a few times three in the phase of reading, and as many of those that waited.
  assert.ok(most <= 12, `${most} at once`);
  for (const one of [...wires, ...clients.map((c) => ({ close: () => c.destroy() }))]) one.close();
  await new Promise<void>((closed) => void server.close(() => closed()));
});
