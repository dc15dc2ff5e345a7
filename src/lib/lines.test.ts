import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { LineCutter, linesOf } from './lines.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'utf8');

/** What a cutter gives for chunks: texts, and codes of failures. */
function cut(chunks: readonly Uint8Array[], longestBytes = 1000): string[] {
  const cutter = new LineCutter(longestBytes);
  return chunks.flatMap((chunk) =>
    [...cutter.take(chunk)].map((line) => (line.ok ? line.value : `!${line.error.code}`)),
  );
}

async function read(stream: Readable, longestBytes = 1000): Promise<string[]> {
  const seen: string[] = [];
  for await (const line of linesOf(stream, longestBytes))
    seen.push(line.ok ? line.value : `!${line.error.code}`);
  return seen;
}

test('lines are the same wherever chunks begin and end, also within a character', () => {
  const text = fc
    .string({ unit: fc.constantFrom('a', 'ä', '→', '😀', '\r', '\0'), maxLength: 12 })
    .map((line) => line.replaceAll('\n', ' '));
  fc.assert(
    fc.property(fc.array(text, { maxLength: 8 }), fc.array(fc.nat(80), { maxLength: 8 }), (lines, places) => {
      const all = bytes(lines.map((line) => `${line}\n`).join(''));
      const ends = [...places.filter((at) => at < all.length).toSorted((a, b) => a - b), all.length];
      const chunks = ends.map((end, i) => all.subarray(ends[i - 1] ?? 0, end));
      assert.deepEqual(cut(chunks), lines);
    }),
    { numRuns: 100 },
  );
});

test('a half line waits for its end; an empty line is a line', () => {
  const cutter = new LineCutter(10);
  assert.deepEqual([...cutter.take(bytes('\nha'))], [{ ok: true, value: '' }]);
  assert.equal(cutter.isWithinLine, true);
  assert.deepEqual([...cutter.take(bytes('lf\n'))], [{ ok: true, value: 'half' }]);
  assert.equal(cutter.isWithinLine, false);
});

test('a line may be as long as agreed and no longer, in one chunk and in many', () => {
  assert.deepEqual(cut([bytes('1234\n1234\n')], 4), ['1234', '1234']);
  assert.deepEqual(cut([bytes('12345\n1\n')], 4), ['!LineTooLong']);
  assert.deepEqual(cut([bytes('a\n123'), bytes('45'), bytes('6\nb\n')], 4), ['a', '!LineTooLong']);
});

test('bytes that are no UTF-8 end the reading, whatever follows', () => {
  assert.deepEqual(cut([bytes('a\n'), Buffer.from([0xc3, 0x28, 10]), bytes('b\n')]), ['a', '!BadText']);
  assert.deepEqual(cut([Buffer.from([0xe2, 0x82, 10])]), ['!BadText'], 'half a character at the end');
  assert.deepEqual(cut([bytes('\ufeffa\n')]), ['\ufeffa'], 'a mark at the beginning is kept');
});

test('a stream that ends behind a line ends in peace, within a line it was cut off', async () => {
  assert.deepEqual(await read(Readable.from([bytes('a\nb'), bytes('c\n')])), ['a', 'bc']);
  assert.deepEqual(await read(Readable.from([bytes('a\nb')])), ['a', '!CutOff']);
  assert.deepEqual(await read(Readable.from([])), []);
});

test('a stream that breaks tells so behind its lines', async () => {
  const broken = new Readable({ read: () => undefined });
  broken.push(bytes('a\nb'));
  const reading = linesOf(broken, 1000);
  assert.deepEqual(await reading.next(), { done: false, value: { ok: true, value: 'a' } });
  broken.destroy(new Error('reset'));
  const { value } = await reading.next();
  assert.ok(value !== undefined && !value.ok);
  assert.equal(value.error.code, 'CutOff');
  assert.match(value.error.message, /reset/);
  assert.equal((await reading.next()).done, true);
});

test('a reader that leaves, and a line that is too long, end the stream', async () => {
  for (const longestBytes of [1000, 1]) {
    const endless = new Readable({ read: () => undefined });
    endless.push(bytes('first\nsecond\n'));
    for await (const line of linesOf(endless, longestBytes)) if (line.ok) break;
    assert.equal(endless.destroyed, true);
  }
});
