// NetworkPolicy: what may reach, and what may leave, endpoints of one namespace.
import { policyValidations } from './expressions.ts';
import { defineKind } from '../kind-definition.ts';
import { object } from '../schema.ts';
import { conditionsStatus } from './conditions.ts';
import { completePolicy, namespacedPolicyIssues, policyFields } from './policy-spec.ts';

export const policyColumns = [
  { name: 'Tier', type: 'string', path: '.spec.tier' },
  { name: 'Order', type: 'number', path: '.spec.order' },
  { name: 'Selector', type: 'string', path: '.spec.selector' },
  { name: 'Age', type: 'date', path: '.metadata.creationTimestamp' },
] as const;

export const networkpolicy = defineKind({
  kind: 'NetworkPolicy',
  plural: 'networkpolicies',
  shortNames: ['cnp', 'caliconetworkpolicy', 'caliconetworkpolicies'],
  namespaced: true,
  description: 'What may reach, and what may leave, endpoints of one namespace.',
  fields: { spec: object(policyFields, { validations: policyValidations }), status: conditionsStatus },
  rules: [namespacedPolicyIssues],
  complete: completePolicy,
  columns: policyColumns,
});
