// What policy is made of, from files, from the cluster, or from both with the files in the place of what is stored.
import type { Datastore } from '../../datastore/mod.ts';
import { ok, type Result } from '../../lib/result.ts';
import {
  allKinds,
  isFinishedPod,
  kindDefinition,
  validate,
  type KindName,
  type Pod,
} from '../../model/mod.ts';
import type { WorldResource } from '../../policy/mod.ts';
import { parseDocuments, type SourceDocument } from '../calicoctl/input/documents.ts';
import { readInputs } from '../calicoctl/input/files.ts';
import { isObject, resourcesIn } from '../calicoctl/input/resources.ts';
import { kindOfDocument } from '../calicoctl/kinds.ts';
import { problemOf } from '../calicoctl/problems.ts';
import { fail, type CliError } from '../calicoctl/program.ts';
import { completed, podOfTemplate } from './manifests.ts';

/** Kinds that say something about policy. */
export const worldKinds = [
  'Pod',
  'Namespace',
  'ServiceAccount',
  'Service',
  'EndpointSlice',
  'KubernetesNode',
  'Node',
  'Tier',
  'NetworkPolicy',
  'GlobalNetworkPolicy',
  'KubernetesNetworkPolicy',
  'ClusterNetworkPolicy',
  'StagedNetworkPolicy',
  'StagedGlobalNetworkPolicy',
  'StagedKubernetesNetworkPolicy',
  'NetworkSet',
  'GlobalNetworkSet',
  'HostEndpoint',
  'Profile',
  'FelixConfiguration',
] as const satisfies readonly KindName[];

/** Everything that the cluster has of these kinds. A kind that the server does not know is taken for empty; anything else
 *  that keeps a list away is an error: half of the resources would give wrong answers. */
export async function resourcesOfCluster(
  store: Datastore,
): Promise<Result<readonly WorldResource[], CliError>> {
  const lists = await Promise.all(worldKinds.map((kind) => listOf(store, kind)));
  const all: WorldResource[] = [];
  for (const list of lists) {
    if (!list.ok) return list;
    all.push(...list.value);
  }
  return ok(all);
}

async function listOf(store: Datastore, kind: KindName): Promise<Result<readonly WorldResource[], CliError>> {
  const listed = await store.list(kind);
  if (!listed.ok) {
    const { code, message, hint } = listed.error;
    if (code === 'NotFound' || code === 'NotSupported') return ok([]);
    return fail(`The list of ${kindDefinition(kind).plural} cannot be read: ${message}`, hint);
  }
  const { apiVersion, kind: word } = kindDefinition(kind);
  const objects = listed.value.items.map(
    (item) => ({ ...item, apiVersion, kind: word }) as unknown as WorldResource,
  );
  // An address of a pod that has ended may be another one's by now.
  return ok(kind === 'Pod' ? objects.filter((pod) => !isFinishedPod(pod as unknown as Pod)) : objects);
}

export type FromFiles = {
  readonly resources: readonly WorldResource[];
  /** Kinds that were found and say nothing about policy. */
  readonly passedOver: readonly string[];
};

/** All resources of files and directories. Manifests are enough: what a cluster would add is added. */
export async function resourcesOfFiles(
  names: readonly string[],
  options: { readonly recursive: boolean; readonly namespace: string },
): Promise<Result<FromFiles, CliError>> {
  const resources: WorldResource[] = [];
  const passedOver: string[] = [];
  for (const name of names) {
    const inputs = await readInputs(name, { recursive: options.recursive });
    if (!inputs.ok) return inputs;
    for (const { source, text } of inputs.value) {
      const documents = await parseDocuments(source, text);
      if (!documents.ok) return documents;
      for (const document of documents.value)
        for (const value of itemsOf(document.value)) {
          const read = readOne(document, value, options.namespace);
          if (!read.ok) return read;
          if (typeof read.value === 'string') passedOver.push(read.value);
          else resources.push(read.value);
        }
    }
  }
  return ok({ resources, passedOver: [...new Set(passedOver)].toSorted() });
}

/** The objects of a document; lists are taken apart. */
function itemsOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value.flatMap(itemsOf);
  if (!isObject(value) || typeof value['kind'] !== 'string') return [value];
  const { apiVersion, kind, items } = value;
  if (!kind.endsWith('List') || !Array.isArray(items)) return [value];
  const own = kind.slice(0, -'List'.length);
  return items.flatMap((item: unknown) =>
    itemsOf(isObject(item) && own !== '' ? { apiVersion, kind: own, ...item } : item),
  );
}

/** A text is the kind of an object that does not matter. */
function readOne(
  document: SourceDocument,
  value: unknown,
  namespace: string,
): Result<WorldResource | string, CliError> {
  if (isObject(value) && kindOfDocument(value['apiVersion'], value['kind']) === undefined)
    return readKubernetes(document, value, namespace);
  const read = resourcesIn(document, value, []);
  if (!read.ok) return read;
  const [loaded] = read.value;
  if (loaded === undefined) return fail(`${document.source}: the document holds no resource.`);
  const { definition } = loaded;
  if (!(worldKinds as readonly KindName[]).includes(definition.name)) return ok(definition.kind);
  const object = definition.namespaced
    ? { ...loaded.object, metadata: { namespace, ...loaded.object.metadata } }
    : loaded.object;
  const problem = problemOf({ ...loaded, object });
  return problem === undefined ? ok(object as unknown as WorldResource) : fail(problem);
}

function readKubernetes(
  { source }: SourceDocument,
  value: Readonly<Record<string, unknown>>,
  namespace: string,
): Result<WorldResource | string, CliError> {
  const { apiVersion, kind, metadata } = value;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string')
    return fail(`${source}: a resource has apiVersion and kind.`);
  const given = isObject(metadata) ? metadata : {};
  const pod = podOfTemplate(value, { namespace, ...given });
  if (pod !== undefined) return ok(pod);
  const definition = allKinds
    .map(kindDefinition)
    .find((one) => one.kind === kind && one.apiVersion === apiVersion);
  if (definition === undefined || !(worldKinds as readonly KindName[]).includes(definition.name))
    return ok(kind);
  const object = definition.namespaced ? { ...value, metadata: { namespace, ...given } } : value;
  const name = typeof given['name'] === 'string' ? given['name'] : '';
  const [issue] = validate(definition.name, object);
  return issue === undefined
    ? ok(object as unknown as WorldResource)
    : fail(`${source}: ${kind} ${name}: ${issue.field} ${issue.reason}`);
}

/** The resources of a question: those of the files in the place of the cluster's of the same name. */
export function merged(
  cluster: readonly WorldResource[],
  files: readonly WorldResource[],
): readonly WorldResource[] {
  const byName = new Map([...cluster, ...files].map((one) => [nameOf(one), one]));
  return completed([...byName.values()]);
}

const nameOf = ({ apiVersion, kind, metadata }: WorldResource): string =>
  `${apiVersion.split('/')[0] ?? ''} ${kind} ${metadata.namespace ?? ''}/${metadata.name}`;
