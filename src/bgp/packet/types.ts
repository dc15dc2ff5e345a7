// What BGP messages mean, as plain data. Bytes are Uint8Array in network order; AS numbers, communities and identifiers
// are unsigned 32-bit numbers; addresses are the canonical strings of lib/ip. Nothing here knows of sessions or tables.
import type { Address, Family, Prefix } from '../../lib/ip/mod.ts';

/** Address family and subsequent address family numbers (IANA) that Margay routes; others stay opaque. */
export const afi = { ipv4: 1, ipv6: 2 } as const;
export const safi = { unicast: 1 } as const;
export type AfiSafi = { readonly afi: number; readonly safi: number };

export const messageType = { open: 1, update: 2, notification: 3, keepalive: 4, routeRefresh: 5 } as const;

export const headerLength = 19;
export const standardMessageLimit = 4096;
export const extendedMessageLimit = 65535;

/** AS number that stands for a four-octet one on a two-octet session (RFC 6793). */
export const asTrans = 23456;

// ── path attributes ──────────────────────────────────────────────────────────────────────────────────────────────────
export const attributeCode = {
  origin: 1,
  asPath: 2,
  nextHop: 3,
  med: 4,
  localPref: 5,
  atomicAggregate: 6,
  aggregator: 7,
  communities: 8,
  originatorId: 9,
  clusterList: 10,
  mpReach: 14,
  mpUnreach: 15,
  extendedCommunities: 16,
  as4Path: 17,
  as4Aggregator: 18,
  largeCommunities: 32,
} as const;

export const attributeFlag = {
  optional: 0x80,
  transitive: 0x40,
  partial: 0x20,
  extendedLength: 0x10,
} as const;

/** Lower is preferred, as in best-path selection. */
export const origin = { igp: 0, egp: 1, incomplete: 2 } as const;
export type Origin = 0 | 1 | 2;

/** Standard communities every speaker acts on (RFC 1997). */
export const wellKnownCommunity = {
  noExport: 0xffffff01,
  noAdvertise: 0xffffff02,
  noExportSubconfed: 0xffffff03,
  /** Its peer is long gone; the last choice (RFC 9494). */
  llgrStale: 0xffff0006,
  /** Not to be kept so long. */
  noLlgr: 0xffff0007,
} as const;

export type AsPathSegment = {
  readonly type: 'sequence' | 'set' | 'confed-sequence' | 'confed-set';
  readonly asns: readonly number[];
};
export type Aggregator = { readonly asn: number; readonly address: Address };
/** Global administrator and the two local parts, each unsigned 32 bits (RFC 8092). */
export type LargeCommunity = readonly [number, number, number];

/** One attribute as on the wire. `flags` is the whole flag octet. */
export type PathAttribute = { readonly flags: number; readonly code: number; readonly value: Uint8Array };

/** The attributes of a path, decoded. Absent means not present in the message; AS numbers are always four-octet. */
export type Attributes = {
  readonly origin: Origin;
  readonly asPath: readonly AsPathSegment[];
  /** From NEXT_HOP or MP_REACH_NLRI; absent only in attributes of a route that is not yet exported. */
  readonly nextHop?: Address;
  /** The second, link-local next hop of an IPv6 MP_REACH_NLRI (RFC 2545). */
  readonly linkLocalNextHop?: Address;
  readonly med?: number;
  readonly localPref?: number;
  readonly atomicAggregate?: true;
  readonly aggregator?: Aggregator;
  /** Unsigned 32-bit values, high half the AS. */
  readonly communities?: readonly number[];
  readonly originatorId?: number;
  /** Nearest cluster first, as on the wire. */
  readonly clusterList?: readonly number[];
  /** Sixteen lower-case hexadecimal digits each. */
  readonly extendedCommunities?: readonly string[];
  readonly largeCommunities?: readonly LargeCommunity[];
  /** Transitive attributes this speaker does not know; passed on with the Partial bit. */
  readonly unknown?: readonly PathAttribute[];
};

// ── routes in messages ───────────────────────────────────────────────────────────────────────────────────────────────
/** A prefix as announced or withdrawn; `pathId` is 0 on sessions without ADD-PATH. */
export type Nlri = { readonly prefix: Prefix; readonly pathId: number };

/** The fast form of an NLRI: four 32-bit words of the address as signed integers (as Int32Array keeps them; IPv4 uses
 *  `word0` only), host bits zero. No object is made per prefix. */
export type NlriVisitor = (
  family: Family,
  word0: number,
  word1: number,
  word2: number,
  word3: number,
  length: number,
  pathId: number,
) => void;

/** Where announced routes stand in an UPDATE: the NLRI field or MP_REACH_NLRI. Each has its own next hop. */
export type UpdatePart = 'body' | 'mp';

