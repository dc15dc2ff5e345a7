// The status of a resource as a list of conditions.
import { array, integer, object, oneOf, optional, string, type ValueOf } from '../schema.ts';

const conditionSchema = object({
  type: string(),
  status: oneOf(['True', 'False', 'Unknown']),
  reason: string(),
  message: string(),
  lastTransitionTime: string(),
  observedGeneration: optional(integer()),
});
export type Condition = ValueOf<typeof conditionSchema>;

export const conditionsStatus = optional(object({ conditions: optional(array(conditionSchema)) }));
