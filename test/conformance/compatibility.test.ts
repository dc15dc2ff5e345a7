import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
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

test('docs/compatibility.md is current', () => {
  assert.equal(
    readFileSync(pagePath, 'utf8'),
    compatibilityPage(),
    'docs/compatibility.md is not what tests and docs/compatibility.yaml say; run npm run generate',
  );
});
