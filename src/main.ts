// The only entry point: `margay <command>`. Commands are loaded when they are asked for, so that each process starts
// with the code it needs. A worker thread of a bundled Margay enters here too and is told its role by workerData.
import { isMainThread, workerData } from 'node:worker_threads';

if (isMainThread) {
  const { runCommand } = await import('./cli/mod.ts');
  process.exitCode = await runCommand(process.argv.slice(2));
} else {
  const { runWorker } = await import('./cli/worker.ts');
  await runWorker(workerData);
}
