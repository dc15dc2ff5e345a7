// The stage of the interop matrix: our speaker and every daemon on one segment, each a host of its own, and peers that the
// test itself plays. All daemons do a row side by side.
import type { TestContext } from 'node:test';
import { address, prefix, type Address } from '../../../../src/lib/ip/mod.ts';
import { systemClock } from '../../../../src/lib/clock.ts';
import { tcpTransport } from '../../../../src/bgp/speaker/mod.ts';
import type { PolicyProgram } from '../../../../src/bgp/policy/mod.ts';
import { eventually, Network } from '../network.ts';
import { ProbePeer } from '../probe-peer.ts';
import { Bird } from './bird.ts';
import { ExaBgp } from './exabgp.ts';
import { Frr } from './frr.ts';
import { GoBgp } from './gobgp.ts';
import {
  routerNames,
  sorted,
  type Router,
  type RouterName,
  type RouterPlace,
  type RouteText,
  type Skill,
} from './types.ts';

export const segment = 'fabric';
export const us = { host: 'us', v4: '10.9.0.1', v6: 'fd09::1' } as const;

const makers: Readonly<Record<RouterName, (place: RouterPlace) => Router>> = {
  BIRD: (place) => new Bird(place),
  FRR: (place) => new Frr(place),
  GoBGP: (place) => new GoBgp(place),
  ExaBGP: (place) => new ExaBgp(place),
};

/** Programs and files that must be there. */
export const programs = [
  'ip',
  'bird',
  '/usr/lib/frr/bgpd',
  '/usr/lib/frr/zebra',
  'vtysh',
  'gobgpd',
  'gobgp',
  'exabgp',
];

/** Tables of many prefixes are not for the kernel. */
const few: PolicyProgram = {
  name: 'few',
  rules: [
    {
      name: 'many',
      when: [{ match: 'prefix', any: [{ prefix: prefix('100.64.0.0/10'), min: 10, max: 32 }] }],
      actions: [{ do: 'reject' }],
    },
  ],
  otherwise: 'accept',
};

/** What one daemon says is not for the others: they stand side by side. */
export const isolation: PolicyProgram['rules'] = [
  {
    name: 'of another daemon',
    when: [{ match: 'nextHop', any: [prefix('10.9.0.2/31'), prefix('10.9.0.4/31')] }],
    actions: [{ do: 'reject' }],
  },
  {
    name: 'ranges of the daemons',
    when: [
      {
        match: 'prefix',
        any: [
          { prefix: prefix('10.63.0.0/16'), min: 16, max: 32 },
          { prefix: prefix('fd60::/16'), min: 16, max: 128 },
        ],
      },
    ],
    actions: [{ do: 'reject' }],
  },
];
/** A hundred thousand prefixes are for those that can. */
export const largeTable = '100.96.0.0/11';
const small: PolicyProgram['rules'][number] = {
  name: 'large table',
  when: [{ match: 'prefix', any: [{ prefix: prefix(largeTable), min: 11, max: 32 }] }],
  actions: [{ do: 'reject' }],
};
const isolated: PolicyProgram = { name: 'isolated', rules: isolation, otherwise: 'accept' };
const isolatedSmall: PolicyProgram = {
  name: 'isolatedSmall',
  rules: [...isolation, small],
  otherwise: 'accept',
};
const withoutLarge: PolicyProgram = { name: 'withoutLarge', rules: [small], otherwise: 'accept' };
const nothing: PolicyProgram = { name: 'nothing', rules: [], otherwise: 'reject' };

/** What a daemon's part of the stage is called. */
export type Part = {
  readonly router: Router;
  readonly name: RouterName;
  readonly number: number;
  readonly v4: string;
  readonly v6: string;
};

