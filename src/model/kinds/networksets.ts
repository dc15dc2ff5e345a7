// NetworkSet and GlobalNetworkSet: addresses outside of the cluster under labels, so that selectors of rules find them.
import { defineKind } from '../kind-definition.ts';
import { array, object, optional, string } from '../schema.ts';
import type { Issue, ObjectMeta } from '../types.ts';

const spec = object({
  nets: optional(
    array(string({ format: 'any-network' }), {
      uniqueItems: true,
      description: 'CIDRs and single addresses.',
    }),
  ),
});
const namespaceLabel = 'projectcalico.org/namespace';

export const networkset = defineKind({
  kind: 'NetworkSet',
  plural: 'networksets',
  shortNames: ['netset', 'netsets'],
  namespaced: true,
  description: 'Addresses under labels, for policies of its namespace.',
  fields: { spec },
  rules: [labelIssues],
});

export const globalnetworkset = defineKind({
  kind: 'GlobalNetworkSet',
  plural: 'globalnetworksets',
  shortNames: ['gns', 'globalnetset', 'globalnetsets'],
  description: 'Addresses under labels, for all policies.',
  fields: { spec },
  rules: [labelIssues],
});

/** The label says which namespace something is in, and is not the user’s to set. */
function labelIssues({ metadata }: { readonly metadata: ObjectMeta }): readonly Issue[] {
  const value = metadata.labels?.[namespaceLabel];
  return value === undefined
    ? []
    : [{ field: `metadata.labels[${namespaceLabel}]`, value, reason: 'cannot be set' }];
}
