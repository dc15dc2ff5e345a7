// The earlier versions of a DaemonSet or StatefulSet, as ControllerRevisions: what `kubectl rollout history` lists and `rollout
// undo` brings back. Each holds the pod template as a strategic merge patch. Pure.
import type { ControllerRevision } from '../../model/mod.ts';
import { controllerOf, type Owner, ownerReference, type PodTemplate, templateHash } from './pods.ts';

export type RevisionPlan = {
  readonly create?: ControllerRevision;
  /** The version of now was there before: it becomes the newest one. */
  readonly renumber?: { readonly of: ControllerRevision; readonly revision: number };
  readonly remove: readonly ControllerRevision[];
};

export type RevisedOwner = Owner & {
  readonly metadata: {
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly spec: { readonly template: PodTemplate; readonly revisionHistoryLimit?: number };
};

export const revisionHashLabel = 'controller-revision-hash';
const statefulHashLabel = 'controller.kubernetes.io/hash';

/** Sets of different kinds may have the same name and template. */
export const revisionHash = (owner: RevisedOwner): string => templateHash(owner.spec.template, owner.kind);
export const revisionName = (owner: RevisedOwner): string => `${owner.metadata.name}-${revisionHash(owner)}`;

/** `inUse`: names of revisions that pods are of. */
export function planRevisions(
  owner: RevisedOwner,
  revisions: readonly ControllerRevision[],
  inUse: ReadonlySet<string>,
): RevisionPlan {
  if (owner.metadata.deletionTimestamp !== undefined) return { remove: [] };
  const own = revisions
    .filter((one) => one.metadata.namespace === owner.metadata.namespace)
    .filter((one) => controllerOf(one) === owner.metadata.uid)
    .toSorted((a, b) => numberOf(a) - numberOf(b));
  const name = revisionName(owner);
  const current = own.find((one) => one.metadata.name === name);
  const newest = numberOf(own.at(-1));
  const history = own.filter((one) => one !== current && !inUse.has(one.metadata.name));
  const limit = owner.spec.revisionHistoryLimit ?? 10;
  const remove = history.slice(0, Math.max(0, history.length - limit));
  if (current === undefined) return { create: revisionOf(owner, name, newest + 1), remove };
  if (own.at(-1) !== current) return { renumber: { of: current, revision: newest + 1 }, remove };
  return { remove };
}

const numberOf = (revision: ControllerRevision | undefined): number => revision?.revision ?? 0;

function revisionOf(owner: RevisedOwner, name: string, revision: number): ControllerRevision {
  const { template } = owner.spec;
  const { namespace, annotations } = owner.metadata;
  const hash = revisionHash(owner);
  const hashLabel = owner.kind === 'DaemonSet' ? revisionHashLabel : statefulHashLabel;
  return {
    apiVersion: 'apps/v1',
    kind: 'ControllerRevision',
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...template.metadata?.labels, [hashLabel]: hash },
      ...(annotations === undefined ? {} : { annotations }),
      ownerReferences: [ownerReference(owner)],
    },
    data: { spec: { template: { ...template, $patch: 'replace' } as PodTemplate } },
    revision,
  };
}

/** The template that a revision stands for. */
export function templateOf(revision: ControllerRevision | undefined): PodTemplate | undefined {
  const template = revision?.data?.spec?.template;
  if (template === undefined) return undefined;
  const { $patch: _, ...rest } = template as PodTemplate & { readonly $patch?: string };
  return rest;
}
