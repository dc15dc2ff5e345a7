// IPAMBlock: one block of addresses, which of them are given out, and to whom. Shared with Calico's own allocator, so
// its form is fixed: see docs/ipam.md for what each part means.
import { defineKind } from '../kind-definition.ts';
import { array, boolean, int64, integer, map, nullable, object, optional, string } from '../schema.ts';

export const ipamblock = defineKind({
  kind: 'IPAMBlock',
  plural: 'ipamblocks',
  description: 'A block of addresses with its allocations. Written by address management only.',
  fields: {
    spec: object({
      cidr: string({ format: 'cidr', description: 'The block.' }),
      affinity: optional(
        string({
          pattern: '^(host|virtual):[a-zA-Z0-9.\\-_]+$',
          description: 'Whom the block belongs to: `host:<node>` or `virtual:<name>`; absent when to nobody.',
        }),
      ),
      affinityClaimTime: optional(string({ description: 'When it was claimed.' })),
      allocations: array(nullable(integer()), {
        description: 'For each address by ordinal: the index of its attributes, or null when it is free.',
      }),
      unallocated: array(integer(), {
        description: 'Ordinals of the free addresses in the order in which they are given out.',
      }),
      attributes: array(
        object({
          handle_id: optional(nullable(string({ description: 'The handle that owns the allocation.' }))),
          secondary: optional(
            nullable(map(string(), { description: 'Who holds the address: pod, namespace, node …' })),
          ),
          alternate: optional(
            nullable(map(string(), { description: 'The next owner during a live migration.' })),
          ),
          releasedAt: optional(nullable(string({ description: 'When it was released, while it rests.' }))),
        }),
        { description: 'Descriptions shared by allocations.' },
      ),
      sequenceNumber: optional(int64({ default: 0, description: 'Grows by one with each write.' })),
      sequenceNumberForAllocation: optional(
        map(int64(), {
          description: 'Ordinal → sequence number of the block when the address was given out.',
        }),
      ),
      deleted: optional(boolean({ description: 'Set just before the object is deleted.' })),
      strictAffinity: optional(boolean({ deprecated: true, description: 'No longer used.' })),
    }),
  },
  columns: [
    { name: 'CIDR', type: 'string', path: '.spec.cidr' },
    { name: 'Affinity', type: 'string', path: '.spec.affinity' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp' },
  ],
});
