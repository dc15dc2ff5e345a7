// How long a lab takes from the command to "all nodes ready", for several sizes, and what it takes to end it. One JSON
// object per line. `npm run bench -- lab-up [NODES…]`; without numbers 4, 16 and 50.
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { labDown, labStatus, labUp } from '../src/lab/mod.ts';

const sizes = process.argv.slice(2).map(Number).filter(Number.isInteger);
process.env['MARGAY_MAIN'] = new URL('../dist/margay.js', import.meta.url).pathname;
const name = 'bench';

for (const nodes of sizes.length > 0 ? sizes : [4, 16, 50]) {
  await labDown(name);
  const started = performance.now();
  const up = await labUp({ name, topology: 'flat', nodes, dualStack: false, fabricBgp: true });
  if (!up.ok) {
    process.stdout.write(`${JSON.stringify({ bench: 'lab-up', nodes, error: up.error.message })}\n`);
    await labDown(name);
    process.exit(1);
  }
  const nodesReadyMs = Math.round(performance.now() - started);
  const status = await labStatus(name);
  const processes = status.ok ? status.value.lab.processes : [];
  const memoryMiB = memoryOfLab(up.value.record.init.pid);
  const downStarted = performance.now();
  await labDown(name);
  const line = {
    bench: 'lab-up',
    topology: 'flat',
    nodes,
    nodesReadyMs,
    downMs: Math.round(performance.now() - downStarted),
    processes: processes.length,
    restarts: processes.reduce((sum, p) => sum + p.restarts, 0),
    memoryMiB,
    cpus: Number(spawnSync('nproc', { encoding: 'utf8' }).stdout),
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Proportional set size of every process in the lab's pid namespace. */
function memoryOfLab(init: number): number {
  let kib = 0;
  const inner = `/proc/${init}/root/proc`;
  for (const pid of readdirSync(inner).filter((p) => /^\d+$/.test(p))) {
    try {
      kib += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`${inner}/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
    } catch {
      // It ended meanwhile.
    }
  }
  return Math.round(kib / 1024);
}
