// The native speaker in BIRD's words: what `show status`, `show protocols` and `show route` print, line by line as BIRD 2
// does, so that birdc and whatever parses it (Calico's own node status among them) goes on working. Pure.
import {
  addressBits,
  familyOf,
  parseAddress,
  parsePrefix,
  prefixFamily,
  type Family,
  type Prefix,
} from '../../lib/ip/mod.ts';
import { formatAsPath, type Attributes } from '../packet/mod.ts';
import { formatCommunity } from '../policy/mod.ts';
import type { PathView } from '../rib/mod.ts';
import type { PeerStatus, SpeakerStatus } from '../speaker/mod.ts';

/** A line of a reply: without a code it belongs to the line before. */
export type Line = { readonly code?: number; readonly text: string };

const dayMs = 24 * 3600_000;
const two = (n: number): string => String(n).padStart(2, '0');
const dateOf = (d: Date): string => `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
const clockOf = (d: Date): string =>
  `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, '0')}`;

/** Times of the last twenty hours, dates of earlier ones. */
export function shortTime(at: Date, now: Date): string {
  return now.getTime() - at.getTime() < (dayMs * 20) / 24 ? clockOf(at) : dateOf(at);
}
const longTime = (d: Date): string => `${dateOf(d)} ${clockOf(d)}`;

export const version = 'BIRD 2.0.12';

export function statusLines(status: SpeakerStatus, hostname: string, now: Date): Line[] {
  const lines: Line[] = [
    { code: 1000, text: `${version} (margay)` },
    { code: 1011, text: `Router ID is ${status.routerId}` },
    { text: `Hostname is ${hostname}` },
    { text: `Current server time is ${longTime(now)}` },
    { text: `Last reboot on ${longTime(new Date(status.startedAt))}` },
    { text: `Last reconfiguration on ${longTime(new Date(status.configuredAt))}` },
  ];
  if (status.recovery === 'deferring')
    lines.push({ code: 24, text: 'Graceful restart recovery in progress' });
  return [...lines, { code: 13, text: 'Daemon is up and running' }];
}

// ── protocols ────────────────────────────────────────────────────────────────────────────────────────────────────────
const row = (
  name: string,
  proto: string,
  table: string,
  state: string,
  since: string,
  info: string,
): string =>
  `${name.padEnd(10)} ${proto.padEnd(10)} ${table.padEnd(10)} ${state.padEnd(6)} ${since.padEnd(12)}  ${info}`;

/** What every BIRD of a node has beside its sessions. */
const standing = [
  ['static1', 'Static', 'master4'],
  ['kernel1', 'Kernel', 'master4'],
  ['device1', 'Device', '---'],
  ['direct1', 'Direct', '---'],
] as const;

export function protocolLines(
  peers: readonly PeerStatus[],
  options: {
    readonly all: boolean;
    readonly name: string | undefined;
    readonly startedAt: Date;
    readonly now: Date;
  },
): Line[] {
  const { all, name, startedAt, now } = options;
  const matches = patternOf(name);
  const lines: Line[] = [{ code: 2002, text: row('Name', 'Proto', 'Table', 'State', 'Since', 'Info') }];
  for (const [own, proto, table] of standing) {
    if (!matches(own)) continue;
    lines.push({ code: 1002, text: row(own, proto, table, 'up', shortTime(startedAt, now), '') });
    if (all) lines.push({ code: 1006, text: '' });
  }
  for (const peer of peers) {
    if (!matches(peer.name)) continue;
    const isUp = peer.state === 'Established';
    const state = isUp ? 'up' : peer.state === 'Idle' ? 'down' : 'start';
    const shown = birdState(peer);
    const problem = problemOf(peer);
    const since = shortTime(new Date(peer.since), now);
    const info = problem === undefined ? shown.padEnd(14) : `${shown.padEnd(14)}${problem}`;
    lines.push({ code: 1002, text: row(peer.name, 'BGP', '---', state, since, info) });
    if (all)
      lines.push({ code: 1006, text: `  BGP state:          ${shown}` }, ...details(peer), { text: '' });
  }
  if (name !== undefined && lines.length === 1) return [{ code: 8003, text: 'No protocols match' }];
  return [...lines, { code: 0, text: '' }];
}

/** `"Mesh_*"` with or without its quotes. */
function patternOf(name: string | undefined): (candidate: string) => boolean {
  if (name === undefined) return () => true;
  const bare = name.replace(/^"(.*)"$/, '$1');
  const body = bare
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  const expression = new RegExp(`^${body}$`);
  return (candidate) => expression.test(candidate);
}

const birdState = (peer: PeerStatus): string =>
  peer.passive && (peer.state === 'Active' || peer.state === 'Idle') ? 'Passive' : peer.state;

function problemOf({ reason, reasonText }: PeerStatus): string | undefined {
  switch (reason?.kind) {
    case undefined:
    case 'waiting-for-peer':
    case 'connecting':
    case 'not-started':
      return undefined;
    case 'refused':
      return 'Socket: Connection refused';
    case 'unreachable':
      return 'Socket: No route to host';
    case 'connect-timeout':
      return 'Socket: Connection timed out';
    default:
      return reasonText?.replace(/\.$/, '');
  }
}

function details(peer: PeerStatus): Line[] {
  const { session } = peer;
  const texts = [
    `    Neighbor address: ${peer.address}`,
    `    Neighbor AS:      ${peer.as ?? 0}`,
    `    Local AS:         ${peer.localAs}`,
  ];
  if (session === undefined) {
    const problem = problemOf(peer);
    if (problem !== undefined) texts.push(`    Last error:       ${problem}`);
  } else {
    const kind = [
      session.ebgp ? 'external' : 'internal',
      'multihop',
      ...(session.as4 ? ['AS4'] : []),
      ...(session.extendedMessage ? ['ext-messages'] : []),
    ].join(' ');
    texts.push(
      `    Neighbor ID:      ${[24, 16, 8, 0].map((s) => (session.peerRouterId >>> s) & 255).join('.')}`,
      '    Neighbor capabilities',
      ...session.peerCapabilities.map((c) => `      ${c}`),
      `    Session:          ${kind}`,
      `    Hold timer:       ${session.holdTimeMs / 1000}/${session.holdTimeMs / 1000}`,
      `    Keepalive timer:  ${session.keepaliveMs / 1000}/${session.keepaliveMs / 1000}`,
    );
  }
  const families = session?.families ?? [familyOf(peer.address)];
  const { routes } = peer;
  for (const family of families)
    texts.push(
      `  Channel ipv${family}`,
      `    State:          ${session === undefined ? 'DOWN' : 'UP'}`,
      `    Table:          master${family}`,
      '    Preference:     100',
      `    Routes:         ${routes.accepted} imported, ${routes.received - routes.accepted} filtered, ${routes.announced} exported, ${routes.best} preferred`,
    );
  return texts.map((text) => ({ text }));
}

// ── routes ───────────────────────────────────────────────────────────────────────────────────────────────────────────
export type RouteQuestion = {
  readonly all: boolean;
  readonly count: boolean;
  readonly primary: boolean;
  /** Exactly this. */
  readonly prefix?: Prefix;
  /** What would be used for this. */
  readonly for?: Prefix;
  readonly family?: Family;
  /** Learned from. */
  readonly protocol?: string;
  /** Told to. */
  readonly export?: string;
};

/** Words behind `show route`; undefined with the first word that says nothing to us. */
export function parseRouteQuestion(
  words: readonly string[],
): { readonly question: RouteQuestion } | { readonly unexpected: string } {
  const question: { -readonly [K in keyof RouteQuestion]: RouteQuestion[K] } = {
    all: false,
    count: false,
    primary: false,
  };
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    const next = words[i + 1] ?? '';
    if (word === 'all' || word === 'count' || word === 'primary') question[word] = true;
    else if (word === 'protocol' || word === 'export') {
      question[word] = next;
      i++;
    } else if (word === 'table') {
      if (next === 'master4' || next === 'master6') question.family = next === 'master4' ? 4 : 6;
      else if (next !== 'all') return { unexpected: next };
      i++;
    } else if (word === 'for') {
      const wanted = prefixOrHost(next);
      if (wanted === undefined) return { unexpected: next };
      question.for = wanted;
      i++;
    } else {
      const prefix = prefixOrHost(word);
      if (prefix === undefined) return { unexpected: word };
      question.prefix = prefix;
    }
  }
  return { question };
}

function prefixOrHost(text: string): Prefix | undefined {
  const host = parseAddress(text);
  const parsed = parsePrefix(host.ok ? `${host.value}/${addressBits(familyOf(host.value))}` : text);
  return parsed.ok ? parsed.value : undefined;
}

/** A path as it is printed: of the table, or as a peer is told. */
export type ShownRoute = Pick<PathView, 'prefix' | 'source' | 'attributes' | 'best' | 'preference'> & {
  readonly protocol: string;
  readonly since: Date;
  readonly from: string | undefined;
  readonly nextHop: string | undefined;
  readonly interfaceName: string | undefined;
  readonly localPref: number | undefined;
  readonly metric: number | undefined;
  readonly reachable: boolean;
};

const typeNames = { bgp: 'BGP', static: 'static', direct: 'device', kernel: 'inherit' } as const;
const originNames = ['IGP', 'EGP', 'Incomplete'] as const;

export function routeLines(routes: readonly ShownRoute[], question: RouteQuestion, now: Date): Line[] {
  const lines: Line[] = [];
  for (const family of question.family === undefined ? ([4, 6] as const) : [question.family]) {
    const own = routes.filter((r) => prefixFamily(r.prefix) === family);
    if (own.length === 0) continue;
    lines.push({ code: 1007, text: `Table master${family}:` });
    let last = '';
    for (const route of own) {
      lines.push(...oneRoute(route, route.prefix === last ? '' : route.prefix, question.all, now));
      last = route.prefix;
    }
  }
  if (lines.length === 0 && (question.prefix ?? question.for) !== undefined)
    return [{ code: 8001, text: 'Network not found' }];
  return [...lines, { code: 0, text: '' }];
}

export function countLines(routes: readonly ShownRoute[], total: number): Line[] {
  const networks = new Set(routes.map((r) => r.prefix)).size;
  return [{ code: 14, text: `${routes.length} of ${total} routes for ${networks} networks` }];
}

function oneRoute(route: ShownRoute, prefix: string, all: boolean, now: Date): Line[] {
  const { attributes, source } = route;
  const isBgp = source === 'bgp';
  const dest = source === 'static' ? 'blackhole' : route.reachable ? 'unicast' : 'unreachable';
  const path = attributes.asPath.flatMap((s) => s.asns);
  const last = path.at(-1);
  const marks = isBgp ? ` [${last === undefined ? '' : `AS${last}`}${'ie?'[attributes.origin]}]` : '';
  const from = route.from === undefined ? '' : ` from ${route.from}`;
  const lines: Line[] = [
    {
      code: 1007,
      text: `${prefix.padEnd(20)} ${dest} [${route.protocol} ${shortTime(route.since, now)}${from}]${route.best ? ' *' : ''} (${route.preference})${marks}`,
    },
  ];
  const device = route.interfaceName ?? '';
  if (dest === 'unicast' && (route.nextHop !== undefined || device !== ''))
    lines.push({
      text:
        route.nextHop === undefined
          ? `\tdev ${device}`
          : `\tvia ${route.nextHop}${device === '' ? '' : ` on ${device}`}`,
    });
  if (!all) return lines;
  lines.push({ code: 1008, text: `\tType: ${typeNames[source]} univ` });
  const texts = isBgp
    ? bgpAttributes(attributes, route)
    : route.metric === undefined
      ? []
      : [`Kernel.metric: ${route.metric}`];
  texts.forEach((text, i) => lines.push(i === 0 ? { code: 1012, text: `\t${text}` } : { text: `\t${text}` }));
  return lines;
}

function bgpAttributes(a: Attributes, route: ShownRoute): string[] {
  const id = (n: number): string => [24, 16, 8, 0].map((s) => (n >>> s) & 255).join('.');
  return [
    `BGP.origin: ${originNames[a.origin]}`,
    `BGP.as_path: ${formatAsPath(a.asPath)}`,
    ...(route.nextHop === undefined ? [] : [`BGP.next_hop: ${route.nextHop}`]),
    ...(a.med === undefined ? [] : [`BGP.med: ${a.med}`]),
    ...(route.localPref === undefined ? [] : [`BGP.local_pref: ${route.localPref}`]),
    ...(a.atomicAggregate === undefined ? [] : ['BGP.atomic_aggr: ']),
    ...(a.communities === undefined || a.communities.length === 0
      ? []
      : [
          `BGP.community: ${a.communities.map((c) => `(${formatCommunity(c).replace(':', ',')})`).join(' ')}`,
        ]),
    ...(a.originatorId === undefined ? [] : [`BGP.originator_id: ${id(a.originatorId)}`]),
    ...(a.clusterList === undefined || a.clusterList.length === 0
      ? []
      : [`BGP.cluster_list: ${a.clusterList.map(id).join(' ')}`]),
    ...(a.largeCommunities === undefined || a.largeCommunities.length === 0
      ? []
      : [`BGP.large_community: ${a.largeCommunities.map((c) => `(${c.join(', ')})`).join(' ')}`]),
  ];
}
