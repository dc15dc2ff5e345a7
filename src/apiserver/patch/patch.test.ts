import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { deployment } from '../schema/workloads.ts';
import { pod } from '../schema/pod.ts';
import { jsonPatch } from './json-patch.ts';
import { mergePatch } from './merge.ts';
import { strategicPatch } from './strategic.ts';

test('merge patch: the examples of RFC 7386', () => {
  const cases: readonly [unknown, unknown, unknown][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [target, patch, expected] of cases) assert.deepEqual(mergePatch(target, patch), expected);
});

test('JSON patch: the operations of RFC 6902', () => {
  const cases: readonly [unknown, readonly unknown[], unknown][] = [
    [{ foo: 'bar' }, [{ op: 'add', path: '/baz', value: 'qux' }], { baz: 'qux', foo: 'bar' }],
    [{ foo: ['bar', 'baz'] }, [{ op: 'add', path: '/foo/1', value: 'qux' }], { foo: ['bar', 'qux', 'baz'] }],
    [{ foo: ['bar'] }, [{ op: 'add', path: '/foo/-', value: 'x' }], { foo: ['bar', 'x'] }],
    [{ baz: 'qux', foo: 'bar' }, [{ op: 'remove', path: '/baz' }], { foo: 'bar' }],
    [{ foo: [1, 2, 3] }, [{ op: 'remove', path: '/foo/1' }], { foo: [1, 3] }],
    [{ baz: 'qux' }, [{ op: 'replace', path: '/baz', value: 'boo' }], { baz: 'boo' }],
    [{ a: { b: 1 }, c: {} }, [{ op: 'move', from: '/a/b', path: '/c/d' }], { a: {}, c: { d: 1 } }],
    [{ a: [1] }, [{ op: 'copy', from: '/a', path: '/b' }], { a: [1], b: [1] }],
    [
      { 'a/b': 1, '~': 2 },
      [
        { op: 'replace', path: '/a~1b', value: 3 },
        { op: 'remove', path: '/~0' },
      ],
      { 'a/b': 3 },
    ],
    [{ a: 1 }, [{ op: 'test', path: '/a', value: 1 }], { a: 1 }],
  ];
  for (const [target, patch, expected] of cases) {
    const before = structuredClone(target);
    const patched = jsonPatch(target, patch);
    assert.deepEqual(patched, { ok: true, value: expected });
    assert.deepEqual(target, before, 'the target is not changed');
  }
  const refused: readonly [unknown, readonly unknown[]][] = [
    [{}, [{ op: 'remove', path: '/a' }]],
    [{}, [{ op: 'replace', path: '/a', value: 1 }]],
    [{ a: [] }, [{ op: 'add', path: '/a/1', value: 1 }]],
    [{ a: [] }, [{ op: 'add', path: '/a/01', value: 1 }]],
    [{ a: 1 }, [{ op: 'test', path: '/a', value: 2 }]],
    [{}, [{ op: 'add', path: '/a/b', value: 1 }]],
    [{}, [{ op: 'dance', path: '/a' }]],
    [{}, [{ op: 'add', path: 'a', value: 1 }]],
    [{}, [5]],
  ];
  for (const [target, patch] of refused)
    assert.equal(jsonPatch(target, patch).ok, false, JSON.stringify(patch));
});

const web = {
  spec: {
    replicas: 2,
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } },
    template: {
      spec: {
        containers: [
          { name: 'a', image: 'a:1', env: [{ name: 'X', value: '1' }], ports: [{ containerPort: 80 }] },
          { name: 'b', image: 'b:1' },
        ],
        tolerations: [{ key: 'k' }],
        volumes: [{ name: 'v', emptyDir: {} }],
      },
    },
  },
};
const templateOf = (value: unknown): Record<string, unknown> =>
  (value as { spec: { template: { spec: Record<string, unknown> } } }).spec.template.spec;
function patched(patch: unknown): unknown {
  const result = strategicPatch(web, patch, deployment);
  assert.ok(result.ok, result.ok ? '' : result.error);
  return result.value;
}
const inTemplate = (spec: unknown): unknown => ({ spec: { template: { spec } } });

