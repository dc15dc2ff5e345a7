// What BIRD prints about itself, read back: `show status`, `show protocols all` and `show route all` become the data that
// the introspection socket gives for the native engine too.
import { parseAddress, type Address, type Family } from '../../lib/ip/mod.ts';
import type { DownReason, NegotiatedSession, StateName } from '../fsm/mod.ts';
import type { RouteView } from '../speaker/mod.ts';
import type { ReplyLine } from './control-client.ts';

export type BirdProtocol = {
  readonly name: string;
  readonly proto: string;
  readonly state: string;
  /** As printed: a time of the last hours, or a date. */
  readonly since: string;
  readonly info: string;
  /** Indented lines below it, without the indentation of the block. */
  readonly details: readonly string[];
};

export type BirdSession = {
  readonly name: string;
  readonly state: StateName;
  readonly passive: boolean;
  readonly since: string;
  readonly reason: DownReason | undefined;
  readonly reasonText: string | undefined;
  readonly session: NegotiatedSession | undefined;
  readonly imported: number;
  readonly filtered: number;
  readonly exported: number;
  readonly preferred: number;
  readonly received: number;
};

export type BirdVersion = {
  readonly version: string;
  readonly routerId: string | undefined;
  readonly rebootedAt: string | undefined;
};

export function readStatus(lines: readonly ReplyLine[]): BirdVersion {
  const text = lines.map((l) => l.text).join('\n');
  return {
    version: /^BIRD (\S+)/m.exec(text)?.[1] ?? '',
    routerId: /Router ID is (\S+)/.exec(text)?.[1],
    rebootedAt: /Last reboot on (.+)/.exec(text)?.[1],
  };
}

/** Reply of `show protocols` or `show protocols all`. */
export function readProtocols(lines: readonly ReplyLine[]): readonly BirdProtocol[] {
  const protocols: (BirdProtocol & { readonly details: string[] })[] = [];
  for (const { code, text } of lines) {
    if (code === 1002) {
      const match = /^(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+(?: \d\d:\d\d:\d\d(?:\.\d+)?)?)\s*(.*)$/.exec(text);
      if (match === null) continue;
      const [, name = '', proto = '', , state = '', since = '', info = ''] = match;
      protocols.push({ name, proto, state, since, info: info.trim(), details: [] });
    } else if (code === 1006) protocols.at(-1)?.details.push(text.trimEnd());
  }
  return protocols;
}

const states: ReadonlySet<string> = new Set([
  'Idle',
  'Connect',
  'Active',
  'OpenSent',
  'OpenConfirm',
  'Established',
]);

/** undefined for protocols that are no BGP sessions. `now`: for times that BIRD prints without their day. */
export function readSession(protocol: BirdProtocol, now: Date): BirdSession | undefined {
  if (protocol.proto !== 'BGP') return undefined;
  const { details } = protocol;
  const field = (name: string): string | undefined => {
    const line = details.find((l) => l.trimStart().startsWith(`${name}:`));
    return line === undefined ? undefined : line.slice(line.indexOf(':') + 1).trim();
  };
  const word = field('BGP state') ?? protocol.info.split(/\s+/)[0] ?? '';
  const state: StateName = states.has(word)
    ? (word as StateName)
    : word === 'Passive'
      ? 'Active'
      : word === 'Close'
        ? 'Idle'
        : 'Idle';
  const problem = field('Last error');
  const [reason, reasonText] = downReason(word, problem);
  const routes = routeCounts(details);
  const isUp = state === 'Established';
  return {
    name: protocol.name,
    state,
    passive: word === 'Passive',
    since: sinceOf(protocol.since, now),
    reason: isUp ? undefined : reason,
    reasonText: isUp ? undefined : reasonText,
    session: isUp ? negotiated(details, field) : undefined,
    ...routes,
  };
}

