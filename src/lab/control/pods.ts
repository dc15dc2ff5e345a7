// What the controllers ask of a pod, and how they make one from a template.
import type { KubernetesNode, Pod, ReplicaSet } from '../../model/mod.ts';

export type PodTemplate = NonNullable<ReplicaSet['spec']['template']>;
export type Owner = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly uid?: string };
};

export const isReady = (pod: Pod): boolean =>
  pod.metadata.deletionTimestamp === undefined &&
  (pod.status?.conditions ?? []).some((c) => c.type === 'Ready' && c.status === 'True');

/** Neither being deleted nor finished. */
export const isActive = (pod: Pod): boolean =>
  pod.metadata.deletionTimestamp === undefined &&
  pod.status?.phase !== 'Succeeded' &&
  pod.status?.phase !== 'Failed';

export const isNodeReady = (node: KubernetesNode): boolean =>
  (node.status?.conditions ?? []).some((c) => c.type === 'Ready' && c.status === 'True');

export const controllerOf = (object: {
  readonly metadata: {
    readonly ownerReferences?: readonly { readonly uid: string; readonly controller?: boolean }[];
  };
}): string | undefined => object.metadata.ownerReferences?.find((o) => o.controller === true)?.uid;

export function ownerReference(owner: Owner): NonNullable<Pod['metadata']['ownerReferences']>[number] {
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** A pod of the owner; the server completes the name. */
export function podFromTemplate(
  owner: Owner,
  template: PodTemplate,
  change: { readonly nodeName?: string; readonly labels?: Readonly<Record<string, string>> } = {},
): Pod {
  const labels = { ...template.metadata?.labels, ...change.labels };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: '',
      generateName: `${owner.metadata.name}-`,
      ...(owner.metadata.namespace === undefined ? {} : { namespace: owner.metadata.namespace }),
      labels,
      ...(template.metadata?.annotations === undefined ? {} : { annotations: template.metadata.annotations }),
      ownerReferences: [ownerReference(owner)],
    },
    spec: {
      ...template.spec,
      ...(change.nodeName === undefined ? {} : { nodeName: change.nodeName }),
    },
  };
}

/** Text for a value that does not depend on the order of its keys. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, v: unknown) =>
    typeof v === 'object' && v !== null && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort(([a], [b]) => (a < b ? -1 : 1)))
      : v,
  );
}

/** A short name for a pod template, of the letters that Kubernetes uses (no vowels, nothing that looks alike). */
export function templateHash(template: PodTemplate, salt = ''): string {
  let hash = 0x811c9dc5;
  for (const char of canonicalJson(template) + salt)
    hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  const letters = 'bcdfghjklmnpqrstvwxz2456789';
  let text = '';
  for (let i = 0, rest = hash; i < 8; i++, rest = Math.floor(rest / letters.length) || hash >>> i)
    text += letters[rest % letters.length];
  return text;
}
