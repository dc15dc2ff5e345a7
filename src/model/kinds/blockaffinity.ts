// BlockAffinity: a node's claim on a block, written before and after the block itself so that a crash between is seen.
import { defineKind } from '../kind-definition.ts';
import { boolean, object, oneOf, optional, string } from '../schema.ts';

export const blockaffinity = defineKind({
  kind: 'BlockAffinity',
  plural: 'blockaffinities',
  shortNames: ['affinity', 'affinities'],
  description: 'The claim of a node on a block. Written by address management only.',
  fields: {
    spec: object({
      state: oneOf(['', 'pending', 'confirmed', 'pendingDeletion'], {
        description: 'How far the claim has come; an empty state, of old data, counts as confirmed.',
      }),
      node: string({ description: 'The node.' }),
      type: optional(
        oneOf(['host', 'virtual'], { default: 'host', description: 'What kind of owner it is.' }),
      ),
      cidr: string({ format: 'cidr', description: 'The block.' }),
      deleted: optional(boolean({ default: false, description: 'Set just before the object is deleted.' })),
    }),
  },
  changeRules: [
    ({ spec }, before) =>
      before === undefined && spec.deleted === true
        ? [{ field: 'spec.deleted', value: true, reason: 'must not be set at creation' }]
        : [],
  ],
  columns: [
    { name: 'CIDR', type: 'string', path: '.spec.cidr' },
    { name: 'Type', type: 'string', path: '.spec.type' },
    { name: 'Node', type: 'string', path: '.spec.node' },
    { name: 'State', type: 'string', path: '.spec.state' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp' },
  ],
});
