// GlobalNetworkPolicy: policy for endpoints of all namespaces and for hosts.
import { globalPolicyValidations } from './expressions.ts';
import { defineKind } from '../kind-definition.ts';
import { boolean, object, optional } from '../schema.ts';
import { conditionsStatus } from './conditions.ts';
import { completePolicy, globalPolicyIssues, policyFields } from './policy-spec.ts';
import { policyColumns } from './networkpolicy.ts';
import { policySelector } from './selector-fields.ts';

export const globalPolicyFields = {
  ...policyFields,
  namespaceSelector: optional(policySelector('Only endpoints in such namespaces.')),
  applyOnForward: optional(boolean({ description: 'On hosts, also for packets that only pass through.' })),
  doNotTrack: optional(boolean({ description: 'On hosts, before connection tracking and without it.' })),
  preDNAT: optional(boolean({ description: 'On hosts, before destinations are translated.' })),
};

export const globalnetworkpolicy = defineKind({
  kind: 'GlobalNetworkPolicy',
  plural: 'globalnetworkpolicies',
  shortNames: ['gnp', 'cgnp', 'calicoglobalnetworkpolicies'],
  description: 'Policy for endpoints of all namespaces and for hosts.',
  fields: {
    spec: object(globalPolicyFields, { validations: globalPolicyValidations }),
    status: conditionsStatus,
  },
  rules: [globalPolicyIssues],
  complete: completePolicy,
  columns: policyColumns,
});
