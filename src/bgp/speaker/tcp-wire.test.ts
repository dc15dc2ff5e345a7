// What comes in large chunks is handed on in pieces, whole and in order, and others get their turn in between.
import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
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
