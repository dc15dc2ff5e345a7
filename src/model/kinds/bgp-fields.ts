// Fields that several BGP kinds share.
import { boolean, object, optional, string } from '../schema.ts';

export const bgpPassword = object({
  secretKeyRef: optional(
    object({
      name: string({ description: 'The Secret, in the namespace of the node agent.' }),
      key: string({ description: 'The key in it.' }),
      optional: optional(boolean({ description: 'Whether Secret or key may be missing.' })),
    }),
  ),
});
