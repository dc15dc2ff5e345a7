import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
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
