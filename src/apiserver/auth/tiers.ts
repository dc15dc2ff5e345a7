// Rights by tier (RS-128). Who does something with a Calico policy must be allowed to get its tier, and to do it with
// `tier.<policies>`: with the policy by name, or with `<tier>.*`. The right on the plain resource is asked for as for any
// other; the role calico-tiered-policy-passthrough gives it to everybody, so that tiers decide.
import { ok, type Result } from '../../lib/result.ts';
import { textAt } from '../json.ts';
import { tierResource } from '../kinds/calico-admission.ts';
import { refuse, type StatusError } from '../status.ts';
import { type ApiObject, resourceKeyOf, type ServedKind, type World } from '../types.ts';
import type { Access } from './access.ts';
import { masters, type User } from './types.ts';

const group = 'projectcalico.org';
const tiered: ReadonlySet<string> = new Set([
  'NetworkPolicy',
  'GlobalNetworkPolicy',
  'StagedNetworkPolicy',
  'StagedGlobalNetworkPolicy',
]);
export const tierLabel = 'projectcalico.org/tier';

export const isTiered = (kind: ServedKind): boolean => kind.group === group && tiered.has(kind.kind);
export const tierOf = (policy: ApiObject): string => textAt(policy, 'spec', 'tier') ?? 'default';

export type TierQuestion = {
  readonly user: User;
  readonly verb: string;
  readonly kind: ServedKind;
  readonly namespace: string;
  /** Empty for a list, and for a policy that has no name yet. */
  readonly name: string;
};

type Verdict = { readonly getsTier: boolean; readonly allowed: boolean };

function judge(
  { roles }: Access,
  { user, verb, kind, namespace, name }: TierQuestion,
  tier: string,
): Verdict {
  const getsTier = roles.decide(user, {
    verb: 'get',
    group,
    resource: 'tiers',
    subresource: '',
    namespace: '',
    name: tier,
  }).allowed;
  const may = (policy: string): boolean =>
    roles.decide(user, {
      verb,
      group,
      resource: `tier.${kind.plural}`,
      subresource: '',
      namespace,
      name: policy,
    }).allowed;
  return { getsTier, allowed: getsTier && (may(name) || may(`${tier}.*`)) };
}

/** Whether the user may do this to a policy of the tier; the refusal is Calico's. */
export function authorizeTier(
  access: Access,
  question: TierQuestion,
  tier: string,
): Result<void, StatusError> {
  const { getsTier, allowed } = judge(access, question, tier);
  if (allowed) return ok(undefined);
  const { user, verb, kind, namespace, name } = question;
  const resource = resourceKeyOf(kind);
  const where = namespace === '' ? '' : ` and namespace ${JSON.stringify(namespace)}`;
  const addition = getsTier ? '' : ' (user cannot get tier)';
  return refuse(
    'Forbidden',
    `${resource} ${JSON.stringify(name)} is forbidden: User ${JSON.stringify(user.name)} cannot ${verb} ${resource} in tier ${JSON.stringify(tier)}${where}${addition}`,
    { ...(name === '' ? {} : { name }), group, kind: kind.plural },
  );
}

/**
 * For lists and watches: the selector that keeps what the user may see; undefined when that is all. A list is refused
 * when no tier is left. Policies carry their tier as a label (RS-112).
 */
export function visibleTiers(
  access: Access,
  question: TierQuestion,
  world: World,
): Result<string | undefined, StatusError> {
  if (question.user.groups.includes(masters)) return ok(undefined);
  const tiers = [...world.objects(tierResource)].map((tier) => tier.metadata.name);
  const visible = tiers.filter((tier) => judge(access, question, tier).allowed);
  if (visible.length === tiers.length) return ok(undefined);
  if (visible.length === 0) {
    const refused = authorizeTier(access, question, 'default');
    return refused.ok ? ok(undefined) : refused;
  }
  return ok(`${tierLabel} in (${visible.join(',')})`);
}
