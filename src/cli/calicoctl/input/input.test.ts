// Files as resources, and where in them something is wrong.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fieldName, problemOf } from '../problems.ts';
import { fieldPath, parseDocuments } from './documents.ts';
import { loadResources } from './resources.ts';

function fileWith(t: TestContext, text: string | Uint8Array, name = 'x.yaml'): string {
  const directory = mkdtempSync(join(tmpdir(), 'calicoctl-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}
const options = { recursive: false, skipEmpty: false };

async function load(t: TestContext, text: string | Uint8Array) {
  const path = fileWith(t, text);
  const loaded = await loadResources(path, options);
  if (!loaded.ok) return loaded.error.message.replaceAll(path, 'FILE');
  const found = loaded.value.flatMap((one) => problemOf(one) ?? []);
  return found.length > 0
    ? found.join('\n').replaceAll(path, 'FILE')
    : loaded.value.map(({ object }) => object);
}

const pool = (spec: string): string =>
  `apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata:\n  name: a\nspec:\n  cidr: 10.0.0.0/16\n${spec}`;

async function refusal(t: TestContext, text: string | Uint8Array): Promise<string> {
  const found = await load(t, text);
  return typeof found === 'string' ? found : 'nothing is wrong';
}

test('a field that is none is refused with its place and what was meant', async (t) => {
  assert.equal(
    await load(t, pool('  nodeSelctor: all()\n')),
    'unknown field "spec.nodeSelctor"; did you mean nodeSelector? at FILE:7:3',
  );
});

test('CT-012: JSON, too', async (t) => {
  const text = JSON.stringify(
    {
      apiVersion: 'projectcalico.org/v3',
      kind: 'IPPool',
      metadata: { name: 'a' },
      spec: { cidr: '10.0.0.0/16', ipipMod: 'Never' },
    },
    undefined,
    1,
  );
  assert.equal(await load(t, text), 'unknown field "spec.ipipMod"; did you mean ipipMode? at FILE:9:3');
});

test('values of other types, in the words of calicoctl', async (t) => {
  assert.equal(
    await load(t, pool('  disabled: Maybe\n')),
    'cannot unmarshal string into Go struct field IPPoolSpec.spec.disabled of type bool at FILE:7:13 (spec.disabled must be true or false)',
  );
});

test('values that mean nothing, in the words of calicoctl', async (t) => {
  assert.match(
    await refusal(t, pool('  ipipMode: Sometimes\n')),
    /^error with field IPIPMode = 'Sometimes' \(is not one of the supported values: .*\) at FILE:7:13$/,
  );
});

test('a port that no uint16 holds, in the words of calicoctl', async (t) => {
  const policy = (port: string): string =>
    `apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: p}\nspec:\n  ingress:\n  - {action: Deny, protocol: UDP, source: {ports: [${port}]}}\n`;
  for (const port of ['70001', '-3'])
    assert.match(
      await refusal(t, policy(port)),
      new RegExp(`cannot unmarshal number ${port} into Go value of type uint16 at FILE:6:`),
    );
});

test('names of fields count in any case, lengths of time are canonical', async (t) => {
  const found = await load(
    t,
    'apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\nspec: {NetlinkTimeout: 125s}\n',
  );
  assert.deepEqual((found as unknown as { spec: unknown }[])[0]?.spec, { netlinkTimeout: '2m5s' });
});

test('CT-012: several documents, lists, lists of a kind', async (t) => {
  const text = `${pool('')}---\n\n---\nkind: List\nitems:\n- {apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: t}, spec: {order: 1}}\n---\napiVersion: projectcalico.org/v3\nkind: TierList\nitems:\n- metadata: {name: u}\n  spec: {}\n`;
  const found = (await load(t, text)) as { kind: string; metadata: { name: string } }[];
  assert.deepEqual(
    found.map(({ kind, metadata }) => [kind, metadata.name]),
    [
      ['IPPool', 'a'],
      ['Tier', 't'],
      ['Tier', 'u'],
    ],
  );
});

test('what is no resource', async (t) => {
  assert.match(
    await refusal(t, 'apiVersion: v7\nkind: BGPPeer\n'),
    /^FILE:1:13: unknown resource type \(BGPPeer\) and\/or version \(v7\); BGPPeer is of/,
  );
  assert.match(await refusal(t, 'apiVersion: v1\nkind: Pod\n'), /kubectl/);
  assert.match(await refusal(t, '- 1\n'), /^FILE:1:3: a resource is an object/);
  assert.match(await refusal(t, 'a: b\n'), /the resource says no kind/);
  assert.match(await refusal(t, 'a: [1\n'), /^FILE:\d+:\d+: /);
  assert.match(await refusal(t, 'a: 1\na: 2\n'), /^FILE:2:1: Map keys must be unique/);
  assert.equal(await load(t, '# nothing\n'), 'No resources specified in file FILE');
});

test('bad UTF-8, deep nesting and multiplied aliases are refused', async (t) => {
  assert.equal(await load(t, new Uint8Array([0x61, 0x0a, 0x62, 0xff])), 'FILE:2:2: the text is not UTF-8.');
  assert.match(await refusal(t, '['.repeat(100_000)), /nested too deeply/);
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
    .split('')
    .map((one, i) => `${one}: &${one} [${Array(10).fill(`*${'abcdefgh'[i]}`).join(',')}]`)
    .join('\n')}\n`;
  assert.match(await refusal(t, bomb), /aliases/);
});

test('CT-012: directories, in the order of names', async (t) => {
  const root = fileWith(t, pool(''), 'b.yaml').replace(/b\.yaml$/, '');
  mkdirSync(join(root, 'sub'));
  writeFileSync(
    join(root, 'sub', 'c.json'),
    '{"apiVersion":"projectcalico.org/v3","kind":"Tier","metadata":{"name":"t"},"spec":{}}',
  );
  writeFileSync(join(root, 'notes.txt'), 'no resource');
  const flat = await loadResources(root, options);
  const deep = await loadResources(root, { ...options, recursive: true });
  assert.deepEqual(
    [flat, deep].map((one) => (one.ok ? one.value.length : one.error.message)),
    [1, 2],
  );
});

test('names of fields as Go has them', () => {
  const names = [
    'spec.peerIP',
    'spec.cidr',
    'spec.ingress[0].source.ports[1]',
    'spec.asNumber',
    'spec.icmp.type',
    'spec.ipipMode',
    'metadata.labels[a/b]',
  ];
  assert.deepEqual(names.map(fieldName), ['PeerIP', 'CIDR', 'Port', 'ASNumber', 'Type', 'IPIPMode', 'a/b']);
});

test('a place that is not there is that of what would hold it', async () => {
  const parsed = await parseDocuments('f', 'spec:\n  a:\n  - b: 1\n    c: 2\n');
  assert.ok(parsed.ok);
  const at = (field: string, part: 'name' | 'value') => parsed.value[0]?.locate(fieldPath(field), part);
  assert.deepEqual(at('spec.a[0].c', 'value'), { line: 4, column: 8 });
  assert.deepEqual(at('spec.a[0].c', 'name'), { line: 4, column: 5 });
  assert.deepEqual(at('spec.missing.x', 'value'), { line: 1, column: 1 });
});
