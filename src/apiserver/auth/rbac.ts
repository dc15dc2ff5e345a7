// Roles and bindings as an index by subject: who may do what. Made anew when one of them has changed, at the next
// question.
import { at, isObject, listAt, textAt } from '../json.ts';
import type { Store } from '../store/store.ts';
import type { World } from '../types.ts';
import { allows } from './rules.ts';
import { type Attributes, type Decision, isPath, masters, type PolicyRule, type User } from './types.ts';

const group = 'rbac.authorization.k8s.io';
export const roleResource = `roles.${group}`;
export const clusterRoleResource = `clusterroles.${group}`;
export const roleBindingResource = `rolebindings.${group}`;
export const clusterRoleBindingResource = `clusterrolebindings.${group}`;
const resources: ReadonlySet<string> = new Set([
  roleResource,
  clusterRoleResource,
  roleBindingResource,
  clusterRoleBindingResource,
]);

export type RoleRef = { readonly kind: string; readonly name: string };

type Grant = {
  /** Empty: in the whole cluster. */
  readonly namespace: string;
  readonly role: RoleRef;
  /** For people: which binding gives it. */
  readonly binding: string;
  readonly subject: string;
};

const textsAt = (rule: unknown, field: string): readonly string[] | undefined => {
  const value = at(rule, field);
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : undefined;
};

/** The rules of a role as they are written. */
export const rulesOf = (role: unknown): readonly PolicyRule[] =>
  listAt(role, 'rules').map((rule) => {
    const field = (name: keyof PolicyRule): object => {
      const values = textsAt(rule, name);
      return values === undefined ? {} : { [name]: values };
    };
    return {
      verbs: textsAt(rule, 'verbs') ?? [],
      ...field('apiGroups'),
      ...field('resources'),
      ...field('resourceNames'),
      ...field('nonResourceURLs'),
    };
  });

/** The rules that a reference stands for; undefined when there is no such role. */
export function resolveRole(
  world: World,
  namespace: string,
  role: RoleRef,
): readonly PolicyRule[] | undefined {
  const key =
    role.kind === 'ClusterRole'
      ? { resource: clusterRoleResource, namespace: '', name: role.name }
      : { resource: roleResource, namespace, name: role.name };
  const found = world.get(key);
  return found === undefined ? undefined : rulesOf(found.object);
}

export const roleRefOf = (binding: unknown): RoleRef => ({
  kind: textAt(binding, 'roleRef', 'kind') ?? '',
  name: textAt(binding, 'roleRef', 'name') ?? '',
});

function subjectKey(subject: unknown, namespace: string): string | undefined {
  if (!isObject(subject)) return undefined;
  const name = textAt(subject, 'name') ?? '';
  switch (subject['kind']) {
    case 'User':
      return `user ${name}`;
    case 'Group':
      return `group ${name}`;
    case 'ServiceAccount':
      return `user system:serviceaccount:${textAt(subject, 'namespace') ?? namespace}:${name}`;
    default:
      return undefined;
  }
}

const describeSubject = (subject: unknown, namespace: string): string => {
  const kind = textAt(subject, 'kind') ?? '';
  const name = textAt(subject, 'name') ?? '';
  return kind === 'ServiceAccount'
    ? `${kind} "${name}/${textAt(subject, 'namespace') ?? namespace}"`
    : `${kind} "${name}"`;
};

export class RoleBasedAccess {
  readonly #store: Store;
  #grants: ReadonlyMap<string, readonly Grant[]> | undefined;
  #rules = new Map<string, readonly PolicyRule[]>();

  constructor(store: Store) {
    this.#store = store;
    store.onChanges((changes) => {
      if (!changes.some(({ current }) => resources.has(current.resource))) return;
      this.#grants = undefined;
      this.#rules.clear();
    });
  }

  #index(): ReadonlyMap<string, readonly Grant[]> {
    if (this.#grants !== undefined) return this.#grants;
    const grants = new Map<string, Grant[]>();
    for (const [resource, kind] of [
      [clusterRoleBindingResource, 'ClusterRoleBinding'],
      [roleBindingResource, 'RoleBinding'],
    ] as const) {
      for (const { object, name, namespace } of this.#store.list(resource)) {
        const role = roleRefOf(object);
        const binding = namespace === '' ? `${kind} "${name}"` : `${kind} "${name}/${namespace}"`;
        for (const subject of listAt(object, 'subjects')) {
          const key = subjectKey(subject, namespace);
          if (key === undefined) continue;
          const list = grants.get(key) ?? [];
          list.push({ namespace, role, binding, subject: describeSubject(subject, namespace) });
          grants.set(key, list);
        }
      }
    }
    this.#grants = grants;
    return grants;
  }

  *#grantsOf(user: User): Generator<Grant> {
    const index = this.#index();
    yield* index.get(`user ${user.name}`) ?? [];
    for (const one of user.groups) yield* index.get(`group ${one}`) ?? [];
  }

  #rulesOf({ role, namespace }: Grant): readonly PolicyRule[] {
    const key = `${role.kind} ${role.kind === 'ClusterRole' ? '' : namespace} ${role.name}`;
    let rules = this.#rules.get(key);
    if (rules === undefined) {
      rules = resolveRole(worldOf(this.#store), namespace, role) ?? [];
      this.#rules.set(key, rules);
    }
    return rules;
  }

  decide(user: User, attributes: Attributes): Decision {
    if (user.groups.includes(masters)) return { allowed: true, reason: '' };
    const namespace = isPath(attributes) ? '' : attributes.namespace;
    for (const grant of this.#grantsOf(user)) {
      if (grant.namespace !== '' && grant.namespace !== namespace) continue;
      if (!this.#rulesOf(grant).some((rule) => allows(rule, attributes))) continue;
      return {
        allowed: true,
        reason: `RBAC: allowed by ${grant.binding} of ${grant.role.kind} "${grant.role.name}" to ${grant.subject}`,
      };
    }
    return { allowed: false, reason: '' };
  }

  /** Everything the user may do in the namespace (and in the cluster as a whole, where roles say so). */
  rulesFor(user: User, namespace: string): readonly PolicyRule[] {
    if (user.groups.includes(masters))
      return [
        { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
        { verbs: ['*'], nonResourceURLs: ['*'] },
      ];
    return [...this.#grantsOf(user)]
      .filter((grant) => grant.namespace === '' || grant.namespace === namespace)
      .flatMap((grant) => this.#rulesOf(grant));
  }
}

export const worldOf = (store: Store): World => ({
  get: (key) => store.get(key),
  objects: function* (resource) {
    for (const { object } of store.list(resource)) yield object;
  },
});
