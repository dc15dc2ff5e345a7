// The two engines of a BGP plan, held equal: random clusters, peers and routes go through BIRD 2 and through the native
// speaker, and what each tells every peer and writes into the kernel must be the same, attribute by attribute.
// DIFFERENTIAL_PLANS says how many plans (500; `npm run nightly` takes 10,000), DIFFERENTIAL_SEED where to begin.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { computePlan } from '../../src/bgp/plan/mod.ts';
import { randomScenario } from './support/differential/random-plan.ts';
import { BirdWorld, NativeWorld, type Outcome } from './support/differential/engines.ts';
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

/** What the engines do not agree on: `+` is ours. */
function compare(ours: Outcome, theirs: Outcome): string {
  const told = Object.entries(theirs.exported).map(
    ([peer, list]) => [`${peer} hears`, differing(ours.exported[peer] ?? [], list)] as const,
  );
  return [...told, ['installed', differing(ours.installed, theirs.installed)] as const]
    .flatMap(([what, text]) => (text === '' ? [] : [`${what}:\n${text}`]))
    .join('\n');
}

/** What BIRD has to say about the first destination that differs. */
async function wordsAbout(bird: BirdWorld, differences: string): Promise<string> {
  const first = /^[-+] (\S+)/m.exec(differences)?.[1];
  return first === undefined ? '' : bird.tell(first);
}

test('SR-025, SR-026: BIRD and the native engine export and install the same, plan by plan', {
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
      let differences = compare(ours, theirs);
      // BIRD has taken everything once it says what it should; what it never says is a difference.
      for (const waitMs of [10, 50, 200, 1000, 3000]) {
        if (differences === '') break;
        await delay(waitMs);
        theirs = await bird.look(plan);
        differences = compare(ours, theirs);
      }
      if (differences !== '')
        assert.fail(`seed ${seed}\n${differences}\n${await wordsAbout(bird, differences)}`);
      for (const list of Object.values(theirs.exported)) routes += list.length;
      routes += theirs.installed.length;
    }
    const tookS = ((performance.now() - started) / 1000).toFixed(1);
    t.diagnostic(`${plans} plans, ${routes} routes compared in ${tookS} s`);
  } finally {
    await native.close();
    await bird.close();
  }
});
