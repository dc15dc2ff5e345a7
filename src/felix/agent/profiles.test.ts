import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../../lib/wait.ts';

const program = `
import { onProfileSignals } from '${new URL('profiles.ts', import.meta.url).href}';
import { resolveConfig } from '${new URL('../calc/mod.ts', import.meta.url).href}';
const tell = (message) => process.stdout.write(message + '\\n');
const logger = { info: tell, warn: tell, error: tell, debug() {}, with: () => logger };
const config = resolveConfig({ environment: JSON.parse(process.env.SETTINGS) });
onProfileSignals({ config: () => config, logger, cpuProfileMs: 50 });
setInterval(() => {}, 1000);
tell('listening');
`;

/** A process that listens to the signals; what it tells, line by line. */
function start(settings: Record<string, string>) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    env: { ...process.env, SETTINGS: JSON.stringify(settings) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let told = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (told += chunk.toString()));
  return {
    child,
    says: async (text: string): Promise<void> => {
      assert.ok(await until(() => (told.includes(text) ? true : undefined), { timeoutMs: 30_000 }), told);
    },
    end: async (): Promise<void> => {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    },
  };
}

test('FX-141: SIGUSR1 writes what is in the heap, SIGUSR2 what the CPU did, where the parameters say', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'margay-profiles-'));
  const heap = join(directory, 'deep', 'heap.heapsnapshot');
  const one = start({
    DebugMemoryProfilePath: heap,
    DebugCPUProfilePath: join(directory, 'cpu-<timestamp>.cpuprofile'),
  });
  try {
    await one.says('listening');
    one.child.kill('SIGUSR2');
    await one.says('A profile was written');
    const cpu = readdirSync(directory).find((name) => /^cpu-2\d{3}-.*Z\.cpuprofile$/.test(name)) ?? '';
    assert.ok(
      Array.isArray((JSON.parse(readFileSync(join(directory, cpu), 'utf8')) as { nodes: unknown }).nodes),
    );
    one.child.kill('SIGUSR1');
    const isWhole = (): true | undefined => {
      try {
        return 'snapshot' in (JSON.parse(readFileSync(heap, 'utf8')) as object) ? true : undefined;
      } catch {
        return undefined;
      }
    };
    assert.ok(await until(isWhole, { timeoutMs: 30_000, everyMs: 100 }));
  } finally {
    await one.end();
    rmSync(directory, { recursive: true });
  }
});

test('FX-141: without a path nothing is written, and that is said; the process goes on', async () => {
  const one = start({});
  try {
    await one.says('listening');
    one.child.kill('SIGUSR1');
    await one.says('No profile is written: DebugMemoryProfilePath names no file');
    assert.equal(one.child.exitCode, null);
  } finally {
    await one.end();
  }
});
