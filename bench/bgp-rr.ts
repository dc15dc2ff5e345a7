// A route reflector: every client announces prefixes of its own, and every other one must hear of them; then single changes,
// until the last client has heard. Our speaker beside BIRD 2, FRR and GoBGP in one run, over TCP on the loopback of a network
// namespace, one daemon at a time. CPU seconds are those of the daemon; wall seconds include the clients, which share the
// machine with it.
//   npm run bench -- bgp-rr [--full] [--only margay,bird,frr,gobgp] [--storm] [--sparse] [--case 200x500] [--changes N] [--patient]
// `load` is the machine's load average: above 2 others compete for the cores, and wall seconds say little.
// `--patient`: also what takes BIRD or GoBGP minutes. `--storm` lets all clients dial at once; otherwise they come in groups of eight, as BIRD's listener holds eight.
import { loadavg } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { Daemon, type DaemonName, port, prepareNetwork } from './support/bgp-daemons.ts';
import {
  announcements,
  changeTimes,
  connectAll,
  converged,
  percentile,
  type Profile,
} from './support/bgp-load.ts';

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
const gobgpLimit = 300_000;
/** BIRD encodes for each peer on its own: with more it takes minutes. */
const birdLimit = 25_000_000;

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

async function measure(name: DaemonName, { clients: count, each }: Case): Promise<void> {
  const id = { bench: 'bgp-rr', daemon: name, case: `${count}x${each}`, profile };
  const print = (more: object): void => void process.stdout.write(`${JSON.stringify({ ...id, ...more })}\n`);
  const total = count * each;
  const limit = { gobgp: gobgpLimit, bird: birdLimit }[name as string] ?? Number.POSITIVE_INFINITY;
  if (total * count > limit && !flags.includes('--patient'))
    return print({ skipped: 'takes minutes at this size' });
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
    const isComplete = await converged(clients, total - each, 240_000);
    const convergeS = (performance.now() - started) / 1000;
    const after = daemon.usage();
    const times = isComplete ? await changeTimes(clients, total, changes) : [];
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
      load: loadavg()[0],
    });
    for (const client of clients) client.close();
  } finally {
    await daemon.stop();
  }
}

prepareNetwork();
for (const c of cases) for (const name of names) await measure(name, c);