function downReason(word: string, problem: string | undefined): [DownReason, string] {
  if (problem === undefined || problem === '') {
    return word === 'Passive'
      ? [{ kind: 'waiting-for-peer' }, 'Passive: waiting for the peer to connect.']
      : [{ kind: 'connecting' }, 'Connecting.'];
  }
  const text = `${problem}.`;
  if (/Connection refused/.test(problem))
    return [{ kind: 'refused' }, 'Connection refused: no BGP speaker listens there.'];
  if (/No route to host|unreachable|Nexthop is/i.test(problem))
    return [{ kind: 'unreachable', detail: problem }, `Unreachable: ${problem}.`];
  if (/timed out/i.test(problem))
    return [{ kind: 'connect-timeout' }, 'No answer to the connection attempt.'];
  if (/Hold timer/i.test(problem))
    return [{ kind: 'closed-by-peer', detail: problem }, `Hold timer expired. ${text}`];
  return [{ kind: 'closed-by-peer', detail: problem }, text];
}

const numberIn = (text: string | undefined, pattern: RegExp): number =>
  Number((text === undefined ? undefined : pattern.exec(text)?.[1]) ?? 0);

function routeCounts(
  details: readonly string[],
): Pick<BirdSession, 'imported' | 'filtered' | 'exported' | 'preferred' | 'received'> {
  const routes = details.find((l) => l.trimStart().startsWith('Routes:'));
  const updates = details.find((l) => l.trimStart().startsWith('Import updates:'));
  const imported = numberIn(routes, /(\d+) imported/);
  const filtered = numberIn(routes, /(\d+) filtered/);
  return {
    imported,
    filtered,
    exported: numberIn(routes, /(\d+) exported/),
    preferred: numberIn(routes, /(\d+) preferred/),
    received: numberIn(updates, /Import updates:\s+(\d+)/),
  };
}

function negotiated(
  details: readonly string[],
  field: (name: string) => string | undefined,
): NegotiatedSession {
  const kind = field('Session') ?? '';
  const hold = Number(field('Hold timer')?.split('/')[1] ?? 0);
  const keepalive = Number(field('Keepalive timer')?.split('/')[1] ?? 0);
  const at = details.findIndex((l) => l.trim() === 'Neighbor capabilities');
  const theirs = details.slice(at + 1);
  const end = theirs.findIndex((l) => l.trim().startsWith('Session:'));
  const offered = at < 0 ? [] : theirs.slice(0, end < 0 ? undefined : end);
  const has = (text: string): boolean => offered.some((l) => l.trim().startsWith(text));
  const families = (['ipv4', 'ipv6'] as const).flatMap((name, i): Family[] =>
    details.some((l) => l.trim() === `Channel ${name}`) ? [i === 0 ? 4 : 6] : [],
  );
  const addPath = (family: 'ipv4' | 'ipv6'): { receive: boolean; send: boolean } => ({
    receive: offered.some((l) => l.trim().startsWith('TX:') && l.includes(family)),
    send: offered.some((l) => l.trim().startsWith('RX:') && l.includes(family)),
  });
  const restart = offered.find((l) => l.trim().startsWith('Restart time:'));
  const preserved = offered.find((l) => l.trim().startsWith('AF preserved:')) ?? '';
  return {
    ebgp: kind.includes('external'),
    localAsn: Number(field('Local AS') ?? 0),
    peerAsn: Number(field('Neighbor AS') ?? 0),
    peerRouterId: routerIdNumber(field('Neighbor ID')),
    holdTimeMs: hold * 1000,
    keepaliveMs: keepalive * 1000,
    families,
    as4: kind.includes('AS4'),
    addPath: { 4: addPath('ipv4'), 6: addPath('ipv6') },
    refresh: has('Route refresh'),
    enhancedRefresh: has('Enhanced refresh'),
    extendedMessage: kind.includes('ext-messages'),
    messageLimit: kind.includes('ext-messages') ? 65535 : 4096,
    ...(restart === undefined
      ? {}
      : {
          gracefulRestart: {
            restarting: offered.some((l) => l.trim() === 'Restart recovery'),
            notification: false,
            restartTimeMs: numberIn(restart, /(\d+)/) * 1000,
            families: families.map((family) => ({
              family,
              forwardingPreserved: preserved.includes(`ipv${family}`),
            })),
            longLived: [],
          },
        }),
    longLivedAware: false,
    peerCapabilities: offered.filter((l) => /^ {6}\S/.test(l)).map((l) => l.trim()),
  };
}

function routerIdNumber(text: string | undefined): number {
  return (text ?? '0.0.0.0').split('.').reduce((sum, part) => ((sum << 8) | Number(part)) >>> 0, 0);
}

