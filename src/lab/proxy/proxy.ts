// The service proxy of a node: watches services and their endpoints, keeps the rows of table `margay-proxy`.
import { startSyncer, type Datastore, type SyncUpdate } from '../../datastore/mod.ts';
import {
  nftKey,
  nftOperations,
  type NftRow,
  Reconciler,
  type RowStatus,
  Table,
} from '../../felix/dataplane/mod.ts';
import type { Kernel } from '../../kernel/mod.ts';
import { systemClock, type Clock } from '../../lib/clock.ts';
import type { Family } from '../../lib/ip/mod.ts';
import type { Logger } from '../../lib/log.ts';
import type { EndpointSlice, Service } from '../../model/mod.ts';
import { frontendsOf } from './plan.ts';
import { fixedRows, frontendRows, proxyTable } from './rows.ts';

export type ProxyOptions = {
  readonly datastore: Datastore;
  readonly kernel: Kernel;
  readonly node: string;
  readonly families: readonly Family[];
  readonly logger: Logger;
  readonly clock?: Clock;
};

export interface ServiceProxy {
  /** Rows that the kernel does not hold, and why. */
  unfinished(): readonly (readonly [key: string, status: RowStatus])[];
  /** The kernel keeps what it has. */
  stop(): Promise<void>;
}

/** One transaction for everything that comes together. */
const batchSize = 100_000;

export function startServiceProxy(options: ProxyOptions): ServiceProxy {
  const { kernel, logger, datastore, node, families } = options;
  const clock = options.clock ?? systemClock;
  const table = new Table<NftRow>('service proxy', nftKey, clock);
  const reconciler = new Reconciler(table, nftOperations(kernel, proxyTable), { clock, logger, batchSize });
  const services = new ServiceRows(table, node, families);
  for (const row of fixedRows(families)) table.set(row);
  const subscription = kernel.subscribe(['nftables'], (event) => {
    if (event.type === 'lost') reconciler.observe({ type: 'resync', reason: 'events were lost' });
    else if (
      event.type === 'nftables' &&
      event.own !== true &&
      event.tables.some(({ name }) => name === proxyTable)
    )
      reconciler.observe({ type: 'resync', reason: `nftables changed by process ${event.pid}` });
  });
  let started = false;
  const syncer = startSyncer<'Service' | 'EndpointSlice'>(datastore, {
    kinds: ['Service', 'EndpointSlice'],
    logger,
    onUpdates: (updates) => {
      services.apply(updates);
      if (!started && updates.some((one) => one.type === 'status' && one.status === 'in-sync')) {
        started = true;
        reconciler.start();
      }
    },
  });
  return {
    unfinished: () => [...table.unfinished()],
    stop: async () => {
      subscription.close();
      await syncer.stop();
      await reconciler.stop();
    },
  };
}

type Update = SyncUpdate<'Service' | 'EndpointSlice'>;

/** Services, their slices, and the rows they came to. Chains are used by many services and go with the last. */
class ServiceRows {
  readonly #table: Table<NftRow>;
  readonly #node: string;
  readonly #families: ReadonlySet<Family>;
  readonly #services = new Map<string, Service>();
  readonly #slices = new Map<string, { readonly service: string; readonly slice: EndpointSlice }>();
  readonly #slicesOf = new Map<string, Set<string>>();
  readonly #rows = new Map<string, readonly string[]>();
  readonly #users = new Map<string, number>();

  constructor(table: Table<NftRow>, node: string, families: readonly Family[]) {
    this.#table = table;
    this.#node = node;
    this.#families = new Set(families);
  }

  apply(updates: readonly Update[]): void {
    const changed = new Set<string>();
    for (const update of updates) {
      if (update.type === 'status') continue;
      if (update.kind === 'Service') changed.add(this.#takeService(update));
      else for (const service of this.#takeSlice(update)) changed.add(service);
    }
    for (const service of changed) this.#refresh(service);
  }

  #takeService(update: Exclude<Update, { readonly type: 'status' }>): string {
    if (update.type === 'delete') {
      const key = keyOf(update.name);
      this.#services.delete(key);
      return key;
    }
    const key = keyOf(update.object.metadata);
    this.#services.set(key, update.object as Service);
    return key;
  }

  /** The services whose endpoints it changes: a slice may be moved to another. */
  #takeSlice(update: Exclude<Update, { readonly type: 'status' }>): string[] {
    const key = keyOf(update.type === 'delete' ? update.name : update.object.metadata);
    const before = this.#slices.get(key)?.service;
    if (before !== undefined) {
      this.#slicesOf.get(before)?.delete(key);
      if (this.#slicesOf.get(before)?.size === 0) this.#slicesOf.delete(before);
    }
    this.#slices.delete(key);
    const touched = before === undefined ? [] : [before];
    if (update.type === 'delete') return touched;
    const slice = update.object as EndpointSlice;
    const name = slice.metadata.labels?.['kubernetes.io/service-name'];
    if (!name) return touched;
    const service = `${slice.metadata.namespace ?? ''}/${name}`;
    this.#slices.set(key, { service, slice });
    const slices = this.#slicesOf.get(service) ?? new Set();
    slices.add(key);
    this.#slicesOf.set(service, slices);
    return [...touched, service];
  }

  #refresh(key: string): void {
    const service = this.#services.get(key);
    const slices = [...(this.#slicesOf.get(key) ?? [])].flatMap((one) => this.#slices.get(one)?.slice ?? []);
    const rows =
      service === undefined
        ? []
        : frontendsOf(service, slices, this.#node)
            .filter(({ family }) => this.#families.has(family))
            .flatMap(frontendRows);
    const wanted = new Map(rows.map((row) => [nftKey(row), row]));
    const before = this.#rows.get(key) ?? [];
    const had = new Set(before);
    for (const [rowKey, row] of wanted) {
      if (!had.has(rowKey)) this.#users.set(rowKey, (this.#users.get(rowKey) ?? 0) + 1);
      const now = this.#table.rows.get(rowKey);
      if (now === undefined || JSON.stringify(now) !== JSON.stringify(row)) this.#table.set(row);
    }
    for (const rowKey of before) {
      if (wanted.has(rowKey)) continue;
      const users = (this.#users.get(rowKey) ?? 1) - 1;
      if (users > 0) this.#users.set(rowKey, users);
      else {
        this.#users.delete(rowKey);
        this.#table.delete(rowKey);
      }
    }
    if (wanted.size === 0) this.#rows.delete(key);
    else this.#rows.set(key, [...wanted.keys()]);
  }
}

const keyOf = ({ namespace = '', name }: { readonly namespace?: string; readonly name: string }): string =>
  `${namespace}/${name}`;
