// Kernel equals meaning: random worlds of policy are enforced by the real graph, data plane and kernel; random packets are
// really sent; what arrived is compared with what src/policy says. A failure prints the seed of its world:
//
//   POLICY_SEED=… POLICY_WORLDS=1 node tools/run.mjs kernel test/kernel/policy-meaning.test.ts
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildWorld, explain, policyText, verdictOf, type StepResult } from '../../src/policy/mod.ts';
import { packetBytes } from '../support/policy-packets.ts';
import { randomWorld, type RandomWorld } from '../support/policy-generator.ts';
import { placeOfEnd, randomProbe, type Probe } from '../support/policy-probes.ts';
import { PolicyHost } from '../support/policy-host.ts';
import { Random } from '../support/policy-random.ts';
import { unable } from './support/felix-node.ts';
import { choosing, unableIptables, variants } from './support/iptables.ts';

const skip = unable('nft') ?? false;
const firstSeed = Number(process.env['POLICY_SEED'] ?? 4_711);
const packetsPerWorld = Number(process.env['POLICY_PACKETS'] ?? 160);

/** Both back ends, with a number of worlds for `npm test` and how many of them have host endpoints. */
const backEnds = [
  { name: 'nftables', counters: 'nft' as const, environment: {}, skip, worlds: 30, hosts: 0.4 },
  ...variants.map((variant) => ({
    name: `iptables-${variant}`,
    counters: `iptables-${variant}` as const,
    environment: choosing(variant),
    skip: unableIptables(variant) ?? skip,
    worlds: 20,
    hosts: 0.4,
  })),
].filter(({ name }) => name.startsWith(process.env['POLICY_BACK_END'] ?? ''));

type Case = Probe & {
  readonly id: number;
  readonly allowed: boolean;
  /** Notes of the rules that decide, at one endpoint after the other. */
  readonly deciders: readonly string[];
  readonly why: () => string;
};
let lastId = 0x5000_0000;

/** Packets of a world with their verdicts; no two of one connection in opposite directions. */
function casesOf(random: Random, world: RandomWorld): readonly Case[] {
  const judged = buildWorld(world.objects.map(({ object }) => object));
  const taken = new Map<string, string>();
  const cases: Case[] = [];
  for (let tries = 0; cases.length < packetsPerWorld && tries < packetsPerWorld * 4; tries++) {
    const probe = randomProbe(random, world, tries);
    const { packet } = probe;
    const [one, other] = [
      `${packet.source} ${packet.sourcePort ?? ''}`,
      `${packet.destination} ${packet.destinationPort ?? ''}`,
    ];
    const pair = `${packet.protocol} ${[one, other].toSorted().join(' ')}`;
    if ((taken.get(pair) ?? one) !== one) continue;
    taken.set(pair, one);
    const places = {
      from: placeOfEnd(probe.from, judged.workloads),
      to: placeOfEnd(probe.to, judged.workloads),
    };
    const verdict = verdictOf(judged, { ...packet, ...places });
    const id = ++lastId;
    const deciders = verdict.steps.flatMap(noteOf);
    cases.push({
      ...probe,
      id,
      deciders,
      allowed: verdict.action === 'allow',
      why: () => explain(verdict).join('\n'),
    });
  }
  return cases;
}

/** What the chain of the rule that decided says of itself. */
function noteOf(step: StepResult): readonly string[] {
  if (step.kind !== 'program' || step.verdict === undefined) return [];
  const { direction, action, verdict } = step;
  const { decision } = verdict;
  switch (decision.by) {
    case 'rule':
      return [`${decision.tier} ${policyText(decision.policy)} ${direction}[${decision.rule}] ${action}`];
    case 'profile':
      return [`profile ${decision.profile} ${direction}[${decision.rule}] ${action}`];
    case 'tier':
      return [`${decision.tier} end of tier ${direction} ${action}`];
    default:
      return [`end ${direction} ${action}`];
  }
}

/** Rules whose counters did not count the packets that they decided about. With iptables
 *  the ends of tiers, and the denial in the place of a tier that does not exist, are no rules. */
function miscounts(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
  cases: readonly Case[],
  program: string,
): readonly string[] {
  const expected = Map.groupBy(
    cases.flatMap(({ deciders }) => deciders),
    (note) => note,
  );
  const isRule = (note: string): boolean => /^(?!lost ).* \w+gress\[\d+\] /.test(note);
  const notes = [...new Set([...expected.keys(), ...after.keys()])];
  return notes.flatMap((note) => {
    if (program !== 'nft' && !isRule(note)) return [];
    const counted = (after.get(note) ?? 0) - (before.get(note) ?? 0);
    const wanted = expected.get(note)?.length ?? 0;
    return counted === wanted ? [] : [`${note}: counted ${counted} of ${wanted}`];
  });
}