// ── decoding ─────────────────────────────────────────────────────────────────────────────────────────────────────────
/** What must be known of the session to read its UPDATEs. */
export type DecodeContext = {
  readonly as4: boolean;
  readonly ebgp: boolean;
  /** The negotiated families; NLRI of others are skipped without an error. */
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** The peer sends path identifiers for the family. */
  readonly addPath4: boolean;
  readonly addPath6: boolean;
  /** IPv4 prefixes may have an IPv6 next hop (RFC 8950). */
  readonly extendedNextHop?: boolean;
};

export type EncodeContext = {
  readonly as4: boolean;
  /** Where the next hop goes: NEXT_HOP; an MP_REACH_NLRI without prefixes, first of all; or nowhere. */
  readonly nextHop: 'attribute' | 'mp-reach' | 'omit';
};

/** Code, subcode and data of a NOTIFICATION. */
export type Notification = { readonly code: number; readonly subcode: number; readonly data: Uint8Array };

/** How bad an attribute's error is (RFC 7606). */
export type ErrorClass = 'discard' | 'withdraw' | 'reset';
export type AttributeProblem = {
  readonly attribute: number;
  readonly class: ErrorClass;
  readonly reason: string;
};

/** An UPDATE in place: ranges over the buffer it came in, which must not be reused while the view is. Walk it with
 *  `forEachWithdrawn`, then `forEachAnnounced`; intern its attributes by `attributeBytes`. */
export type UpdateView = {
  readonly bytes: Uint8Array;
  /** `withdraw`: the routes announced are withdrawn instead. `reset`: close the session with `notification`. */
  verdict: 'ok' | 'withdraw' | 'reset';
  notification: Notification | undefined;
  /** Every error found, also those that cost only an attribute. Undefined when there is none. */
  problems: AttributeProblem[] | undefined;
  /** The family whose End-of-RIB marker this is; 0 otherwise. */
  endOfRib: Family | 0;
  withdrawnStart: number;
  withdrawnEnd: number;
  attributesStart: number;
  attributesEnd: number;
  nlriStart: number;
  nlriEnd: number;
  mpReachFamily: Family | 0;
  mpReachStart: number;
  mpReachEnd: number;
  mpNextHopStart: number;
  mpNextHopEnd: number;
  mpUnreachFamily: Family | 0;
  mpUnreachStart: number;
  mpUnreachEnd: number;
  readonly addPath4: boolean;
  readonly addPath6: boolean;
  readonly as4: boolean;
  /** Offsets of the attributes that `attributeBytes` leaves out. */
  discarded: number[] | undefined;
  /** The attribute block cannot be handed on as it is: something is rewritten or left out. */
  rewrite: boolean;
  /** MP_REACH or MP_UNREACH of a family that is not routed: kept as bytes. */
  opaque: readonly OpaqueNlri[] | undefined;
};

export type OpaqueNlri = {
  readonly attribute: number;
  readonly afi: number;
  readonly safi: number;
  readonly value: Uint8Array;
};

// ── OPEN and the small messages ──────────────────────────────────────────────────────────────────────────────────────
export type AddPathMode = 'receive' | 'send' | 'both';
export type GracefulRestartFamily = AfiSafi & { readonly forwardingPreserved: boolean };
export type LongLivedFamily = GracefulRestartFamily & { readonly staleTimeS: number };

export type Capability =
  | { readonly type: 'multiprotocol'; readonly afi: number; readonly safi: number }
  | { readonly type: 'route-refresh' }
  | { readonly type: 'enhanced-route-refresh' }
  | { readonly type: 'extended-message' }
  | { readonly type: 'four-octet-as'; readonly asn: number }
  | {
      readonly type: 'graceful-restart';
      /** R bit: the sender has just restarted and waits for End-of-RIB. */
      readonly restarting: boolean;
      /** N bit (RFC 8538): NOTIFICATION and hold time are treated as graceful too. */
      readonly notification: boolean;
      readonly restartTimeS: number;
      readonly families: readonly GracefulRestartFamily[];
    }
  /** RFC 9494. Without families: the sender keeps what others ask for, and asks for nothing. */
  | { readonly type: 'long-lived-graceful-restart'; readonly families: readonly LongLivedFamily[] }
  | { readonly type: 'add-path'; readonly families: readonly (AfiSafi & { readonly mode: AddPathMode })[] }
  /** Not known to this speaker, or malformed in a way that does not matter: kept as bytes. */
  | { readonly type: 'unknown'; readonly code: number; readonly value: Uint8Array };

export type OpenMessage = {
  readonly version: number;
  /** The two-octet field; the AS of the peer is `openAsn(open)`. */
  readonly asn: number;
  readonly holdTimeS: number;
  /** Unsigned 32 bits. */
  readonly routerId: number;
  readonly capabilities: readonly Capability[];
};

export type RouteRefresh = AfiSafi & {
  /** Begin and end of a refresh are RFC 7313. */
  readonly subtype: 'request' | 'begin' | 'end' | 'unknown';
};

export type Message =
  | { readonly type: 'open'; readonly open: OpenMessage }
  | { readonly type: 'keepalive' }
  | { readonly type: 'notification'; readonly notification: Notification }
  | { readonly type: 'route-refresh'; readonly refresh: RouteRefresh };
