// BIRD 2 as a router of the matrix: a configuration file, `birdc configure`, and tables read from `show route all`.
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

const origins = { igp: 'ORIGIN_IGP', egp: 'ORIGIN_EGP', incomplete: 'ORIGIN_INCOMPLETE' } as const;
const protocolOf = (address: string): string => `peer_${address.replaceAll(/[.:]/g, '_')}`;

export class Bird extends Daemon implements Router {
  readonly name = 'BIRD';
  readonly cannot = {};
  #setup: RouterSetup | undefined;
  #routes: readonly RouteText[] = [];

  async start(setup: RouterSetup, { recovering = false } = {}): Promise<void> {
    this.#setup = setup;
    const flags = ['-f', '-c', this.#write(), '-s', this.#socket, ...(recovering ? ['-R'] : [])];
    this.launch('bird', 'bird', ...flags);
    await eventually(
      'BIRD answers',
      () => this.#birdc('show status'),
      (t) => t.includes('Router ID'),
    );
  }

  async change(setup: RouterSetup): Promise<void> {
    this.#setup = setup;
    this.#write();
    this.#birdc('configure');
  }

  async announce(routes: readonly RouteText[]): Promise<void> {
    this.#routes = routes;
    if (this.#setup !== undefined) await this.change(this.#setup);
  }

  protected sessions(): string {
    const lines = this.#birdc('show protocols').split('\n');
    return lines.filter((l) => l.includes(' BGP ')).join('\n');
  }

  isUp(peer: string): boolean {
    return this.#birdc(`show protocols ${protocolOf(peer)}`).includes('Established');
  }

  heard(peer: string, family: 4 | 6): readonly RouteText[] {
    const text = this.#birdc(`show route table master${family} protocol ${protocolOf(peer)} all`);
    return readBirdRoutes(text);
  }

  count(peer: string, family: 4 | 6): number {
    const text = this.#birdc(`show route table master${family} protocol ${protocolOf(peer)} count`);
    return Number(/(\d+) of \d+ routes/.exec(text)?.[1] ?? 0);
  }

  askAgain(peer: string): void {
    this.#birdc(`reload in ${protocolOf(peer)}`);
  }

  get #socket(): string {
    return `${this.place.network.directory}/${this.host}-daemon.ctl`;
  }

  #birdc(command: string): string {
    const { network, host } = this.place;
    return network.exec(host, 'birdc', '-s', this.#socket, ...command.split(' '));
  }

  #write(): string {
    const setup = this.#setup;
    if (setup === undefined) throw new Error('not started');
    const { network, host } = this.place;
    const statics = (family: 4 | 6): string => {
      const list = this.#routes.filter((r) => familyOfText(r.prefix) === family);
      return `protocol static own${family} { ipv${family}; ${list.map(staticRoute).join('\n')} }`;
    };
    return network.file(
      `${host}-bird.conf`,
      `log stderr all;
router id ${setup.address};
protocol device { scan time 1; }
protocol direct { ipv4; ipv6; }
protocol kernel { metric 64; merge paths on; ipv4 { export where source = RTS_BGP && !(net ~ 100.64.0.0/10); }; }
protocol kernel { metric 64; merge paths on; ipv6 { export where source = RTS_BGP; }; }
${statics(4)}
${statics(6)}
${setup.sessions.map((s) => session(setup, s)).join('\n')}
`,
    );
  }
}

function staticRoute(r: RouteText): string {
  const path = r.asPath === '' ? [] : r.asPath.split(' ').toReversed();
  const lines = [
    `bgp_origin = ${origins[r.origin]};`,
    ...path.map((as) => `bgp_path.prepend(${as});`),
    ...(r.med === undefined ? [] : [`bgp_med = ${r.med};`]),
    ...(r.localPref === undefined ? [] : [`bgp_local_pref = ${r.localPref};`]),
    ...r.communities.map((c) => `bgp_community.add((${c.replace(':', ',')}));`),
    ...r.large.map((c) => `bgp_large_community.add((${c.replaceAll(':', ',')}));`),
    ...(r.nextHop === undefined ? [] : [`bgp_next_hop = ${r.nextHop};`]),
  ];
  return `route ${r.prefix} blackhole { ${lines.join(' ')} };`;
}

