// Questions about rights and identity. This server knows one user, who may do everything.
import { anything } from '../schema/notation.ts';
import { kindOf } from '../schema/meta.ts';
import type { ApiObject, ServedKind } from '../types.ts';
import { builtin } from './builtin.ts';

const review = kindOf({ spec: anything, status: anything });
const user = { username: 'admin', groups: ['system:masters', 'system:authenticated'] };

const everything = {
  resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'] }],
  nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }],
  incomplete: false,
};

const question = (kind: string, group: string, namespaced: boolean, status: unknown): ServedKind =>
  builtin({
    kind,
    plural: `${kind.toLowerCase()}s`,
    group,
    namespaced,
    schema: review,
    answer: (object: ApiObject) => ({ ...object, status }),
  });

const authorization = 'authorization.k8s.io';

export const reviewKinds = (): readonly ServedKind[] => [
  question('SelfSubjectAccessReview', authorization, false, { allowed: true }),
  question('SubjectAccessReview', authorization, false, { allowed: true }),
  question('LocalSubjectAccessReview', authorization, true, { allowed: true }),
  question('SelfSubjectRulesReview', authorization, false, everything),
  question('SelfSubjectReview', 'authentication.k8s.io', false, { userInfo: user }),
];
