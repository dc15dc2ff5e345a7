// Keeps the architecture: imports go down the layers, other modules are entered by their mod.ts only, and pure modules
// do not import node:. Run by `npm run check`; docs/architecture.md explains the layers.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const src = join(root, 'src');

/** Modules, lowest layer first; a module may import those of lower rank. */
const ranks = {
  lib: 0,
  selector: 1,
  model: 1.5,
  policy: 2,
  ipam: 2,
  'bgp/packet': 2,
  'bgp/policy': 2,
  'bgp/fsm': 2.2,
  'bgp/rib': 2.2,
  'bgp/plan': 2.4,
  'felix/calc': 3,
  explain: 3,
  flows: 3,
  datastore: 4,
  typha: 4.2,
  kernel: 4,
  'felix/dataplane': 5,
  'bgp/speaker': 5,
  'bgp/bird': 5.2,
  cni: 5,
  controllers: 5,
  'felix/agent': 6,
  apiserver: 6,
  lab: 6,
  cli: 7,
  'main.ts': 8,
};
const pure = new Set([
  'selector',
  'model',
  'policy',
  'ipam',
  'bgp/packet',
  'bgp/policy',
  'bgp/fsm',
  'bgp/rib',
  'bgp/plan',
  'felix/calc',
  'explain',
]);
const pureLibFiles = /^lib\/(ip\/|result|clock|hash)/;

const problems = [];
for (const file of sources(src)) check(file);
if (problems.length > 0) {
  console.error(problems.join('\n'));
  process.exit(1);
}

function check(path) {
  const name = relative(src, path);
  const own = moduleOf(name);
  if (own === undefined) {
    problems.push(`src/${name}: belongs to no module that tools/check-layers.mjs knows`);
    return;
  }
  const isTest = name.endsWith('.test.ts');
  for (const target of imports(readFileSync(path, 'utf8'))) {
    if (target.startsWith('node:') || !target.startsWith('.')) {
      const mustBePure = (pure.has(own) || pureLibFiles.test(name)) && !isTest;
      if (mustBePure && target.startsWith('node:'))
        problems.push(`src/${name}: pure module imports ${target}`);
      continue;
    }
    const targetName = relative(src, resolve(dirname(path), target));
    const other = moduleOf(targetName);
    if (other === undefined) problems.push(`src/${name}: imports ${target}, outside of src`);
    else if (other !== own) crossing(name, own, targetName, other, isTest);
  }
}

function crossing(name, own, targetName, other, isTest) {
  // Tests may look down from one layer higher than their module: they need fakes and servers.
  if (!isTest && ranks[other] >= ranks[own])
    problems.push(`src/${name}: imports up, ${own} → ${other} (${targetName})`);
  const inner = targetName.slice(other.length + 1);
  const isFace =
    other === 'lib' ? !inner.includes('/') || inner === 'ip/mod.ts' : inner === 'mod.ts' || own === 'main.ts';
  const isCommandType = other === 'cli' || (own === 'cli' && inner === 'types.ts');
  if (!isFace && !isCommandType)
    problems.push(`src/${name}: reaches into ${other} (${targetName}); import its mod.ts`);
}

/** The module a file belongs to: the longest known folder name that starts its path. */
function moduleOf(name) {
  return Object.keys(ranks)
    .filter((m) => name === m || name.startsWith(`${m}/`))
    .sort((a, b) => b.length - a.length)[0];
}

function imports(text) {
  const found = [];
  for (const match of text.matchAll(
    /^\s*(?:import|export)\b[^'";]*?from\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)|^\s*import\s*['"]([^'"]+)['"]/gm,
  )) {
    found.push(match[1] ?? match[2] ?? match[3]);
  }
  return found;
}

function* sources(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* sources(path);
    else if (entry.name.endsWith('.ts')) yield path;
  }
}
