// Which policies and profiles this node enforces, and for which of its endpoints in which order. Policies that select no
// local endpoint are kept as their resource and their selector, and compiled when they are wanted (RS-115).
import type { Profile } from '../../../model/mod.ts';
import {
  allowProfile,
  comparePolicies,
  compareTiers,
  compilePolicy,
  compileProfile,
  missingProfile,
  standardTiers,
  type CompiledPolicy,
  type CompiledProfile,
  type CompiledTier,
  type Direction,
  type PolicyId,
  type PolicyResource,
  type SetDefinition,
  type SetId,
  type Stage,
} from '../../../policy/mod.ts';
import { LabelIndex, type LabelIndexWork, type Labels } from '../../../selector/mod.ts';
import type { EndpointPolicy, PolicyChange, TierOrder } from './types.ts';

/** An endpoint of this node, as far as its own resource says. */
export type LocalEndpoint = {
  readonly labels: Labels;
  readonly described: Omit<EndpointPolicy, Stage>;
};

/** Counts the users of sets. */
export type SetUse = { use(set: SetDefinition): void; release(id: SetId): void };

/** What of a policy matters before it is enforced. */
type Known = {
  readonly resource: PolicyResource;
  readonly place: Pick<CompiledPolicy, 'tier' | 'order' | 'directions' | 'place' | 'applyOnForward' | 'id'>;
  readonly selector: string;
  readonly isAlwaysActive: boolean;
  /** Until the next flush, of a policy that is wanted. */
  compiled: CompiledPolicy | undefined;
};

