// IPAMConfiguration: cluster-wide switches of address management. The object is named `default`.
import { ipamValidations } from './expressions.ts';
import { defineKind } from '../kind-definition.ts';
import { boolean, integer, object, oneOf, optional } from '../schema.ts';

export const ipamconfiguration = defineKind({
  kind: 'IPAMConfiguration',
  plural: 'ipamconfigurations',
  shortNames: ['ipamconfig'],
  classic: { kind: 'IPAMConfig', plural: 'ipamconfigs' },
  description: 'Switches of address management for the whole cluster; the object is named `default`.',
  fields: {
    spec: object(
      {
        strictAffinity: optional(
          boolean({ default: false, description: 'Nodes take addresses only from their own blocks.' }),
        ),
        autoAllocateBlocks: optional(
          boolean({ default: true, description: 'Nodes claim a further block when theirs are full.' }),
        ),
        maxBlocksPerHost: optional(
          integer({
            default: 0,
            minimum: 0,
            maximum: 2147483647,
            description: 'Most blocks a node claims per address family; 0 stands for 20.',
          }),
        ),
        kubeVirtVMAddressPersistence: optional(
          oneOf(['Enabled', 'Disabled'], {
            description: 'Whether a virtual machine keeps its address over restarts.',
          }),
        ),
        ipCooldownSeconds: optional(
          integer({
            minimum: 0,
            maximum: 1200,
            description: 'How long a released address rests before it is given out again.',
          }),
        ),
      },
      { validations: ipamValidations },
    ),
  },
  rules: [
    ({ spec }) =>
      !spec.strictAffinity && spec.autoAllocateBlocks === false
        ? [
            {
              field: 'spec.autoAllocateBlocks',
              value: false,
              reason:
                'must be true unless strictAffinity is: nodes could only borrow, and nobody would own a block',
            },
          ]
        : [],
  ],
});