function session(setup: RouterSetup, s: SessionSetup): string {
  const own = s.localAddress ?? (s.address.includes(':') ? setup.address6 : setup.address);
  const restart =
    s.restartTimeS === undefined
      ? 'graceful restart off;'
      : `graceful restart on; graceful restart time ${s.restartTimeS};`;
  const longLived =
    s.longLivedStaleTimeS === undefined
      ? ''
      : `long lived graceful restart on; long lived stale time ${s.longLivedStaleTimeS};`;
  const channel = (family: 4 | 6): string => {
    const refused = (s.refuses ?? []).filter((p) => familyOfText(p) === family);
    const taken = refused.length === 0 ? 'import all;' : `import where !(net ~ [ ${refused.join(', ')} ]);`;
    return `ipv${family} { ${taken} export where source ~ [ RTS_STATIC, RTS_BGP ];
      ${s.nextHopSelf === true ? 'next hop self;' : ''} ${s.addPath === true ? 'add paths on;' : ''} };`;
  };
  return `protocol bgp ${protocolOf(s.address)} {
  local ${own} as ${setup.as};
  neighbor ${s.address} as ${s.as};
  ${s.passive === true ? 'passive on;' : ''}
  ${s.password === undefined ? '' : `password "${s.password}";`}
  ${s.ttlHops === undefined ? '' : 'ttl security on;'} ${(s.ttlHops ?? 1) > 1 ? `multihop ${s.ttlHops};` : ''}
  ${s.twoOctetAs === true ? 'enable as4 off;' : ''}
  ${s.holdTimeS === undefined ? '' : `hold time ${s.holdTimeS};`}
  ${s.client === true ? 'rr client;' : ''} ${setup.clusterId === undefined ? '' : `rr cluster id ${setup.clusterId};`}
  ${s.allowOwnAs === undefined ? '' : `allow local as ${s.allowOwnAs};`}
  ${restart} ${longLived}
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ${s.families.map(channel).join('\n  ')}
}`;
}

/** Every path of a `show route all`. */
export function readBirdRoutes(text: string): RouteText[] {
  const routes: RouteText[] = [];
  let prefix = '';
  let fields: Map<string, string> | undefined;
  const end = (): void => {
    if (fields !== undefined) routes.push(routeOf(prefix, fields));
    fields = undefined;
  };
  for (const line of text.split('\n')) {
    const head = /^(\S+\/\d+)?\s+(?:unicast|blackhole|unreachable) \[/.exec(line);
    if (head !== null) {
      end();
      prefix = head[1] ?? prefix;
      fields = new Map();
    }
    const field = /^\s+(BGP\.\w+): ?(.*)$/.exec(line);
    if (field !== null) fields?.set(field[1] ?? '', (field[2] ?? '').trim());
  }
  end();
  return routes;
}

function routeOf(prefix: string, fields: ReadonlyMap<string, string>): RouteText {
  const groups = (name: string): string[] =>
    [...(fields.get(name) ?? '').matchAll(/\(([^)]*)\)/g)].map((m) =>
      (m[1] ?? '').replaceAll(/[,\s]+/g, ':'),
    );
  const number = (name: string): number | undefined =>
    fields.has(name) ? Number(fields.get(name)) : undefined;
  const [nextHop, linkLocal] = (fields.get('BGP.next_hop') ?? '').split(' ');
  const med = number('BGP.med');
  const localPref = number('BGP.local_pref');
  const originatorId = fields.get('BGP.originator_id');
  const clusterList = fields.get('BGP.cluster_list');
  return {
    prefix: whole(prefix),
    ...(nextHop ? { nextHop } : {}),
    ...(linkLocal ? { linkLocal } : {}),
    asPath: (fields.get('BGP.as_path') ?? '').replace(
      /\{ ?([^}]*?) ?\}/g,
      (_, s: string) => `{${s.replaceAll(' ', ',')}}`,
    ),
    origin: (fields.get('BGP.origin') ?? 'Incomplete').toLowerCase() as RouteText['origin'],
    ...(med === undefined ? {} : { med }),
    ...(localPref === undefined ? {} : { localPref }),
    communities: sorted(groups('BGP.community')),
    large: sorted(groups('BGP.large_community')),
    ...(originatorId === undefined ? {} : { originatorId }),
    ...(clusterList === undefined ? {} : { clusterList: clusterList.split(' ') }),
  };
}
