// FRR as a router of the matrix: zebra and bgpd run by hand, changed and asked by vtysh.
import { eventually } from '../network.ts';
import { Daemon } from './daemon.ts';
import {
  familyOfText,
  sorted,
  whole,
  type Router,
  type RouterSetup,
  type RouteText,
  type SessionSetup,
} from './types.ts';

type FrrPath = {
  aspath?: { string: string };
  origin?: string;
  metric?: number;
  locPrf?: number;
  nexthops?: { ip: string; scope?: string; afi: string }[];
  community?: { list: string[] };
  largeCommunity?: { list: string[] };
  originatorId?: string;
  clusterList?: { list: string[] };
  peer?: { peerId: string };
};

export class Frr extends Daemon implements Router {
  readonly name = 'FRR';
  readonly cannot = {
    'long-lived': 'FRR 8.4 has no setting for the long-lived stale time of what it announces',
  };
  #setup: RouterSetup | undefined;
  #routes: readonly RouteText[] = [];
  #hasZebra = false;

  async start(setup: RouterSetup): Promise<void> {
    this.#setup = setup;
    const { network, host } = this.place;
    const file = network.file(
      `${host}-frr.conf`,
      `${configOf(setup)}\n${ownRoutes(setup, [], this.#routes)}`,
    );
    await this.#startZebra();
    this.launch('bgpd', ...this.#command('bgpd', file));
    await eventually(
      'FRR answers',
      () => this.#vtysh('show bgp summary json'),
      (t) => t.includes('"as":') || t.includes('"routerId"') || t.includes(setup.address),
    );
  }

  /** It outlives the bgpd that is killed. A bgpd that does not find it writes nothing to the kernel for ten seconds. */
  async #startZebra(): Promise<void> {
    if (this.#hasZebra) return;
    this.#hasZebra = true;
    const { network, host } = this.place;
    const file = network.file(`${host}-zebra.conf`, 'log stdout\n');
    network.start(host, `${host}-zebra`, ...this.#command('zebra', file), '-r');
    // The socket's file is there a moment before anybody listens.
    const listens = /^\S+ \S+ \S+ 00010000 .*\/zserv\.api$/m;
    await eventually(
      'zebra listens',
      () => network.exec(host, 'cat', '/proc/net/unix'),
      (sockets) => listens.test(sockets),
    );
  }

  #command(name: 'zebra' | 'bgpd', file: string): string[] {
    const run = this.#run;
    const options = `-u frr -g frr -f ${file} -i ${run}/${name}.pid -z ${run}/zserv.api --vty_socket ${run}`;
    return [`/usr/lib/frr/${name}`, ...options.split(' '), ...'-A 127.0.0.1 -P 0'.split(' ')];
  }

  async change(setup: RouterSetup): Promise<void> {
    this.#setup = setup;
    const lines = [`router bgp ${setup.as}`];
    for (const s of setup.sessions) {
      lines.push(` no neighbor ${s.address} password`);
      if (s.password !== undefined) lines.push(` neighbor ${s.address} password ${s.password}`);
      const secured = s.ttlHops === undefined ? 'no ' : '';
      if (s.as !== setup.as || s.ttlHops !== undefined)
        lines.push(` ${secured}neighbor ${s.address} ttl-security hops ${s.ttlHops ?? 1}`);
    }
    this.#configure([...lines, 'exit', ...setup.sessions.flatMap((s) => refusals(s))].join('\n'));
  }

  async announce(routes: readonly RouteText[]): Promise<void> {
    const before = this.#routes;
    this.#routes = routes;
    if (this.#setup !== undefined) this.#configure(ownRoutes(this.#setup, before, routes));
  }

  protected sessions(): string {
    const peers = this.#setup?.sessions.map((s) => s.address) ?? [];
    const lines = this.#vtysh('show bgp summary', 'show bgp summary failed').split('\n');
    return lines.filter((l) => peers.some((peer) => l.includes(peer))).join('\n');
  }

  isUp(peer: string): boolean {
    const all = JSON.parse(this.#vtysh(`show bgp neighbors ${peer} json`)) as Record<
      string,
      { bgpState?: string }
    >;
    return all[peer]?.bgpState === 'Established';
  }

  heard(peer: string, family: 4 | 6): readonly RouteText[] {
    const show = `show bgp ipv${family} unicast`;
    const all = parse(this.#vtysh(`${show} json`)) as {
      routes?: Record<string, { peerId?: string }[]>;
    };
    const prefixes = Object.entries(all.routes ?? {})
      .filter(([, paths]) => paths.some((p) => p.peerId === peer))
      .map(([prefix]) => prefix);
    const heard: RouteText[] = [];
    // The whole table has no communities; single routes have everything.
    for (let at = 0; at < prefixes.length; at += 100) {
      const batch = prefixes.slice(at, at + 100);
      const text = this.#vtysh(...batch.map((prefix) => `${show} ${prefix} json`));
      for (const one of text.split(/^(?=\{)/m)) {
        const { prefix, paths = [] } = parse(one) as { prefix?: string; paths?: FrrPath[] };
        for (const path of paths)
          if (prefix !== undefined && path.peer?.peerId === peer) heard.push(routeOf(prefix, path));
      }
    }
    return heard;
  }

  count(peer: string, family: 4 | 6): number {
    const all = JSON.parse(this.#vtysh(`show bgp ipv${family} unicast summary json`)) as {
      peers?: Record<string, { pfxRcd?: number }>;
    };
    return all.peers?.[peer]?.pfxRcd ?? 0;
  }

  askAgain(peer: string): void {
    this.#vtysh(`clear bgp ${peer} soft in`);
  }

  get #run(): string {
    return this.place.network.subdirectory(`${this.host}-frr`);
  }

  #vtysh(...commands: readonly string[]): string {
    const asked = commands.flatMap((c) => ['-c', c]);
    return this.place.network.exec(this.host, 'vtysh', '--vty_socket', this.#run, '-d', 'bgpd', ...asked);
  }

  #configure(lines: string): void {
    const { network, host } = this.place;
    const file = network.file(`${host}-change.conf`, `${lines}\nend\n`);
    network.exec(host, 'vtysh', '--vty_socket', this.#run, '-d', 'bgpd', '-f', file);
  }
}

const parse = (text: string): unknown => JSON.parse(text.trim() === '' ? '{}' : text);

const listName = (s: SessionSetup): string => `REFUSED-${s.address.replaceAll(/[.:]/g, '-')}`;

function configOf(setup: RouterSetup): string {
  const restart = setup.sessions.find((s) => s.restartTimeS !== undefined)?.restartTimeS;
  return `frr defaults datacenter
hostname them
log stdout
${setup.sessions.flatMap((s) => refusals(s)).join('\n')}
route-map TABLE deny 10
 match ip address prefix-list MANY
route-map TABLE permit 20
ip prefix-list MANY permit 100.64.0.0/10 le 32
route-map TAKEN permit 10
${setup.sessions.map((s) => `bgp as-path access-list ECHO-${s.as} deny _${s.as}_\nbgp as-path access-list ECHO-${s.as} permit .*`).join('\n')}
router bgp ${setup.as}
 bgp router-id ${setup.address}
 no bgp ebgp-requires-policy
 no bgp network import-check
 ${setup.clusterId === undefined ? '' : `bgp cluster-id ${setup.clusterId}`}
 ${restart === undefined ? '' : `bgp graceful-restart restart-time ${restart}\n bgp graceful-restart\n bgp graceful-restart preserve-fw-state`}
${setup.sessions.map((s) => neighbour(setup, s)).join('\n')}
${([4, 6] as const).map((family) => addressFamily(setup, family)).join('\n')}
`;
}

function neighbour(setup: RouterSetup, s: SessionSetup): string {
  const n = ` neighbor ${s.address}`;
  return [
    `${n} remote-as ${s.as}`,
    `${n} timers connect 1`,
    ...(s.passive === true ? [`${n} passive`] : []),
    ...(s.password === undefined ? [] : [`${n} password ${s.password}`]),
    ...(s.ttlHops === undefined ? [] : [`${n} ttl-security hops ${s.ttlHops}`]),
    ...(s.twoOctetAs === true ? [`${n} dont-capability-negotiate`] : []),
    ...(s.holdTimeS === undefined ? [] : [`${n} timers ${Math.floor(s.holdTimeS / 3)} ${s.holdTimeS}`]),
    ...(setup.as !== s.as && s.ttlHops === undefined ? [`${n} disable-connected-check`] : []),
  ].join('\n');
}

function addressFamily(setup: RouterSetup, family: 4 | 6): string {
  const lines = setup.sessions.flatMap((s) => {
    const n = `  neighbor ${s.address}`;
    if (!s.families.includes(family)) return family === 4 ? [`  no neighbor ${s.address} activate`] : [];
    return [
      `${n} activate`,
      `${n} route-map TAKEN in`,
      `${n} send-community all`,
      // It would say to a peer what came from it.
      ...(s.as === setup.as || s.nextHopSelf === true ? [] : [`${n} filter-list ECHO-${s.as} out`]),
      ...(s.nextHopSelf === true ? [`${n} next-hop-self`] : []),
      ...(s.addPath === true ? [`${n} addpath-tx-all-paths`] : [`${n} disable-addpath-rx`]),
      ...(s.client === true ? [`${n} route-reflector-client`] : []),
      ...(s.allowOwnAs === undefined ? [] : [`${n} allowas-in ${s.allowOwnAs}`]),
      ...(family === 4 && s.refuses !== undefined ? [`${n} prefix-list ${listName(s)} in`] : []),
    ];
  });
  const table = family === 4 ? ['  table-map TABLE'] : [];
  return [` address-family ipv${family} unicast`, ...table, ...lines, ' exit-address-family'].join('\n');
}

/** The prefix list of what is not taken. */
function refusals(s: SessionSetup): string[] {
  if (s.refuses === undefined) return [];
  const list = s.refuses.filter((p) => familyOfText(p) === 4);
  const name = listName(s);
  return [
    `no ip prefix-list ${name}`,
    ...list.map((p) => `ip prefix-list ${name} deny ${p}`),
    `ip prefix-list ${name} permit 0.0.0.0/0 le 32`,
  ];
}

const mapName = (prefix: string): string => `OWN-${prefix.replaceAll(/[.:/]/g, '-')}`;

/** Own routes: a route map for the attributes of each. */
function ownRoutes(setup: RouterSetup, before: readonly RouteText[], next: readonly RouteText[]): string {
  const maps = next.flatMap((r) => [
    `route-map ${mapName(r.prefix)} permit 10`,
    ` set origin ${r.origin}`,
    ...(r.asPath === '' ? [] : [` set as-path prepend ${r.asPath}`]),
    ...(r.med === undefined ? [] : [` set metric ${r.med}`]),
    ...(r.localPref === undefined ? [] : [` set local-preference ${r.localPref}`]),
    ...(r.communities.length === 0 ? [] : [` set community ${r.communities.join(' ')}`]),
    ...(r.large.length === 0 ? [] : [` set large-community ${r.large.join(' ')}`]),
    ...(r.nextHop === undefined
      ? []
      : [
          familyOfText(r.prefix) === 4
            ? ` set ip next-hop ${r.nextHop}`
            : ` set ipv6 next-hop global ${r.nextHop}`,
        ]),
    'exit',
  ]);
  const kept = new Set(next.map((r) => r.prefix));
  const networks = ([4, 6] as const).flatMap((family) => [
    ` address-family ipv${family} unicast`,
    ...before
      .filter((r) => familyOfText(r.prefix) === family && !kept.has(r.prefix))
      .map((r) => `  no network ${r.prefix}`),
    ...next
      .filter((r) => familyOfText(r.prefix) === family)
      .map((r) => `  network ${r.prefix} route-map ${mapName(r.prefix)}`),
    ' exit-address-family',
  ]);
  return [...maps, `router bgp ${setup.as}`, ...networks, 'exit'].join('\n');
}

function routeOf(prefix: string, p: FrrPath): RouteText {
  const global = p.nexthops?.find((n) => n.scope !== 'link-local')?.ip;
  const linkLocal = p.nexthops?.find((n) => n.scope === 'link-local')?.ip;
  const path = p.aspath?.string ?? '';
  return {
    prefix: whole(prefix),
    ...(global === undefined ? {} : { nextHop: global }),
    ...(linkLocal === undefined ? {} : { linkLocal }),
    asPath: path === 'Local' ? '' : path,
    origin: (p.origin ?? 'incomplete').toLowerCase() as RouteText['origin'],
    ...(p.metric === undefined ? {} : { med: p.metric }),
    ...(p.locPrf === undefined ? {} : { localPref: p.locPrf }),
    communities: sorted((p.community?.list ?? []).map((c) => wellKnown[c] ?? c)),
    large: sorted(p.largeCommunity?.list ?? []),
    ...(p.originatorId === undefined ? {} : { originatorId: p.originatorId }),
    ...(p.clusterList === undefined ? {} : { clusterList: p.clusterList.list }),
  };
}

const wellKnown: Readonly<Record<string, string>> = {
  'no-export': '65535:65281',
  noExport: '65535:65281',
  'no-advertise': '65535:65282',
  noAdvertise: '65535:65282',
};
