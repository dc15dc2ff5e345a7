// Profile: labels and rules that endpoints share. Rules count only when no policy decided.
import { defineKind } from '../kind-definition.ts';
import { map, object, optional, string } from '../schema.ts';
import { labelIssues } from '../metadata.ts';
import type { Issue } from '../types.ts';
import { policyRules, rulesIssues, type PolicyRule } from './policy-rule.ts';

export const profile = defineKind({
  kind: 'Profile',
  plural: 'profiles',
  // Where Calico kept its resources in the old group, profiles were only ever derived.
  classic: false,
  description: 'Labels and rules that endpoints share; its rules count when no policy decided.',
  fields: {
    spec: object({
      ingress: policyRules('Rules for packets towards the endpoints.', 'ingress'),
      egress: policyRules('Rules for packets from the endpoints.', 'egress'),
      labelsToApply: optional(map(string(), { description: 'Labels that the endpoints get.' })),
    }),
  },
  rules: [profileIssues],
});

type Profile = {
  readonly spec: {
    readonly ingress?: readonly PolicyRule[];
    readonly egress?: readonly PolicyRule[];
    readonly labelsToApply?: Readonly<Record<string, string>>;
  };
};

function profileIssues({ spec }: Profile): readonly Issue[] {
  return [
    ...labelIssues('spec.labelsToApply', spec.labelsToApply ?? {}),
    ...rulesIssues(spec.ingress, 'ingress', false),
    ...rulesIssues(spec.egress, 'egress', false),
  ];
}
