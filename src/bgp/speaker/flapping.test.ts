// A session that comes and goes for minutes, with other routes each time: what remains is what the last session said, at the
// neighbour, behind it and in the tables; nothing piles up. Time and network are in memory.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '../../lib/clock.ts';
import { address, parseInterfaceAddress, prefix } from '../../lib/ip/mod.ts';
import { silentLogger } from '../../lib/log.ts';
import { expect } from '../../lib/result.ts';
import { FakeHost, type Kernel } from '../../kernel/mod.ts';
import { FakeNetwork } from './fake.ts';
import { Speaker } from './speaker.ts';
import type { NeighbourConfig, SpeakerConfig } from './types.ts';

const at = (n: number) => address(`10.0.0.${n}`);
const acceptAll = { name: 'all', rules: [], otherwise: 'accept' as const };

function config(
  n: number,
  peers: readonly number[],
  origins: readonly string[],
  restartS: number,
): SpeakerConfig {
  const neighbour = (peer: number): NeighbourConfig => ({
    name: `n${peer}`,
    kind: 'static',
    address: at(peer),
    port: 179,
    as: 65000 + peer,
    localAs: 65000 + n,
    passive: false,
    families: [4],
    holdTimeS: 9,
    gracefulRestartTimeS: restartS,
    addPath: { receive: false, send: false },
    rrClient: false,
    nextHopMode: 'auto',
    allowLocalAs: 0,
    importPolicy: acceptAll,
    exportPolicy: acceptAll,
  });
  return {
    name: `n${n}`,
    as: 65000 + n,
    routerId: at(n),
    listen: { port: 179, addresses: [at(n)] },
    addresses: { 4: expect(parseInterfaceAddress(`10.0.0.${n}/24`), 'address') },
    neighbours: peers.map(neighbour),
    ranges: [],
    origins: origins.map((o) => prefix(o)),
    learn: { kernel: false, connected: false, excludedInterfaces: [] },
    kernel: { install: true, policies: { 4: acceptAll, 6: acceptAll }, staticRoutes: [] },
  };
}

async function kernelOf(n: number): Promise<Kernel> {
  const kernel = new FakeHost().kernel();
  const link = expect(await kernel.links.create({ kind: 'dummy', name: 'eth0', up: true }), 'link');
  const own = expect(parseInterfaceAddress(`10.0.0.${n}/24`), 'address');
  await kernel.addresses.apply([{ op: 'add', address: { ...own, linkIndex: link.index } }]);
  return kernel;
}

const installed = async (kernel: Kernel): Promise<string[]> =>
  expect(await kernel.routes.list({ protocol: 12 }), 'routes')
    .map((r) => r.dst as string)
    .sort();

for (const [kind, restartS] of [
  ['with graceful restart', 120],
  ['without', 0],
] as const)
  test(`a session that flaps for five minutes, ${kind}: no stale route stays, nothing piles up`, async () => {
    const clock = new VirtualClock();
    const network = new FakeNetwork(clock);
    const start = async (n: number, c: SpeakerConfig, kernel: Kernel): Promise<Speaker> => {
      const speaker = new Speaker(c, {
        transport: network.transport(at(n)),
        clock,
        logger: silentLogger,
        kernel,
        random: () => 0.5,
      });
      expect(await speaker.start(), 'start');
      return speaker;
    };
    const run = async (ms: number): Promise<void> => {
      for (let passed = 0; passed < ms; passed += 100) {
        clock.advance(100);
        for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const kernels = { us: await kernelOf(1), behind: await kernelOf(3) };
    const us = await start(1, config(1, [2, 3], [], restartS), kernels.us);
    const behind = await start(3, config(3, [1], [], restartS), kernels.behind);
    // One kernel for all lives of the flapping one: as after a kill.
    const flapping = await kernelOf(2);
    const lives = 75;
    const originsOf = (life: number): string[] =>
      Array.from({ length: 20 }, (_, i) => `10.${100 + (life % 50)}.${i}.0/24`);
    let last: Speaker | undefined;
    let most = 0;
    for (let life = 0; life < lives; life++) {
      last = await start(2, config(2, [1], originsOf(life), restartS), flapping);
      await run(4_000);
      const { paths, attributeSets } = us.status().rib;
      most = Math.max(most, paths, attributeSets);
      if (life === lives - 1) break;
      // Dead, or gone with a word, or silent until the hold time is over.
      if (life % 3 === 0) network.kill(at(2));
      await last.stop(life % 3 === 1 ? 'end' : 'persist');
    }
    await run(140_000);
    const want = originsOf(lives - 1).sort();
    assert.deepEqual(await installed(kernels.us), want);
    assert.deepEqual(await installed(kernels.behind), want);
    const { rib } = us.status();
    assert.equal(rib.paths, want.length);
    assert.equal(rib.prefixes[4], want.length);
    // A life's routes, beside the stale ones of those before.
    assert.ok(most <= 50 * 20, `${most} paths or attribute sets at most`);
    assert.ok(rib.attributeSets < 100, `${rib.attributeSets} attribute sets`);
    assert.equal(us.peers().find((p) => p.name === 'n2')?.keepingStale, false);
    for (const speaker of [us, behind, last]) await speaker?.stop('end');
  });
