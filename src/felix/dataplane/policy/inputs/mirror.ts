// What the calculation has told about policy, added up: sets with their members, policies, profiles, local endpoints. Both
// back ends read it. `take` says what became different, so that a back end looks at that only.
import { policyKey, type EndpointPolicy, type PolicyChange } from '../../../calc/mod.ts';
import type { CompiledPolicy, CompiledProfile, SetDefinition, SetId } from '../../../../policy/mod.ts';

export type MirroredSet = {
  readonly definition: SetDefinition;
  /** As `memberText` writes them; networks of a set never overlap. */
  readonly members: ReadonlySet<string>;
};

/** Differences of members since the last call; of a new set `added` is all. */
export type MemberChange = {
  readonly id: SetId;
  readonly added: readonly string[];
  readonly removed: readonly string[];
};

/** What differs from before. Who is named and not in the mirror any more is gone. */
export type MirrorChanges = {
  readonly endpoints: ReadonlySet<string>;
  /** By `policyKey`. */
  readonly policies: ReadonlySet<string>;
  readonly profiles: ReadonlySet<string>;
  readonly members: readonly MemberChange[];
  /** With what was in them. */
  readonly removedSets: ReadonlyMap<SetId, MirroredSet>;
};

export class PolicyMirror {
  readonly #sets = new Map<SetId, { definition: SetDefinition; members: Set<string> }>();
  readonly #policies = new Map<string, CompiledPolicy>();
  readonly #profiles = new Map<string, CompiledProfile>();
  readonly #endpoints = new Map<string, EndpointPolicy>();

  get sets(): ReadonlyMap<SetId, MirroredSet> {
    return this.#sets;
  }
  /** By `policyKey`. */
  get policies(): ReadonlyMap<string, CompiledPolicy> {
    return this.#policies;
  }
  get profiles(): ReadonlyMap<string, CompiledProfile> {
    return this.#profiles;
  }
  /** By `EndpointPolicy.key`. */
  get endpoints(): ReadonlyMap<string, EndpointPolicy> {
    return this.#endpoints;
  }

  /** Takes the changes of one flush, in order. Routes and VTEPs are passed over. */
  take(changes: readonly PolicyChange[]): MirrorChanges {
    const endpoints = new Set<string>();
    const policies = new Set<string>();
    const profiles = new Set<string>();
    const members: MemberChange[] = [];
    const removedSets = new Map<SetId, MirroredSet>();
    for (const change of changes) {
      switch (change.type) {
        case 'set': {
          const before = this.#sets.get(change.set.id)?.members;
          const now = new Set(change.members);
          this.#sets.set(change.set.id, { definition: change.set, members: now });
          members.push({
            id: change.set.id,
            added: before === undefined ? change.members : change.members.filter((one) => !before.has(one)),
            removed: before === undefined ? [] : [...before].filter((one) => !now.has(one)),
          });
          break;
        }
        case 'set-members': {
          const set = this.#sets.get(change.id);
          if (set === undefined) break;
          for (const member of change.removed) set.members.delete(member);
          for (const member of change.added) set.members.add(member);
          members.push({ id: change.id, added: change.added, removed: change.removed });
          break;
        }
        case 'set-removed': {
          const set = this.#sets.get(change.id);
          if (set !== undefined) removedSets.set(change.id, set);
          this.#sets.delete(change.id);
          break;
        }
        case 'policy': {
          const key = policyKey(change.policy.id);
          this.#policies.set(key, change.policy);
          policies.add(key);
          break;
        }
        case 'policy-removed':
          this.#policies.delete(policyKey(change.id));
          policies.add(policyKey(change.id));
          break;
        case 'profile':
          this.#profiles.set(change.profile.name, change.profile);
          profiles.add(change.profile.name);
          break;
        case 'profile-removed':
          this.#profiles.delete(change.name);
          profiles.add(change.name);
          break;
        case 'endpoint':
          this.#endpoints.set(change.endpoint.key, change.endpoint);
          endpoints.add(change.endpoint.key);
          break;
        case 'endpoint-removed':
          this.#endpoints.delete(change.key);
          endpoints.add(change.key);
          break;
        default:
      }
    }
    return { endpoints, policies, profiles, members, removedSets };
  }
}
