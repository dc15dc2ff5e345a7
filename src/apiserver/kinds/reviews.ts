// Questions about rights and identity, as kinds that are never stored: `kubectl auth can-i`, `auth whoami`, and what
// servers beside this one ask about a token.
import { ok } from '../../lib/result.ts';
import type { Attributes, Decision, User } from '../auth/types.ts';
import { at, isObject, listAt, textAt } from '../json.ts';
import { anything } from '../schema/notation.ts';
import { kindOf } from '../schema/meta.ts';
import { invalid } from '../status.ts';
import type { ApiObject, Asking, ServedKind } from '../types.ts';
import { builtin } from './builtin.ts';

const review = kindOf({ spec: anything, status: anything });
const authorization = 'authorization.k8s.io';
const authentication = 'authentication.k8s.io';

type Answer = NonNullable<ServedKind['answer']>;

const question = (kind: string, group: string, namespaced: boolean, answer: Answer): ServedKind =>
  builtin({ kind, plural: `${kind.toLowerCase()}s`, group, namespaced, schema: review, answer });

const textsAt = (value: unknown, ...path: readonly string[]): readonly string[] =>
  listAt(value, ...path).filter((one): one is string => typeof one === 'string');

/** What is asked about; undefined when the question says neither or both. */
function attributesOf(spec: unknown, namespace: string | undefined): Attributes | undefined {
  const path = at(spec, 'nonResourceAttributes');
  const resource = at(spec, 'resourceAttributes');
  if (isObject(path) === isObject(resource)) return undefined;
  const field = (name: string): string => textAt(resource, name) ?? '';
  if (isObject(path)) return { verb: textAt(path, 'verb') ?? '', path: textAt(path, 'path') ?? '' };
  return {
    verb: field('verb'),
    group: field('group'),
    resource: field('resource'),
    subresource: field('subresource'),
    namespace: namespace ?? field('namespace'),
    name: field('name'),
  };
}

const withStatus = (object: ApiObject, status: unknown): ReturnType<Answer> => ok({ ...object, status });

function accessReview(object: ApiObject, asking: Asking, user: User): ReturnType<Answer> {
  const attributes = attributesOf(object['spec'], asking.namespace);
  if (attributes === undefined)
    return invalid({ group: authorization, plural: '', kind: object.kind }, '', [
      {
        field: 'spec.resourceAttributes',
        reason: 'exactly one of nonResourceAttributes or resourceAttributes must be specified',
      },
    ]);
  const { allowed, reason }: Decision = asking.access.roles.decide(user, attributes);
  return withStatus(object, { allowed, ...(reason === '' ? {} : { reason }) });
}

const namedUser = (spec: unknown): User => ({
  name: textAt(spec, 'user') ?? '',
  groups: textsAt(spec, 'groups'),
});

function rulesReview(object: ApiObject, { user, access }: Asking): ReturnType<Answer> {
  const rules = access.roles.rulesFor(user, textAt(object, 'spec', 'namespace') ?? '');
  return withStatus(object, {
    resourceRules: rules
      .filter((rule) => rule.resources !== undefined)
      .map(({ verbs, apiGroups, resources, resourceNames }) => ({
        verbs,
        apiGroups: apiGroups ?? [],
        resources,
        ...(resourceNames === undefined ? {} : { resourceNames }),
      })),
    nonResourceRules: rules
      .filter((rule) => rule.nonResourceURLs !== undefined)
      .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
    incomplete: false,
  });
}

const userInfo = ({ name, uid, groups, extra }: User): unknown => ({
  username: name,
  ...(uid === undefined ? {} : { uid }),
  groups,
  ...(extra === undefined ? {} : { extra }),
});

function tokenReview(object: ApiObject, { access }: Asking): ReturnType<Answer> {
  const token = textAt(object, 'spec', 'token') ?? '';
  const audiences = textsAt(object, 'spec', 'audiences');
  const read = access.tokens.read(token, ...(audiences.length === 0 ? [] : [audiences]));
  return withStatus(
    object,
    typeof read === 'string'
      ? { authenticated: false, error: read }
      : { authenticated: true, user: userInfo(read.user), audiences: read.audiences },
  );
}

export const reviewKinds = (): readonly ServedKind[] => [
  question('SelfSubjectAccessReview', authorization, false, (object, asking) =>
    accessReview(object, { ...asking, namespace: undefined }, asking.user),
  ),
  question('SubjectAccessReview', authorization, false, (object, asking) =>
    accessReview(object, { ...asking, namespace: undefined }, namedUser(object['spec'])),
  ),
  question('LocalSubjectAccessReview', authorization, true, (object, asking) =>
    accessReview(object, asking, namedUser(object['spec'])),
  ),
  question('SelfSubjectRulesReview', authorization, false, rulesReview),
  question('SelfSubjectReview', authentication, false, (object, { user }) =>
    withStatus(object, { userInfo: userInfo(user) }),
  ),
  question('TokenReview', authentication, false, tokenReview),
];
