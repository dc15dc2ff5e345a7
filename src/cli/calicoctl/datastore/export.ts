// `datastore migrate export`: everything that Calico stores, as text on standard output (CT-050). Three parts, with a line
// `===` between them: resources in YAML, the cluster's information in JSON, blocks and claims and handles in JSON.
import type { Datastore } from '../../../datastore/mod.ts';
import { ok, type Result } from '../../../lib/result.ts';
import { kindDefinition, type KindName } from '../../../model/mod.ts';
import { listResources } from '../actions.ts';
import type { Resource } from '../input/resources.ts';
import { yamlText } from '../output/print.ts';
import { type CliError, fail, print, printLine, verb, withDatastore } from '../program.ts';
import { isLocked } from './lock.ts';

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
  'IPAMConfiguration',
  'CalicoNodeStatus',
];
export const addressKinds = ['IPAMBlock', 'BlockAffinity', 'IPAMHandle'] as const;
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
  for (const kind of exportedKinds) {
    const listed = await listResources(store, kindDefinition(kind), {});
    if (!listed.ok) return listed;
    const { definition, items } = listed.value;
    const list = {
      apiVersion: definition.apiVersion,
      kind: `${definition.kind}List`,
      items: items.map(withoutIdentity),
    };
    print(await yamlText(list));
    printLine('---');
  }
  printLine(separator);
  const information = await store.get('ClusterInformation', { name: 'default' });
  if (!information.ok) return fail(information.error.message);
  printLine(JSON.stringify(withoutIdentity(information.value as unknown as Resource), exactNumbers, 2));
  printLine(separator);
  const addresses: Record<string, readonly Resource[]> = {};
  for (const kind of addressKinds) {
    const listed = await listResources(store, kindDefinition(kind), {});
    if (!listed.ok) return listed;
    addresses[kind] = listed.value.items.map(withoutIdentity);
  }
  printLine(JSON.stringify(addresses, exactNumbers, 2));
  return ok(undefined);
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
