// The ephemeral containers of a pod: added through a subresource of their own, never changed and never taken away.
import { at, listAt, sameJson, textAt } from '../json.ts';
import type { ApiObject, Issue } from '../types.ts';
import { fixedPodSpec } from './pods.ts';

const field = 'spec.ephemeralContainers';

/** What is wrong with this change of them, when the object was written as a whole (`object`) or by them (`ephemeral`). */
export function ephemeralIssues(part: string, before: ApiObject, after: ApiObject): readonly Issue[] {
  if (before.kind !== 'Pod' || before.apiVersion !== 'v1') return [];
  const [old, next] = [
    listAt(before, 'spec', 'ephemeralContainers'),
    listAt(after, 'spec', 'ephemeralContainers'),
  ];
  if (part === 'object') return sameJson(old, next) ? [] : [fixedPodSpec];
  if (part !== 'ephemeral') return [];
  const issues: Issue[] = [];
  for (const one of old) {
    const name = textAt(one, 'name') ?? '';
    const same = next.find((other) => textAt(other, 'name') === name);
    if (same === undefined)
      issues.push({
        field,
        reason: `Forbidden: existing ephemeral containers ${JSON.stringify(name)} may not be removed`,
      });
    else if (!sameJson(one, same))
      issues.push({
        field,
        reason: `Forbidden: existing ephemeral containers ${JSON.stringify(name)} may not be changed`,
      });
  }
  const containers = [...listAt(after, 'spec', 'containers'), ...listAt(after, 'spec', 'initContainers')];
  next.forEach((one, i) => {
    const target = textAt(one, 'targetContainerName') ?? '';
    if (target !== '' && !containers.some((other) => textAt(other, 'name') === target))
      issues.push({ field: `${field}[${i}].targetContainerName`, value: target, reason: 'Not found' });
    for (const forbidden of ['ports', 'livenessProbe', 'readinessProbe', 'startupProbe', 'lifecycle'])
      if (at(one, forbidden) !== undefined)
        issues.push({
          field: `${field}[${i}].${forbidden}`,
          reason: 'Forbidden: cannot be set for an Ephemeral Container',
        });
  });
  return issues;
}
