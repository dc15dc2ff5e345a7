// The two engines of a BGP plan, held equal: random clusters, peers and routes go through BIRD 2 and through the native
// speaker, and what each tells every peer and writes into the kernel must be the same, attribute by attribute.
// DIFFERENTIAL_PLANS says how many plans (500; `npm run nightly` takes 10,000), DIFFERENTIAL_SEED where to begin,
// DIFFERENTIAL_LANES how many pairs of engines work side by side.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { computePlan } from '../../src/bgp/plan/mod.ts';
import { EnginePair, eraLength, type Comparison } from './support/differential/compare.ts';
import { orderScenarios } from './support/differential/order.ts';
import { missing } from './support/network.ts';

const plans = Number(process.env['DIFFERENTIAL_PLANS'] ?? 500);
const firstSeed = Number(process.env['DIFFERENTIAL_SEED'] ?? 1);
const lanes = Number(process.env['DIFFERENTIAL_LANES'] ?? 2);
/** Engines begin anew after so many plans, so that a difference can be looked at again in a minute. */
const longestChunk = 500;

const laneFile = fileURLToPath(new URL('support/differential/lane.ts', import.meta.url));

/** Runs in namespaces of its own, as the addresses are the same everywhere. */
function runChunk(first: number, count: number): Promise<Comparison> {
  const prepare = 'mount -t tmpfs lane /run && mkdir -p /run/netns && ip link set lo up && exec "$0" "$@"';
  const argv = ['--net', '--mount', '--fork', '--kill-child', 'sh', '-c', prepare, process.execPath];
  const child = spawn('unshare', [...argv, laneFile, String(first), String(count)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve(JSON.parse(text) as Comparison);
      else reject(new Error(`plans ${first} to ${first + count - 1}: the lane ended with ${code}`));
    });
  });
}

/** Where to begin and how many, never in the middle of an era. */
function chunksOf(first: number, count: number): { first: number; count: number }[] {
  const length = Math.min(longestChunk, Math.ceil(count / lanes / eraLength) * eraLength);
  const chunks = [];
  for (let at = first; at < first + count; at += length)
    chunks.push({ first: at, count: Math.min(length, first + count - at) });
  return chunks;
}

test('SR-025, SR-026: BIRD and the native engine export and install the same, plan by plan', {
  skip: missing('ip', 'bird'),
  timeout: 7_200_000,
}, async (t) => {
  const started = performance.now();
  const chunks = chunksOf(firstSeed, plans);
  const results: Comparison[] = [];
  const lane = async (): Promise<void> => {
    for (let chunk = chunks.shift(); chunk !== undefined; chunk = chunks.shift()) {
      const result = await runChunk(chunk.first, chunk.count);
      results.push(result);
      for (const { seed, text } of result.failures) {
        const again = `DIFFERENTIAL_SEED=${chunk.first} DIFFERENTIAL_PLANS=${seed - chunk.first + 1} DIFFERENTIAL_LANES=1`;
        t.diagnostic(`seed ${seed} (${again})\n${text}`);
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  const sum = (of: (r: Comparison) => number): number => results.reduce((total, r) => total + of(r), 0);
  const tookS = ((performance.now() - started) / 1000).toFixed(1);
  const byOrder = results.flatMap((r) => r.orderDependent);
  t.diagnostic(`${sum((r) => r.plans)} plans, ${sum((r) => r.routes)} routes compared in ${tookS} s`);
  t.diagnostic(`BIRD's choice was one of order: ${byOrder.length === 0 ? 'never' : byOrder.join(', ')}`);
  assert.deepEqual(
    results.flatMap((r) => r.failures.map((f) => f.seed)),
    [],
  );
  assert.equal(
    sum((r) => r.plans),
    plans,
  );
});

test('SR-025: among routes of one neighbour AS the lowest MED wins whatever came first; BIRD needs the right order', {
  skip: missing('ip', 'bird'),
  timeout: 120_000,
}, async () => {
  const pair = await EnginePair.open();
  try {
    for (const { scenario, ours: expected, birds } of orderScenarios) {
      const plan = computePlan(scenario.input);
      const { differences, ours } = await pair.run(plan, scenario, birds === expected ? undefined : [50]);
      const metric = 'metric 2147483547';
      assert.deepEqual(ours.installed, [`192.0.2.0/24 ${metric} via ${expected}`]);
      if (birds === expected) assert.equal(differences, '');
      else assert.ok(differences.includes(`- 192.0.2.0/24 ${metric} via ${birds}`), differences);
      // In order they agree; the scenarios that follow go on from what BIRD had in mind.
      if (scenario === orderScenarios.at(-1)?.scenario)
        assert.equal(await pair.withoutOrder(plan, scenario, ours, differences), '');
      else pair.agreed();
    }
  } finally {
    await pair.close();
  }
});
