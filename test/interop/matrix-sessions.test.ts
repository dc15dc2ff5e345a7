// The interop matrix (docs/bgp-interop.md), rows 1 (two-octet peers), 4, 5 and 18: what a session survives and what it does
// not let in, with BIRD 2, FRR, GoBGP and ExaBGP side by side.
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually, missing, Network, reportFailures } from './support/network.ts';
import { Bird } from './support/routers/bird.ts';
import { Frr } from './support/routers/frr.ts';
import { GoBgp } from './support/routers/gobgp.ts';
import type { Router, RouterSetup } from './support/routers/types.ts';
import { probeAddress, programs, row, us, World, type Part, type PeerView } from './support/routers/world.ts';
import { probeAs, route, say } from './support/rows/words.ts';

const skip = missing(...programs) ?? false;
reportFailures();
const ourAs = 4_200_000_001;
const asOf = (part: Part): number => 65010 + part.number;
const start = (world: World, setup: (part: Part) => RouterSetup): Promise<unknown> =>
  Promise.all([world.startUs(), ...world.parts.map((part) => part.router.start(setup(part)))]);

void suite('interop, passwords', { skip }, () => {
  let world: World;
  const setup = (part: Part, password?: string): RouterSetup => {
    const session = { as: ourAs, ...(password === undefined ? {} : { password }) };
    return {
      as: asOf(part),
      address: part.v4,
      address6: part.v6,
      sessions: [
        { ...session, address: us.v4, families: [4] },
        { ...session, address: us.v6, families: [6], passive: part.name !== 'ExaBGP' },
      ],
    };
  };
  const plan = (password?: string): void => {
    for (const part of world.parts) {
      const session = { as: asOf(part), ...(password === undefined ? {} : { password }) };
      world.plan.peers.set(part.name, { ...session, address: part.v4, passive: true });
      world.plan.peers.set(`${part.name}6`, {
        ...session,
        address: part.v6,
        sourceAddress: us.v6,
        passive: part.name === 'ExaBGP',
      });
    }
  };
  const bothUp = async (part: Part): Promise<void> => {
    await world.up(part);
    await world.up(part, `${part.name}6`, us.v6);
  };
  const failures = (): number => world.network.counter(us.host, 'TCPMD5Failure');

  before(async () => {
    world = new World(ourAs);
    plan('first-key');
    await start(world, (part) => setup(part, 'first-key'));
  });
  after(() => world?.close());

  // ExaBGP gives its listener another key only when it starts: it always dials.
  void test('BG-014: row 4: the same password, IPv4 they dial, IPv6 we dial', (t) =>
    row(t, world, [], bothUp));

  void test('BG-014: row 4: another password ends the sessions and lets none up; the kernel counts', async () => {
    const before = failures();
    plan('second-key');
    await world.apply();
    for (const part of world.parts) for (const name of [part.name, `${part.name}6`]) await world.down(name);
    // Every attempt of one of the eight sides is some of them.
    await eventually('failures are counted', failures, (n) => n > before + 16, 60_000);
    for (const part of world.parts)
      for (const name of [part.name, `${part.name}6`])
        assert.notEqual((await world.peer(name)).state, 'Established', name);
  });

  void test('BG-014: row 4: the new password there too: up again, nobody restarts', (t) =>
    row(t, world, [], async (part) => {
      await part.router.change(setup(part, 'second-key'));
      await bothUp(part);
    }));

  void test('BG-014: row 4: and without any', async (t) => {
    plan();
    await world.apply();
    await row(t, world, [], async (part) => {
      await part.router.change(setup(part));
      await bothUp(part);
    });
  });

  void test('row 3: sessions over IPv6; a next hop with a link-local one beside it (RFC 2545)', async (t) => {
    world.plan.origins = ['fd24:1::/122'];
    await world.apply();
    await row(t, world, [], async (part) => {
      const prefix = `fd60:${part.number}::/64`;
      await part.router.announce([route(prefix)]);
      const [theirs] = await eventually(
        `the IPv6 route of ${part.name}`,
        () => world.routes(`${part.name}6`, 6),
        (list) => list.length > 0,
      );
      assert.equal(theirs?.nextHop, part.v6);
      if (part.router.cannot['link-local'] === undefined)
        assert.match(theirs.nextHopLinkLocal ?? '', /^fe80:/);
      else t.diagnostic(`${part.name}: ${part.router.cannot['link-local']}`);
      await eventually(
        'it is in our kernel by the global one',
        () => world.network.routes(us.host, 'proto bird', '-6'),
        (list) => list.some((r) => r.dst === prefix && r.gateway === part.v6),
      );
      await eventually(
        `ours at ${part.name}`,
        () => part.router.heard(us.v6, 6),
        (list) => list.some((r) => r.prefix === 'fd24:1::/122' && r.nextHop === us.v6),
      );
    });
  });
});

