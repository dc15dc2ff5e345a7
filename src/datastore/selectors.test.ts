import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyPatch, parseFieldSelector, parseLabelSelector } from './mod.ts';

test('label selectors', () => {
  const labels = { app: 'web', tier: 'front', 'example.org/x': '' };
  const cases: readonly [string, boolean][] = [
    ['', true],
    ['app=web', true],
    ['app==web,tier!=back', true],
    ['app!=web', false],
    ['missing!=x', true],
    ['app in (db, web)', true],
    ['app notin (db,web)', false],
    ['missing notin (a)', true],
    ['missing in (a)', false],
    ['app,!missing', true],
    ['!app', false],
    ['example.org/x=', true],
  ];
  for (const [text, want] of cases) {
    const parsed = parseLabelSelector(text);
    assert.ok(parsed.ok, text);
    assert.equal(parsed.value(labels), want, text);
  }
  assert.equal(parseLabelSelector('app').ok && parseLabelSelector('!app').ok, true);
  for (const bad of ['app in web', 'a=b=c', '=x', 'in (a)', 'app in (a'])
    assert.equal(parseLabelSelector(bad).ok, false, bad);
});

test('field selectors', () => {
  const pod = { metadata: { name: 'a' }, spec: { nodeName: 'n1', hostNetwork: true } };
  const cases: readonly [string, boolean][] = [
    ['spec.nodeName=n1', true],
    ['spec.nodeName!=n1', false],
    ['spec.missing=', true],
    ['spec.hostNetwork=true,metadata.name==a', true],
    ['metadata.name=b', false],
  ];
  for (const [text, want] of cases) {
    const parsed = parseFieldSelector(text);
    assert.ok(parsed.ok, text);
    assert.equal(parsed.value(pod), want, text);
  }
  assert.equal(parseFieldSelector('nonsense').ok, false);
});

test('patches: RFC 7386 and RFC 6902', () => {
  const target = { a: { b: 1, c: [1, 2] }, 'x/y': 'z' };
  const apply = (type: 'json' | 'merge' | 'strategic', body: unknown): unknown => {
    const patched = applyPatch(type, target, body);
    return patched.ok ? patched.value : patched.error.code;
  };
  assert.deepEqual(apply('merge', { a: { b: null, d: { e: null, f: 1 } } }), {
    a: { c: [1, 2], d: { f: 1 } },
    'x/y': 'z',
  });
  assert.deepEqual(
    apply('json', [
      { op: 'add', path: '/a/c/-', value: 3 },
      { op: 'add', path: '/a/c/0', value: 0 },
      { op: 'remove', path: '/a/b' },
      { op: 'move', from: '/x~1y', path: '/moved' },
      { op: 'copy', from: '/moved', path: '/copied' },
      { op: 'test', path: '/copied', value: 'z' },
    ]),
    { a: { c: [0, 1, 2, 3] }, moved: 'z', copied: 'z' },
  );
  assert.deepEqual(target, { a: { b: 1, c: [1, 2] }, 'x/y': 'z' }, 'the input is not changed');
  assert.equal(apply('json', [{ op: 'remove', path: '/missing' }]), 'BadPatch');
  assert.equal(apply('json', [{ op: 'test', path: '/a/b', value: 2 }]), 'BadPatch');
  assert.equal(apply('json', [{ op: 'add', path: '/a/c/9', value: 1 }]), 'BadPatch');
  assert.equal(apply('json', { op: 'add' }), 'BadPatch');
  assert.equal(apply('strategic', { a: { c: [3] } }), 'NotSupported');
  assert.deepEqual(apply('strategic', { a: { b: 2 } }), { a: { b: 2, c: [1, 2] }, 'x/y': 'z' });
});