async function mismatches(host: PolicyHost, cases: readonly Case[]): Promise<readonly Case[]> {
  await host.forgetConnections();
  for (const { from, packet, id } of cases) host.send(from, packetBytes(packet, id));
  const expected = new Set(cases.filter(({ allowed }) => allowed).map(({ id }) => id));
  const arrived = await host.arrivals(expected);
  return cases.filter(({ id, to, allowed }) => (arrived.get(id) === to) !== allowed);
}

const describe = ({ from, to, packet, allowed, why }: Case, world: RandomWorld): string => {
  const { hostInterfaces: _interfaces, ...shown } = packet;
  const objects = world.objects.filter(({ kind }) => !['Namespace', 'ServiceAccount', 'Node'].includes(kind));
  return [
    `${from} to ${to} ${JSON.stringify(shown)}: ${allowed ? 'allowed but did not arrive' : 'denied but arrived'}`,
    why(),
    ...(process.env['POLICY_SEED'] === undefined ? [] : objects.map(({ object }) => JSON.stringify(object))),
  ].join('\n');
};

test('without policy every packet arrives: nothing else is in the way', { skip }, async () => {
  await using host = await PolicyHost.make();
  const world = randomWorld(new Random(1));
  const objects = world.objects.filter(({ kind }) => !/Policy|HostEndpoint|FelixConfiguration/.test(kind));
  const open = objects.map((one) =>
    one.kind === 'WorkloadEndpoint'
      ? {
          ...one,
          object: {
            ...one.object,
            spec: { ...(one.object['spec'] as object), profiles: ['projectcalico-default-allow'] },
          },
        }
      : one,
  );
  const accept = {
    kind: 'FelixConfiguration',
    object: {
      apiVersion: 'projectcalico.org/v3',
      kind: 'FelixConfiguration',
      metadata: { name: 'default' },
      spec: { defaultEndpointToHostAction: 'Accept' },
    },
  } as const;
  const openWorld = { ...world, objects: [...open, accept] };
  await host.enforce(openWorld.objects);
  const cases = casesOf(new Random(2), openWorld);
  const wrong = await mismatches(host, cases);
  assert.equal(
    wrong.length,
    0,
    wrong
      .slice(0, 3)
      .map((one) => describe(one, openWorld))
      .join('\n\n'),
  );
  const allowed = cases.filter((one) => one.allowed).length;
  assert.ok(allowed > cases.length * 0.7, `${allowed} of ${cases.length} are allowed`);
});

for (const backEnd of backEnds)
  test(`SR-170, SR-174, RS-100, RS-116, ${backEnd.name}: the kernel does to random packets what policy means`, {
    skip: backEnd.skip,
  }, async (t) => {
    const worlds = Number(process.env['POLICY_WORLDS'] ?? backEnd.worlds);
    const hosts = Number(process.env['POLICY_HOSTS'] ?? backEnd.hosts);
    await using host = await PolicyHost.make(backEnd.environment);
    let sent = 0;
    let allowed = 0;
    let counted = 0;
    for (let n = 0; n < worlds; n++) {
      const seed = firstSeed + n;
      const random = new Random(seed);
      const world = randomWorld(random, { hosts });
      await host.enforce(world.objects);
      const cases = casesOf(random, world);
      // Where the node itself is an endpoint its own neighbour discovery is counted, too.
      const isCounted = !world.objects.some(({ kind }) => kind === 'HostEndpoint');
      const before = isCounted ? host.counters(backEnd.counters) : undefined;
      const wrong = await mismatches(host, cases);
      if (before !== undefined) {
        assert.deepEqual(
          miscounts(before, host.counters(backEnd.counters), cases, backEnd.counters),
          [],
          `counters of seed ${seed}`,
        );
        counted += cases.reduce((sum, { deciders }) => sum + deciders.length, 0);
      }
      sent += cases.length;
      allowed += cases.filter((one) => one.allowed).length;
      assert.equal(
        wrong.length,
        0,
        `seed ${seed}: ${wrong.length} of ${cases.length} packets went wrong\n${wrong
          .slice(0, 3)
          .map((one) => describe(one, world))
          .join('\n\n')}`,
      );
    }
    t.diagnostic(
      `seeds ${firstSeed} to ${firstSeed + worlds - 1}: ${sent} packets, ${allowed} of them allowed; ${counted} decisions counted by the rule that made them`,
    );
  });
