import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonObject } from '../json.ts';
import { schemaRules } from './rules.ts';

type Properties = Readonly<Record<string, JsonObject>>;
const text = { type: 'string' };
const whole = { type: 'integer' };
const ruled = (schema: JsonObject, ...rules: readonly (string | JsonObject)[]): JsonObject => ({
  ...schema,
  'x-kubernetes-validations': rules.map((rule) => (typeof rule === 'string' ? { rule } : rule)),
});
const fields = (properties: Properties): JsonObject => ({ type: 'object', properties });
const ofSpec = (spec: JsonObject): JsonObject => fields({ spec });

function judge(schema: JsonObject, object: JsonObject, before?: JsonObject): readonly string[] {
  const rules = schemaRules(schema, 'schema');
  assert.deepEqual(rules?.issues, []);
  return rules.check(object, before).map(({ field, reason }) => `${field}: ${reason}`);
}
/** What a rule on the object {a, b, list, map, …} says of a value; empty when it holds. */
const holds = (properties: Properties, rule: string, spec: JsonObject, before?: JsonObject): boolean =>
  judge(
    ofSpec(ruled(fields(properties), rule)),
    { spec },
    before === undefined ? undefined : { spec: before },
  ).length === 0;
function refusal(schema: JsonObject): string {
  const [issue] = schemaRules(schema, 'schema')?.issues ?? [];
  return issue === undefined ? '' : `${issue.field}: ${issue.reason}`;
}

test('a schema without rules costs nothing', () => {
  assert.equal(schemaRules(ofSpec(fields({ a: whole })), ''), undefined);
});

test('rules see numbers, texts, lists, maps and times by their types', () => {
  const shape: Properties = {
    size: whole,
    share: { type: 'number' },
    name: text,
    since: { type: 'string', format: 'date-time' },
    ports: { type: 'array', items: fields({ number: whole, name: text }) },
    labels: { type: 'object', additionalProperties: text },
    either: { 'x-kubernetes-int-or-string': true },
    inner: fields({ size: whole }),
    namespace: text,
    'with-dash': whole,
  };
  const spec = {
    size: 3,
    share: 0.5,
    name: 'ab',
    since: '2026-01-01T00:00:00Z',
    ports: [
      { number: 80, name: 'http' },
      { number: 443, name: 'https' },
    ],
    labels: { app: 'x' },
    either: '50%',
    inner: { size: 3 },
    namespace: 'ns',
    'with-dash': 7,
  };
  for (const rule of [
    'self.size == 3 && self.size / 2 == 1',
    'self.share < 1.0',
    'self.name.size() == 2 && self.name.matches("^[a-z]+$") && self.name.find("[b-z]") == "b"',
    'self.since < timestamp("2027-01-01T00:00:00Z")',
    'self.ports.all(p, p.number > 0) && self.ports.exists_one(p, p.name == "http")',
    'self.ports.map(p, p.number).sum() == 523 && self.ports.map(p, p.number).isSorted()',
    'self.ports.map(p, p.number).max() == 443 && self.ports.filter(p, p.number > 80).size() == 1',
    '"app" in self.labels && self.labels.all(key, self.labels[key].startsWith("x"))',
    'type(self.either) == string ? self.either == "50%" : self.either < 10',
    'self.inner.size == self.size && has(self.inner.size)',
    'self.__namespace__ == "ns" && self.with__dash__dash == 7',
    'isCIDR("10.0.0.0/8") && cidr("10.0.0.0/8").containsIP("10.1.2.3") && ip("fd00::1").family() == 6',
    'url("https://x.example:8443/a").getPort() == "8443" && !isURL("no url")',
    '"a-b".split("-").join("+") == "a+b" && "x.y".replace(".", "") == "xy"',
  ])
    assert.ok(holds(shape, rule, spec), rule);
  for (const rule of ['self.size > 3', '!("app" in self.labels)', 'self.ports.exists(p, p.number == 1)'])
    assert.ok(!holds(shape, rule, spec), rule);
});

test('what is absent is found with has; reading it breaks the rule', () => {
  assert.ok(holds({ a: whole }, '!has(self.a) || self.a > 1', {}));
  assert.deepEqual(judge(ofSpec(ruled(fields({ a: whole }), 'self.a > 1')), { spec: {} }), [
    'spec: No such key: a evaluating rule: self.a > 1',
  ]);
});

test('messages, reasons and places', () => {
  const schema = ofSpec(
    ruled(
      fields({ a: whole, b: whole }),
      { rule: 'self.a < 10', message: 'a is at most 9' },
      { rule: 'self.b < 10', messageExpression: '"b is " + string(self.b)', fieldPath: '.b' },
      { rule: 'self.a + self.b < 10', reason: 'FieldValueForbidden' },
    ),
  );
  assert.deepEqual(judge(schema, { spec: { a: 11, b: 12 } }), [
    'spec: a is at most 9',
    'spec.b: b is 12',
    'spec: Forbidden: failed rule: self.a + self.b < 10',
  ]);
});