export type PeerPlan = { readonly [key: string]: unknown };
export type PeerView = {
  readonly name: string;
  readonly state: string;
  readonly since: string;
  readonly reasonText?: string;
  readonly keepingStale: boolean;
  readonly session?: {
    readonly peerAsn: number;
    readonly as4: boolean;
    readonly families: readonly number[];
    readonly refresh: boolean;
    readonly holdTimeMs: number;
    readonly addPath: Readonly<Record<string, { readonly receive: boolean; readonly send: boolean }>>;
    readonly peerCapabilities: readonly string[];
    readonly gracefulRestart?: {
      readonly restartTimeMs: number;
      readonly families: readonly object[];
      readonly longLived: readonly object[];
    };
  };
  readonly routes: { readonly received: number; readonly stale: number; readonly announced: number };
  readonly messages: { readonly received: number; readonly sent: number };
};
export type OurRoute = {
  readonly learnedFrom: string;
  readonly prefix: string;
  readonly nextHop?: string;
  readonly nextHopLinkLocal?: string;
  readonly asPath: string;
  readonly origin: RouteText['origin'];
  readonly med?: number;
  readonly localPref: number;
  readonly communities?: readonly string[];
  readonly largeCommunities?: readonly string[];
  readonly originatorId?: string;
  readonly clusterList?: readonly string[];
  readonly best: boolean;
  readonly stale: boolean;
  readonly reason?: string;
};

export class World {
  readonly network = new Network();
  readonly parts: readonly Part[];
  readonly probes: ProbePeer[] = [];
  plan: {
    local: object;
    peers: Map<string, PeerPlan>;
    origins: string[];
    policies: Record<string, PolicyProgram>;
    more: object;
  };
  #speaker: ReturnType<Network['speaker']> | undefined;
  readonly #keepalives: ReturnType<typeof setInterval>;

