import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

/** What a program that logs writes on standard error. */
const written = (script: string, env: Record<string, string> = {}): string[] => {
  const path = new URL('log.ts', import.meta.url).href;
  const program = `import { createLogger } from '${path}'; const log = createLogger('x'); const part = log.with({ part: 1 }); ${script}`;
  const command = `"$0" --input-type=module -e "$1" 2>&1`;
  const out = execFileSync('sh', ['-c', command, process.execPath, program], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  return out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { readonly msg: string }).msg);
};

test('the level of a logger changes that of all made of it; MARGAY_LOG stays', () => {
  const script =
    "part.debug('a'); log.info('b'); log.setLevel('debug'); part.debug('c'); log.setLevel('error'); part.warn('d'); log.error('e');";
  assert.deepEqual(written(script), ['b', 'c', 'e']);
  assert.deepEqual(written(script, { MARGAY_LOG: 'warn' }), ['d', 'e']);
});

test('FX-151: a file has a level of its own, and may change or go; one that cannot be written is told once', () => {
  const directory = mkdtempSync(join(tmpdir(), 'margay-log-'));
  try {
    const file = join(directory, 'felix.log');
    const other = join(directory, 'other.log');
    const shown = written(
      `log.setLevel('error'); log.setFile('${file}', 'debug'); part.debug('a'); log.error('b');` +
        ` log.setFile('${other}', 'warn'); log.info('c'); log.warn('d');` +
        ` log.setFile('/dev/null/none', 'info'); log.warn('e'); log.warn('f'); log.setFile(undefined, 'info'); log.error('g');`,
    );
    const told = 'Cannot write the log file, it is left out from now on';
    assert.deepEqual(shown, ['b', told, 'g']);
    const lines = (path: string): string[] =>
      readFileSync(path, 'utf8')
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { msg: string }).msg);
    assert.deepEqual([lines(file), lines(other)], [['a', 'b'], ['d']]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
