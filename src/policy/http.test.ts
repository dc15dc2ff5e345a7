// Paths and methods of HTTP rules.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { matchesMethods, matchesPaths, normalisePath } from './http.ts';

test('RS-098: a path has one spelling', () => {
  const spellings: readonly (readonly [string, string | undefined])[] = [
    ['/a/b', '/a/b'],
    ['/a//b/', '/a/b'],
    ['/a/./b/../c', '/a/c'],
    ['/../../a', '/a'],
    ['/a?b=c', '/a'],
    ['/a#b', '/a'],
    ['/a%2Fb', '/a/b'],
    ['/a\\b', '/a/b'],
    ['/a;v=1/b', '/a/b'],
    ['/', '/'],
    ['', undefined],
    ['a/b', undefined],
    ['/a%00', undefined],
    ['/%252e', undefined],
    ['/%zz', undefined],
    ['/100%25', '/100%'],
  ];
  for (const [path, spelled] of spellings) assert.equal(normalisePath(path), spelled, path);
});

test('RS-098: a prefix ends with a segment, and / is above everything', () => {
  assert.equal(matchesPaths([{ prefix: '/pub' }], '/public'), false);
  assert.equal(matchesPaths([{ prefix: '/pub/' }], '/pub/x'), true);
  assert.equal(matchesPaths([{ prefix: '/' }], '/x'), true);
  assert.equal(matchesPaths([{ exact: '/x' }], '/x/y'), false);
  assert.equal(matchesPaths([], 'anything'), true);
});

test('RS-098: methods are compared letter by letter, * is any', () => {
  assert.equal(matchesMethods(['GET'], 'get'), false);
  assert.equal(matchesMethods(['*'], 'BREW'), true);
  assert.equal(matchesMethods([], 'BREW'), true);
});

test('no spelling of a path leads past a prefix', () => {
  const segment = fc.constantFrom(
    '..',
    '.',
    '',
    'a',
    'public',
    '%2e%2e',
    '%2E.',
    'x;y',
    '..;z',
    '..\\..',
    'b%2Fc',
  );
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 6 }), (segments) => {
      const path = `/public/${segments.join('/')}`;
      const spelled = normalisePath(path);
      const isBelow = spelled === '/public' || spelled?.startsWith('/public/') === true;
      assert.equal(matchesPaths([{ prefix: '/public' }], path), isBelow);
      if (spelled !== undefined) assert.ok(!/(^|\/)\.\.?(\/|$)|\\|;|\/\//.test(spelled), spelled);
    }),
    { numRuns: 300 },
  );
});
