// IPReservation: addresses that automatic assignment leaves alone.
import { defineKind } from '../kind-definition.ts';
import { array, object, optional, string } from '../schema.ts';

export const ipreservation = defineKind({
  kind: 'IPReservation',
  plural: 'ipreservations',
  description: 'Addresses that are never assigned automatically. Existing and explicit assignments stay.',
  fields: {
    spec: object({
      reservedCIDRs: optional(
        array(string({ format: 'any-network' }), {
          description: 'The reserved ranges and single addresses.',
          uniqueItems: true,
        }),
      ),
    }),
  },
});
