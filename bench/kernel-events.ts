// Kernel events: the time from a change in the kernel to the callback, for changes made by another process one at a time;
// a burst of route changes; and how a burst that does not fit the buffer ends. Arguments: [COUNT]. One JSON object per line.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openKernel, type KernelEvent, type Route } from '../src/kernel/mod.ts';
import { openKernelWith } from '../src/kernel/open.ts';
import { v4FromNumber, type Prefix } from '../src/lib/ip/mod.ts';
import { expect } from '../src/lib/result.ts';
import { until } from '../src/lib/wait.ts';

const count = Number(process.argv[2] ?? 1000);
const burst = 50_000;
const kernel = expect(await openKernel(), 'open the kernel');

const blackhole = (n: number): Route => ({
  dst: `${v4FromNumber(0x14000000 + n)}/32` as Prefix,
  type: 'blackhole',
  table: 254,
  protocol: 80,
  scope: 'global',
  priority: 0,
  nextHops: [],
});

const at = (sorted: number[], quantile: number): number =>
  Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))] ?? 0) * 1000) / 1000;

/** Another process changes a link's MTU and says when, by the machine's monotonic clock. */
async function latency(): Promise<void> {
  const link = expect(
    await kernel.links.create({ kind: 'veth', name: 'bench0', peer: { name: 'bench1' } }),
    'create a link',
  );
  const script = `
    import { openKernel } from './src/kernel/mod.ts';
    const opened = await openKernel();
    if (!opened.ok) process.exit(1);
    const kernel = opened.value;
    for (let i = 0; i < ${count}; i++) {
      const started = process.hrtime.bigint();
      await kernel.links.change(${link.index}, { mtu: 1000 + (i % 400) });
      process.stdout.write(started + '\\n');
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await kernel.close();
  `;
  const seen: bigint[] = [];
  let mtu = 0;
  const subscription = kernel.subscribe(['links'], (event) => {
    if (event.type !== 'link' || event.link.name !== 'bench0' || event.link.mtu === mtu) return;
    mtu = event.link.mtu;
    seen.push(process.hrtime.bigint());
  });
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(child, 'close');
  await until(() => seen.length >= count || undefined, { timeoutMs: 2000 });
  subscription.close();
  const sent = text.trim().split('\n').map(BigInt);
  const ms = sent.map((start, i) => Number((seen[i] ?? start) - start) / 1e6).sort((a, b) => a - b);
  console.log(
    JSON.stringify({
      bench: 'kernel-events',
      what: 'change in another process to callback',
      sent: sent.length,
      seen: seen.length,
      p50Ms: at(ms, 0.5),
      p99Ms: at(ms, 0.99),
      maxMs: at(ms, 1),
    }),
  );
  await kernel.links.delete([link.index]);
}

/** A burst of our own changes, delivered while they are still being made. */
async function flood(bufferBytes: number | undefined): Promise<void> {
  const listener = expect(
    await openKernelWith({}, bufferBytes === undefined ? {} : { bufferBytes }),
    'open the kernel',
  );
  let routes = 0;
  let lost = 0;
  const onEvent = (event: KernelEvent): void => {
    if (event.type === 'route') routes++;
    if (event.type === 'lost') lost++;
  };
  const subscription = listener.subscribe(['routes'], onEvent);
  const start = performance.now();
  await kernel.routes.apply(Array.from({ length: burst }, (_, n) => ({ op: 'add', route: blackhole(n) })));
  const addedMs = performance.now() - start;
  await until(() => (routes === burst || lost > 0 ? true : undefined), { timeoutMs: 5000, everyMs: 1 });
  const allSeenMs = performance.now() - start;
  let resyncMs = 0;
  if (lost > 0) {
    const again = performance.now();
    const listed = expect(await listener.routes.list({ protocol: 80, family: 4 }), 'list');
    if (listed.length !== burst) throw new Error(`${listed.length} routes after resync`);
    resyncMs = performance.now() - again;
  }
  subscription.close();
  await listener.close();
  console.log(
    JSON.stringify({
      bench: 'kernel-events',
      what: `burst of ${burst} routes`,
      buffer: bufferBytes ?? 'default',
      seen: routes,
      lost,
      addedMs: Math.round(addedMs),
      allSeenMs: Math.round(allSeenMs),
      ...(lost > 0 ? { resyncMs: Math.round(resyncMs) } : {}),
    }),
  );
  await kernel.routes.apply(
    Array.from({ length: burst }, (_, n) => {
      const { dst, table, priority } = blackhole(n);
      return { op: 'delete', key: { dst, table, priority } };
    }),
  );
}

await latency();
await flood(undefined);
await flood(64 * 1024);
await kernel.close();
