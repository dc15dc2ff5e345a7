// `ipam split`: one pool becomes equal smaller ones, addresses in use stay where they are (CT-034). The datastore must be
// locked, so that nobody takes addresses while the pools are exchanged.
import type { Datastore } from '../../../datastore/mod.ts';
import { parsePrefix, prefixFamily, prefixLength, subPrefixAt, type Prefix } from '../../../lib/ip/mod.ts';
import { ok, type Result } from '../../../lib/result.ts';
import { applyDefaults, type IPPool } from '../../../model/mod.ts';
import { isLocked } from '../datastore/lock.ts';
import { type CliError, fail, printLine, textFlag, verb, withDatastore } from '../program.ts';

/** More pools than this are a mistake. */
const maxParts = 1024;

export const command = verb(
  {
    name: 'ipam split',
    summary: 'Split a pool into equal smaller pools.',
    arguments: '<number>',
    flags: [
      { flags: '--cidr <cidr>', description: 'the pool by its range' },
      { flags: '--name <pool>', description: 'the pool by its name' },
    ],
    examples: ['ipam split --cidr=172.16.0.0/16 2'],
    notes: 'The datastore must be locked ("datastore migrate lock"). The number must be a power of two.',
  },
  ({ flags, args }) => {
    const parts = Number(args[0]);
    const cidr = textFlag(flags, 'cidr');
    const name = textFlag(flags, 'name');
    if (cidr === undefined && name === undefined)
      return Promise.resolve(
        fail('no name or CIDR provided. Provide a name or CIDR to denote the IP pool to split'),
      );
    if (!Number.isInteger(parts) || parts < 2 || parts > maxParts || (parts & (parts - 1)) !== 0)
      return Promise.resolve(fail(`number to split CIDR into is not a valid power of 2: ${args[0]}`));
    return withDatastore(flags, (store) =>
      split(store, parts, (pool) =>
        name === undefined ? pool.spec.cidr === cidr : pool.metadata.name === name,
      ),
    );
  },
);

/** The ranges of the parts; undefined when a part could not hold one block. */
export function partsOf(cidr: Prefix, parts: number, blockSize: number): readonly Prefix[] | undefined {
  const length = prefixLength(cidr) + Math.log2(parts);
  if (length > blockSize || length > (prefixFamily(cidr) === 4 ? 32 : 128)) return undefined;
  return Array.from({ length: parts }, (_, i) => subPrefixAt(cidr, length, BigInt(i)));
}

async function split(
  store: Datastore,
  parts: number,
  isWanted: (pool: IPPool) => boolean,
): Promise<Result<void, CliError>> {
  const locked = await isLocked(store);
  if (!locked.ok) return locked;
  if (!locked.value)
    return fail(
      'datastore is not locked. Run the `calicoctl datastore migrate lock` command in order split the IP pools',
    );
  const pools = await store.list('IPPool');
  if (!pools.ok) return fail(`unable to list IP pools: ${pools.error.message}`);
  const found = pools.value.items.find(isWanted);
  if (found === undefined) return fail('unable to find the IP pool');
  const pool = applyDefaults('IPPool', found);
  const cidr = parsePrefix(pool.spec.cidr);
  if (!cidr.ok) return fail(cidr.error.message);
  const ranges = partsOf(cidr.value, parts, pool.spec.blockSize ?? 0);
  if (ranges === undefined)
    return fail(`the CIDR ${pool.spec.cidr} is not large enough to be split into ${parts} parts`);
  // The old pool makes room first: pools must not overlap. Blocks and the addresses in them are left alone.
  const removed = await store.delete('IPPool', { name: pool.metadata.name });
  if (!removed.ok) return fail(`error removing the IP pool ${pool.metadata.name}: ${removed.error.message}`);
  const created: IPPool[] = [];
  for (const [i, range] of ranges.entries()) {
    const part = partOf(pool, range, `split-${pool.metadata.name.slice(0, 240)}-${i}`);
    const made = await store.create('IPPool', part);
    if (!made.ok)
      return restore(
        store,
        pool,
        created,
        `error making the pool ${part.metadata.name}: ${made.error.message}`,
      );
    created.push(part);
  }
  printLine(`IP Pool ${pool.metadata.name} was successfully split into ${parts} smaller pools.`);
  for (const { metadata, spec } of created) printLine(`Created ${metadata.name} with CIDR ${spec.cidr}.`);
  return ok(undefined);
}

const partOf = ({ apiVersion, kind, metadata, spec }: IPPool, cidr: string, name: string): IPPool => ({
  apiVersion,
  kind,
  metadata: {
    name,
    ...(metadata.labels === undefined ? {} : { labels: metadata.labels }),
    ...(metadata.annotations === undefined ? {} : { annotations: metadata.annotations }),
  },
  spec: { ...spec, cidr },
});

async function restore(
  store: Datastore,
  pool: IPPool,
  created: readonly IPPool[],
  why: string,
): Promise<Result<void, CliError>> {
  for (const { metadata } of created) await store.delete('IPPool', { name: metadata.name });
  const back = await store.create('IPPool', partOf(pool, pool.spec.cidr, pool.metadata.name));
  return fail(
    why,
    back.ok
      ? 'The pool is as it was.'
      : `The pool ${pool.metadata.name} (${pool.spec.cidr}) could not be restored: ${back.error.message}`,
  );
}