test('the root sees the name of the object; items and values have rules of their own', () => {
  const schema = ruled(
    fields({
      spec: fields({
        ports: { type: 'array', items: ruled(whole, 'self > 0') },
        sizes: { type: 'object', additionalProperties: ruled(whole, 'self < 5') },
      }),
    }),
    'self.metadata.name.startsWith("x")',
  );
  assert.deepEqual(
    judge(schema, { metadata: { name: 'y' }, spec: { ports: [1, 0], sizes: { a: 1, b: 9 } } }),
    [
      '<root>: failed rule: self.metadata.name.startsWith("x")',
      'spec.ports[1]: failed rule: self > 0',
      'spec.sizes.b: failed rule: self < 5',
    ],
  );
});

test('rules of change: asked where there was something before', () => {
  const shape = { cidr: text };
  const rule = 'self.cidr == oldSelf.cidr';
  assert.ok(holds(shape, rule, { cidr: 'a' }));
  assert.ok(holds(shape, rule, { cidr: 'a' }, { cidr: 'a' }));
  assert.ok(!holds(shape, rule, { cidr: 'b' }, { cidr: 'a' }));
  const list = {
    type: 'array',
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['name'],
    items: ruled(fields({ name: text, size: whole }), 'self.size >= oldSelf.size'),
  };
  const schema = ofSpec(fields({ list }));
  const spec = (...items: readonly (readonly [string, number])[]): JsonObject => ({
    spec: { list: items.map(([name, size]) => ({ name, size })) },
  });
  // Moved items are known by their key, new ones have no past.
  assert.deepEqual(judge(schema, spec(['c', 0], ['b', 2], ['a', 1]), spec(['a', 1], ['b', 1])), []);
  assert.deepEqual(judge(schema, spec(['b', 0], ['a', 1]), spec(['a', 1], ['b', 1])), [
    'spec.list[0]: failed rule: self.size >= oldSelf.size',
  ]);
});

test('oldSelf may be optional', () => {
  const schema = ofSpec(
    ruled(fields({ a: whole }), {
      rule: 'oldSelf.hasValue() ? self.a >= oldSelf.value().a : self.a == 0',
      optionalOldSelf: true,
    }),
  );
  assert.deepEqual(judge(schema, { spec: { a: 0 } }), []);
  assert.equal(judge(schema, { spec: { a: 1 } }).length, 1);
  assert.deepEqual(judge(schema, { spec: { a: 2 } }, { spec: { a: 1 } }), []);
  assert.equal(judge(schema, { spec: { a: 0 } }, { spec: { a: 1 } }).length, 1);
});

test('what an update leaves as it was is not judged by rules that came later', () => {
  const shape = { a: whole };
  assert.ok(holds(shape, 'self.a > 10', { a: 1 }, { a: 1 }));
  assert.ok(!holds(shape, 'self.a > 10', { a: 2 }, { a: 1 }));
});

test('rules that are none are refused with their place and the reason', () => {
  const place = (more: string): string => `schema.properties[spec].x-kubernetes-validations[0].${more}`;
  const refused = (rule: string | JsonObject): string =>
    refusal(ofSpec(ruled(fields({ a: whole, b: text }), rule)));
  assert.match(refused('self.nothing == 1'), /rule: compilation failed: No such key: nothing$/);
  assert.ok(refused('self.a == ').startsWith(place('rule: compilation failed: ')));
  assert.match(refused('self.a > self.b'), /no such overload: int > string/);
  assert.match(refused('self.a'), /must evaluate to bool, not to int/);
  assert.match(refused('self.a.frobnicate()'), /compilation failed/);
  assert.match(refused({ message: 'x' }), /rule is not specified/);
  assert.match(refused({ rule: 'true', messageExpression: '1' }), /must evaluate to string/);
  assert.match(refused({ rule: 'true', fieldPath: '.c' }), /fieldPath: fieldPath must be a valid path/);
  assert.match(refused({ rule: 'true', reason: 'Because' }), /Unsupported value/);
  assert.match(refused({ rule: 'self.a > 1', optionalOldSelf: true }), /only for rules that use oldSelf/);
});

test('nested loops over large lists are refused instead of run', () => {
  const shape = { list: { type: 'array', items: whole } };
  const rule = 'self.list.all(x, self.list.exists(y, y == x))';
  assert.ok(holds(shape, rule, { list: Array.from({ length: 100 }, (_, i) => i) }));
  const [said] = judge(ofSpec(ruled(fields(shape), rule)), {
    spec: { list: Array.from({ length: 10_000 }, (_, i) => i) },
  });
  assert.match(said ?? '', /takes too long/);
});
