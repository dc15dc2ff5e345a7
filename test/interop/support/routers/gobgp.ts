// GoBGP as a router of the matrix: a configuration file, SIGHUP, and its own client for routes and tables. It has no kernel
// face without zebra.
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

type Attribute = {
  type: number;
  value?: number | string | string[];
  metric?: number;
  nexthop?: string;
  communities?: number[];
  as_paths?: { segment_type: number; asns: number[] | null }[];
};
type Path = { nlri: { prefix: string }; attrs: (Attribute & { value?: unknown })[] };

export class GoBgp extends Daemon implements Router {
  readonly name = 'GoBGP';
  readonly cannot = {
    'two-octet-as': 'GoBGP always offers four-octet AS numbers',
    kernel: 'GoBGP writes to the kernel through zebra only, so that its own table is looked at',
    'asks-refresh': 'GoBGP answers ROUTE-REFRESH and never sends it: it keeps what it has heard',
    'large-table':
      'GoBGP needs minutes of a busy processor for a table that takes the others seconds: 1,000 prefixes, not 100,000',
    'link-local': 'GoBGP announces IPv6 next hops without a link-local one',
    'hold-zero': 'GoBGP takes a hold time of 0 in its file for "not said"',
  };
  #setup: RouterSetup | undefined;
  #routes: readonly RouteText[] = [];

  async start(setup: RouterSetup, { recovering = false } = {}): Promise<void> {
    this.#setup = setup;
    const own = ['--api-hosts', '127.0.0.1:50051', '-p', ...(recovering ? ['-r'] : [])];
    this.launch('gobgpd', 'gobgpd', '-f', this.#write(), ...own);
    await eventually(
      'GoBGP answers',
      () => this.#gobgp('global'),
      (t) => t.includes(setup.address),
    );
    for (const route of this.#routes) this.#add(route);
  }

  async change(setup: RouterSetup): Promise<void> {
    const before = this.#setup;
    // It takes one changed neighbour for each signal.
    for (let n = 1; n <= setup.sessions.length; n++) {
      const sessions = setup.sessions.map((s, i) => (i < n ? s : (before?.sessions[i] ?? s)));
      const isNew = JSON.stringify(before?.sessions[n - 1]) !== JSON.stringify(setup.sessions[n - 1]);
      this.#setup = { ...setup, sessions };
      if (!isNew) continue;
      this.#write();
      const seen = this.#reloads();
      this.signal('SIGHUP');
      await eventually(
        'GoBGP has read its file',
        () => this.#reloads(),
        (count) => count > seen,
      );
    }
    this.#setup = setup;
  }

  #reloads(): number {
    return this.log().split('Add a peer configuration').length + this.log().split('Update policy').length;
  }

  async announce(routes: readonly RouteText[]): Promise<void> {
    const before = new Map(this.#routes.map((r) => [r.prefix, JSON.stringify(r)]));
    this.#routes = routes;
    if (this.#setup === undefined) return;
    for (const route of routes) {
      if (before.get(route.prefix) !== JSON.stringify(route)) this.#add(route);
      before.delete(route.prefix);
    }
    for (const prefix of before.keys()) this.#gobgp(`global rib del -a ipv${familyOfText(prefix)} ${prefix}`);
  }

  protected sessions(): string {
    return this.#gobgp('neighbor');
  }

  isUp(peer: string): boolean {
    return this.#gobgp(`neighbor ${peer}`).includes('BGP state = ESTABLISHED');
  }

  heard(peer: string, family: 4 | 6): readonly RouteText[] {
    const text = this.#gobgp(`neighbor ${peer} adj-in -a ipv${family} -j`);
    const table = JSON.parse(text === '' ? '{}' : text) as Record<string, Path[]>;
    return Object.values(table).flatMap((paths) => paths.map((p) => routeOf(p)));
  }

  count(peer: string, family: 4 | 6): number {
    const text = this.#gobgp(`neighbor ${peer} adj-in -a ipv${family} summary -j`);
    const own = JSON.parse(text === '' ? '{}' : text) as { num_path?: number };
    return own.num_path ?? 0;
  }

  askAgain(peer: string): void {
    this.#gobgp(`neighbor ${peer} softresetin`);
  }

  #gobgp(command: string): string {
    return this.place.network.exec(this.host, 'gobgp', ...command.split(' '));
  }

  #add(r: RouteText): void {
    const own = familyOfText(r.prefix) === 4 ? this.#setup?.address : this.#setup?.address6;
    const words = [
      `global rib add -a ipv${familyOfText(r.prefix)} ${r.prefix} origin ${r.origin}`,
      ...(r.asPath === '' ? [] : [`aspath ${r.asPath.replaceAll(' ', ',')}`]),
      `nexthop ${r.nextHop ?? own}`,
      ...(r.med === undefined ? [] : [`med ${r.med}`]),
      ...(r.localPref === undefined ? [] : [`local-pref ${r.localPref}`]),
      ...(r.communities.length === 0 ? [] : [`community ${r.communities.join(',')}`]),
      ...(r.large.length === 0 ? [] : [`large-community ${r.large.join(',')}`]),
    ];
    this.#gobgp(words.join(' '));
  }

  #write(): string {
    const setup = this.#setup;
    if (setup === undefined) throw new Error('not started');
    return this.place.network.file(
      `${this.host}-gobgpd.toml`,
      `[global.config]
  as = ${setup.as}
  router-id = "${setup.address}"
[global.apply-policy.config]
  import-policy-list = [ "refusals" ]
  default-import-policy = "accept-route"
${policyOf(setup)}
${setup.sessions.map((s) => neighbour(setup, s)).join('\n')}
`,
    );
  }
}

