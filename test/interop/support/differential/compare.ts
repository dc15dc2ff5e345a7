// Random plans through both engines, one after the other, and what they do not agree on.
//
// One kind of difference is BIRD's own: it compares a changed route with the best one alone. MED counts only between routes
// of one neighbour AS, so that three routes can each beat the next:
//
//   A: AS 65001, MED 5, eBGP   ─ eBGP before iBGP, lower identity ─►   B: AS 65002, eBGP   ─ eBGP before iBGP ─►   C
//   C: AS 65001, no MED, iBGP  ─ lower MED ─►   A
//
// If B is there first, C comes and loses, A comes and wins, and B goes: then A stays although C beats it, as nobody compares
// the two. `deterministic med` would cure that, but makes BIRD 2.0 forget to take a withdrawn next hop out of a multipath
// route until its next scan of the kernel, so it stays off, as in Calico's configuration.
//
// Such a difference is told from others by its cause: there are or were routes of one neighbour AS and different MEDs, and
// it is gone when the same routes come in the one order in which the best is compared with everything it has to beat: what
// loses by MED before the others, the best last. The native engine may not change its mind by that.
import { setTimeout as delay } from 'node:timers/promises';
import { computePlan, type BgpPlan } from '../../../../src/bgp/plan/mod.ts';
import { BirdWorld, NativeWorld, type NativePath, type Outcome } from './engines.ts';
import { node, peers, randomScenario, type Scenario } from './random-plan.ts';

export type Comparison = {
  readonly plans: number;
  readonly routes: number;
  /** Seeds of plans where BIRD's choice was one of order. */
  readonly orderDependent: readonly number[];
  readonly failures: readonly { readonly seed: number; readonly text: string }[];
};

/** Plans between two changes of what needs new sessions. */
export const eraLength = 50;
/** What comes after a difference may follow from it. */
const failureLimit = 3;

/** One line for each route that only one of them has; empty when there is none. */
const differing = (ours: readonly string[], theirs: readonly string[]): string =>
  [
    ...ours.filter((r) => !theirs.includes(r)).map((r) => `+ ${r}`),
    ...theirs.filter((r) => !ours.includes(r)).map((r) => `- ${r}`),
  ].join('\n');

/** What the engines do not agree on: `+` is ours. */
export function compare(ours: Outcome, theirs: Outcome): string {
  const told = Object.entries(theirs.exported).map(
    ([peer, list]) => [`${peer} hears`, differing(ours.exported[peer] ?? [], list)] as const,
  );
  return [...told, ['installed', differing(ours.installed, theirs.installed)] as const]
    .flatMap(([what, text]) => (text === '' ? [] : [`${what}:\n${text}`]))
    .join('\n');
}

export class EnginePair {
  readonly bird: BirdWorld;
  readonly native: NativeWorld;
  #before: readonly NativePath[] = [];

  private constructor(bird: BirdWorld, native: NativeWorld) {
    this.bird = bird;
    this.native = native;
  }

  static async open(): Promise<EnginePair> {
    return new EnginePair(await BirdWorld.open(), await NativeWorld.open());
  }

  async close(): Promise<void> {
    await this.native.close();
    await this.bird.close();
  }

  /** Both take the plan and hear the routes. */
  async run(
    plan: BgpPlan,
    scenario: Scenario,
    waitsMs: readonly number[] = [5, 20, 50, 200, 1000, 3000],
  ): Promise<{ differences: string; ours: Outcome }> {
    const [first, ours] = await Promise.all([this.bird.run(plan, scenario), this.native.run(plan, scenario)]);
    let differences = compare(ours, first);
    // BIRD has taken everything once it says what it should; what it never says is a difference.
    for (const waitMs of waitsMs) {
      if (differences === '') break;
      await this.bird.rescan();
      await delay(waitMs);
      differences = compare(ours, await this.bird.look(plan));
    }
    return { differences, ours };
  }

  /** Remembers what there was when both agreed. */
  agreed(): void {
    this.#before = this.native.paths();
  }

  /** What is left of the differences when the routes they are about come again, in an order that leaves no MED out. */
  async withoutOrder(plan: BgpPlan, scenario: Scenario, ours: Outcome, differences: string): Promise<string> {
    const paths = this.native.paths();
    const prefixes = new Set([...differences.matchAll(/^[-+] (\S+)/gm)].map((m) => m[1] ?? ''));
    const involved = (p: NativePath): boolean => prefixes.has(p.prefix) && p.source === 'bgp';
    for (const prefix of prefixes) {
      const all = [...this.#before, ...paths].filter((p) => p.prefix === prefix && involved(p));
      if (!all.some((p) => all.some((q) => neighbourAs(p) === neighbourAs(q) && medOf(p) !== medOf(q))))
        return differences;
    }
    const rank = new Map(paths.filter(involved).map((p) => [`${p.prefix} ${probeOf(plan, p)}`, stageOf(p)]));
    for (const stage of [-1, 0, 1, 2]) {
      const announced = Object.fromEntries(
        Object.entries(scenario.announced).map(([peer, list]) => [
          peer,
          list.filter((r) => !prefixes.has(r.prefix) || (rank.get(`${r.prefix} ${peer}`) ?? 0) <= stage),
        ]),
      );
      const again = await this.run(plan, { ...scenario, announced });
      if (stage < 2) continue;
      const changed = compare(again.ours, ours);
      return again.differences === '' && changed === ''
        ? ''
        : `${differences}\nin order:\n${again.differences}\nours before:\n${changed}`;
    }
    return differences;
  }
}

const medOf = (p: NativePath): number => p.attributes.med ?? 0;
function neighbourAs({ attributes }: NativePath): number {
  const first = attributes.asPath?.[0];
  return first?.type === 'sequence' ? (first.asns[0] ?? node.as) : node.as;
}
/** 0: loses by MED or before; 1: is compared on; 2: the best. */
const stageOf = ({ best, ineligible, lostAt = 'med' }: NativePath): number => {
  if (best) return 2;
  const early = ['preference', 'localPref', 'asPathLength', 'origin', 'med'];
  return ineligible !== undefined || early.includes(lostAt) ? 0 : 1;
};
const probeOf = (plan: BgpPlan, path: NativePath): string | undefined => {
  const address = plan.peers.find((p) => p.name === path.peerName)?.address;
  return peers.find((p) => p.address === address)?.name;
};

/** `count` plans from `first` on. */
export async function comparePlans(first: number, count: number): Promise<Comparison> {
  const pair = await EnginePair.open();
  const orderDependent: number[] = [];
  const failures: { seed: number; text: string }[] = [];
  let routes = 0;
  let plans = 0;
  try {
    for (let seed = first; seed < first + count && failures.length < failureLimit; seed++) {
      const scenario = randomScenario(Math.floor(seed / eraLength), seed);
      const plan = computePlan(scenario.input);
      const { differences, ours } = await pair.run(plan, scenario);
      plans++;
      for (const list of [...Object.values(ours.exported), ours.installed]) routes += list.length;
      if (differences !== '') {
        const words = await wordsAbout(pair.bird, differences);
        const left = await pair.withoutOrder(plan, scenario, ours, differences);
        if (left === '') orderDependent.push(seed);
        else failures.push({ seed, text: `${left}\n${words}` });
      }
      pair.agreed();
    }
  } finally {
    await pair.close();
  }
  return { plans, routes, orderDependent, failures };
}

/** What BIRD has to say about the first destination that differs. */
async function wordsAbout(bird: BirdWorld, differences: string): Promise<string> {
  const first = /^[-+] (\S+)/m.exec(differences)?.[1];
  return first === undefined ? '' : bird.tell(first);
}
