// `datastore migrate export`: everything that Calico stores, as text on standard output (CT-050). Three parts, with a line
// `===` between them: resources in YAML, the cluster's information in JSON, address management in JSON, as keys and values
// of etcd. Calico's exports have the same form.
import { type Datastore, etcdEntries } from '../../../datastore/mod.ts';
import { ok, type Result } from '../../../lib/result.ts';
import { kindDefinition, type KindName, type Node } from '../../../model/mod.ts';
import { listResources } from '../actions.ts';
import type { Resource } from '../input/resources.ts';
import { yamlText } from '../output/print.ts';
import { type CliError, fail, print, printLine, verb, withDatastore } from '../program.ts';
import { isLocked } from './lock.ts';
import { nodeNames, type NodeNames, renamedAddresses, renamedResource } from './node-names.ts';

/** What others refer to comes first. */
export const exportedKinds: readonly KindName[] = [
  'IPPool',
  'BGPFilter',
  'BGPPeer',
  'Tier',
  'GlobalNetworkPolicy',
  'StagedGlobalNetworkPolicy',
  'GlobalNetworkSet',
  'HostEndpoint',
  'KubeControllersConfiguration',
  'NetworkPolicy',
  'StagedNetworkPolicy',
  'StagedKubernetesNetworkPolicy',
  'NetworkSet',
  'Node',
  'BGPConfiguration',
  'FelixConfiguration',
  'IPReservation',
  'CalicoNodeStatus',
];
/** Kinds of address management, and how an export calls their lists. */
export const addressLists = [
  ['block_affinities', 'BlockAffinity'],
  ['blocks', 'IPAMBlock'],
  ['handles', 'IPAMHandle'],
] as const;
export const separator = '===';

export const command = verb(
  {
    name: 'datastore migrate export',
    summary: 'Write everything that Calico stores to standard output.',
    flags: [],
    examples: ['datastore migrate export > cluster.yaml'],
    notes:
      'The datastore must be locked. Profiles and workload endpoints are not exported: namespaces and pods make them.',
  },
  ({ flags }) =>
    withDatastore(flags, async (store) => {
      const locked = await isLocked(store);
      if (!locked.ok) return locked;
      if (!locked.value)
        return fail(
          'datastore is not locked. Run the `calicoctl datastore migrate lock` command in order to begin migration',
        );
      return exportAll(store);
    }),
);

async function exportAll(store: Datastore): Promise<Result<void, CliError>> {
  const nodes = await listResources(store, kindDefinition('Node'), {});
  if (!nodes.ok) return nodes;
  const names = nodeNames(nodes.value.items as unknown as readonly Node[]);
  for (const kind of exportedKinds) {
    const listed = kind === 'Node' ? nodes : await listResources(store, kindDefinition(kind), {});
    if (!listed.ok) return listed;
    const { definition, items } = listed.value;
    const list = {
      apiVersion: definition.apiVersion,
      kind: `${definition.kind}List`,
      items: items.filter(isOwn).map((item) => withoutIdentity(renamedResource(item, names))),
    };
    print(await yamlText(list));
    printLine('---');
  }
  printLine(separator);
  const information = await store.get('ClusterInformation', { name: 'default' });
  if (!information.ok) return fail(information.error.message);
  printLine(JSON.stringify(withoutIdentity(information.value as unknown as Resource), exactNumbers, 2));
  printLine(separator);
  const addresses = await exportedAddresses(store, names);
  if (!addresses.ok) return addresses;
  printLine(JSON.stringify(addresses.value, exactNumbers, 2));
  return ok(undefined);
}

/** Policies of Kubernetes go where Kubernetes goes. */
const isOwn = ({ kind, metadata }: Resource): boolean =>
  kind !== 'NetworkPolicy' || !metadata.name.startsWith('knp.default.');

/** `TTL` is for who reads it with Calico. */
type Pair = { readonly Key: string; readonly Value: unknown; readonly TTL: number };

async function exportedAddresses(
  store: Datastore,
  names: NodeNames,
): Promise<Result<Readonly<Record<string, unknown>>, CliError>> {
  const { entryOf } = await etcdEntries();
  const pair = (entry: { readonly key: string; readonly value: unknown } | undefined): readonly Pair[] =>
    entry === undefined ? [] : [{ Key: entry.key, Value: entry.value, TTL: 0 }];
  const addresses: Record<string, unknown> = {};
  for (const [list, kind] of addressLists) {
    const listed = await store.list(kind);
    if (!listed.ok) return fail(listed.error.message);
    addresses[list] = listed.value.items.flatMap((item) =>
      pair(entryOf(kind, renamedAddresses(item, names))),
    );
  }
  const configuration = await store.get('IPAMConfiguration', { name: 'default' });
  if (configuration.ok) addresses['config'] = pair(entryOf('IPAMConfiguration', configuration.value))[0];
  else if (configuration.error.code !== 'NotFound') return fail(configuration.error.message);
  return ok(addresses);
}

function withoutIdentity(object: Resource): Resource {
  const {
    uid: _uid,
    resourceVersion: _version,
    creationTimestamp: _time,
    generation: _generation,
    ...metadata
  } = object.metadata;
  return { ...object, metadata };
}

const exactNumbers = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint'
    ? (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(value))
    : value;