void suite('interop, two-octet peers', { skip }, () => {
  let world: World;
  before(async () => {
    world = new World(ourAs);
    for (const part of world.parts)
      world.plan.peers.set(part.name, {
        address: part.v4,
        as: asOf(part),
        passive: true,
        exportPolicy: 'isolated',
        // BIRD without four octets has no way to name a larger AS.
        ...(part.name === 'BIRD' ? { localAs: 65009 } : {}),
      });
    world.plan.peers.set('probe1', { address: probeAddress(1), as: probeAs, passive: true });
    await start(world, (part) => ({
      as: asOf(part),
      address: part.v4,
      address6: part.v6,
      // 23456 stands for what does not fit.
      sessions: [
        {
          address: us.v4,
          // FRR says nothing of four octets and hears it all the same.
          as: { BIRD: 65009, ExaBGP: 23456, FRR: ourAs, GoBGP: ourAs }[part.name],
          families: [4],
          twoOctetAs: part.router.cannot['two-octet-as'] === undefined,
        },
      ],
    }));
  });
  after(() => world?.close());

  void test('row 1: a peer without four-octet AS numbers, paths both ways', async (t) => {
    const source = await world.probe(1, probeAs, us.v4, ourAs);
    say(source, [route('10.61.0.0/24', { asPath: '4200000500 65001' })]);
    await row(t, world, ['two-octet-as'], async (part) => {
      const { session } = await world.up(part);
      assert.equal(session?.as4, false);
      const [heard] = await eventually(
        `our route at ${part.name}`,
        () => part.router.heard(us.v4, 4),
        (list) => list.length === 1,
      );
      // What AS4_PATH says is put in, or not.
      const paths = [
        '65009 65400 4200000500 65001',
        '23456 65400 23456 65001',
        '4200000001 65400 4200000500 65001',
      ];
      assert.ok(paths.includes(heard?.asPath ?? ''), `${heard?.asPath}`);
      await part.router.announce([route(`10.61.${part.number}.0/24`, { asPath: '65002 65003' })]);
      const prefix = `10.61.${part.number}.0/24`;
      const routes = await eventually(
        `the route of ${part.name}`,
        () => world.routes(part.name, 4),
        (list) => list.some((r) => r.prefix === prefix),
      );
      const theirs = routes.find((r) => r.prefix === prefix);
      assert.equal(theirs?.asPath, `${asOf(part)} 65002 65003`);
    });
  });
});

void suite('interop, states', { skip }, () => {
  let world: World;
  const holdTimeS = 6;
  const hasZero = (part: Part): boolean => part.router.cannot['hold-zero'] === undefined;
  const setup = (part: Part): RouterSetup => ({
    as: asOf(part),
    address: part.v4,
    address6: part.v6,
    sessions: [
      { address: us.v4, as: ourAs, families: [4], holdTimeS },
      ...(hasZero(part) ? [{ address: us.v6, as: ourAs, families: [6] as const, holdTimeS: 0 }] : []),
    ],
  });
  before(async () => {
    world = new World(ourAs, ['BIRD', 'FRR', 'GoBGP']);
    for (const part of world.parts) {
      world.plan.peers.set(part.name, {
        address: part.v4,
        as: asOf(part),
        holdTimeSeconds: holdTimeS,
        keepaliveTimeSeconds: 1,
      });
      if (hasZero(part))
        world.plan.peers.set(`${part.name}0`, {
          address: part.v6,
          sourceAddress: us.v6,
          as: asOf(part),
          holdTimeSeconds: 0,
        });
    }
    await start(world, setup);
  });
  after(() => world?.close());

  void test('row 18: both dial at once: one session, and it stays', (t) =>
    row(t, world, [], async (part) => {
      await world.up(part);
      // A collision that comes late replaces what was up for a moment.
      const { since } = await eventually(
        'one session',
        () => world.peer(part.name),
        (p) => p.state === 'Established' && Date.now() - Date.parse(p.since) > 2_000,
      );
      await delay(2_000);
      assert.equal((await world.peer(part.name)).since, since);
    }));

  void test('row 18: a hold time of 0', (t) =>
    row(t, world, ['hold-zero'], async (part) => {
      const { session } = await world.up(part, `${part.name}0`, us.v6);
      assert.equal(session?.holdTimeMs, 0);
    }));

  void test('row 18: a silent peer is let go after the hold time, with the reason; one without hold time is not', (t) =>
    row(t, world, [], async (part) => {
      part.router.pause();
      let view: PeerView;
      try {
        view = await world.down(part.name);
        assert.match(view.reasonText ?? '', /hold|keepalive|silent|6 s/i);
        if (hasZero(part)) assert.equal((await world.peer(`${part.name}0`)).state, 'Established');
      } finally {
        part.router.resume();
      }
      await world.up(part);
    }));

  void test('row 18: a peer that has forgotten its connection dials again', (t) =>
    row(t, world, [], async (part) => {
      world.network.plug(part.router.host, 'fabric', false);
      await part.router.kill();
      const starting = part.router.start(setup(part));
      world.network.plug(part.router.host, 'fabric', true);
      await starting;
      await world.up(part);
    }));
});

