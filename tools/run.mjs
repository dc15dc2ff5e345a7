// Runs the project's tasks on the pinned Node: `node tools/run.mjs TASK [ARGS]`. Plain JavaScript for whatever Node the
// machine has. Everything that touches the network runs inside private namespaces made by unshare(1).
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeDifference, footprint } from './footprint.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const [task = 'help', ...args] = process.argv.slice(2);
const node = pinnedNode();
const bundle = join(root, 'dist', 'margay.js');
const env = {
  ...process.env,
  // The pinned Node first: the tools' own launchers ask the PATH for theirs.
  PATH: `${dirname(node)}:${join(root, 'node_modules', '.bin')}:${process.env.PATH ?? ''}:/usr/sbin:/sbin`,
  NODE_OPTIONS: '',
};

/** More than so many failing files are no matter of steadiness. */
const mostUnsteadyFiles = 3;

/** Test files that go further when they are told to: suite, file, environment. Each night has seeds of its own, which the
 *  tests print; what is in the environment already counts. */
const nightlies = [
  [
    'kernel',
    'test/kernel/policy-meaning.test.ts',
    {
      POLICY_WORLDS: '420',
      POLICY_PACKETS: '240',
      POLICY_SEED: String(Math.floor(Date.now() / 1000) % 1_000_000_000),
    },
  ],
  // 10,000 policies applied and deleted in a loop.
  ['kernel', 'test/kernel/policy-leaks.test.ts', { POLICY_LOOP: '10000' }],
  // 10,000 random plans through both BGP engines.
  [
    'interop',
    'test/interop/bird-differential.test.ts',
    {
      DIFFERENTIAL_PLANS: '10000',
      DIFFERENTIAL_SEED: String(Math.floor(Date.now() / 86_400_000) * 100_000),
    },
  ],
  // Each mode of routing in each design of BGP.
  ['e2e', 'test/nightly/lab-modes-designs.test.ts', {}],
  // A million damaged messages.
  ['unit', 'src/bgp/speaker/fuzz.test.ts', { FUZZ_MESSAGES: '1000000' }],
];

const tasks = {
  start: () => margay(['lab', 'start', ...args]),
  margay: () => margay(args),
  build: () => inherit(node, ['tools/build.mjs', ...args]),
  generate: () =>
    all([
      [node, ['tools/generate-crds.ts']],
      [node, ['tools/generate-compatibility.ts']],
    ]),
  // Pages of documentation that need a lab.
  lessons: () => margay(['lab', 'lesson', 'all', '--write', 'docs/lessons', ...args]),
  conformance: () => inherit(node, ['test/conformance/run.ts', ...args]),
  'conformance-adapter': () => inherit(node, ['test/conformance/adapter.ts', ...args]),
  check: () => check(),
  unit: () => tests('unit', args),
  test: () => testAll(),
  nightly: () => nightly(),
  bench: () => bench(),
};
const run = tasks[task];
if (run === undefined) {
  console.error(`Unknown task "${task}". There are: ${Object.keys(tasks).join(', ')}.`);
  process.exit(2);
}
process.exit(await run());

/** Node 26 from the optional packages; else the running Node when it can run TypeScript itself. */
function pinnedNode() {
  const arch = process.arch === 'x64' ? 'x64' : process.arch;
  const path = join(root, 'node_modules', `node-linux-${arch}`, 'bin', 'node');
  if (existsSync(path)) return path;
  if (Number(process.versions.node.split('.')[0]) < 24) {
    console.error(
      `Margay needs Node 24 or newer; this is ${process.versions.node} and no pinned Node is installed for ${process.arch}. ` +
        'Run npm ci with optional packages, or install a newer Node.',
    );
    process.exit(1);
  }
  return process.execPath;
}

/** The bundle, built anew when a source is newer: it starts three times as fast as the sources and needs half the memory. */
async function margay(argv) {
  const code = await buildWhenStale();
  return code === 0 ? inherit(node, [bundle, ...argv]) : code;
}

async function buildWhenStale() {
  const built = existsSync(bundle) ? statSync(bundle).mtimeMs : 0;
  return newest(join(root, 'src')) > built ? inherit(node, ['tools/build.mjs']) : 0;
}

/** Time of the newest file below the folder. */
function newest(folder) {
  let time = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    time = Math.max(time, entry.isDirectory() ? newest(path) : statSync(path).mtimeMs);
  }
  return time;
}

function inherit(command, argv) {
  return new Promise((resolve) => {
    const child = spawn(command, argv, { cwd: root, env, stdio: 'inherit' });
    // The terminal sends the signal to the whole group; the child decides how to end.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
    child.on('error', (error) => {
      console.error(`Cannot run ${command}: ${error.message}`);
      resolve(1);
    });
    child.on('exit', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 1)));
  });
}

async function all(list) {
  for (const [command, argv] of list) {
    const code = await inherit(command, argv);
    if (code !== 0) return code;
  }
  return 0;
}

/** Types, lint, format and layers. */
function check() {
  const bin = (name) => join(root, 'node_modules', '.bin', name);
  return all([
    [bin('tsc'), ['--noEmit']],
    [bin('oxlint'), ['--type-aware', '--quiet']],
    [bin('biome'), ['format', '--log-level=error']],
    [node, ['tools/check-layers.mjs']],
  ]);
}

