// A route reflector: every client announces prefixes of its own, and every other one must hear of them; then single changes,
// until the last client has heard. Our speaker beside BIRD 2, FRR and GoBGP in one run, over TCP on the loopback of a network
// namespace, one daemon at a time. CPU seconds are those of the daemon; wall seconds include the clients, which share the
// machine with it.
//   npm run bench -- bgp-rr [--full] [--only margay,bird,frr,gobgp] [--storm] [--sparse] [--case 200x500]
// `--storm` lets all clients dial at once; otherwise they come in groups of eight, as BIRD's listener holds eight.
import { setTimeout as delay } from 'node:timers/promises';
import { Daemon, type DaemonName, port, prepareNetwork } from './support/bgp-daemons.ts';
import { announcements, change, connectAll, type LoadClient, type Profile } from './support/bgp-load.ts';

type Case = { readonly clients: number; readonly each: number };

const small: Case[] = [
  { clients: 50, each: 10 },
  { clients: 50, each: 100 },
  { clients: 200, each: 10 },
  { clients: 200, each: 100 },
];
const full: Case[] = [50, 200, 1000].flatMap((clients) => [10, 100, 500].map((each) => ({ clients, each })));
const all: readonly DaemonName[] = ['margay', 'bird', 'frr', 'gobgp'];
/** GoBGP sends a message per prefix and peer: what takes others a second takes it minutes. */
const gobgpLimit = 1_000_000;
const convergeMs = 240_000;

const flags = process.argv.slice(2);
const valueOf = (flag: string): string | undefined =>
  flags.includes(flag) ? flags[flags.indexOf(flag) + 1] : undefined;
const names = (valueOf('--only')?.split(',') ?? all) as readonly DaemonName[];
const changes = Number(valueOf('--changes') ?? 100);
const profile: Profile = flags.includes('--sparse') ? 'sparse' : 'dense';
const width = flags.includes('--storm') ? Number.POSITIVE_INFINITY : 8;
const [oneClients, oneEach] = (valueOf('--case') ?? '').split('x').map(Number);
const cases: readonly Case[] =
  oneClients && oneEach ? [{ clients: oneClients, each: oneEach }] : flags.includes('--full') ? full : small;

const round = (n: number, digits = 3): number => Math.round(n * 10 ** digits) / 10 ** digits;
const percentile = (sorted: readonly number[], p: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * p) / 100))] ?? 0;

async function measure(name: DaemonName, { clients: count, each }: Case): Promise<void> {
  const id = { bench: 'bgp-rr', daemon: name, case: `${count}x${each}`, profile };
  const print = (more: object): void => void process.stdout.write(`${JSON.stringify({ ...id, ...more })}\n`);
  const total = count * each;
  if (name === 'gobgp' && total * count > gobgpLimit) return print({ skipped: 'too slow for this size' });
  const daemon = await Daemon.start(name, count);
  if (daemon === undefined) return print({ skipped: 'not installed' });
  try {
    const dialled = performance.now();
    const clients = await connectAll(count, total, each, { port, width, timeoutMs: 180_000 });
    if (clients === undefined) return print({ failed: 'not all sessions came up' });
    const connectS = (performance.now() - dialled) / 1000;
    const input = clients.map((_, i) => announcements(profile, i, i * each, each));
    await delay(300);
    const before = daemon.usage();
    const started = performance.now();
    for (const [i, client] of clients.entries()) client.write(input[i] ?? new Uint8Array());
    const isComplete = await converged(clients, total - each);
    const convergeS = (performance.now() - started) / 1000;
    const after = daemon.usage();
    const times = isComplete ? await churn(clients, total) : [];
    print({
      ...(isComplete ? {} : { failed: 'did not converge' }),
      connectS: round(connectS, 2),
      convergeS: round(convergeS),
      cpuS: round(after.cpuS - before.cpuS, 2),
      systemS: round(after.systemS - before.systemS, 2),
      rssMB: after.rssMB,
      announced: (total - each) * count,
      changeP50Ms: round(percentile(times, 50), 2),
      changeP99Ms: round(percentile(times, 99), 2),
    });
    for (const client of clients) client.close();
  } finally {
    await daemon.stop();
  }
}

async function converged(clients: readonly LoadClient[], wanted: number): Promise<boolean> {
  const end = performance.now() + convergeMs;
  while (clients.some((c) => c.heard < wanted)) {
    if (performance.now() > end || clients.some((c) => c.state === 'down')) return false;
    await delay(1);
  }
  return true;
}

/** One prefix changes; how long until the last of the others knows. Sorted. */
async function churn(clients: readonly LoadClient[], total: number): Promise<number[]> {
  const times: number[] = [];
  const each = total / clients.length;
  await delay(200);
  for (let i = 0; i < changes; i++) {
    const sender = i % clients.length;
    const prefix = sender * each;
    let left = clients.length - 1;
    await new Promise<void>((done) => {
      const timer = setTimeout(done, 5_000);
      const started = performance.now();
      for (const client of clients) {
        client.onPrefix = (heard) => {
          if (heard !== prefix || client.index === sender) return;
          client.onPrefix = undefined;
          if (--left > 0) return;
          times.push(performance.now() - started);
          clearTimeout(timer);
          done();
        };
      }
      clients[sender]?.write(change(sender, prefix, 100 + i));
    });
    await delay(3);
  }
  return times.sort((a, b) => a - b);
}

prepareNetwork();
for (const c of cases) for (const name of names) await measure(name, c);
