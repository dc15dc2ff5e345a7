// What a daemon cannot do stands in the documentation, in the words of the tests.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Network } from './support/network.ts';
import { Bird } from './support/routers/bird.ts';
import { ExaBgp } from './support/routers/exabgp.ts';
import { Frr } from './support/routers/frr.ts';
import { GoBgp } from './support/routers/gobgp.ts';
import type { Router } from './support/routers/types.ts';

test('what a daemon leaves out is in docs/bgp-interop.md', async () => {
  const page = readFileSync(new URL('../../docs/bgp-interop.md', import.meta.url), 'utf8');
  const network = new Network();
  const place = { network, host: 'none' };
  const routers: Router[] = [new Bird(place), new Frr(place), new GoBgp(place), new ExaBgp(place)];
  await network.close();
  for (const { cannot } of routers)
    for (const reason of Object.values(cannot)) assert.ok(page.includes(reason), reason);
});
