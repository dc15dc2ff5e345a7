// Short words for the fields of Kubernetes' kinds, and the condition that all of them share.
import { array, boolean, integer, map, openObject, optional, string } from '../schema.ts';

export const text = () => optional(string());
export const flag = () => optional(boolean());
export const count = () => optional(integer());
export const texts = () => optional(array(string()));
export const textMap = () => optional(map(string()));

export const condition = openObject({
  type: string(),
  status: string(),
  reason: text(),
  message: text(),
  lastTransitionTime: text(),
  lastProbeTime: text(),
  lastUpdateTime: text(),
  lastHeartbeatTime: text(),
});
