// Tells in the status of each pool whether addresses are given out of it, and if not, why (RS-029): it is disabled, it is
// going, or it overlaps with a pool that was there before (two writers of another store may have made both).
import { startSyncer, type Datastore } from '../datastore/mod.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { parsePrefix, prefixesOverlap } from '../lib/ip/mod.ts';
import { hasRange } from '../ipam/mod.ts';
import type { Logger } from '../lib/log.ts';
import type { IPPool } from '../model/mod.ts';
import { ConditionWriter, type Saying } from './conditions.ts';

export type PoolStatusOptions = {
  readonly datastore: Datastore;
  readonly logger: Logger;
  readonly clock?: Clock;
};
export interface PoolStatus {
  stop(): Promise<void>;
}

export function startPoolStatus({ datastore, logger, clock = systemClock }: PoolStatusOptions): PoolStatus {
  const pools = new Map<string, IPPool>();
  const writer = new ConditionWriter({ datastore, logger, clock, type: 'Allocatable' });
  // Pools are few, and one that comes or goes may free or take the range of another.
  const sayAll = (): void => {
    const inOrder = [...pools.values()].toSorted(byAge);
    for (const [i, pool] of inOrder.entries())
      writer.set(pool.metadata.name, 'IPPool', pool, allocatable(pool, inOrder.slice(0, i)));
  };
  const syncer = startSyncer<'IPPool'>(datastore, {
    kinds: ['IPPool'],
    logger,
    onUpdates: (updates) => {
      for (const update of updates) {
        if (update.type === 'set' && !hasRange(update.object)) {
          pools.delete(update.object.metadata.name);
          logger.warn('A pool without a range counts as absent', { pool: update.object.metadata.name });
        } else if (update.type === 'set') pools.set(update.object.metadata.name, update.object);
        else if (update.type === 'delete') {
          pools.delete(update.name.name);
          writer.delete(update.name.name);
        } else if (update.status === 'in-sync') writer.open();
      }
      sayAll();
    },
  });
  return {
    stop: async () => {
      await Promise.all([syncer.stop(), writer.stop()]);
    },
  };
}

/** Older pools first; of those of one second, by name. */
function byAge(a: IPPool, b: IPPool): number {
  const [left, right] = [a, b].map(
    ({ metadata }) => `${metadata.creationTimestamp ?? ''} ${metadata.name}`,
  ) as [string, string];
  return left < right ? -1 : 1;
}

function allocatable({ metadata, spec }: IPPool, older: readonly IPPool[]): Saying {
  const no = (reason: string, message: string): Saying => ({ status: 'False', reason, message });
  if (metadata.deletionTimestamp !== undefined)
    return no('Terminating', 'The pool is deleted: it stays until its last address is given back.');
  if (spec.disabled === true) return no('PoolDisabled', 'The pool is disabled.');
  const own = parsePrefix(spec.cidr);
  const other = older.find(({ spec: { cidr } }) => {
    const range = parsePrefix(cidr);
    return own.ok && range.ok && prefixesOverlap(own.value, range.value);
  });
  return other === undefined
    ? { status: 'True', reason: 'OK', message: 'Addresses are given out of the pool.' }
    : no(
        'CIDROverlap',
        `The range overlaps with ${other.spec.cidr} of the older pool ${other.metadata.name}.`,
      );
}