/** Refused prefixes; there is always one, as an empty set matches everything. */
function policyOf(setup: RouterSetup): string {
  const list = ['192.0.2.0/32', ...setup.sessions.flatMap((s) => s.refuses ?? [])].filter(
    (p) => familyOfText(p) === 4,
  );
  return `[[defined-sets.prefix-sets]]
  prefix-set-name = "refused"
${list.map((p) => `  [[defined-sets.prefix-sets.prefix-list]]\n    ip-prefix = "${p}"`).join('\n')}
[[policy-definitions]]
  name = "refusals"
  [[policy-definitions.statements]]
    [policy-definitions.statements.conditions.match-prefix-set]
      prefix-set = "refused"
    [policy-definitions.statements.actions]
      route-disposition = "reject-route"`;
}

function neighbour(setup: RouterSetup, s: SessionSetup): string {
  const own = s.address.includes(':') ? setup.address6 : setup.address;
  const families = s.families.map(
    (f) => `  [[neighbors.afi-safis]]
    [neighbors.afi-safis.config]
      afi-safi-name = "ipv${f}-unicast"
    [neighbors.afi-safis.mp-graceful-restart.config]
      enabled = ${s.restartTimeS !== undefined}
    ${s.addPath === true ? '[neighbors.afi-safis.add-paths.config]\n      receive = true\n      send-max = 8' : ''}
    ${s.longLivedStaleTimeS === undefined ? '' : `[neighbors.afi-safis.long-lived-graceful-restart.config]\n      enabled = true\n      restart-time = ${s.longLivedStaleTimeS}`}`,
  );
  return `[[neighbors]]
  [neighbors.config]
    neighbor-address = "${s.address}"
    peer-as = ${s.as}
    ${s.password === undefined ? '' : `auth-password = "${s.password}"`}
  [neighbors.transport.config]
    passive-mode = ${s.passive === true}
    local-address = "${own}"
  [neighbors.timers.config]
    connect-retry = 5
    idle-hold-time-after-reset = 1
    ${s.holdTimeS === undefined ? '' : `hold-time = ${s.holdTimeS}\n    keepalive-interval = ${Math.floor(s.holdTimeS / 3)}`}
  [neighbors.as-path-options.config]
    allow-own-as = ${s.allowOwnAs ?? 0}
  ${s.ttlHops === undefined ? '' : `[neighbors.ttl-security.config]\n    enabled = true\n    ttl-min = ${256 - s.ttlHops}`}
  ${s.client === true ? `[neighbors.route-reflector.config]\n    route-reflector-client = true\n    route-reflector-cluster-id = "${setup.clusterId ?? setup.address}"` : ''}
  ${
    s.restartTimeS === undefined
      ? ''
      : `[neighbors.graceful-restart.config]\n    enabled = true\n    restart-time = ${s.restartTimeS}${s.longLivedStaleTimeS === undefined ? '' : '\n    long-lived-enabled = true'}`
  }
${families.join('\n')}`;
}

const ip4 = (n: number): string => [24, 16, 8, 0].map((shift) => (n >>> shift) & 255).join('.');

function routeOf(path: Path): RouteText {
  const of = (type: number): Record<string, unknown> | undefined =>
    path.attrs.find((a) => a.type === type) as Record<string, unknown> | undefined;
  const segments = (of(2)?.['as_paths'] ?? []) as { segment_type: number; asns: number[] | null }[];
  const med = of(4)?.['metric'] as number | undefined;
  const localPref = of(5)?.['value'] as number | undefined;
  const nextHop = (of(3)?.['nexthop'] ?? of(14)?.['nexthop']) as string | undefined;
  const linkLocal = of(14)?.['link_local_nexthop'] as string | undefined;
  const communities = (of(8)?.['communities'] ?? []) as number[];
  const large = (of(32)?.['value'] ?? []) as { ASN: number; LocalData1: number; LocalData2: number }[];
  const originatorId = of(9)?.['value'] as string | number | undefined;
  const clusterList = of(10)?.['value'] as (string | number)[] | undefined;
  const id = (v: string | number): string => (typeof v === 'number' ? ip4(v) : v);
  return {
    prefix: whole(path.nlri.prefix),
    ...(nextHop === undefined ? {} : { nextHop }),
    ...(linkLocal === undefined ? {} : { linkLocal }),
    asPath: segments
      .map((s) => (s.segment_type === 1 ? `{${(s.asns ?? []).join(',')}}` : (s.asns ?? []).join(' ')))
      .join(' '),
    origin: (['igp', 'egp', 'incomplete'] as const)[Number(of(1)?.['value'] ?? 2)] ?? 'incomplete',
    ...(med === undefined ? {} : { med }),
    ...(localPref === undefined ? {} : { localPref }),
    communities: sorted(communities.map((c) => `${c >>> 16}:${c & 0xffff}`)),
    large: sorted(large.map((c) => `${c.ASN}:${c.LocalData1}:${c.LocalData2}`)),
    ...(originatorId === undefined ? {} : { originatorId: id(originatorId) }),
    ...(clusterList === undefined ? {} : { clusterList: clusterList.map(id) }),
  };
}