  constructor(as: number, names: readonly RouterName[] = routerNames, local: object = {}) {
    const own = Array.from({ length: 9 }, (_, i) => [`10.9.0.${101 + i}/24`, `fd09::${101 + i}/64`]).flat();
    this.network.segment(segment, own);
    this.network.host(us.host);
    this.network.attach(us.host, segment, [`${us.v4}/24`, `${us.v6}/64`]);
    this.parts = names.map((name) => {
      const number = 2 + routerNames.indexOf(name);
      const host = name.toLowerCase();
      const v4 = `10.9.0.${number}`;
      const v6 = `fd09::${number}`;
      this.network.host(host);
      this.network.attach(host, segment, [`${v4}/24`, `${v6}/64`]);
      return { router: makers[name]({ network: this.network, host }), name, number, v4, v6 };
    });
    this.plan = {
      local: {
        nodeName: us.host,
        as,
        routerId: us.v4,
        listen: { addresses: [us.v4, us.v6] },
        addresses: { 4: `${us.v4}/24`, 6: `${us.v6}/64` },
        ...local,
      },
      peers: new Map(),
      origins: [],
      policies: {},
      more: {},
    };
    this.#keepalives = setInterval(() => {
      for (const probe of this.probes) probe.keepalive();
    }, 1_000);
    this.#keepalives.unref();
  }

  part(name: RouterName): Part {
    const found = this.parts.find((p) => p.name === name);
    if (found === undefined) throw new Error(`no ${name} here`);
    return found;
  }

  // ── our side ───────────────────────────────────────────────────────────────────────────────────────────────────────
  #text(): string {
    const { local, peers, origins, policies, more } = this.plan;
    const list = [...peers].map(([name, peer]) => ({ name, ...peer }));
    const kernelPolicy = { 4: 'few' };
    return JSON.stringify({
      local,
      peers: list,
      origins,
      policies: { few, isolated, isolatedSmall, withoutLarge, nothing, ...policies },
      kernelPolicy,
      ...more,
    });
  }

  async startUs(): Promise<void> {
    this.#speaker = this.network.speaker(us.host, JSON.parse(this.#text()) as object);
    await eventually(
      'our speaker answers',
      () => this.status(),
      (s) => s !== undefined,
    );
  }

  async killUs(): Promise<void> {
    if (this.#speaker !== undefined) await this.network.kill(this.#speaker);
  }

  /** Makes a changed plan real. */
  async apply(): Promise<void> {
    const before = (await this.status())?.configuredAt;
    this.network.file(`${us.host}.json`, this.#text());
    this.#speaker?.kill('SIGHUP');
    await eventually(
      'the plan is taken',
      () => this.status(),
      (s) => s !== undefined && s.configuredAt !== before,
    );
  }

  status(): Promise<{ configuredAt: string; recovery: string } | undefined> {
    return this.network.ask(us.host, { op: 'status' });
  }

  async peer(name: string): Promise<PeerView> {
    const peers = (await this.network.ask<PeerView[]>(us.host, { op: 'peers' })) ?? [];
    const found = peers.find((p) => p.name === name);
    if (found === undefined) throw new Error(`no session ${name}`);
    return found;
  }

  async routes(name: string, family?: 4 | 6): Promise<OurRoute[]> {
    const list =
      (await this.network.ask<OurRoute[]>(us.host, { op: 'routes', peer: name, limit: 200_000 })) ?? [];
    return list.filter((r) => family === undefined || r.prefix.includes(':') === (family === 6));
  }

  /** Waits until both sides have the session. */
  async up(part: Part, name: string = part.name, ours: string = us.v4): Promise<PeerView> {
    await eventually(
      `${name} has the session`,
      async () => ({ ours: (await this.peer(name)).state, theirs: await part.router.isUp(ours) }),
      (s) => s.ours === 'Established' && s.theirs,
      60_000,
    );
    return this.peer(name);
  }

  async down(name: string): Promise<PeerView> {
    return eventually(
      `${name} is down`,
      () => this.peer(name),
      (p) => p.state !== 'Established',
      60_000,
    );
  }

  // ── peers that the test plays ──────────────────────────────────────────────────────────────────────────────────────
  /** A peer at 10.9.0.(100 + number), which dials. */
  async probe(
    number: number,
    as: number,
    remote: string,
    remoteAs: number,
    deaf = false,
  ): Promise<ProbePeer> {
    const own = remote.includes(':') ? `fd09::${100 + number}` : `10.9.0.${100 + number}`;
    const probe = new ProbePeer({
      name: `probe${number}`,
      transport: tcpTransport,
      address: address(own),
      remote: address(remote),
      port: 179,
      as,
      remoteAs,
      routerId: 0x0a090000 + 100 + number,
      addPath: false,
      deaf,
    });
    this.probes.push(probe);
    await this.reach(probe);
    return probe;
  }

  /** The session of a peer that the test plays; a lost one is made again. */
  async reach(probe: ProbePeer): Promise<void> {
    const { address: own, remote } = probe.options;
    await eventually(
      `${own} has a session with ${remote}`,
      () => {
        probe.dial();
        return `${probe.state} ${probe.lastProblem}`;
      },
      () => probe.state === 'up',
      60_000,
    );
  }

  async close(): Promise<void> {
    clearInterval(this.#keepalives);
    for (const probe of this.probes) probe.close();
    for (const { router } of this.parts) if (router instanceof ExaBgp) router.close();
    await this.network.close();
  }
}

export const probeAddress = (number: number): Address => address(`10.9.0.${100 + number}`);
export const now = (): number => systemClock.now();

/** Our own route in the words of the matrix. */
export function ourText(r: OurRoute): RouteText {
  return {
    prefix: r.prefix,
    ...(r.nextHop === undefined ? {} : { nextHop: r.nextHop }),
    ...(r.nextHopLinkLocal === undefined ? {} : { linkLocal: r.nextHopLinkLocal }),
    asPath: r.asPath,
    origin: r.origin,
    ...(r.med === undefined ? {} : { med: r.med }),
    localPref: r.localPref,
    communities: sorted(r.communities ?? []),
    large: sorted(r.largeCommunities ?? []),
    ...(r.originatorId === undefined ? {} : { originatorId: r.originatorId }),
    ...(r.clusterList === undefined ? {} : { clusterList: r.clusterList }),
  };
}

/** One row for every daemon that can do it, side by side; the others say why not (docs/bgp-interop.md). */
export async function row(
  t: TestContext,
  world: World,
  skills: readonly Skill[],
  body: (part: Part) => Promise<void>,
): Promise<void> {
  await Promise.all(
    world.parts.map(async (part) => {
      const why = skills.map((s) => part.router.cannot[s]).find((reason) => reason !== undefined);
      if (why !== undefined) return t.diagnostic(`${part.name}: ${why}`);
      try {
        await body(part);
      } catch (error) {
        throw new Error(`${part.name}: ${(error as Error).message}`, { cause: error });
      }
    }),
  );
}

export const byPrefix = (list: readonly RouteText[]): Map<string, RouteText> =>
  new Map(list.map((r) => [r.prefix, r]));
