// The server's judgement: may this user do this? Roles first, then what only Calico has, rights by tier.
import type { Clock } from '../../lib/clock.ts';
import { ok, type Result } from '../../lib/result.ts';
import { refuse, type StatusError } from '../status.ts';
import type { Store } from '../store/store.ts';
import { RoleBasedAccess } from './rbac.ts';
import { Tokens } from './tokens.ts';
import type { Attributes, ResourceAttributes, User } from './types.ts';
import { isPath } from './types.ts';

export type Access = { readonly tokens: Tokens; readonly roles: RoleBasedAccess };

export const createAccess = (tokenKey: string, store: Store, clock: Clock): Access => ({
  tokens: new Tokens(tokenKey, store, clock),
  roles: new RoleBasedAccess(store),
});

const whole = ({ resource, subresource }: ResourceAttributes): string =>
  subresource === '' ? resource : `${resource}/${subresource}`;

/** Nothing, or the refusal in Kubernetes' words. */
export function authorize(access: Access, user: User, attributes: Attributes): Result<void, StatusError> {
  const { allowed, reason } = access.roles.decide(user, attributes);
  if (allowed) return ok(undefined);
  const why = reason === '' ? '' : `: ${reason}`;
  const who = `User ${JSON.stringify(user.name)}`;
  if (isPath(attributes))
    return refuse(
      'Forbidden',
      `forbidden: ${who} cannot ${attributes.verb} path ${JSON.stringify(attributes.path)}${why}`,
      {},
    );
  const { verb, group, resource, namespace, name } = attributes;
  const subject = `${group === '' ? resource : `${resource}.${group}`}${name === '' ? '' : ` ${JSON.stringify(name)}`}`;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(namespace)}`;
  return refuse(
    'Forbidden',
    `${subject} is forbidden: ${who} cannot ${verb} resource ${JSON.stringify(whole(attributes))} in API group ${JSON.stringify(group)} ${where}${why}`,
    {
      ...(name === '' ? {} : { name }),
      ...(group === '' ? {} : { group }),
      kind: resource,
    },
  );
}
