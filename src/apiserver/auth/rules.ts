// What one rule allows. Pure.
import type { Attributes, PolicyRule, ResourceAttributes } from './types.ts';
import { isPath } from './types.ts';

const has = (list: readonly string[] | undefined, value: string): boolean =>
  list !== undefined && (list.includes('*') || list.includes(value));

/** `pods/log`, `*`, `* /scale` without the space. */
function coversResource(rule: PolicyRule, { resource, subresource }: ResourceAttributes): boolean {
  const whole = subresource === '' ? resource : `${resource}/${subresource}`;
  return (rule.resources ?? []).some(
    (one) => one === '*' || one === whole || (subresource !== '' && one === `*/${subresource}`),
  );
}

const coversName = (rule: PolicyRule, name: string): boolean =>
  rule.resourceNames === undefined || rule.resourceNames.length === 0 || rule.resourceNames.includes(name);

const coversPath = (rule: PolicyRule, path: string): boolean =>
  (rule.nonResourceURLs ?? []).some(
    (one) => one === '*' || one === path || (one.endsWith('*') && path.startsWith(one.slice(0, -1))),
  );

export function allows(rule: PolicyRule, attributes: Attributes): boolean {
  if (!has(rule.verbs, attributes.verb)) return false;
  if (isPath(attributes)) return coversPath(rule, attributes.path);
  return (
    has(rule.apiGroups, attributes.group) &&
    coversResource(rule, attributes) &&
    coversName(rule, attributes.name)
  );
}

/** A rule as rules that each say one thing: what must be covered for a user to give it to others. */
function* pieces(rule: PolicyRule): Generator<PolicyRule> {
  for (const verb of rule.verbs) {
    for (const path of rule.nonResourceURLs ?? []) yield { verbs: [verb], nonResourceURLs: [path] };
    for (const group of rule.apiGroups ?? [])
      for (const resource of rule.resources ?? []) {
        const names = rule.resourceNames ?? [];
        const piece = { verbs: [verb], apiGroups: [group], resources: [resource] };
        if (names.length === 0) yield piece;
        else for (const name of names) yield { ...piece, resourceNames: [name] };
      }
  }
}

function covers(owned: PolicyRule, piece: PolicyRule): boolean {
  const [verb = ''] = piece.verbs;
  if (!has(owned.verbs, verb)) return false;
  const [path] = piece.nonResourceURLs ?? [];
  if (path !== undefined)
    return (owned.nonResourceURLs ?? []).some(
      (one) => one === path || one === '*' || (one.endsWith('*') && path.startsWith(one.slice(0, -1))),
    );
  const [group = ''] = piece.apiGroups ?? [];
  const [resource = ''] = piece.resources ?? [];
  const [name] = piece.resourceNames ?? [];
  const subresource = resource.includes('/') ? resource.slice(resource.indexOf('/') + 1) : '';
  const resources = owned.resources ?? [];
  return (
    has(owned.apiGroups, group) &&
    (resources.includes('*') ||
      resources.includes(resource) ||
      (subresource !== '' && resources.includes(`*/${subresource}`))) &&
    (owned.resourceNames === undefined ||
      owned.resourceNames.length === 0 ||
      (name !== undefined && owned.resourceNames.includes(name)))
  );
}

/** What of the wanted rules the owned ones do not cover. */
export const notCovered = (
  wanted: readonly PolicyRule[],
  owned: readonly PolicyRule[],
): readonly PolicyRule[] =>
  wanted.flatMap((rule) => [...pieces(rule)]).filter((piece) => !owned.some((one) => covers(one, piece)));

/** A rule in the words of Kubernetes' error messages. */
export function ruleText(rule: PolicyRule): string {
  const list = (values: readonly string[] | undefined): string =>
    `[${(values ?? []).map((value) => JSON.stringify(value)).join(' ')}]`;
  const parts = [
    ...(rule.apiGroups === undefined ? [] : [`APIGroups:${list(rule.apiGroups)}`]),
    ...(rule.resources === undefined ? [] : [`Resources:${list(rule.resources)}`]),
    ...(rule.resourceNames === undefined ? [] : [`ResourceNames:${list(rule.resourceNames)}`]),
    ...(rule.nonResourceURLs === undefined ? [] : [`NonResourceURLs:${list(rule.nonResourceURLs)}`]),
    `Verbs:${list(rule.verbs)}`,
  ];
  return `{${parts.join(', ')}}`;
}
