import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { expect } from '../lib/result.ts';
import { ask, serveControl } from './control-socket.ts';
import { findLab, labDown, labUp } from './launcher.ts';
import { checkMemory, checkTools, findTool } from './requirements.ts';
import {
  createState,
  identify,
  isAlive,
  labPaths,
  readRecord,
  removeState,
  stateRefused,
  writeRecord,
} from './state.ts';

let runtime: string;
const before = process.env['XDG_RUNTIME_DIR'];
beforeEach(() => {
  runtime = mkdtempSync(join(tmpdir(), 'margay-state-'));
  process.env['XDG_RUNTIME_DIR'] = runtime;
});
afterEach(() => {
  if (before === undefined) Reflect.deleteProperty(process.env, 'XDG_RUNTIME_DIR');
  else process.env['XDG_RUNTIME_DIR'] = before;
  rmSync(runtime, { recursive: true, force: true });
});

test('names that cannot be a directory of their own are refused', () => {
  for (const name of ['', '../x', 'A', 'a/b', '-a', 'a-', 'x'.repeat(25)]) {
    const paths = labPaths(name);
    assert.ok(!paths.ok && paths.error.code === 'BadName', name);
  }
  assert.ok(labPaths('lab-2').ok);
});

test('a record belongs to a living process; what a dead one left is stale', async () => {
  const paths = expect(labPaths('one'), 'paths');
  assert.equal(await readRecord(paths), 'none');
  expect(await createState(paths), 'state');
  assert.equal(await readRecord(paths), 'stale');
  const child = spawn('sleep', ['60']);
  const identity = identify(child.pid ?? 0);
  assert.ok(identity !== undefined && isAlive(identity));
  await writeRecord(paths, {
    options: {
      name: 'one',
      topology: 'flat',
      nodes: 1,
      dualStack: false,
      fabricBgp: true,
      design: 'mesh',
      reflectors: 'nodes',
      mode: 'bgp',
    },
    port: 1,
    init: identity,
    parent: identity,
    userNamespace: false,
  });
  assert.notEqual(await readRecord(paths), 'stale');
  const again = await labUp({ name: 'one', topology: 'flat', nodes: 1, dualStack: false, fabricBgp: true });
  assert.ok(!again.ok && ['AlreadyUp', 'MissingTool', 'NotPermitted'].includes(again.error.code));
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(await readRecord(paths), 'stale');
  assert.deepEqual(await labDown('one'), { ok: true, value: false });
  assert.ok(!existsSync(paths.directory));
  await removeState(paths);
});

test('a lab that is not up, or not to be understood', async () => {
  const missing = await findLab('nothing');
  assert.ok(!missing.ok && missing.error.code === 'NotUp');
  const ring = await labUp({ name: 'x', topology: 'ring', nodes: 1, dualStack: false, fabricBgp: true });
  assert.ok(!ring.ok && ring.error.code === 'UnknownTopology');
});

test('a missing tool is named with the package that has it', () => {
  assert.equal(findTool('margay-no-such-tool'), undefined);
  const result = checkTools('bird', 'bird', '/nonexistent');
  assert.ok(!result.ok && result.error.code === 'MissingTool');
  assert.match(result.error.hint ?? '', /apt-get install -y .*util-linux/);
});

test('the control socket answers one line each, and survives nonsense', async () => {
  const path = join(runtime, 'sock');
  const server = await serveControl(path, (request) => ({ got: request.op }));
  try {
    assert.deepEqual(await ask(path, { op: 'status' }), { ok: true, value: { got: 'status' } });
    const { createConnection } = await import('node:net');
    const socket = createConnection(path, () => socket.write('not json\n'));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    assert.match(answer.toString(), /error/);
    assert.ok((await ask(path, { op: 'status' })).ok);
  } finally {
    server.close();
  }
  const gone = await ask(path, { op: 'status' });
  assert.ok(!gone.ok && gone.error.code === 'NoAnswer');
});

test('too little memory for the processes is said before any is started', () => {
  assert.equal(checkMemory(17).ok, true);
  const little = checkMemory(17, 200);
  assert.ok(!little.ok);
  assert.match(little.error.message, /at least 408 MiB of memory for its 17 processes, and 200 MiB are/);
});

test('what the file system refuses is a sentence; a bug is none of it', () => {
  const paths = expect(labPaths('x'), 'paths');
  const full = stateRefused(paths, Object.assign(new Error('write'), { code: 'ENOSPC' }));
  assert.ok(!full.ok);
  assert.match(full.error.message, /Cannot keep the lab's state in .*: no space is left there\.$/);
  assert.throws(() => stateRefused(paths, new TypeError('x')), /x/);
});