test('strategic: named lists merge item by item, plain lists are replaced', () => {
  const merged = templateOf(
    patched(inTemplate({ containers: [{ name: 'a', image: 'a:2', env: [{ name: 'Y', value: '2' }] }] })),
  );
  assert.deepEqual(merged['containers'], [
    {
      name: 'a',
      image: 'a:2',
      env: [
        { name: 'X', value: '1' },
        { name: 'Y', value: '2' },
      ],
      ports: [{ containerPort: 80 }],
    },
    { name: 'b', image: 'b:1' },
  ]);
  assert.deepEqual(templateOf(patched(inTemplate({ tolerations: [{ key: 'z' }] })))['tolerations'], [
    { key: 'z' },
  ]);
});

test('strategic: directives', () => {
  const containers = (patch: unknown): unknown => templateOf(patched(inTemplate(patch)))['containers'];
  assert.deepEqual(containers({ containers: [{ $patch: 'delete', name: 'a' }] }), [
    { name: 'b', image: 'b:1' },
  ]);
  assert.deepEqual(containers({ containers: [{ $patch: 'replace' }, { name: 'c', image: 'c' }] }), [
    { name: 'c', image: 'c' },
  ]);
  const order = {
    '$setElementOrder/containers': [{ name: 'b' }, { name: 'c' }, { name: 'a' }],
    containers: [{ name: 'c' }],
  };
  assert.deepEqual(
    (containers(order) as { name: string }[]).map((one) => one.name),
    ['b', 'c', 'a'],
  );
  const strategy = (
    patched({ spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } }) as typeof web
  ).spec.strategy;
  assert.deepEqual(strategy, { type: 'Recreate' });
  const replaced = patched({ spec: { strategy: { $patch: 'replace', type: 'Recreate' } } }) as typeof web;
  assert.deepEqual(replaced.spec.strategy, { type: 'Recreate' });
  const volume = templateOf(
    patched(
      inTemplate({ volumes: [{ $retainKeys: ['name', 'hostPath'], name: 'v', hostPath: { path: '/x' } }] }),
    ),
  );
  assert.deepEqual(volume['volumes'], [{ name: 'v', hostPath: { path: '/x' } }]);
  const finalizers = strategicPatch(
    { metadata: { finalizers: ['a', 'b'] } },
    { metadata: { '$deleteFromPrimitiveList/finalizers': ['a'], finalizers: ['c'] } },
    pod,
  );
  assert.deepEqual(finalizers, { ok: true, value: { metadata: { finalizers: ['b', 'c'] } } });
});

test('strategic: conditions merge by type; null removes; items need their key', () => {
  const status = {
    status: {
      conditions: [
        { type: 'Ready', status: 'False' },
        { type: 'Initialized', status: 'True' },
      ],
    },
  };
  const result = strategicPatch(status, { status: { conditions: [{ type: 'Ready', status: 'True' }] } }, pod);
  assert.deepEqual(result.ok && result.value, {
    status: {
      conditions: [
        { type: 'Ready', status: 'True' },
        { type: 'Initialized', status: 'True' },
      ],
    },
  });
  assert.deepEqual(
    strategicPatch({ metadata: { labels: { a: 'b', c: 'd' } } }, { metadata: { labels: { a: null } } }, pod),
    {
      ok: true,
      value: { metadata: { labels: { c: 'd' } } },
    },
  );
  assert.equal(strategicPatch(web, inTemplate({ containers: [{ image: 'x' }] }), deployment).ok, false);
});

test('without a schema a strategic patch of objects is a merge patch', () => {
  const json = fc.dictionary(
    fc.constantFrom('a', 'b', 'c'),
    fc.oneof(
      fc.integer(),
      fc.constant(null),
      fc.dictionary(fc.constantFrom('x', 'y'), fc.oneof(fc.integer(), fc.constant(null))),
    ),
  );
  fc.assert(
    fc.property(json, json, (target, patch) => {
      const clean = mergePatch({}, target);
      const result = strategicPatch(clean, patch, undefined);
      assert.deepEqual(result.ok && result.value, mergePatch(clean, patch));
    }),
    { numRuns: 300 },
  );
});
