import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LabelIndex, matchesLookup, selector, type Labels } from './mod.ts';

const names = ['a', 'b', 'c'] as const;
const labels = fc.dictionary(fc.constantFrom(...names), fc.constantFrom('', 'x', 'y'), { maxKeys: 3 });
const texts = [
  'all()',
  "a == 'x'",
  "a != 'x'",
  "a in {'x', 'y'} && b == 'y'",
  "a == 'x' && a == 'y'",
  'has(a) && has(b)',
  '!has(c)',
  "has(a) || c == 'x'",
  "a == ''",
  "b starts with 'x' && c not in {'y'}",
] as const;
const step = fc.oneof(
  fc.record({
    type: fc.constant('item' as const),
    id: fc.constantFrom('1', '2', '3', '4'),
    labels: fc.option(labels, { nil: undefined }),
    parents: fc.uniqueArray(fc.constantFrom('p', 'q', 'r'), { maxLength: 3 }),
  }),
  fc.record({
    type: fc.constant('parent' as const),
    id: fc.constantFrom('p', 'q', 'r'),
    labels: fc.option(labels, { nil: undefined }),
  }),
  fc.record({ type: fc.constant('selector' as const), id: fc.constantFrom(...texts), isThere: fc.boolean() }),
);

test('RS-008: an index of labels finds what evaluating everything finds, with inheritance, and tells each change once', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const told = new Set<string>();
      const index = new LabelIndex<string, string>((text, item, isMatch) => {
        const match = `${text} selects ${item}`;
        assert.equal(told.has(match), !isMatch);
        if (isMatch) told.add(match);
        else told.delete(match);
      });
      const items = new Map<string, { labels: Labels; parents: readonly string[] }>();
      const parents = new Map<string, Labels>();
      const selectors = new Set<string>();
      for (const one of steps) {
        if (one.type === 'item' && one.labels !== undefined) {
          items.set(one.id, { labels: one.labels, parents: one.parents });
          index.setItem(one.id, one.labels, one.parents);
        } else if (one.type === 'item') {
          items.delete(one.id);
          index.deleteItem(one.id);
        } else if (one.type === 'parent') {
          if (one.labels === undefined) parents.delete(one.id);
          else parents.set(one.id, one.labels);
          index.setParent(one.id, one.labels);
        } else if (one.isThere) {
          selectors.add(one.id);
          index.setSelector(one.id, selector(one.id));
        } else {
          selectors.delete(one.id);
          index.deleteSelector(one.id);
          for (const match of told) if (match.startsWith(`${one.id} selects`)) told.delete(match);
        }
        const wanted = [...selectors].flatMap((text) =>
          [...items].flatMap(([id, item]) => {
            const layers = [item.labels, ...item.parents.map((parent) => parents.get(parent) ?? {})];
            const lookup = (label: string) => layers.find((layer) => Object.hasOwn(layer, label))?.[label];
            return matchesLookup(selector(text), lookup) ? [`${text} selects ${id}`] : [];
          }),
        );
        assert.deepEqual([...told].toSorted(), wanted.toSorted());
      }
      for (const id of items.keys()) index.deleteItem(id);
      for (const id of parents.keys()) index.setParent(id, undefined);
      for (const id of selectors) index.deleteSelector(id);
      assert.deepEqual(index.size, { items: 0, parents: 0, selectors: 0, cabinets: 0 });
    }),
    { numRuns: 300 },
  );
});

test('a change is held against few selectors, whatever their number, and a selector against few items', () => {
  const index = new LabelIndex<string, number>(() => {});
  for (let i = 0; i < 2000; i++) index.setItem(i, { app: `app-${i % 500}`, kind: 'pod' }, [`ns-${i % 20}`]);
  for (let i = 0; i < 20; i++) index.setParent(`ns-${i}`, { ns: `ns-${i}` });
  let before = index.work.evaluations;
  for (let i = 0; i < 500; i++)
    index.setSelector(`s${i}`, selector(`kind == 'pod' && ns == 'ns-${i % 20}' && app == 'app-${i}'`));
  assert.ok(index.work.evaluations - before <= 500 * 4, 'each selector against the items of its app');
  before = index.work.evaluations;
  index.setItem(7, { app: 'app-8', kind: 'pod' }, ['ns-8']);
  const spent = index.work.evaluations - before;
  assert.ok(spent <= 60, `${spent} evaluations for one item`);
  assert.deepEqual([...index.selectorsOf(7)], ['s8']);
});
