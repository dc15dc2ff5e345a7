// IPAMHandle: counts, for one owner, how many addresses it holds in which block.
import { defineKind } from '../kind-definition.ts';
import { boolean, integer, map, object, optional, string } from '../schema.ts';

export const ipamhandle = defineKind({
  kind: 'IPAMHandle',
  plural: 'ipamhandles',
  description: 'How many addresses an owner holds in each block. Written by address management only.',
  fields: {
    spec: object({
      handleID: string({ description: 'The owner, e.g. `<network>.<container id>`.' }),
      block: map(integer(), { description: 'Block → number of addresses.' }),
      deleted: optional(boolean({ default: false, description: 'Set just before the object is deleted.' })),
    }),
  },
  columns: [
    { name: 'HandleID', type: 'string', path: '.spec.handleID' },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp' },
  ],
});
