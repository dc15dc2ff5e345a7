// Who asks, for what, and what the rules say.

export type User = {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
};

/** What a request does, as roles speak of it. */
export type ResourceAttributes = {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  /** Empty: cluster-wide. */
  readonly namespace: string;
  /** Empty: every object, or one that has no name yet. */
  readonly name: string;
};
export type PathAttributes = { readonly verb: string; readonly path: string };
export type Attributes = ResourceAttributes | PathAttributes;

export const isPath = (attributes: Attributes): attributes is PathAttributes => 'path' in attributes;

/** One rule of a Role or ClusterRole. */
export type PolicyRule = {
  readonly verbs: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
};

export type Decision = { readonly allowed: boolean; readonly reason: string };

export const masters = 'system:masters';
export const authenticated = 'system:authenticated';
export const unauthenticated = 'system:unauthenticated';

export const anonymous: User = { name: 'system:anonymous', groups: [unauthenticated] };
/** Whoever reaches a server without TLS and shows no token. */
export const trusted: User = { name: 'admin', groups: [masters, authenticated] };
