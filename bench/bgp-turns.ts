// How long the speaker keeps everything else waiting: 100,000 routes learned from a peer and written to the kernel, then what
// makes it look at all of them again. Arguments: [ROUTES]. One JSON object per line: the longest turn of the event loop in
// milliseconds of processor time, which other programs do not lengthen, and how many were over 20.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { configFromFile, Speaker, tcpTransport } from '../src/bgp/speaker/mod.ts';
import { openKernel } from '../src/kernel/mod.ts';
import { systemClock } from '../src/lib/clock.ts';
import { v4FromNumber } from '../src/lib/ip/mod.ts';
import { silentLogger } from '../src/lib/log.ts';
import { expect } from '../src/lib/result.ts';
import { until } from '../src/lib/wait.ts';

const count = Number(process.argv[2] ?? 100_000);
const limitMs = 20;
const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'margay-turns-'));

const ip = (words: string): void => {
  const { status, stderr } = spawnSync('ip', words.split(' '), { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${words}: ${stderr}`);
};

/** Processor time of each turn, from one check phase to the next. */
class Turns {
  #longest = 0;
  #over = 0;
  #running = true;
  #last = used();

  constructor() {
    const look = (): void => {
      const now = used();
      const took = now - this.#last;
      this.#last = now;
      this.#longest = Math.max(this.#longest, took);
      if (took > limitMs) this.#over++;
      if (this.#running) setImmediate(look);
    };
    setImmediate(look);
  }

  take(): { readonly longestMs: number; readonly over: number } {
    const taken = { longestMs: Math.round(this.#longest * 10) / 10, over: this.#over };
    this.#longest = 0;
    this.#over = 0;
    return taken;
  }

  end(): void {
    this.#running = false;
  }
}

function used(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

const plan = (n: number, other: number, more: object): string =>
  JSON.stringify({
    local: {
      nodeName: `n${n}`,
      as: 65000 + n,
      routerId: `10.9.0.${n}`,
      listen: { addresses: [`10.9.0.${n}`] },
      addresses: { 4: `10.9.0.${n}/24` },
    },
    peers: [{ name: 'peer', address: `10.9.0.${other}`, as: 65000 + other }],
    ...more,
  });

ip('netns add far');
ip('link add near0 type veth peer name far0 netns far');
ip('address add 10.9.0.1/24 dev near0');
ip('link set near0 up');
ip('-n far address add 10.9.0.2/24 dev far0');
ip('-n far link set far0 up');
const file = join(directory, 'far.json');
const origins = Array.from({ length: count }, (_, i) => `${v4FromNumber(0x14000000 + i * 256)}/24`);
writeFileSync(file, plan(2, 1, { origins, installRoutes: false }));
const far = spawn(
  'ip',
  [
    'netns',
    'exec',
    'far',
    process.execPath,
    main,
    'speaker',
    '--plan',
    file,
    '--socket',
    join(directory, 's'),
  ],
  { stdio: 'ignore' },
);
const kernel = expect(await openKernel(), 'kernel');
const config = expect(configFromFile(plan(1, 2, {})), 'plan');
const audits = 1_000_000_000;
const speaker = new Speaker(config, {
  transport: tcpTransport,
  clock: systemClock,
  logger: silentLogger,
  kernel,
  auditMs: audits,
});
const turns = new Turns();
const tell = (what: string, ms: number): void =>
  void process.stdout.write(
    `${JSON.stringify({ bench: 'bgp-turns', what, routes: count, tookMs: Math.round(ms), ...turns.take() })}\n`,
  );
const installed = (): number => speaker.status().kernel?.installed ?? 0;
const step = async (what: string, act: () => void, isDone: () => boolean): Promise<void> => {
  await speaker.settled();
  turns.take();
  const began = performance.now();
  act();
  const done = await until(() => (isDone() ? true : undefined), { timeoutMs: 120_000, everyMs: 50 });
  if (done !== true) throw new Error(`${what} did not come to an end: ${JSON.stringify(speaker.status())}`);
  await speaker.settled();
  tell(what, performance.now() - began);
};
try {
  expect(await speaker.start(), 'start');
  await step(
    'learn and write',
    () => undefined,
    () => installed() === count,
  );
  // An address of ours that goes makes the kernel forget routes without a word: everything is read again.
  ip('address add 10.9.9.9/32 dev near0');
  let asked = 0;
  await step(
    'read all again',
    () => {
      ip('address del 10.9.9.9/32 dev near0');
      asked = performance.now();
    },
    () => performance.now() - asked > 3_000,
  );
  await step(
    'link down',
    () => ip('link set near0 down'),
    () => installed() === 0,
  );
  await step(
    'link up',
    () => ip('link set near0 up'),
    () => installed() === count,
  );
  await step(
    'peer gone',
    () => void speaker.apply({ ...config, neighbours: [] }),
    () => installed() === 0,
  );
} finally {
  turns.end();
  await speaker.stop('persist');
  await kernel.close();
  far.kill('SIGKILL');
  rmSync(directory, { recursive: true });
}
