// One face for the BGP daemons of the interop matrix: what a daemon is told, what it announces, what it has heard. What one
// of them cannot do is data, and stands in docs/bgp-interop.md.
import type { Network } from '../network.ts';

export const routerNames = ['BIRD', 'FRR', 'GoBGP', 'ExaBGP'] as const;
export type RouterName = (typeof routerNames)[number];

export type SessionSetup = {
  readonly address: string;
  readonly as: number;
  /** Where it is not the router's own address. */
  readonly localAddress?: string;
  readonly families: readonly (4 | 6)[];
  /** Waits for the other side to dial. */
  readonly passive?: boolean;
  readonly addPath?: boolean;
  readonly password?: string;
  /** TTL security: how many hops the other side may be away. */
  readonly ttlHops?: number;
  readonly twoOctetAs?: boolean;
  /** Graceful restart is offered with this time. */
  readonly restartTimeS?: number;
  /** Long-lived stale time (RFC 9494). */
  readonly longLivedStaleTimeS?: number;
  readonly holdTimeS?: number;
  readonly client?: boolean;
  readonly nextHopSelf?: boolean;
  readonly allowOwnAs?: number;
  /** Prefixes that are not taken from it. */
  readonly refuses?: readonly string[];
};

export type RouterSetup = {
  readonly as: number;
  /** IPv4; it is the router id too. */
  readonly address: string;
  readonly address6?: string;
  readonly clusterId?: string;
  readonly sessions: readonly SessionSetup[];
};

/** A route with its attributes, as text that compares: what is announced, and what is heard. */
export type RouteText = {
  readonly prefix: string;
  readonly nextHop?: string;
  readonly linkLocal?: string;
  /** AS numbers with blanks between them, a set in braces. */
  readonly asPath: string;
  readonly origin: 'igp' | 'egp' | 'incomplete';
  readonly med?: number;
  readonly localPref?: number;
  /** `65001:7`, sorted. */
  readonly communities: readonly string[];
  /** `1:2:3`, sorted. */
  readonly large: readonly string[];
  readonly originatorId?: string;
  readonly clusterList?: readonly string[];
};

/** What only some daemons do. */
export type Skill =
  | 'two-octet-as'
  | 'table'
  | 'relays'
  | 'kernel'
  | 'graceful-restart'
  | 'long-lived'
  | 'asks-refresh'
  | 'link-local'
  | 'ttl'
  | 'reflects'
  | 'hold-zero'
  | 'large-table';

export interface Router {
  readonly name: RouterName;
  readonly host: string;
  /** What it cannot do, and why; the docs have the same words. */
  readonly cannot: Readonly<Partial<Record<Skill, string>>>;
  /** `recovering`: after a kill, it says that it went on forwarding. */
  start(setup: RouterSetup, options?: { readonly recovering?: boolean }): Promise<void>;
  /** Other passwords, refusals or announcements, while it runs. */
  change(setup: RouterSetup): Promise<void>;
  /** Makes what it announces itself equal to this. */
  announce(routes: readonly RouteText[]): Promise<void>;
  isUp(peer: string): Promise<boolean> | boolean;
  /** What the peer has told it, every path. */
  heard(peer: string, family: 4 | 6): Promise<readonly RouteText[]> | readonly RouteText[];
  /** How many routes the peer has told it. */
  count(peer: string, family: 4 | 6): Promise<number> | number;
  /** Asks the peer to send its routes again. */
  askAgain(peer: string): void;
  /** kill -9, awaited. */
  kill(): Promise<void>;
  /** SIGSTOP and SIGCONT. */
  pause(): void;
  resume(): void;
}

export type RouterPlace = { readonly network: Network; readonly host: string };

export const sorted = (list: readonly string[]): string[] =>
  list.toSorted((a, b) => {
    const x = a.split(':').map(Number);
    const y = b.split(':').map(Number);
    for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) return (x[i] ?? 0) - (y[i] ?? 0);
    return 0;
  });

/** The canonical text of a prefix: some programs leave the length of a host route out. */
export const whole = (prefix: string): string =>
  prefix.includes('/') ? prefix : `${prefix}/${prefix.includes(':') ? 128 : 32}`;

export const familyOfText = (prefix: string): 4 | 6 => (prefix.includes(':') ? 6 : 4);
