import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseSelection } from './selectors.ts';
import type { ApiObject } from './types.ts';

const pod = (labels: Record<string, string>, rest: Record<string, unknown> = {}): ApiObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'a', namespace: 'n', labels },
  ...rest,
});

function selects(labels: string, object: ApiObject, fields = ''): boolean {
  const selection = parseSelection(labels, fields);
  assert.ok(selection.ok, selection.ok ? '' : selection.error);
  return selection.value.matches(object);
}

test('every label operator', () => {
  const object = pod({ app: 'web', tier: 'front', 'example.com/size': '7' });
  const cases: readonly [string, boolean][] = [
    ['', true],
    ['app=web', true],
    ['app==web', true],
    ['app = web , tier = front', true],
    ['app=web,tier=back', false],
    ['app!=web', false],
    ['missing!=web', true],
    ['app in (db, web)', true],
    ['app notin (db,web)', false],
    ['missing notin (x)', true],
    ['app', true],
    ['missing', false],
    ['!missing', true],
    ['!app', false],
    ['example.com/size>5', true],
    ['example.com/size<7', false],
    ['app>5', false],
    ['app in (web),!missing,tier notin (back)', true],
    ['app=', false],
  ];
  for (const [selector, expected] of cases) assert.equal(selects(selector, object), expected, selector);
});

test('malformed label selectors are refused', () => {
  for (const text of ['=', 'a=b,', 'a in x', 'a in (b', 'a=b c', 'a>x', '!a=b', 'a=@', '-a=b', 'a,,b']) {
    assert.equal(parseSelection(text, '').ok, false, text);
  }
});

test('fields: names, values with escapes, absent booleans', () => {
  const object = pod({}, { spec: { nodeName: 'w1' }, status: { phase: 'Running' } });
  assert.ok(selects('', object, 'spec.nodeName=w1,status.phase!=Pending,metadata.name=a'));
  assert.ok(!selects('', object, 'spec.nodeName=w2'));
  assert.ok(selects('', object, 'spec.unschedulable=false'));
  assert.ok(selects('', object, 'spec.hostIP='));
  assert.ok(selects('', pod({}, { note: 'a,b=c' }), 'note=a\\,b\\=c'));
  assert.equal(parseSelection('', 'nonsense').ok, false);
  const selection = parseSelection('', 'metadata.name=a');
  assert.ok(selection.ok && selection.value.name === 'a');
});

test('set operators agree with a slow model', () => {
  const word = fc.constantFrom('a', 'b', 'c');
  const labels = fc.dictionary(fc.constantFrom('k', 'l', 'm'), word);
  fc.assert(
    fc.property(
      labels,
      fc.constantFrom('k', 'l', 'm'),
      fc.uniqueArray(word, { minLength: 1 }),
      (given, key, values) => {
        const inside = Object.hasOwn(given, key) && values.some((value) => value === given[key]);
        assert.equal(selects(`${key} in (${values.join(',')})`, pod(given)), inside);
        assert.equal(selects(`${key} notin (${values.join(',')})`, pod(given)), !inside);
      },
    ),
    { numRuns: 200 },
  );
});

test('no text makes the parsers throw', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 40 }), fc.string({ maxLength: 40 }), (labels, fields) => {
      const selection = parseSelection(labels, fields);
      if (selection.ok) selection.value.matches(pod({ a: 'b' }));
    }),
    { numRuns: 500 },
  );
});
