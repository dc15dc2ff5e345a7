// How results are shown: tables, templates, paths.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goTemplate } from './template.ts';
import { jsonPath } from './jsonpath.ts';
import { boxedTable, plainTable } from './table.ts';
import { parseFormat, yamlText } from './print.ts';
import { rowsOf } from './columns.ts';
import { kindDefinition } from '../../../model/mod.ts';
import type { Resource } from '../input/resources.ts';

const pool = (name: string, cidr: string): Resource => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'IPPool',
  metadata: { name, labels: { 'a.b/c': 'x', d: 'y' } },
  spec: { cidr, nodeSelector: 'all()', allowedUses: ['Workload', 'Tunnel'], disabled: name === 'b' },
});
const list = { kind: 'IPPoolList', items: [pool('a', '10.0.0.0/16'), pool('b', '10.1.0.0/16')] };

const template = (text: string, data: unknown = [list]): string => {
  const made = goTemplate(text, data, () => '64512');
  return made.ok ? made.value : made.error.message;
};
const path = (text: string, data: unknown = list): string => {
  const found = jsonPath(text, data);
  return found.ok ? found.value : found.error.message;
};

test('CT-014: columns are three blanks apart, every cell is padded', () => {
  const rows = rowsOf(
    kindDefinition('IPPool'),
    list.items,
    { wide: false, withNamespace: false },
    { asNumber: '' },
  );
  assert.equal(
    plainTable(rows as readonly (readonly string[])[]),
    'NAME   CIDR          SELECTOR   \na      10.0.0.0/16   all()      \nb      10.1.0.0/16   all()      \n',
  );
});

test('CT-014: a heading that the kind does not have', () => {
  const rows = rowsOf(
    kindDefinition('IPPool'),
    list.items,
    { wide: false, withNamespace: false, headings: ['name', 'bogus'] },
    { asNumber: '' },
  );
  assert.ok('unknownHeading' in rows);
  assert.equal(rows.unknownHeading, 'BOGUS');
});

test('CT-030: boxes', () => {
  assert.equal(
    boxedTable(['A', 'COUNT'], [['xyz', '1']], { cells: ['left', 'right'] }),
    '+-----+-------+\n|  A  | COUNT |\n+-----+-------+\n| xyz |     1 |\n+-----+-------+\n',
  );
});

test('CT-014: go templates of calicoctl and of kubectl', () => {
  assert.equal(
    template('{{range .}}{{range .Items}}{{.ObjectMeta.Name}}={{.Spec.CIDR}} {{end}}{{end}}'),
    'a=10.0.0.0/16 b=10.1.0.0/16 ',
  );
  assert.equal(template('{{range .items}}{{.metadata.name}}{{"\\n"}}{{end}}'), 'a\nb\n');
  assert.equal(
    template('{{range $i, $p := .items}}{{$i}}:{{join $p.spec.allowedUses ","}};{{end}}'),
    '0:Workload,Tunnel;1:Workload,Tunnel;',
  );
  assert.equal(
    template(
      '{{range .items}}{{if .spec.disabled}}off{{else if eq .metadata.name "a"}}A{{else}}?{{end}} {{end}}',
    ),
    'A off ',
  );
  assert.equal(template('{{with (index .items 0)}}{{index .metadata.labels "a.b/c"}}{{end}}'), 'x');
  assert.equal(template('{{ len .items }} {{- " x" }} {{ printf "%-4s|%3d" "ab" 7 }}'), '2 x ab  |  7');
  assert.equal(
    template('{{.metadata.labels}} {{config "asnumber"}} {{.nothing}}', pool('a', '')),
    'map[a.b/c:x d:y] 64512 <no value>',
  );
  assert.equal(template('{{range .none}}x{{else}}empty{{end}}{{/* note */}}', {}), 'empty');
});

test('CT-014: what is no template says why', () => {
  assert.match(template('{{range .items}}'), /an \{\{end\}\} is missing/);
  assert.match(template('{{end}}'), /has nothing before it/);
  assert.match(template('{{bogus 1}}'), /function "bogus" is not defined/);
  assert.match(template('{{.a'), /not closed/);
  assert.match(template('{{template "x"}}'), /not built/);
});

test('paths as kubectl writes them', () => {
  assert.equal(path('{.items[*].metadata.name}'), 'a b');
  assert.equal(path('.items[1].spec.cidr'), '10.1.0.0/16');
  assert.equal(
    path('{range .items[*]}{.metadata.name}{"\\t"}{.spec.cidr}{"\\n"}{end}'),
    'a\t10.0.0.0/16\nb\t10.1.0.0/16\n',
  );
  assert.equal(path('{.items[?(@.spec.disabled==true)].metadata.name}'), 'b');
  assert.equal(path('{.items[?(@.metadata.name!="b")].metadata.name}'), 'a');
  assert.equal(path('{.items[-1:].metadata.name} {.items[0:1].metadata.name}'), 'b a');
  assert.equal(path('{..cidr}'), '10.0.0.0/16 10.1.0.0/16');
  assert.equal(path(`{.items[0].metadata.labels['a.b/c','d']}`), 'x y');
  assert.equal(path('{.items[0].metadata.labels.a\\.b/c}'), 'x');
  assert.equal(path('{.nothing.at.all}'), '');
  assert.match(path('{.items[*}'), /not understood/);
  assert.match(path('{range .items[*]}x'), /needs an \{end\}/);
});

test('SR-209: YAML as Go writes it', async () => {
  assert.equal(
    await yamlText({ kind: 'L', items: [{ b: '1', a: true, c: 'yes', d: "foo == 'bar'" }], metadata: {} }),
    `items:\n- a: true\n  b: "1"\n  c: "yes"\n  d: foo == 'bar'\nkind: L\nmetadata: {}\n`,
  );
});

test('formats that do not exist', () => {
  for (const text of ['xml', 'go-template', 'jsonpath=', 'custom-columns=', 'go-template-file=/none'])
    assert.equal(parseFormat(text).ok, false, text);
});
