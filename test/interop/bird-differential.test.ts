// The two engines of a BGP plan, held equal: random clusters, peers and routes go through BIRD 2 and through the native
// speaker, and what each tells every peer and writes into the kernel must be the same, attribute by attribute.
// DIFFERENTIAL_PLANS says how many plans (500; `npm run nightly` takes 10,000), DIFFERENTIAL_SEED where to begin.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { computePlan } from '../../src/bgp/plan/mod.ts';
import { randomScenario } from './support/differential/random-plan.ts';
import { BirdWorld, NativeWorld } from './support/differential/engines.ts';
import { missing } from './support/network.ts';

const plans = Number(process.env['DIFFERENTIAL_PLANS'] ?? 500);
const firstSeed = Number(process.env['DIFFERENTIAL_SEED'] ?? 1);
/** Plans between two changes of what needs new sessions. */
const eraLength = 50;

/** One line for each route that only one of them has; empty when there is none. */
const differing = (ours: readonly string[], theirs: readonly string[]): string =>
  [
    ...ours.filter((r) => !theirs.includes(r)).map((r) => `+ ${r}`),
    ...theirs.filter((r) => !ours.includes(r)).map((r) => `- ${r}`),
  ].join('\n');

/** What BIRD has to say about the first destination that differs. */
async function wordsAbout(bird: BirdWorld, differences: string): Promise<string> {
  const first = /^[-+] (\S+)/m.exec(differences)?.[1];
  return first === undefined ? '' : bird.tell(first);
}

const destination = (route: string): string => route.slice(0, route.indexOf(' '));

/** Where the metric of a route changes, BIRD leaves the old one behind; the engine removes it a moment later:
 *  until then there may be more routes than there should be, of the same destinations. */
function withoutLeftovers(found: readonly string[], wanted: readonly string[]): readonly string[] {
  const known = new Set(wanted);
  const present = new Set(found);
  return found.filter(
    (route) =>
      known.has(route) || !wanted.some((w) => destination(w) === destination(route) && present.has(w)),
  );
}

/** A moment later nothing may be left over. */
async function scanned(bird: BirdWorld, wanted: readonly string[]): Promise<readonly string[]> {
  const end = performance.now() + 8_000;
  for (;;) {
    const found = await bird.installed();
    if (differing(wanted, found) === '' || performance.now() > end) return found;
    await delay(100);
  }
}

test('SR-020, SR-025, SR-026: BIRD and the native engine export and install the same, plan by plan', {
  skip: missing('ip', 'bird'),
  timeout: 3_600_000,
}, async (t) => {
  const bird = await BirdWorld.open();
  const native = await NativeWorld.open();
  const started = performance.now();
  try {
    let routes = 0;
    for (let i = 0; i < plans; i++) {
      const seed = firstSeed + i;
      const scenario = randomScenario(Math.floor(seed / eraLength), seed);
      const plan = computePlan(scenario.input);
      let theirs = await bird.run(plan, scenario);
      const ours = await native.run(plan, scenario);
      const told = (): string =>
        Object.entries(theirs.exported)
          .map(([peer, list]) => [peer, differing(ours.exported[peer] ?? [], list)] as const)
          .flatMap(([peer, text]) => (text === '' ? [] : [`${peer} hears:\n${text}`]))
          .join('\n');
      // BIRD has taken everything once it says what it should; what it never says is a difference.
      for (const waitMs of [10, 50, 200, 1000]) {
        if (told() === '') break;
        await delay(waitMs);
        theirs = await bird.look(plan);
      }
      const untold = told();
      assert.equal(untold, '', `seed ${seed}\n${untold}\n${await wordsAbout(bird, untold)}`);
      for (const list of Object.values(theirs.exported)) routes += list.length;
      routes += theirs.installed.length;
      const isLast = i === plans - 1 || (seed + 1) % eraLength === 0;
      const found = withoutLeftovers(theirs.installed, ours.installed);
      const agree = !isLast && differing(ours.installed, found) === '';
      const installed = agree ? found : await scanned(bird, ours.installed);
      const differences = differing(ours.installed, installed);
      const words = await wordsAbout(bird, differences);
      assert.equal(differences, '', `what is installed, seed ${seed}\n${differences}\n${words}`);
    }
    const tookS = ((performance.now() - started) / 1000).toFixed(1);
    t.diagnostic(`${plans} plans, ${routes} routes compared in ${tookS} s`);
  } finally {
    await native.close();
    await bird.close();
  }
});