/** The folders of tests: unit tests need nothing; the others run in private network, mount and process namespaces.
 *
 *  A file that fails there depends on more than its code: other programs, the kernel, how busy the machine is. A few such
 *  files are run once more, alone. What passes then does not fail the run, but is called unsteady at its end, with what
 *  happened the first time: it is a bug that somebody has to find, in the test or in the product. */
async function testAll() {
  const before = footprint();
  const started = Date.now();
  let failed = (await check()) !== 0;
  const unsteady = [];
  const broken = [];
  if (!failed) {
    for (const suite of ['unit', 'kernel', 'interop', 'e2e']) {
      const first = await testsOf(suite, []);
      if (first.code === 0) continue;
      const files = filesOf(first.failures);
      const mayRunAgain = suite !== 'unit' && files.length > 0 && files.length <= mostUnsteadyFiles;
      const second = mayRunAgain ? await testsOf(suite, files) : first;
      if (second.code !== 0) failed = true;
      const again = new Set(second.failures.map(({ file, name }) => `${file} ${name}`));
      broken.push(...second.failures);
      unsteady.push(...first.failures.filter(({ file, name }) => !again.has(`${file} ${name}`)));
    }
  }
  const left = describeDifference(before, footprint());
  if (left !== '') {
    console.error(`The tests left something behind in the machine's own namespaces:\n${left}`);
    failed = true;
  }
  tell('unsteady (failed once, passed when run again)', unsteady);
  tell('failed', broken);
  console.log(`${failed ? 'FAILED' : 'OK'} in ${Math.round((Date.now() - started) / 1000)} s`);
  return failed ? 1 : 0;
}

/** The failed tests again, at the end of what may be a long output. */
function tell(title, failures) {
  if (failures.length > 0) console.log(`── ${title} ──`);
  for (const { file, name, text } of failures)
    console.log(`✖ ${relative(root, file)}: ${name}\n  ${text.replaceAll('\n', '\n  ')}`);
}

function filesOf(failures) {
  return [...new Set(failures.map(({ file }) => file))].filter((file) => file !== '');
}

/** What is too much for every run. `npm run nightly -- NAME` runs the files with NAME in theirs. */
async function nightly() {
  let failed = false;
  for (const [suite, file, more] of nightlies.filter(([, file]) => file.includes(args[0] ?? ''))) {
    for (const [name, value] of Object.entries(more)) env[name] ??= value;
    if ((await tests(suite, ['--test-timeout=7200000', file])) !== 0) failed = true;
  }
  return failed ? 1 : 0;
}

async function tests(suite, only) {
  return (await testsOf(suite, only)).code;
}

/** Runs a suite, or the named files or options of it: the exit code, and the tests that failed. */
async function testsOf(suite, only) {
  const pattern = suite === 'unit' ? 'src/**/*.test.ts' : `test/${suite}/**/*.test.ts`;
  const scratch = mkdtempSync(join(tmpdir(), 'margay-test-'));
  const records = join(scratch, 'records');
  const argv = [
    '--test',
    `--test-concurrency=${suite === 'unit' ? 2 : 1}`,
    '--test-timeout=300000',
    '--import=./tools/end-of-file.mjs',
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    '--test-reporter=./tools/record-reporter.mjs',
    `--test-reporter-destination=${records}`,
    ...(only.length > 0 ? only : [pattern, ...(suite === 'unit' ? ['test/conformance/**/*.test.ts'] : [])]),
  ];
  console.log(`── ${suite} ──`);
  // The tests run what ships; they would build it in each file.
  if (suite !== 'unit' && env.MARGAY_MAIN === undefined) {
    const built = await buildWhenStale();
    if (built !== 0) return { code: built, failures: [] };
    env.MARGAY_MAIN = bundle;
  }
  const code =
    suite === 'unit' ? await inherit(node, argv) : await inherit(...inPrivateNamespaces(node, argv));
  const told = existsSync(records) ? readFileSync(records, 'utf8').split('\n').filter(Boolean) : [];
  rmSync(scratch, { recursive: true, force: true });
  const list = told.map((text) => JSON.parse(text));
  const failures = list.filter(({ state }) => state === 'failed');
  const skipped = process.env.CI === 'true' ? list.filter(({ state }) => state === 'skipped') : [];
  for (const skip of skipped)
    failures.push({ ...skip, text: `With CI=true a skipped test is a failure. ${skip.text}` });
  return { code: skipped.length > 0 ? 1 : code, failures };
}

/** The command line that runs a program in network, mount and process namespaces of its own, with nothing but `lo`. */
function inPrivateNamespaces(command, argv) {
  const user = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const unshare = [...user, '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const prepare =
    'mount -t tmpfs margay-run /run && mkdir -p /run/netns /run/lock && ip link set lo up && exec "$0" "$@"';
  return ['unshare', [...unshare, 'sh', '-c', prepare, command, ...argv]];
}

async function bench() {
  const [name, ...rest] = args;
  const known = readdirSync(join(root, 'bench'))
    .filter((f) => f.endsWith('.ts'))
    .map((f) => f.slice(0, -3));
  if (name === undefined || !known.includes(name)) {
    console.error(`Usage: npm run bench -- NAME [ARGS]. There are: ${known.join(', ')}.`);
    return 2;
  }
  const file = join('bench', `${name}.ts`);
  // The lab makes its own namespaces, and is measured from outside of them; it runs the bundle, as npm start does.
  if (name === 'lab-up') {
    const code = await buildWhenStale();
    return code === 0 ? inherit(node, [file, ...rest]) : code;
  }
  return inherit(...inPrivateNamespaces(node, [file, ...rest]));
}
