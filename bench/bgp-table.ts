// A table through one speaker: one client announces it, another hears it, over TCP; our speaker beside BIRD 2 and FRR.
//   npm run bench -- bgp-table [--full] [--only margay,bird,frr]
import { setTimeout as delay } from 'node:timers/promises';
import { Daemon, type DaemonName, port, prepareNetwork } from './support/bgp-daemons.ts';
import { announcements, connectAll, type Profile } from './support/bgp-load.ts';

const flags = process.argv.slice(2);
const sizes = flags.includes('--full') ? [10_000, 100_000, 500_000] : [10_000, 100_000];
const names = (
  flags.includes('--only') ? flags[flags.indexOf('--only') + 1]?.split(',') : ['margay', 'bird', 'frr']
) as readonly DaemonName[];
const limitMs = 120_000;

async function measure(name: DaemonName, profile: Profile, size: number): Promise<void> {
  const id = { bench: 'bgp-table', daemon: name, profile, prefixes: size };
  const daemon = await Daemon.start(name, 2);
  if (daemon === undefined) {
    process.stdout.write(`${JSON.stringify({ ...id, skipped: 'not installed' })}\n`);
    return;
  }
  try {
    // Only the first of the two has prefixes.
    const clients = await connectAll(2, 2 * size, size, { port, width: 2, timeoutMs: 30_000 });
    const [from, to] = clients ?? [];
    if (from === undefined || to === undefined) throw new Error(`${name}: no sessions`);
    const input = announcements(profile, 0, 0, size);
    await delay(300);
    const before = daemon.usage();
    const started = performance.now();
    from.write(input);
    while (to.heard < size && performance.now() - started < limitMs) await delay(1);
    const tookS = (performance.now() - started) / 1000;
    const after = daemon.usage();
    const line = {
      ...id,
      ...(to.heard < size ? { failed: 'not all was heard' } : {}),
      tookS: Math.round(tookS * 1000) / 1000,
      cpuS: Math.round((after.cpuS - before.cpuS) * 100) / 100,
      rssMB: after.rssMB,
    };
    process.stdout.write(`${JSON.stringify(line)}\n`);
    from.close();
    to.close();
  } finally {
    await daemon.stop();
  }
}

prepareNetwork();
for (const size of sizes)
  for (const profile of ['dense', 'sparse'] as const)
    for (const name of names) await measure(name, profile, size);
