import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { askLine } from './json-line.ts';

async function withServer(onSocket: (socket: Socket) => void, work: (path: string) => Promise<void>) {
  const directory = mkdtempSync(join(tmpdir(), 'margay-line-'));
  const path = join(directory, 'x.sock');
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    onSocket(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    await work(path);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    rmSync(directory, { recursive: true });
  }
}

const code = async (path: string, timeoutMs = 30_000): Promise<string> => {
  const answer = await askLine(path, {}, timeoutMs);
  return answer.ok ? 'ok' : `${answer.error.code} ${answer.error.message.replace(path, 'it')}`;
};

test('a question is a line, and so is the answer, in however many pieces it comes', () =>
  withServer(
    (socket) =>
      socket.once('data', (question: Buffer) => {
        const answer = Buffer.from(`{"you":${question.toString().trimEnd()},"word":"ä"}\n`);
        socket.write(answer.subarray(0, answer.length - 4), () => {
          setImmediate(() => socket.write(answer.subarray(answer.length - 4)));
        });
      }),
    async (path) => {
      assert.deepEqual(await askLine(path, { op: 'é' }, 30_000), {
        ok: true,
        value: { you: { op: 'é' }, word: 'ä' },
      });
    },
  ));

test('who does not answer, closes, or says no JSON has not answered; who is not there is not running', async () => {
  await withServer(
    () => undefined,
    async (path) =>
      assert.equal(await code(path, 50), 'NoAnswer it does not answer: nothing came within 0.05 s.'),
  );
  await withServer(
    (socket) => socket.end('{"half'),
    async (path) => assert.equal(await code(path), 'NoAnswer it does not answer: it closed the connection.'),
  );
  for (const [line, why] of [
    [Buffer.from('no\n'), 'its answer is no JSON'],
    [Buffer.from([0xff, 10]), 'A line is not UTF-8'],
  ] as const)
    await withServer(
      (socket) => socket.write(line),
      async (path) => assert.equal(await code(path), `NoAnswer it does not answer: ${why}.`),
    );
  assert.match(await code('/nowhere/x.sock'), /^NotRunning /);
});
