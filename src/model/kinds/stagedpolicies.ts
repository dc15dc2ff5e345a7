// Staged policies: policies that change no traffic, and whose effect shows in flow logs.
import { globalPolicyValidations, policyValidations, stagedValidations } from './expressions.ts';
import { defineKind } from '../kind-definition.ts';
import { networkPolicyToCalico } from '../conversion/network-policy.ts';
import { object } from '../schema.ts';
import type { Issue, ObjectMeta } from '../types.ts';
import { globalPolicyFields } from './globalnetworkpolicy.ts';
import { kubernetesPolicyFields, type KubernetesPolicySpec } from './kubernetes-policy.ts';
import { policyColumns } from './networkpolicy.ts';
import {
  completePolicy,
  deletionIssues,
  globalPolicyIssues,
  namespacedPolicyIssues,
  policyFields,
  stagedAction,
} from './policy-spec.ts';

export const stagednetworkpolicy = defineKind({
  kind: 'StagedNetworkPolicy',
  plural: 'stagednetworkpolicies',
  shortNames: ['snp'],
  namespaced: true,
  description: 'A NetworkPolicy on trial.',
  fields: {
    spec: object(
      { ...policyFields, stagedAction },
      { validations: [...stagedValidations, ...policyValidations] },
    ),
  },
  rules: [namespacedPolicyIssues],
  complete: completePolicy,
  columns: policyColumns,
});

export const stagedglobalnetworkpolicy = defineKind({
  kind: 'StagedGlobalNetworkPolicy',
  plural: 'stagedglobalnetworkpolicies',
  shortNames: ['sgnp'],
  description: 'A GlobalNetworkPolicy on trial.',
  fields: {
    spec: object(
      { ...globalPolicyFields, stagedAction },
      { validations: [...stagedValidations, ...globalPolicyValidations] },
    ),
  },
  rules: [globalPolicyIssues],
  complete: completePolicy,
  columns: policyColumns,
});

export const stagedkubernetesnetworkpolicy = defineKind({
  kind: 'StagedKubernetesNetworkPolicy',
  plural: 'stagedkubernetesnetworkpolicies',
  shortNames: ['sknp'],
  namespaced: true,
  description: 'A NetworkPolicy of Kubernetes on trial.',
  fields: { spec: object({ ...kubernetesPolicyFields, stagedAction }) },
  rules: [stagedKubernetesIssues],
});

type Staged = {
  readonly metadata: ObjectMeta;
  readonly spec: KubernetesPolicySpec & { readonly stagedAction?: string };
};

/** The policy must convert as a whole: on trial, a rule that silently has no effect would be worthless. */
function stagedKubernetesIssues({ metadata, spec }: Staged): readonly Issue[] {
  if (spec.stagedAction === 'Delete') return deletionIssues(spec);
  const { problems } = networkPolicyToCalico({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata,
    spec,
  });
  return problems.map((reason) => ({ field: 'spec', reason }));
}
