// One change, told to all clients of a route reflector: how long until the last one knows, and what it costs. Our speaker
// beside BIRD 2, FRR and GoBGP in one run, one daemon at a time; the clients share the machine with it.
//   npm run bench -- bgp-churn [--only margay,bird,frr,gobgp] [--clients 50,200,1000] [--changes 200]
import { loadavg } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { Daemon, type DaemonName, port, prepareNetwork } from './support/bgp-daemons.ts';
import { announcements, changeTimes, connectAll, converged, percentile } from './support/bgp-load.ts';

const flags = process.argv.slice(2);
const valueOf = (flag: string): string | undefined =>
  flags.includes(flag) ? flags[flags.indexOf(flag) + 1] : undefined;
const names = (valueOf('--only') ?? 'margay,bird,frr,gobgp').split(',') as readonly DaemonName[];
const sizes = (valueOf('--clients') ?? '50,200,1000').split(',').map(Number);
const changes = Number(valueOf('--changes') ?? 200);
const each = 10;

async function measure(name: DaemonName, count: number): Promise<void> {
  const id = { bench: 'bgp-churn', daemon: name, clients: count, routes: count * each };
  const print = (more: object): void => void process.stdout.write(`${JSON.stringify({ ...id, ...more })}\n`);
  const daemon = await Daemon.start(name, count);
  if (daemon === undefined) return print({ skipped: 'not installed' });
  try {
    const total = count * each;
    const clients = await connectAll(count, total, each, { port, width: 8, timeoutMs: 180_000 });
    if (clients === undefined) return print({ failed: 'not all sessions came up' });
    for (const [i, client] of clients.entries()) client.write(announcements('dense', i, i * each, each));
    if (!(await converged(clients, total - each, 240_000))) return print({ failed: 'did not converge' });
    await delay(1_000);
    const before = daemon.usage();
    const times = await changeTimes(clients, total, changes);
    if (times.length === 0) return print({ failed: 'no change reached all clients within 5 s' });
    const cpuS = daemon.usage().cpuS - before.cpuS;
    print({
      changes: times.length,
      p50Ms: Math.round(percentile(times, 50) * 10) / 10,
      p99Ms: Math.round(percentile(times, 99) * 10) / 10,
      cpuMsPerChange: Math.round((cpuS / changes) * 100_000) / 100,
      load: loadavg()[0],
    });
    for (const client of clients) client.close();
  } finally {
    await daemon.stop();
  }
}

prepareNetwork();
for (const count of sizes) for (const name of names) await measure(name, count);