void suite('interop, TTL security over two hops', { skip }, () => {
  const network = new Network();
  const places = [
    { router: new Bird({ network, host: 'bird' }), address: '10.1.2.2', gateway: '10.1.2.254' },
    { router: new Frr({ network, host: 'frr' }), address: '10.1.3.2', gateway: '10.1.3.254' },
    { router: new GoBgp({ network, host: 'gobgp' }), address: '10.1.4.2', gateway: '10.1.4.254' },
  ] satisfies readonly { router: Router; address: string; gateway: string }[];
  after(() => network.close());

  const plan = (hops: number): object => ({
    local: { nodeName: 'us', as: 65001, routerId: '10.1.0.1', listen: { addresses: ['10.1.0.1'] } },
    peers: places.map(({ router, address }) => ({
      name: router.name,
      address,
      as: 65002,
      ttlSecurityHops: hops,
      passive: router.name !== 'BIRD',
    })),
  });
  const states = async (): Promise<string[]> =>
    ((await network.ask<PeerView[]>('us', { op: 'peers' })) ?? []).map((p) => p.state);

  void test('BG-016: row 5: two hops away is let in with 2 and not with 1', async () => {
    for (const host of ['us', 'hop', ...places.map(({ router }) => router.host)]) network.host(host);
    network.cable('us', 'hop', ['10.1.0.1/24'], ['10.1.0.254/24']);
    network.ip('us', 'route add default via 10.1.0.254');
    for (const { router, address, gateway } of places) {
      network.cable(router.host, 'hop', [`${address}/24`], [`${gateway}/24`]);
      network.ip(router.host, `route add 10.1.0.0/24 via ${gateway}`);
    }
    const speaker = network.speaker('us', plan(1));
    await Promise.all(
      places.map(({ router, address }) =>
        router.start({
          as: 65002,
          address,
          sessions: [
            { address: '10.1.0.1', as: 65001, families: [4], ttlHops: 2, passive: router.name === 'BIRD' },
          ],
        }),
      ),
    );
    await eventually('the speaker answers', states, (list) => list.length === places.length);
    await eventually(
      'what comes too far is dropped',
      () => network.counter('us', 'TCPMinTTLDrop'),
      (n) => n > 6,
      60_000,
    );
    assert.equal((await states()).includes('Established'), false);
    network.file('us.json', JSON.stringify(plan(2)));
    speaker.kill('SIGHUP');
    await eventually('all sessions', states, (list) => list.every((s) => s === 'Established'), 60_000);
    for (const { router } of places)
      await eventually(
        'theirs too',
        () => router.isUp('10.1.0.1'),
        (up) => up,
      );
  });
});

void suite('interop, TTL security over one hop', { skip }, () => {
  const network = new Network();
  const places = [
    { router: new Frr({ network, host: 'frr' }), ours: '10.2.3.1', address: '10.2.3.2', weDial: true },
    { router: new GoBgp({ network, host: 'gobgp' }), ours: '10.2.4.1', address: '10.2.4.2', weDial: false },
  ] satisfies readonly { router: Router; ours: string; address: string; weDial: boolean }[];
  after(() => network.close());

  void test('BG-016: row 5: FRR and GoBGP next door', async () => {
    for (const host of ['us', ...places.map(({ router }) => router.host)]) network.host(host);
    for (const { router, ours, address } of places)
      network.cable('us', router.host, [`${ours}/24`], [`${address}/24`]);
    network.speaker('us', {
      local: {
        nodeName: 'us',
        as: 65001,
        routerId: '10.2.0.1',
        listen: { addresses: places.map(({ ours }) => ours) },
      },
      peers: places.map(({ router, ours, address, weDial }) => ({
        name: router.name,
        address,
        sourceAddress: ours,
        as: 65002,
        ttlSecurityHops: 1,
        passive: !weDial,
      })),
    });
    await Promise.all(
      places.map(({ router, ours, address, weDial }) =>
        router.start({
          as: 65002,
          address,
          sessions: [{ address: ours, as: 65001, families: [4], ttlHops: 1, passive: weDial }],
        }),
      ),
    );
    const states = async (): Promise<string[]> =>
      ((await network.ask<PeerView[]>('us', { op: 'peers' })) ?? []).map((p) => p.state);
    await eventually(
      'both sessions',
      states,
      (list) => list.length === places.length && list.every((s) => s === 'Established'),
      60_000,
    );
    for (const { router, ours } of places)
      await eventually(
        `${router.name} has it as well`,
        () => router.isUp(ours),
        (up) => up,
      );
  });
});