export class Enforcement {
  readonly #sets: SetUse;
  readonly #policies = new Map<string, Known>();
  readonly #profiles = new Map<string, Profile>();
  readonly #tiers = new Map<string, CompiledTier>();
  readonly #endpoints = new Map<string, LocalEndpoint>();
  readonly #profileUsers = new Map<string, number>();
  readonly #index = new LabelIndex<string, string>((policy, endpoint) => {
    this.#dirtyPolicies.add(policy);
    this.#dirtyEndpoints.add(endpoint);
  });
  readonly #dirtyPolicies = new Set<string>();
  /** Of what was handed out: policies of which only the users became others need no second look. */
  readonly #enforced = new Map<string, PolicyResource>();
  readonly #dirtyProfiles = new Set<string>();
  readonly #dirtyEndpoints = new Set<string>();
  /** What was handed out. */
  readonly policies = new Map<string, CompiledPolicy>();
  readonly profiles = new Map<string, CompiledProfile>();
  readonly endpoints = new Map<string, EndpointPolicy>();

  constructor(sets: SetUse) {
    this.#sets = sets;
    for (const tier of standardTiers) this.#tiers.set(tier.name, tier);
  }

  /** Beside those of every cluster, which are always there. */
  get tierCount(): number {
    return this.#tiers.size - standardTiers.length;
  }

  get indexWork(): LabelIndexWork {
    return this.#index.work;
  }

  get policyCount(): number {
    return this.#policies.size;
  }

  /** Undefined: gone. A staged policy is enforced by nobody. */
  setPolicy(key: string, resource: PolicyResource | undefined): void {
    const before = this.#policies.get(key);
    const compiled = resource === undefined ? undefined : compilePolicy(resource);
    this.#dirtyPolicies.add(key);
    if (resource === undefined || compiled === undefined || compiled.staged !== undefined) {
      if (before === undefined) return;
      this.#touchEndpointsOf(key);
      this.#index.deleteSelector(key);
      this.#policies.delete(key);
      return;
    }
    const { id, tier, order, directions, place, applyOnForward } = compiled;
    const hints = 'performanceHints' in resource.spec ? resource.spec.performanceHints : undefined;
    const known: Known = {
      resource,
      place: { id, tier, order, directions, place, applyOnForward },
      selector: compiled.selector.text,
      isAlwaysActive: hints?.includes('AssumeNeededOnEveryNode') === true,
      compiled: undefined,
    };
    this.#policies.set(key, known);
    // Other rules are nothing to those whom it selects.
    const isMoved = before !== undefined && !sameText(before.place, known.place);
    if (before?.selector !== known.selector) {
      if (before !== undefined) {
        this.#touchEndpointsOf(key);
        this.#index.deleteSelector(key);
      }
      this.#index.setSelector(key, compiled.selector);
    }
    if (isMoved) this.#touchEndpointsOf(key);
    if (this.#index.hasMatches(key)) known.compiled = compiled;
  }

  setTier(name: string, tier: CompiledTier | undefined): void {
    const standard = standardTiers.find((each) => each.name === name);
    const now = tier ?? standard;
    if (JSON.stringify(now) === JSON.stringify(this.#tiers.get(name))) return;
    if (now === undefined) this.#tiers.delete(name);
    else this.#tiers.set(name, now);
    for (const key of this.#endpoints.keys())
      for (const policy of this.#index.selectorsOf(key))
        if (this.#policies.get(policy)?.place.tier === name) {
          this.#dirtyEndpoints.add(key);
          break;
        }
  }

  setProfile(name: string, profile: Profile | undefined): void {
    if (profile === undefined) this.#profiles.delete(name);
    else this.#profiles.set(name, profile);
    this.#index.setParent(name, profile === undefined ? undefined : profileLabels(profile));
    this.#dirtyProfiles.add(name);
  }

  setEndpoint(key: string, endpoint: LocalEndpoint | undefined): void {
    const before = this.#endpoints.get(key);
    if (before === undefined && endpoint === undefined) return;
    this.#count(before?.described.profiles ?? [], -1);
    this.#count(endpoint?.described.profiles ?? [], 1);
    this.#dirtyEndpoints.add(key);
    if (endpoint === undefined) {
      this.#endpoints.delete(key);
      this.#index.deleteItem(key);
    } else {
      this.#endpoints.set(key, endpoint);
      this.#index.setItem(key, endpoint.labels, endpoint.described.profiles);
    }
  }

  /** Works out what changed since the last call. Sets are used and released on the way: flush them afterwards. */
  flush(): { readonly changes: readonly PolicyChange[]; readonly removals: readonly PolicyChange[] } {
    const policies = this.#flushPolicies();
    const profiles = this.#flushProfiles();
    const endpoints = this.#flushEndpoints();
    return {
      changes: [...policies.changes, ...profiles.changes, ...endpoints.changes],
      removals: [...endpoints.removals, ...profiles.removals, ...policies.removals],
    };
  }

  #flushPolicies() {
    const changes: PolicyChange[] = [];
    const removals: PolicyChange[] = [];
    for (const key of this.#dirtyPolicies) {
      const known = this.#policies.get(key);
      const before = this.policies.get(key);
      const isActive = known !== undefined && (known.isAlwaysActive || this.#index.hasMatches(key));
      if (isActive && known.resource === this.#enforced.get(key)) continue;
      const now = isActive ? (known.compiled ?? compilePolicy(known.resource)) : undefined;
      if (known !== undefined) known.compiled = undefined;
      if (known === undefined || now === undefined) this.#enforced.delete(key);
      else this.#enforced.set(key, known.resource);
      if (now === undefined) {
        if (before === undefined) continue;
        this.#useInstead(before.sets, []);
        this.policies.delete(key);
        removals.push({ type: 'policy-removed', id: before.id });
      } else if (before === undefined || !sameText(before, now)) {
        this.#useInstead(before?.sets ?? [], now.sets);
        this.policies.set(key, now);
        changes.push({ type: 'policy', policy: now });
      }
    }
    this.#dirtyPolicies.clear();
    return { changes, removals };
  }

  #flushProfiles() {
    const changes: PolicyChange[] = [];
    const removals: PolicyChange[] = [];
    for (const name of this.#dirtyProfiles) {
      const before = this.profiles.get(name);
      const now = this.#profileUsers.has(name) ? compiledProfile(name, this.#profiles.get(name)) : undefined;
      if (now === undefined) {
        if (before === undefined) continue;
        this.#useInstead(before.sets, []);
        this.profiles.delete(name);
        removals.push({ type: 'profile-removed', name });
      } else if (before === undefined || !sameText(before, now)) {
        this.#useInstead(before?.sets ?? [], now.sets);
        this.profiles.set(name, now);
        changes.push({ type: 'profile', profile: now });
      }
    }
    this.#dirtyProfiles.clear();
    return { changes, removals };
  }

  #flushEndpoints() {
    const changes: PolicyChange[] = [];
    const removals: PolicyChange[] = [];
    for (const key of this.#dirtyEndpoints) {
      const endpoint = this.#endpoints.get(key);
      const before = this.endpoints.get(key);
      if (endpoint === undefined) {
        if (this.endpoints.delete(key)) removals.push({ type: 'endpoint-removed', key });
        continue;
      }
      const selecting: Known['place'][] = [];
      for (const policy of this.#index.selectorsOf(key)) {
        const known = this.#policies.get(policy);
        if (known !== undefined) selecting.push(known.place);
      }
      const now = endpointPolicy(endpoint.described, selecting, this.#tiers);
      if (before !== undefined && isSame(before, now)) continue;
      this.endpoints.set(key, now);
      changes.push({ type: 'endpoint', endpoint: now });
    }
    this.#dirtyEndpoints.clear();
    return { changes, removals };
  }

  #useInstead(before: readonly SetDefinition[], after: readonly SetDefinition[]): void {
    for (const set of after) this.#sets.use(set);
    for (const { id } of before) this.#sets.release(id);
  }

  #touchEndpointsOf(policy: string): void {
    for (const key of this.#index.itemsOf(policy)) this.#dirtyEndpoints.add(key);
  }

  #count(profiles: readonly string[], by: 1 | -1): void {
    for (const name of profiles) {
      const users = (this.#profileUsers.get(name) ?? 0) + by;
      if (users === 0) this.#profileUsers.delete(name);
      else this.#profileUsers.set(name, users);
      this.#dirtyProfiles.add(name);
    }
  }
}

/** A profile that does not exist denies (RS-084); the built-in one needs no resource (RS-083). */
export const compiledProfile = (name: string, profile: Profile | undefined): CompiledProfile =>
  profile !== undefined
    ? compileProfile(profile)
    : name === allowProfile.name
      ? allowProfile
      : missingProfile(name);

export const profileLabels = (profile: Profile): Labels => profile.spec?.labelsToApply ?? {};

const stages: readonly Stage[] = ['normal', 'forward', 'untracked', 'preDnat'];

/** The policies that select an endpoint, in their tiers, in order. */
export function endpointPolicy(
  endpoint: LocalEndpoint['described'],
  policies: readonly Known['place'][],
  tiers: ReadonlyMap<string, CompiledTier>,
): EndpointPolicy {
  const sorted = policies.toSorted((a, b) => comparePolicies(a as CompiledPolicy, b as CompiledPolicy));
  const at = (stage: Stage): readonly TierOrder[] =>
    stage === 'normal' || endpoint.type === 'host' ? tierOrders(sorted, stage, tiers) : [];
  const [normal = [], forward = [], untracked = [], preDnat = []] = stages.map(at);
  return { ...endpoint, normal, forward, untracked, preDnat };
}

function tierOrders(
  policies: readonly Known['place'][],
  stage: Stage,
  tiers: ReadonlyMap<string, CompiledTier>,
): readonly TierOrder[] {
  const byTier = Map.groupBy(
    policies.filter((policy) =>
      stage === 'forward' ? policy.place === 'normal' && policy.applyOnForward : policy.place === stage,
    ),
    ({ tier }) => tier,
  );
  const orders = [...byTier].map(([name, list]) => {
    const tier = tiers.get(name);
    const towards = (direction: Direction): readonly PolicyId[] =>
      list.filter(({ directions }) => directions.includes(direction)).map(({ id }) => id);
    return {
      // What a lost tier would come before is not known, so it comes first (fail closed).
      rank: tier ?? { name, order: Number.NEGATIVE_INFINITY, defaultAction: 'deny' as const },
      order: {
        tier: name,
        exists: tier !== undefined,
        defaultAction: tier?.defaultAction ?? 'deny',
        ingress: towards('ingress'),
        egress: stage === 'preDnat' ? [] : towards('egress'),
      },
    };
  });
  return orders
    .toSorted((a, b) => compareTiers(a.rank, b.rank))
    .map(({ order }) => order)
    .filter(({ ingress, egress }) => ingress.length > 0 || egress.length > 0);
}

/** Compiled values are plain data, made by the same code in the same order. */
const sameText = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Of plain data, made by the same code in the same order. What both share, as endpoints do the names of their policies, is
 *  not looked into. */
function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a))
    return Array.isArray(b) && a.length === b.length && a.every((x, i) => isSame(x, b[i]));
  const [before, now] = [Object.entries(a), Object.entries(b)];
  return (
    before.length === now.length &&
    before.every(([key, value], i) => key === now[i]?.[0] && isSame(value, now[i]?.[1]))
  );
}
