// Both forwarders, as a container runtime would run them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { installCniPlugins } from './install.ts';
import { encodeRequest, parseRequest } from './request.ts';
import type { CniRequest } from './types.ts';

type Run = { code: number | null; output: string };

function run(path: string, argv: string[], env: Record<string, string>, input: string): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, argv, { env, stdio: ['pipe', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

/** A stand-in for the agent that remembers requests and answers with what it is told. */
async function withAgent(
  path: string,
  response: Uint8Array | 'hang up',
  work: (requests: CniRequest[]) => Promise<void>,
): Promise<void> {
  const requests: CniRequest[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const chunks: Buffer[] = [];
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('end', () => {
      const request = parseRequest(Buffer.concat(chunks));
      if (request.ok) requests.push(request.value);
      if (response === 'hang up') socket.destroy();
      else socket.end(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    await work(requests);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

const answerOf = (code: number, text: string) => Buffer.concat([Buffer.from([code]), Buffer.from(text)]);

const forwarders = process.arch === 'x64' ? (['native', 'node'] as const) : (['node'] as const);
for (const forwarder of forwarders) {
  describe(`the ${forwarder} forwarder`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'margay-cni-'));
    const socketPath = join(folder, 'cni.sock');
    const [plugin = ''] = installCniPlugins({ binDirectory: join(folder, 'bin'), socketPath, forwarder });
    process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

    it('hands arguments, environment and input over and prints the answer with its exit code', async () => {
      const long = 'x'.repeat(300_000);
      await withAgent(socketPath, answerOf(7, long), async (requests) => {
        const ran = await run(plugin, [], { CNI_COMMAND: 'ADD', EMPTY: '', LONG: 'y'.repeat(90_000) }, long);
        assert.equal(ran.code, 7);
        assert.equal(ran.output, long);
        assert.equal(requests[0]?.program, 'calico');
        assert.equal(requests[0]?.environment['CNI_COMMAND'], 'ADD');
        assert.equal(requests[0]?.environment['EMPTY'], '');
        assert.equal(requests[0]?.environment['LONG']?.length, 90_000);
        assert.equal(requests[0]?.input, long);
      });
    });

    it('passes options without waiting for input', async () => {
      await withAgent(socketPath, answerOf(0, 'v\n'), async (requests) => {
        const ran = await run(plugin, ['-v'], {}, '');
        assert.deepEqual(ran, { code: 0, output: 'v\n' });
        assert.deepEqual(requests[0]?.arguments, ['-v']);
      });
    });

    it('CN-022: says CNI error 11 in a sentence when the agent is not there, or hangs up', async () => {
      const refused = await run(plugin, [], { CNI_COMMAND: 'ADD' }, '{}');
      assert.equal(refused.code, 1);
      const error = JSON.parse(refused.output) as { code: number; msg: string };
      assert.equal(error.code, 11);
      assert.match(error.msg, /agent does not answer on .*cni\.sock/);
      await withAgent(socketPath, 'hang up', async () => {
        const cut = await run(plugin, [], { CNI_COMMAND: 'DEL' }, '{}');
        assert.equal((JSON.parse(cut.output) as { code: number }).code, 11);
      });
    });

    it('answers VERSION without the agent', async () => {
      const ran = await run(plugin, [], { A: 'b', CNI_COMMAND: 'VERSION', Z: '' }, '{}');
      assert.equal(ran.code, 0);
      assert.ok(
        (JSON.parse(ran.output) as { supportedVersions: string[] }).supportedVersions.includes('1.1.0'),
      );
    });
  });
}

describe('requests', () => {
  it('are read as they are written', () => {
    const request: CniRequest = {
      program: 'calico-ipam',
      arguments: [],
      environment: { A: '1', B: 'x=y', C: 'ü' },
      input: '{"name":"ß"}',
    };
    assert.deepEqual(parseRequest(encodeRequest(request)), { ok: true, value: request });
    const bytes = encodeRequest(request);
    for (const cut of [0, 5, 12, 20]) assert.equal(parseRequest(bytes.subarray(0, cut)).ok, false);
  });
});
