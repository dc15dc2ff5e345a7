// What can only be judged when the object is known: rights by tier, and that nobody gives away more than he has.
import { err, ok, type Result } from '../../lib/result.ts';
import { listAt } from '../json.ts';
import { forbidden, type StatusError } from '../status.ts';
import type { ApiObject, ServedKind, World } from '../types.ts';
import type { Access } from './access.ts';
import { resolveRole, roleRefOf, rulesOf } from './rbac.ts';
import { notCovered, ruleText } from './rules.ts';
import { authorizeTier, isTiered, tierOf } from './tiers.ts';
import { masters, type PolicyRule, type User } from './types.ts';

export type GuardedWrite = {
  readonly verb: 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';
  readonly kind: ServedKind;
  readonly namespace: string;
  readonly name: string;
  /** Absent for a deletion. */
  readonly next?: ApiObject;
  readonly previous?: ApiObject;
};

const rbacGroup = 'rbac.authorization.k8s.io';

export function guardWrite(
  access: Access,
  user: User,
  write: GuardedWrite,
  world: World,
): Result<void, StatusError> {
  if (user.groups.includes(masters)) return ok(undefined);
  const { kind, next, previous } = write;
  if (isTiered(kind)) {
    const tiers = new Set([next, previous].flatMap((one) => (one === undefined ? [] : [tierOf(one)])));
    const { verb, namespace } = write;
    const question = { user, verb, kind, namespace, name: verb === 'create' ? '' : write.name };
    for (const tier of tiers) {
      const judged = authorizeTier(access, question, tier);
      if (!judged.ok) return judged;
    }
  }
  if (kind.group !== rbacGroup || next === undefined) return ok(undefined);
  return kind.kind.endsWith('Binding')
    ? guardBinding(access, user, write, next, world)
    : guardRole(access, user, write, next);
}

const refusal = (
  user: User,
  { kind, name }: GuardedWrite,
  missing: readonly PolicyRule[],
): Result<never, StatusError> =>
  err(
    forbidden(
      kind,
      name,
      `user ${JSON.stringify(user.name)} (groups=[${user.groups.map((one) => JSON.stringify(one)).join(' ')}]) is attempting to grant RBAC permissions not currently held:\n${missing
        .slice(0, 20)
        .map(ruleText)
        .join('\n')}`,
    ).error,
  );

function guardRole(
  access: Access,
  user: User,
  write: GuardedWrite,
  next: ApiObject,
): Result<void, StatusError> {
  const { kind, namespace, name, previous } = write;
  const attributes = {
    verb: 'escalate',
    group: rbacGroup,
    resource: kind.plural,
    subresource: '',
    namespace,
    name,
  };
  if (access.roles.decide(user, attributes).allowed) return ok(undefined);
  if (kind.kind === 'ClusterRole' && listAt(next, 'aggregationRule', 'clusterRoleSelectors').length > 0) {
    const everything = [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }];
    if (notCovered(everything, access.roles.rulesFor(user, '')).length > 0)
      return forbidden(kind, name, 'must have cluster-admin privileges to use an aggregationRule');
  }
  const added = rulesOf(next);
  if (previous !== undefined && JSON.stringify(rulesOf(previous)) === JSON.stringify(added))
    return ok(undefined);
  const missing = notCovered(added, access.roles.rulesFor(user, namespace));
  return missing.length === 0 ? ok(undefined) : refusal(user, write, missing);
}

function guardBinding(
  access: Access,
  user: User,
  write: GuardedWrite,
  next: ApiObject,
  world: World,
): Result<void, StatusError> {
  const { namespace } = write;
  const role = roleRefOf(next);
  const resource = role.kind === 'ClusterRole' ? 'clusterroles' : 'roles';
  const attributes = {
    verb: 'bind',
    group: rbacGroup,
    resource,
    subresource: '',
    namespace,
    name: role.name,
  };
  if (access.roles.decide(user, attributes).allowed) return ok(undefined);
  const rules = resolveRole(world, namespace, role);
  // Nobody knows what a role will say that is not there yet.
  if (rules === undefined)
    return forbidden(
      write.kind,
      write.name,
      `${resource}.${rbacGroup} ${JSON.stringify(role.name)} not found`,
    );
  const missing = notCovered(rules, access.roles.rulesFor(user, namespace));
  return missing.length === 0 ? ok(undefined) : refusal(user, write, missing);
}
