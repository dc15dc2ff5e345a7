import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differenceOf, parseTranscript } from '../support/transcript.ts';

const same = (expected: string, actual: string): void =>
  assert.equal(differenceOf(expected.split('\n'), actual), undefined);
const other = (expected: string, actual: string): void =>
  assert.notEqual(differenceOf(expected.split('\n'), actual), undefined);

test('lines: blanks count as one, … is any text, alone any lines', () => {
  same('default via 169.254.1.1 dev eth0', 'default via 169.254.1.1 dev eth0 \n');
  same('64 bytes from …: icmp_seq=1 ttl=62 …', '64 bytes from 10.1.1.1: icmp_seq=1 ttl=62 time=0.1 ms');
  same('a\n…\nz', 'a\nb\nc\nz');
  same('…\nz', 'z');
  other('a\n…\nz', 'a\nb');
  other('a', 'a\nb');
  other('a\nb', 'a');
  other('a.c', 'abc');
});

test('tables: columns by name, widths do not count, rows in order', () => {
  const table =
    'NAME     STATUS   ROLES    AGE\nmaster   Ready             5s\nworker   Ready    <none>   4s';
  same('NAME  STATUS\nmaster  Ready\nworker  Ready', table);
  same('NAME  AGE\n…\nworker  …', table);
  other('NAME  STATUS\nworker  Ready\nmaster  Ready', table);
  other('NAME  COLOUR\nmaster  red', table);
  other('NAME  STATUS\nmaster  Ready', table);
  other('NAME  STATUS\nmaster  NotReady\nworker  Ready', table);
});

test('framed tables', () => {
  const framed = '+------+-------+\n| PEER | STATE |\n+------+-------+\n| 10.0.0.1 | up |\n+------+-------+';
  same('+--+\n| STATE |\n+--+\n| up |\n+--+', framed);
  other('+--+\n| STATE |\n+--+\n| down |\n+--+', framed);
});

test('steps: places, codes, here-documents', () => {
  const { title, ids, steps } = parseTranscript(
    [
      '# A title (SR-001)',
      '```console eventually',
      "worker1$ cat <<'E'",
      'text',
      'E',
      'text',
      '$ false',
      '# exits with 1',
      '```',
      '```yaml',
      '$ not a command',
      '```',
    ].join('\n'),
  );
  assert.deepEqual([title, ids], ['A title (SR-001)', ['SR-001']]);
  assert.deepEqual(
    steps.map(({ place, command, output, code, isEventual }) => [place, command, output, code, isEventual]),
    [
      ['worker1', "cat <<'E'\ntext\nE", ['text'], 0, true],
      [undefined, 'false', [], 1, true],
    ],
  );
});
