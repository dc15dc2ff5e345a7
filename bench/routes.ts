// Routes: 50,000 added, listed and deleted through the kernel module, and the same by `ip -batch` in the same run, in
// alternation. Arguments: [COUNT] [ROUNDS]. One JSON object per line; times in milliseconds.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openKernel, type Kernel, type Route } from '../src/kernel/mod.ts';
import { v4FromNumber, type Prefix } from '../src/lib/ip/mod.ts';
import { expect } from '../src/lib/result.ts';

const count = Number(process.argv[2] ?? 50_000);
const rounds = Number(process.argv[3] ?? 3);

type Times = { addMs: number; listMs: number; deleteMs: number; cpuMs: number; longestTurnMs?: number };

const destination = (n: number): Prefix => `${v4FromNumber(0x14000000 + n)}/32` as Prefix;

async function timed(run: () => Promise<void> | void): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

const cpuMs = (): number => {
  const own = process.cpuUsage();
  return (own.user + own.system) / 1000;
};

/** The longest time in which no other event could be handled. */
function watchTurns(): () => number {
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last - 1);
    last = now;
  }, 1);
  return () => {
    clearInterval(timer);
    return longest;
  };
}

async function byKernel(kernel: Kernel, linkIndex: number): Promise<Times> {
  const routes = Array.from(
    { length: count },
    (_, n): Route => ({
      dst: destination(n),
      type: 'unicast',
      table: 254,
      protocol: 80,
      scope: 'link',
      priority: 1024,
      nextHops: [{ linkIndex }],
    }),
  );
  const before = cpuMs();
  const longestTurn = watchTurns();
  const addMs = await timed(async () => {
    const outcomes = await kernel.routes.apply(routes.map((route) => ({ op: 'add', route })));
    if (!outcomes.every((outcome) => outcome.ok)) throw new Error('a route was not added');
  });
  const listMs = await timed(async () => {
    const listed = expect(await kernel.routes.list({ protocol: 80, family: 4 }), 'list');
    if (listed.length !== count) throw new Error(`${listed.length} routes listed`);
  });
  const deleteMs = await timed(async () => {
    const outcomes = await kernel.routes.apply(
      routes.map(({ dst, table, priority }) => ({ op: 'delete', key: { dst, table, priority } })),
    );
    if (!outcomes.every((outcome) => outcome.ok)) throw new Error('a route was not deleted');
  });
  return { addMs, listMs, deleteMs, cpuMs: cpuMs() - before, longestTurnMs: longestTurn() };
}

function ip(...args: string[]): string {
  const done = spawnSync('ip', args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (done.status !== 0) throw new Error(`ip ${args.join(' ')}: ${done.stderr}`);
  return done.stdout;
}

async function byIp(folder: string): Promise<Times> {
  const file = (op: string, extra: string): string => {
    const path = join(folder, op);
    const lines = Array.from(
      { length: count },
      (_, n) => `route ${op} ${destination(n)} dev bench0 ${extra}`,
    );
    writeFileSync(path, `${lines.join('\n')}\n`);
    return path;
  };
  const adding = file('add', 'proto 80 scope link metric 1024');
  const deleting = file('del', 'metric 1024');
  const addMs = await timed(() => void ip('-batch', adding));
  const listMs = await timed(() => {
    const listed = JSON.parse(ip('-j', 'route', 'list', 'proto', '80')) as unknown[];
    if (listed.length !== count) throw new Error(`${listed.length} routes listed by ip`);
  });
  const deleteMs = await timed(() => void ip('-batch', deleting));
  return { addMs, listMs, deleteMs, cpuMs: 0 };
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? 0;

function report(method: string, times: readonly Times[]): void {
  const field = (pick: (t: Times) => number) => Math.round(median(times.map(pick)) * 10) / 10;
  const longest = times.some((t) => t.longestTurnMs !== undefined);
  console.log(
    JSON.stringify({
      bench: 'routes',
      method,
      count,
      rounds,
      addMs: field((t) => t.addMs),
      listMs: field((t) => t.listMs),
      deleteMs: field((t) => t.deleteMs),
      ...(longest ? { cpuMs: field((t) => t.cpuMs), longestTurnMs: field((t) => t.longestTurnMs ?? 0) } : {}),
    }),
  );
}

const kernel = expect(await openKernel(), 'open the kernel');
const link = expect(
  await kernel.links.create({ kind: 'veth', name: 'bench0', up: true, peer: { name: 'bench1' } }),
  'create a link',
);
const folder = mkdtempSync(join(tmpdir(), 'margay-bench-'));
const ours: Times[] = [];
const theirs: Times[] = [];
// The first round warms up both.
for (let round = 0; round <= rounds; round++) {
  const own = await byKernel(kernel, link.index);
  const other = await byIp(folder);
  if (round > 0) {
    ours.push(own);
    theirs.push(other);
  }
}
report('margay', ours);
report('ip -batch', theirs);
const ratio = (pick: (t: Times) => number) =>
  Math.round((median(theirs.map(pick)) / median(ours.map(pick))) * 10) / 10;
console.log(
  JSON.stringify({
    bench: 'routes',
    timesFaster: {
      add: ratio((t) => t.addMs),
      list: ratio((t) => t.listMs),
      delete: ratio((t) => t.deleteMs),
    },
  }),
);
rmSync(folder, { recursive: true });
await kernel.links.delete([link.index]);
await kernel.close();
