import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { VirtualClock } from './clock.ts';
import { defaultRotation, RotatingFile } from './rotating-file.ts';

test('a file of log is set aside when it is full; so many are kept, and none that is too old', () => {
  assert.deepEqual(defaultRotation, { maxBytes: 104_857_600, maxFiles: 10, maxAgeMs: 2_592_000_000 });
  const directory = mkdtempSync(join(tmpdir(), 'margay-log-'));
  try {
    const clock = new VirtualClock(Date.parse('2026-11-21T20:00:00Z'));
    const limits = { maxBytes: 20, maxFiles: 3, maxAgeMs: 3_600_000 };
    const write = (file: RotatingFile, text: string): void => {
      file.write(`${text}\n`);
      clock.advance(1000);
    };
    const path = join(directory, 'of', 'cni.log');
    const names = (): string[] => readdirSync(join(directory, 'of')).toSorted();
    const first = new RotatingFile(path, limits, clock);
    write(first, 'one line');
    write(first, 'and another');
    assert.deepEqual(names(), ['cni-2026-11-21T20-00-01.000.log', 'cni.log']);
    // The next one goes on where it ended.
    const second = new RotatingFile(path, limits, clock);
    write(second, 'a third');
    assert.equal(readFileSync(path, 'utf8'), 'and another\na third\n');
    for (let i = 0; i < 5; i++) write(second, `filled up again ${i}`);
    assert.deepEqual(names(), [
      'cni-2026-11-21T20-00-05.000.log',
      'cni-2026-11-21T20-00-06.000.log',
      'cni-2026-11-21T20-00-07.000.log',
      'cni.log',
    ]);
    clock.advance(3_600_000);
    write(second, 'after a long time');
    assert.deepEqual(names(), ['cni-2026-11-21T21-00-08.000.log', 'cni.log']);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
