// A parsed rule: matches and actions in the author's order, names not yet resolved.
import type { Range } from './data-types.ts';
import type { Selector } from './selectors.ts';
import type { Verdict } from './verdicts.ts';

/** `(register & mask) ^ flip`, in network order of the selector's type. */
export type BitOperation = { readonly mask: number; readonly flip: number };

export type Relation = 'implicit' | '==' | '!=' | '<' | '>' | '<=' | '>=';

export type SetReference = { readonly kind: 'named'; readonly name: string };
export type InlineElement = {
  /** One range for every field of the key. */
  readonly key: readonly Range[];
  readonly verdict?: Verdict;
  readonly value?: string;
};
export type InlineSet = { readonly kind: 'inline'; readonly elements: readonly InlineElement[] };

export type Operand =
  | SetReference
  | InlineSet
  | { readonly kind: 'range'; readonly range: Range }
  /** The beginning of an interface name: `cali*`. */
  | { readonly kind: 'wildcard'; readonly prefix: string }
  /** Flags of which at least one is set. */
  | { readonly kind: 'flags'; readonly bits: number }
  /** Of the flags in `mask`, exactly those in `bits` are set. */
  | { readonly kind: 'masked'; readonly bits: number; readonly mask: number };

/** `through`: the first selector's value is looked up in this map, and what the map has for it is part of the key. */
export type Key = {
  readonly selectors: readonly Selector[];
  readonly bits?: BitOperation;
  readonly through?: SetReference;
};

/** Where a value of an action comes from. */
export type ValueSource =
  | { readonly kind: 'constant'; readonly text: string }
  | { readonly kind: 'selector'; readonly key: Key }
  | { readonly kind: 'map'; readonly key: Key; readonly map: SetReference };

export type NatTarget = {
  readonly address?: readonly [string, string];
  readonly port?: readonly [number, number];
  readonly map?: { readonly key: Key; readonly map: SetReference };
  readonly random: boolean;
  readonly fullyRandom: boolean;
  readonly persistent: boolean;
};

export type Statement =
  | { readonly kind: 'match'; readonly key: Key; readonly relation: Relation; readonly operand: Operand }
  | { readonly kind: 'verdict-map'; readonly key: Key; readonly map: SetReference | InlineSet }
  | { readonly kind: 'present'; readonly selector: Selector; readonly exists: boolean }
  | { readonly kind: 'set-mark'; readonly target: 'meta' | 'ct'; readonly value: ValueSource }
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  | { readonly kind: 'counter' }
  | { readonly kind: 'log'; readonly prefix?: string; readonly level?: number; readonly group?: number }
  | {
      readonly kind: 'limit';
      readonly over: boolean;
      readonly rate: number;
      readonly unitSeconds: number;
      readonly burst: number;
    }
  /** Connections that are open at once, counted by this rule. */
  | { readonly kind: 'connections'; readonly over: boolean; readonly count: number }
  | { readonly kind: 'set-dscp'; readonly family: 'ip' | 'ip6'; readonly value: number }
  | { readonly kind: 'masquerade' | 'redirect'; readonly target: NatTarget }
  | { readonly kind: 'snat' | 'dnat'; readonly family?: 'ip' | 'ip6'; readonly target: NatTarget }
  | {
      readonly kind: 'reject';
      readonly how: 'default' | 'tcp-reset' | 'icmp' | 'icmpv6' | 'icmpx';
      readonly code: number;
    }
  | { readonly kind: 'notrack' };
