// How long commands take as whole processes, from the start of the program to its end: what a user waits for. The API server is
// a process of its own, on loopback; the program is the bundle, as it ships.
//   npm run bench -- cli-start [--runs N]
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';

const { runs = '20' } = parseArgs({ options: { runs: { type: 'string' } } }).values;
const program = resolve('dist/margay.js');
if (spawnSync(process.execPath, [resolve('tools/build.mjs')], { stdio: 'inherit' }).status !== 0)
  process.exit(1);
const directory = mkdtempSync(join(tmpdir(), 'margay-cli-start-'));
const server = spawn(
  process.execPath,
  [program, 'apiserver', '--listen', '127.0.0.1:0', '--data', ':memory:'],
  { stdio: ['ignore', 'pipe', 'ignore'] },
);
const url = await new Promise<string>((done) => {
  server.stdout.setEncoding('utf8').once('data', (line: string) => done(line.trim()));
});
const pool = join(directory, 'pool.yaml');
writeFileSync(
  pool,
  'apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: a}\nspec: {cidr: 10.1.0.0/16}\n',
);
const env = { ...process.env, KUBECONFIG: '', K8S_API_ENDPOINT: url };
const commands: readonly (readonly string[])[] = [
  ['version', '--client'],
  ['validate', '-f', pool],
  ['get', 'nodes'],
  ['get', 'nodes', '-o', 'yaml'],
  ['apply', '-f', pool],
  ['ipam', 'show'],
];
try {
  for (const argv of commands) {
    const times: number[] = [];
    for (let i = 0; i < Number(runs); i++) {
      const started = performance.now();
      const { status } = spawnSync(process.execPath, [program, ...argv], { env, stdio: 'ignore' });
      if (status !== 0) throw new Error(`${argv.join(' ')}: exit code ${status}`);
      times.push(performance.now() - started);
    }
    times.sort((a, b) => a - b);
    const at = (share: number): number => Math.round(times[Math.floor((times.length - 1) * share)] ?? 0);
    const command = argv.filter((word) => word !== pool).join(' ');
    console.log(
      JSON.stringify({ bench: 'cli-start', command, runs: times.length, p50Ms: at(0.5), p99Ms: at(0.99) }),
    );
  }
} finally {
  server.kill('SIGTERM');
  rmSync(directory, { recursive: true });
}