/** `13:23:55.863`, `2026-11-20`, `2026-11-20 13:23:55` → RFC 3339. A time later than now is yesterday's. */
function sinceOf(text: string, now: Date): string {
  const clock = /^(\d\d):(\d\d):(\d\d)(?:\.(\d{3}))?$/.exec(text);
  if (clock === null) {
    const date = new Date(text.includes(' ') ? text.replace(' ', 'T') : `${text}T00:00:00`);
    return Number.isNaN(date.getTime()) ? now.toISOString() : date.toISOString();
  }
  const [, hours, minutes, seconds, millis] = clock;
  const date = new Date(now);
  date.setHours(Number(hours), Number(minutes), Number(seconds), Number(millis ?? 0));
  if (date.getTime() > now.getTime() + 1000) date.setDate(date.getDate() - 1);
  return date.toISOString();
}

// ── routes ───────────────────────────────────────────────────────────────────────────────────────────────────────────
const sources: Readonly<Record<string, string>> = {
  static: 'static',
  device: 'direct',
  inherit: 'kernel',
  BGP: 'bgp',
};

/** Reply of `show route all`. Several paths of a prefix follow each other; only the first line of them names it. */
export function readRoutes(lines: readonly ReplyLine[]): readonly RouteView[] {
  type Draft = { prefix: string; first: string; attributes: Map<string, string>; type: string };
  const drafts: Draft[] = [];
  let prefix = '';
  for (const { code, text } of lines) {
    const current = drafts.at(-1);
    if (code === 1007) {
      const head = /^(\S*)\s+(unicast|blackhole|unreachable|prohibited)\s+\[(.*)$/.exec(text);
      if (head === null) {
        const via = /^\tvia (\S+) on/.exec(text);
        if (via !== null && current !== undefined && !current.attributes.has('via'))
          current.attributes.set('via', via[1] ?? '');
        continue;
      }
      if (head[1] !== '') prefix = head[1] ?? '';
      drafts.push({ prefix, first: head[3] ?? '', attributes: new Map(), type: '' });
    } else if (current === undefined) continue;
    else if (code === 1008) current.type = /Type: (\S+)/.exec(text)?.[1] ?? '';
    else if (code === 1012) {
      const at = text.indexOf(':');
      current.attributes.set(text.slice(0, at).trim(), text.slice(at + 1).trim());
    }
  }
  return drafts.map(({ prefix: of, first, attributes, type }): RouteView => {
    const get = (name: string): string | undefined => attributes.get(`BGP.${name}`);
    const nextHop = firstAddress(get('next_hop') ?? attributes.get('via'));
    const communities = [
      ...texts(get('community')).map((c) => c.replace(',', ':')),
      ...texts(get('large_community')).map((c) => c.replaceAll(', ', ':')),
    ];
    const med = get('med');
    const originatorId = get('originator_id');
    const origin = (get('origin') ?? 'IGP').toLowerCase();
    const isFiltered = /\bfiltered\b|\] [*!]? ?\(.*\) \[F\]/.test(first);
    return {
      prefix: of,
      ...(nextHop === undefined ? {} : { nextHop }),
      learnedFrom: first.split(' ')[0] ?? '',
      source: sources[type] ?? type,
      best: /\] \*/.test(first),
      multipath: /\] \*/.test(first),
      stale: /\[.*\bs\b.*\]$/.test(first.slice(first.indexOf(']') + 1)),
      localPref: Number(get('local_pref') ?? 100),
      asPath: get('as_path') ?? '',
      origin: origin === 'igp' || origin === 'egp' ? origin : 'incomplete',
      ...(med === undefined ? {} : { med: Number(med) }),
      ...(communities.length === 0 ? {} : { communities }),
      ...(originatorId === undefined ? {} : { originatorId }),
      ...(isFiltered ? { reason: 'importPolicy' } : {}),
    };
  });
}

/** `(1,2) (3,4)` → `1,2`, `3,4`. */
const texts = (text: string | undefined): string[] =>
  [...(text ?? '').matchAll(/\(([^)]*)\)/g)].map((m) => m[1] ?? '');

function firstAddress(text: string | undefined): Address | undefined {
  const parsed = parseAddress(text?.split(' ')[0] ?? '');
  return parsed.ok ? parsed.value : undefined;
}
