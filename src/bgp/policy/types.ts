// Route policy as data: a straight-line program of rules, each "when all of these match, do that". The same program is
// compiled (compile.ts) for the hot path and interpreted with a trace (explain.ts); a property test holds them equal.
//
// Priority is Calico's word for the kernel metric. On the wire it travels as LOCAL_PREF = 2147483647 - priority, so one
// value carries both: programs speak of priority, routes hold the local preference.
import type { Address, Family, Prefix } from '../../lib/ip/mod.ts';

/** Where a route comes from: originated here, a device's own network, another owner of the kernel's table, a BGP peer. */
export type RouteSource = 'static' | 'direct' | 'kernel' | 'bgp';
export type PeerType = 'ibgp' | 'ebgp';

/** Prefixes inside `prefix` whose length is in [min, max]. The exact prefix alone: min = max = its length. */
export type PrefixPattern = { readonly prefix: Prefix; readonly min: number; readonly max: number };

/** A standard community as `asn:value` (two 16-bit numbers), a large one as `a:b:c` (three 32-bit numbers). */
export type CommunityText = string;

export type PolicyMatch =
  | { readonly match: 'prefix'; readonly any: readonly PrefixPattern[]; readonly not?: true }
  | { readonly match: 'source'; readonly any: readonly RouteSource[]; readonly not?: true }
  /** `*` stands for any text, `?` for one character. A route without an interface never matches. */
  | { readonly match: 'interface'; readonly any: readonly string[]; readonly not?: true }
  | { readonly match: 'community'; readonly value: CommunityText }
  /** The AS path begins with these. */
  | { readonly match: 'asPathPrefix'; readonly path: readonly number[] }
  | { readonly match: 'priority'; readonly is: 'equal' | 'below'; readonly value: number }
  /** The session the program runs for. */
  | { readonly match: 'peerType'; readonly is: PeerType }
  /** The route's BGP next hop lies in one of the prefixes. A route without next hop matches only with `not`. */
  | { readonly match: 'nextHop'; readonly any: readonly Prefix[]; readonly not?: true };

export type PolicyAction =
  | { readonly do: 'accept' | 'reject' }
  | { readonly do: 'setPriority'; readonly value: number }
  | { readonly do: 'addCommunity'; readonly value: CommunityText }
  /** Put in front of the AS path, in this order. */
  | { readonly do: 'prepend'; readonly path: readonly number[] }
  | { readonly do: 'setMed'; readonly value: number }
  /** Rank among sources, the first step of best path: 240 direct, 200 static and overriding, 100 BGP, 10 learned. */
  | { readonly do: 'setPreference'; readonly value: number }
  /** Kernel program only: send through this device, on-link to the BGP next hop. */
  | { readonly do: 'setTunnel'; readonly device: string };

/** All of `when` must match (an empty list always does); then the actions run in order. Without accept or reject the
 *  program goes on with the next rule. */
export type PolicyRule = {
  readonly name: string;
  readonly when: readonly PolicyMatch[];
  readonly actions: readonly PolicyAction[];
};

export type PolicyProgram = {
  readonly name: string;
  readonly rules: readonly PolicyRule[];
  /** The verdict when no rule accepted or rejected. */
  readonly otherwise: Verdict;
};
export type Verdict = 'accept' | 'reject';

/** What a program may look at, apart from the prefix. One object per attribute set, decoded once. */
export type PolicyAttributes = {
  /** undefined = 100, the default of RFC 4271 implementations. */
  readonly localPref?: number | undefined;
  /** AS numbers in order, sets flattened. */
  readonly asPath: readonly number[];
  /** 32-bit values. */
  readonly communities: readonly number[];
  /** `a:b:c` */
  readonly largeCommunities: readonly CommunityText[];
};

/** The route under examination. Mutable on purpose: the table reuses one object for all of its routes. */
export type PolicySubject = {
  family: Family;
  /** The prefix as unsigned 32-bit words, most significant first; IPv4 uses w0. */
  w0: number;
  w1: number;
  w2: number;
  w3: number;
  length: number;
  source: RouteSource;
  interfaceName: string | undefined;
  nextHop: Address | undefined;
  peerType: PeerType | undefined;
  attributes: PolicyAttributes;
};

/** The sum of the actions that ran. The same path through a program always gives the same object (identity), so that
 *  results can be remembered per (attribute set, changes). */
export type PolicyChanges = {
  /** Unique per program and path; 0 = nothing changed. */
  readonly id: number;
  readonly localPref?: number;
  readonly med?: number;
  readonly preference?: number;
  readonly communities: readonly number[];
  readonly largeCommunities: readonly CommunityText[];
  readonly prepend: readonly number[];
  readonly tunnel?: string;
};
export type PolicyOutcome = { readonly verdict: Verdict; readonly changes: PolicyChanges };

export interface CompiledPolicy {
  readonly program: PolicyProgram;
  /** Equal programs have equal hashes: part of the export group key. */
  readonly hash: string;
  run(subject: PolicySubject): PolicyOutcome;
}

export type TraceStep = {
  readonly rule: string;
  /** The first condition that did not hold; undefined when the rule matched. */
  readonly failed?: PolicyMatch;
  readonly actions: readonly PolicyAction[];
};
export type PolicyTrace = PolicyOutcome & {
  readonly program: string;
  readonly steps: readonly TraceStep[];
  /** Name of the rule that decided; undefined when the program's default did. */
  readonly decidedBy?: string;
};
