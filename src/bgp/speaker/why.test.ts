// Why a route is chosen, stopped or told, asked of whole speakers on a network in memory.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../lib/clock.ts';
import { address, parseInterfaceAddress, prefix } from '../../lib/ip/mod.ts';
import { silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { FakeHost } from '../../kernel/mod.ts';
import type { PolicyProgram } from '../policy/mod.ts';
import { FakeNetwork } from './fake.ts';
import { answer } from './introspection.ts';
import { Speaker } from './speaker.ts';
import type { NeighbourConfig, SpeakerConfig } from './types.ts';
import type { WhyAnswer } from './why.ts';

const acceptAll: PolicyProgram = { name: 'accept', rules: [], otherwise: 'accept' };
const except = (rule: string, text: string): PolicyProgram => ({
  name: 'except',
  rules: [
    {
      name: rule,
      when: [{ match: 'prefix', any: [{ prefix: prefix(text), min: 0, max: 32 }] }],
      actions: [{ do: 'reject' }],
    },
  ],
  otherwise: 'accept',
});

const peer = (n: number, more: Partial<NeighbourConfig> = {}): NeighbourConfig => ({
  name: `n${n}`,
  kind: 'node-mesh',
  address: address(`10.0.0.${n}`),
  port: 179,
  as: 64512,
  localAs: 64512,
  passive: false,
  families: [4],
  holdTimeS: 90,
  gracefulRestartTimeS: 120,
  addPath: { receive: false, send: false },
  rrClient: false,
  nextHopMode: 'auto',
  allowLocalAs: 0,
  importPolicy: acceptAll,
  exportPolicy: acceptAll,
  ...more,
});

const config = (n: number, neighbours: readonly NeighbourConfig[], more: Partial<SpeakerConfig> = {}) => ({
  name: `node${n}`,
  as: 64512,
  routerId: address(`10.0.0.${n}`),
  listen: { port: 179, addresses: [address(`10.0.0.${n}`)] },
  addresses: { 4: expect(parseInterfaceAddress(`10.0.0.${n}/24`), 'address') },
  neighbours,
  ranges: [],
  origins: [prefix(`10.244.${n}.0/26`)],
  learn: { kernel: false, connected: false, excludedInterfaces: [] },
  kernel: { install: true, policies: { 4: acceptAll, 6: acceptAll }, staticRoutes: [] },
  ...more,
});

async function speakers(...configs: readonly SpeakerConfig[]): Promise<readonly Speaker[]> {
  const clock = new VirtualClock();
  const network = new FakeNetwork(clock);
  const list: Speaker[] = [];
  for (const one of configs) {
    const kernel = new FakeHost().kernel();
    const link = expect(await kernel.links.create({ kind: 'dummy', name: 'eth0', up: true }), 'link');
    const own4 = one.addresses[4];
    assert.ok(own4 !== undefined);
    await kernel.addresses.apply([{ op: 'add', address: { ...own4, linkIndex: link.index } }]);
    const transport = network.transport(one.listen.addresses[0] ?? address('10.0.0.1'));
    const speaker = new Speaker(one, { transport, clock, logger: silentLogger, kernel, random: () => 0.5 });
    expect(await speaker.start(), 'start');
    list.push(speaker);
  }
  for (let i = 0; i < 100; i++) {
    clock.advance(50);
    for (let j = 0; j < 5; j++) await new Promise((resolve) => setImmediate(resolve));
  }
  return list;
}

const why = (speaker: Speaker | undefined, text: string, from?: string): WhyAnswer =>
  expect(
    answer(speaker, { op: 'why', prefix: text, ...(from === undefined ? {} : { peer: from }) }),
    'why',
  ) as WhyAnswer;

test('a chosen route, its place in the kernel, and whom it is told', async () => {
  const [one, two] = await speakers(config(1, [peer(2), peer(9)]), config(2, [peer(1)]));
  const learned = why(one, '10.244.2.0/26');
  assert.deepEqual(
    learned.paths.map((p) => [p.from, p.nextHop, p.chosen, p.why]),
    [['n2', '10.0.0.2', true, 'the only path']],
  );
  assert.deepEqual(learned.kernel, { written: true, why: 'written' });
  assert.deepEqual(learned.told, [{ peer: 'n2', announced: false, why: 'it came from this peer' }]);
  assert.deepEqual(
    learned.down.map((d) => d.peer),
    ['n9'],
  );
  const ours = why(two, '10.244.2.0/26');
  assert.match(ours.paths[0]?.from ?? '', /its own/);
  assert.match(ours.kernel?.why ?? '', /own/);
  assert.deepEqual(ours.told, [{ peer: 'n1', announced: true, why: 'announced' }]);
});

test('a prefix that is not there, with the one around it', async () => {
  const [one] = await speakers(config(1, [peer(2)]), config(2, [peer(1)]));
  assert.equal(why(one, '10.244.2.7/32').covering, '10.244.2.0/26');
  const unknown = why(one, '172.16.0.0/12');
  assert.deepEqual([unknown.covering, unknown.paths], [undefined, []]);
  assert.equal(answer(one, { op: 'why' }).ok, false);
});

test('what stopped a route: import filter, kernel policy, export filter, a missing next hop, the iBGP rule', async () => {
  const closed = { name: 'closed', rules: [], otherwise: 'reject' } as const;
  const [one, two, three] = await speakers(
    config(1, [peer(2, { importPolicy: except('BGPFilter no-two import 0', '10.244.2.0/26') }), peer(3)]),
    config(2, [peer(1), peer(3, { exportPolicy: closed })]),
    config(3, [peer(1), peer(2)], {
      kernel: {
        install: true,
        policies: { 4: except('pool: is not ours', '10.244.1.0/26'), 6: acceptAll },
        staticRoutes: [],
      },
    }),
  );
  assert.match(why(one, '10.244.2.0/26').paths[0]?.why ?? '', /refused by rule "BGPFilter no-two import 0"/);
  assert.match(why(one, '10.244.2.0/26').kernel?.why ?? '', /no usable path/);
  assert.match(why(two, '10.244.2.0/26', '10.0.0.3').told[0]?.why ?? '', /none of them accepted it/);
  assert.deepEqual(why(three, '10.244.1.0/26').kernel, {
    written: false,
    why: 'refused by rule "pool: is not ours"',
  });
  const passedOn = why(three, '10.244.1.0/26', 'n2').told;
  assert.match(passedOn[0]?.why ?? '', /neither is a reflector client/);
});

test('a next hop that nothing leads to, and a longer AS path', async () => {
  const outside = (n: number, more: Partial<NeighbourConfig> = {}): NeighbourConfig =>
    peer(n, { as: 65000 + n, kind: 'global-peer', ...more });
  const as = (n: number): Partial<SpeakerConfig> => ({ as: 65000 + n });
  const asked = (n: number, to: number): NeighbourConfig =>
    peer(to, { as: to === 1 ? 64512 : 65000 + to, localAs: 65000 + n });
  const [one, two] = await speakers(
    config(1, [outside(2), outside(3)]),
    config(2, [asked(2, 1), asked(2, 3)], { ...as(2), origins: [] }),
    config(3, [asked(3, 1), asked(3, 2)], as(3)),
  );
  const answerOfOne = why(one, '10.244.3.0/26');
  assert.deepEqual(
    answerOfOne.paths.map((p) => [p.from, p.asPath, p.chosen]),
    [
      ['n3', '65003', true],
      ['n2', '65002 65003', false],
    ],
  );
  assert.match(
    answerOfOne.paths[1]?.why ?? '',
    /longer AS path, \(65002 65003\) against \(65003\); that of n3/,
  );
  const looped = why(two, '10.244.3.0/26').paths.map((p) => p.why);
  assert.ok(
    looped.some((w) => /our AS 65002|longer AS path/.test(w)),
    looped.join(),
  );
});
