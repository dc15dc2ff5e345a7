import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  labelRestrictions,
  labelsOf,
  matches,
  parseSelector,
  prefixLabels,
  selector,
  selectorId,
  type Labels,
  type SelectorNode,
} from './mod.ts';
import { canonicalText } from './canonical.ts';
import { selectorOf } from './parser.ts';

const holds = (text: string, labels: Labels) => matches(selector(text), labels);

test('RS-007: every operator, with the label present and absent', () => {
  const table: [string, boolean, boolean][] = [
    ["a == 'x1'", true, false],
    ["a != 'x1'", false, true],
    ["a in {'x1', 'y'}", true, false],
    ["a not in {'x1', 'y'}", false, true],
    ["a notin {'x1'}", false, true],
    ["a contains '1'", true, false],
    ["a starts with 'x'", true, false],
    ["a startswith 'x'", true, false],
    ["a ends  with '1'", true, false],
    ['has(a)', true, false],
    ['!has(a)', false, true],
    ['!!has(a)', true, false],
    ['all()', true, true],
    ['global()', true, true],
    ['', true, true],
    ['a in {}', false, false],
  ];
  for (const [text, present, absent] of table) {
    assert.equal(holds(text, { a: 'x1' }), present, `${text} on a=x1`);
    assert.equal(holds(text, {}), absent, `${text} without a`);
  }
});

test('RS-007: && binds tighter than ||', () => {
  assert.equal(holds("a == '1' || b == '1' && c == '1'", { a: '1' }), true);
  assert.equal(holds("(a == '1' || b == '1') && c == '1'", { a: '1' }), false);
});

test('RS-007: operators may be label names, and values hold any character but their quote', () => {
  assert.equal(holds('contains contains "con"', { contains: 'xconx' }), true);
  assert.equal(holds('in in {"a"}', { in: 'a' }), true);
  assert.equal(holds(`a == "it's"`, { a: "it's" }), true);
  assert.equal(holds('a == "{&&}"', { a: '{&&}' }), true);
});

test('labels named like members of Object are ordinary labels', () => {
  assert.equal(holds('has(toString)', {}), false);
  assert.equal(holds('has(constructor) || has(__proto__)', {}), false);
});

test('RS-007: what is not a selector says where', () => {
  const bad: [string, number][] = [
    ['a', 1],
    ['a ==', 4],
    ['a == b', 5],
    ["a == 'x", 5],
    ["a = 'x'", 2],
    ['has()', 0],
    ['all(', 0],
    ["a in 'x'", 5],
    ["a in {'x'", 9],
    ["(a == 'x'", 9],
    ["a == 'x' )", 9],
    ["a == 'x' & b == 'y'", 9],
    ["a == 'x' b == 'y'", 9],
    ["a inf {'x'}", 2],
    ['!', 1],
    ["a == 'x'\n", 8],
    [`${'a'.repeat(513)} == 'x'`, 0],
  ];
  for (const [text, at] of bad) {
    const parsed = parseSelector(text);
    assert.ok(!parsed.ok, text);
    assert.equal(parsed.error.at, at, text);
  }
  assert.ok(parseSelector(`has(${'a'.repeat(512)})`).ok);
});

test('nesting is bounded, so no text exhausts the stack', () => {
  const nested = (n: number) => `${'('.repeat(n)}all()${')'.repeat(n)}`;
  assert.ok(parseSelector(nested(500)).ok);
  assert.ok(!parseSelector(nested(501)).ok);
  assert.ok(!parseSelector(nested(100_000)).ok);
  assert.ok(parseSelector(`${'!'.repeat(100_000)}all()`).ok);
});

test('canonical text and identifier', () => {
  assert.equal(selector(` ! (a=="b"&&! c != 'd')`).text, '!(a == "b" && !c != "d")');
  assert.equal(selector("a in {'z', 'b', 'b',}").text, 'a in {"b", "z"}');
  assert.equal(selector('').text, 'all()');
  assert.equal(selectorId(selector('')), 's:5y5I3VdRZfDU01O--xXAPx2yxCQQqMf0M6IWug');
});

test('prefixes of labels', () => {
  const prefixed = prefixLabels(selector("a == 'x' && (has(b) || all())"), 'pcns.');
  assert.equal(prefixed.text, '(pcns.a == "x" && (has(pcns.b) || all()))');
  assert.deepEqual([...labelsOf(prefixed)], ['pcns.a', 'pcns.b']);
});

const names = fc.constantFrom('a', 'b', 'c');
const values = fc.constantFrom('', 'x', 'xy', "'", '"');
const { node } = fc.letrec<{ node: SelectorNode }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constant<SelectorNode>({ kind: 'all' }),
    names.map<SelectorNode>((label) => ({ kind: 'has', label })),
    fc.record({
      kind: fc.constantFrom('equals', 'not-equals', 'contains', 'starts-with', 'ends-with'),
      label: names,
      value: values,
    }) as fc.Arbitrary<SelectorNode>,
    fc.record({
      kind: fc.constantFrom('in', 'not-in'),
      label: names,
      values: fc.uniqueArray(values, { maxLength: 3 }).map((list) => list.sort()),
    }) as fc.Arbitrary<SelectorNode>,
    tie('node').map<SelectorNode>((operand) => ({ kind: 'not', operand })),
    fc.record({
      kind: fc.constantFrom('and', 'or'),
      operands: fc.array(tie('node'), { minLength: 2, maxLength: 3 }),
    }) as fc.Arbitrary<SelectorNode>,
  ),
}));
const labelSets = fc.dictionary(names, values);

test('canonical text reads back as itself and means the same', () => {
  fc.assert(
    fc.property(node, labelSets, (root, labels) => {
      const original = selectorOf(root);
      const again = selector(original.text);
      assert.equal(again.text, selector(again.text).text);
      assert.equal(matches(again, labels), matches(original, labels));
    }),
    { numRuns: 300 },
  );
});

test('a selector matches only labels that its restrictions allow', () => {
  fc.assert(
    fc.property(node, labelSets, (root, labels) => {
      const some = selectorOf(root);
      if (!matches(some, labels)) return;
      for (const [label, restriction] of labelRestrictions(some)) {
        const value = Object.hasOwn(labels, label) ? labels[label] : undefined;
        if (restriction.mustBePresent) assert.notEqual(value, undefined, canonicalText(root));
        if (restriction.mustBeAbsent) assert.equal(value, undefined, canonicalText(root));
        if (restriction.mustHaveOneOfValues !== undefined)
          assert.ok(restriction.mustHaveOneOfValues.includes(value ?? ''), canonicalText(root));
      }
    }),
    { numRuns: 300 },
  );
});

test('any text either parses or is refused, never throws', () => {
  const piece = fc.constantFrom(
    'a',
    ' ',
    '==',
    '!',
    '&&',
    '||',
    '(',
    ')',
    '{',
    '}',
    "'x'",
    'in',
    'has(',
    'all()',
    ',',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      parseSelector(pieces.join(''));
    }),
    { numRuns: 500 },
  );
});
