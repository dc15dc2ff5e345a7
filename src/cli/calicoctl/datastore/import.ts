// `datastore migrate import`: takes in what `export` wrote (CT-050). The datastore stays locked: unlock it when the nodes use it.
import { asEtcd, type Datastore, etcdEntries } from '../../../datastore/mod.ts';
import { parseJson } from '../../../lib/json.ts';
import { ok, type Result } from '../../../lib/result.ts';
import type { ClusterInformation, KindName, ResourceOf } from '../../../model/mod.ts';
import { applyResource } from '../actions.ts';
import { executeEach } from '../execute.ts';
import { parseDocuments } from '../input/documents.ts';
import { readInputs } from '../input/files.ts';
import { isObject, type Loaded, resourcesIn } from '../input/resources.ts';
import { type CliError, fail, printLine, textFlag, verb, warn, withDatastore } from '../program.ts';
import { addressLists, separator } from './export.ts';
import { setReady } from './lock.ts';

export const command = verb(
  {
    name: 'datastore migrate import',
    summary: 'Take in what "datastore migrate export" wrote.',
    flags: [{ flags: '-f, --filename <file>', description: 'the export, or - for standard input' }],
    examples: ['datastore migrate import -f cluster.yaml'],
    notes: 'The datastore must hold no pools and no blocks. It is left locked.',
  },
  async ({ flags }) => {
    const file = textFlag(flags, 'filename');
    if (file === undefined) return fail('import needs -f with the exported file');
    return withDatastore(flags, async (store) => {
      if ((await asEtcd(store)) !== undefined)
        return fail(
          'Invalid datastore type: etcdv3 to import to for datastore migration. Datastore type must be kubernetes',
        );
      const parts = await readExport(file);
      return parts.ok ? importAll(store, parts.value) : parts;
    });
  },
);

type Export = {
  readonly resources: readonly Loaded[];
  readonly information: ClusterInformation;
  readonly addresses: readonly AddressObject[];
};
type AddressObject = { readonly kind: KindName; readonly object: ResourceOf<KindName> };

async function readExport(file: string): Promise<Result<Export, CliError>> {
  const inputs = await readInputs(file, { recursive: false });
  if (!inputs.ok) return inputs;
  const text = inputs.value[0]?.text ?? '';
  const [yaml = '', information, addresses, ...more] = text.split(new RegExp(`^${separator}\\r?\\n`, 'm'));
  if (information === undefined || addresses === undefined || more.length > 0)
    return fail(
      `${file} is not an export: it has not the three parts that "datastore migrate export" writes.`,
    );
  const documents = await parseDocuments(file, yaml);
  if (!documents.ok) return documents;
  const resources: Loaded[] = [];
  for (const document of documents.value) {
    const found = resourcesIn(document, document.value, []);
    if (!found.ok) return found;
    resources.push(...found.value);
  }
  try {
    const objects = await addressesIn(parseJson(addresses), file);
    if (!objects.ok) return objects;
    return ok({
      resources,
      information: parseJson(information) as ClusterInformation,
      addresses: objects.value,
    });
  } catch (error) {
    return fail(`${file}: ${(error as Error).message}.`);
  }
}

/** Lists of keys and values of etcd; a list that is empty may be missing. */
async function addressesIn(
  parsed: unknown,
  file: string,
): Promise<Result<readonly AddressObject[], CliError>> {
  if (!isObject(parsed)) return fail(`${file}: the part about addresses is not one.`);
  const { objectOf } = await etcdEntries();
  const objects: AddressObject[] = [];
  const pairs: [KindName, unknown][] = [
    ...addressLists.flatMap(([list, kind]) =>
      ((parsed[list] ?? []) as readonly unknown[]).map((pair): [KindName, unknown] => [kind, pair]),
    ),
    ...(parsed['config'] ? [['IPAMConfiguration', parsed['config']] as [KindName, unknown]] : []),
  ];
  for (const [kind, pair] of pairs) {
    const { Key: key, Value: value } = isObject(pair) ? pair : {};
    const object =
      typeof key === 'string' ? objectOf(kind, { key, value }) : fail(`an entry of ${kind} has no key`);
    if (!object.ok) return fail(`${file}: ${object.error.message}`);
    objects.push({ kind, object: object.value });
  }
  return ok(objects);
}

async function importAll(
  store: Datastore,
  { resources, information, addresses }: Export,
): Promise<Result<void, CliError>> {
  const [pools, blocks] = await Promise.all([store.list('IPPool'), store.list('IPAMBlock')]);
  if (!pools.ok) return fail(pools.error.message);
  if (!blocks.ok) return fail(blocks.error.message);
  if (pools.value.items.length + blocks.value.items.length > 0)
    return fail('the datastore holds pools or blocks already: import into an empty one only');
  const locked = await setReady(store, false);
  if (!locked.ok) return locked;
  const { handled, errors } = await executeEach(store, {}, resources, (target, loaded) =>
    applyResource(target, loaded),
  );
  printLine(`Imported ${handled.length} resources.`);
  for (const { message } of errors) warn(`Skipped: ${message}`);
  for (const { kind, object } of addresses) {
    const created = await store.create(kind, object);
    if (!created.ok && created.error.code === 'AlreadyExists' && kind === 'IPAMConfiguration') {
      const { spec } = object as ResourceOf<'IPAMConfiguration'>;
      const set = await store.patch(kind, object.metadata, { type: 'merge', body: { spec } });
      if (!set.ok) return fail(`importing ${kind}: ${set.error.message}`);
      continue;
    }
    if (!created.ok && created.error.code !== 'AlreadyExists')
      return fail(`importing ${kind} ${object.metadata.name}: ${created.error.message}`);
  }
  printLine(`Imported ${addresses.length} objects of address management.`);
  const { clusterGUID, clusterType } = information.spec;
  const spec = { ...(clusterGUID ? { clusterGUID } : {}), ...(clusterType ? { clusterType } : {}) };
  const patched = await store.patch(
    'ClusterInformation',
    { name: 'default' },
    { type: 'merge', body: { spec } },
  );
  if (!patched.ok) return fail(patched.error.message);
  // Nodes of a Kubernetes cluster come from Kubernetes: those that are not there yet are no failure.
  const failures = errors.filter(({ message }) => !message.includes('Node('));
  if (failures.length > 0) return fail(`${failures.length} resources were not imported`);
  printLine('The datastore is locked. Unlock it when the nodes use it: datastore migrate unlock');
  return ok(undefined);
}
