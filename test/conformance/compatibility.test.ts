import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  compatibilityPage,
  idsIn,
  pagePath,
  readData,
  testedIds,
  testNames,
} from '../../tools/compatibility.ts';

test('the names of tests are found, and the ids in them', () => {
  // Put together from pieces, so that this file does not count as one that shows these ids.
  const source = ["'SR-001: a', () => {});", '"it\'s RS-010…RS-012, FX-001", f); // SR-009']
    .map((argument) => `test(${argument}`)
    .join('\n');
  assert.deepEqual(testNames(source), ['SR-001: a', "it's RS-010…RS-012, FX-001"]);
  assert.deepEqual(testNames(source).flatMap(idsIn).toSorted(), [
    'FX-001',
    'RS-010',
    'RS-011',
    'RS-012',
    'SR-001',
  ]);
});

test('every id that a test names is in the list, and none is both done and not intended', () => {
  const { sections, notIntended } = readData();
  const known = new Set(sections.flatMap(({ items }) => Object.keys(items)));
  const tested = [...testedIds().keys()];
  assert.deepEqual(
    tested.filter((word) => !known.has(word)),
    [],
  );
  assert.deepEqual(
    Object.keys(notIntended).filter((word) => !known.has(word) || tested.includes(word)),
    [],
  );
});

test('each id of a seed is in a transcript, or their README says why not', () => {
  const folder = join(import.meta.dirname, '../transcripts');
  const rows = new Map(
    [...readFileSync(join(folder, 'README.md'), 'utf8').matchAll(/^\| (SR-\d{3}) \|.*\| (.+) \|$/gm)].map(
      ([, word = '', place = '']) => [word, place],
    ),
  );
  const ids = readData().sections.flatMap(({ items }) => Object.keys(items));
  assert.deepEqual(
    ids.filter((word) => word.startsWith('SR-') && !rows.has(word)),
    [],
  );
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.md') && name !== 'README.md')) {
    const [headline = ''] = readFileSync(join(folder, file), 'utf8').split('\n', 1);
    const link = `[${file.replace('.md', '')}](${file})`;
    const told = [...rows].filter(([, place]) => place.includes(link)).map(([word]) => word);
    assert.deepEqual(
      told,
      idsIn(headline)
        .filter((word) => word.startsWith('SR-'))
        .toSorted(),
      file,
    );
  }
});

test('docs/compatibility.md is current', () => {
  assert.equal(
    readFileSync(pagePath, 'utf8'),
    compatibilityPage(),
    'docs/compatibility.md is not what tests and docs/compatibility.yaml say; run npm run generate',
  );
});
