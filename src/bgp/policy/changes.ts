// The changes a program makes: what its actions add up to.
import { localPrefOf, parseCommunity } from './values.ts';
import type { PolicyAction, PolicyChanges } from './types.ts';

export const noChanges: PolicyChanges = { id: 0, communities: [], largeCommunities: [], prepend: [] };

/** What `actions` add to `before`. Verdicts are not changes. */
export function extend(before: PolicyChanges, actions: readonly PolicyAction[], id: number): PolicyChanges {
  const after = { ...before, id } as { -readonly [K in keyof PolicyChanges]: PolicyChanges[K] };
  for (const action of actions) {
    switch (action.do) {
      case 'setPriority':
        after.localPref = localPrefOf(action.value);
        break;
      case 'setMed':
        after.med = action.value;
        break;
      case 'setPreference':
        after.preference = action.value;
        break;
      case 'setTunnel':
        after.tunnel = action.device;
        break;
      case 'prepend':
        after.prepend = [...action.path, ...after.prepend];
        break;
      case 'addCommunity': {
        const community = parseCommunity(action.value);
        if (community?.kind === 'standard' && !after.communities.includes(community.value)) {
          after.communities = [...after.communities, community.value];
        } else if (community?.kind === 'large' && !after.largeCommunities.includes(community.value)) {
          after.largeCommunities = [...after.largeCommunities, community.value];
        }
        break;
      }
      case 'accept':
      case 'reject':
        return after;
    }
  }
  return after;
}

export const changesSomething = (actions: readonly PolicyAction[]): boolean => {
  const first = actions[0];
  return first !== undefined && first.do !== 'accept' && first.do !== 'reject';
};
