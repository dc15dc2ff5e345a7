// Reading what assignment depends on: from the view when there is one, else from the store, several callers sharing one
// read. Nothing here decides anything.
import type { Family, Prefix } from '../lib/ip/mod.ts';
import { parseNetwork, prefixFamily } from '../lib/ip/mod.ts';
import type { Logger } from '../lib/log.ts';
import { ok, type Result } from '../lib/result.ts';
import type {
  BlockAffinity,
  IPAMBlock,
  IPAMConfiguration,
  IPPool,
  IPReservation,
  ResourceOf,
} from '../model/mod.ts';
import { type AffinityState, readableBlocks, stateOf } from './claims.ts';
import type { Block } from './block.ts';
import { SharedWork } from './concurrency.ts';
import { fail, storeFailed } from './errors.ts';
import { affinityLabels, affinitySelector, hostnameHash, type Owner } from './names.ts';
import { type Pool, poolsOf } from './pools.ts';
import { type ReservedAddresses, reservedAddresses } from './reservations.ts';
import type { IpamError, IpamKind, IpamStore, IpamView, StoreFailure } from './types.ts';

export type Configuration = {
  readonly strictAffinity: boolean;
  readonly autoAllocateBlocks: boolean;
  /** 0 when the configuration does not say. */
  readonly maxBlocksPerHost: number;
  readonly cooldownSeconds: number;
};
export type Basics = {
  readonly pools: readonly Pool[];
  readonly reserved: ReservedAddresses;
  readonly configuration: Configuration;
};
export type OwnClaim = { readonly cidr: Prefix; readonly state: AffinityState };

type Labelled = { readonly metadata: { readonly labels?: Readonly<Record<string, string>> } };

const defaultBlockLimit = 20;

/** The tighter of the configured bound and the request's; 20 when neither says one (RS-040). */
export function blockLimit(configured: number, requested: number | undefined): number {
  if (requested === undefined || requested === 0) return configured > 0 ? configured : defaultBlockLimit;
  return configured > 0 ? Math.min(configured, requested) : requested;
}

export class Reader {
  readonly #store: IpamStore;
  readonly #view: IpamView | undefined;
  readonly #logger: Logger;
  readonly #stored = new SharedWork(() => this.#readConfiguration());
  readonly #basics = new SharedWork(() => this.#readBasics());
  readonly #affinities = new Map<string, SharedWork<Result<BlockAffinity[], IpamError>>>();
  readonly #blocks = new SharedWork(() => this.#readBlocks());
  readonly #claims = new SharedWork(() => this.listAll('BlockAffinity'));
  readonly #labelled = new Map<string, Promise<Result<void, IpamError>>>();
  readonly #named = new Map<string, SharedWork<Result<Labelled, StoreFailure>>>();
  #configuration: Configuration | undefined;
  #poolMemo: { from: readonly IPPool[]; pools: readonly Pool[] } | undefined;
  #reservedMemo: { from: readonly IPReservation[]; reserved: ReservedAddresses } | undefined;

  constructor(store: IpamStore, view: IpamView | undefined, logger: Logger) {
    this.#store = store;
    this.#view = view;
    this.#logger = logger;
  }

  get #ready(): IpamView | undefined {
    return this.#view?.ready ? this.#view : undefined;
  }

  /** As last read: what a change of a block needs to know and must not wait for. */
  get cooldownSeconds(): number {
    const view = this.#ready;
    return view === undefined
      ? (this.#configuration?.cooldownSeconds ?? 0)
      : configurationOf(view.configuration()).cooldownSeconds;
  }

  /** Makes `cooldownSeconds` current. */
  async refreshConfiguration(): Promise<Result<void, IpamError>> {
    if (this.#ready !== undefined) return ok(undefined);
    const stored = await this.#stored.run();
    if (!stored.ok) return stored;
    this.#configuration = configurationOf(stored.value);
    return ok(undefined);
  }

  async basics(): Promise<Result<Basics, IpamError>> {
    const view = this.#ready;
    if (view === undefined) return this.#basics.run();
    return this.#assemble(view.pools(), view.reservations(), view.configuration());
  }

  async #readBasics(): Promise<Result<Basics, IpamError>> {
    const [pools, reservations, configuration] = await Promise.all([
      this.listAll('IPPool'),
      this.listAll('IPReservation'),
      this.#readConfiguration(),
    ]);
    if (!pools.ok) return pools;
    if (!reservations.ok) return reservations;
    if (!configuration.ok) return configuration;
    return this.#assemble(pools.value, reservations.value, configuration.value);
  }

  async #readConfiguration(): Promise<Result<IPAMConfiguration | undefined, IpamError>> {
    const read = await this.#store.get('IPAMConfiguration', { name: 'default' });
    if (read.ok) return read;
    return read.error.code === 'NotFound'
      ? ok(undefined)
      : storeFailed('Reading the IPAM configuration', read.error);
  }

  #assemble(
    pools: readonly IPPool[],
    reservations: readonly IPReservation[],
    stored: IPAMConfiguration | undefined,
  ): Result<Basics, IpamError> {
    const configuration = configurationOf(stored);
    this.#configuration = configuration;
    if (!configuration.strictAffinity && !configuration.autoAllocateBlocks) {
      return fail(
        'ConfigurationInvalid',
        'IPAMConfiguration "default" forbids new blocks but not borrowing.',
        'Set strictAffinity, or allow autoAllocateBlocks.',
      );
    }
    if (this.#poolMemo?.from !== pools) this.#poolMemo = { from: pools, pools: poolsOf(pools) };
    if (this.#reservedMemo?.from !== reservations)
      this.#reservedMemo = { from: reservations, reserved: reservedAddresses(reservations) };
    return ok({ pools: this.#poolMemo.pools, reserved: this.#reservedMemo.reserved, configuration });
  }

  async nodeLabels(name: string): Promise<Result<Readonly<Record<string, string>>, IpamError>> {
    const known = this.#ready?.node(name);
    const node = known === undefined ? await this.#shared('Node', name) : ok(known);
    if (node.ok) return ok(node.value.metadata.labels ?? {});
    if (node.error.code === 'NotFound') return fail('NodeUnknown', `Node "${name}" does not exist.`);
    return storeFailed(`Reading node ${name}`, node.error);
  }

  /** undefined for a namespace that does not exist: selectors then see no labels. */
  async namespaceLabels(
    name: string,
  ): Promise<Result<Readonly<Record<string, string>> | undefined, IpamError>> {
    const known = this.#ready?.namespace(name);
    const namespace = known === undefined ? await this.#shared('Namespace', name) : ok(known);
    if (namespace.ok) return ok(namespace.value.metadata.labels ?? {});
    return namespace.error.code === 'NotFound'
      ? ok(undefined)
      : storeFailed(`Reading namespace ${name}`, namespace.error);
  }

  #shared(kind: 'Node' | 'Namespace', name: string): Promise<Result<Labelled, StoreFailure>> {
    const key = `${kind} ${name}`;
    const work =
      this.#named.get(key) ??
      new SharedWork<Result<Labelled, StoreFailure>>(() => this.#store.get(kind, { name }));
    if (this.#named.size > 1000) this.#named.clear();
    this.#named.set(key, work);
    return work.run();
  }

  /** The owner's claims of one family, in any state. */
  async claimsOf(owner: Owner, family: Family): Promise<Result<OwnClaim[], IpamError>> {
    const view = this.#ready;
    const affinities = view === undefined ? await this.#affinitiesOf(owner) : ok(view.affinities());
    if (!affinities.ok) return affinities;
    return ok(affinities.value.flatMap((affinity) => claimOf(affinity, owner, family)));
  }

  async #affinitiesOf(owner: Owner): Promise<Result<BlockAffinity[], IpamError>> {
    const key = `${owner.type}:${owner.name}`;
    const labelled = this.#labelled.get(key) ?? this.#labelOldAffinities(owner);
    this.#labelled.set(key, labelled);
    const done = await labelled;
    if (!done.ok) {
      this.#labelled.delete(key);
      return done;
    }
    const shared =
      this.#affinities.get(key) ??
      new SharedWork(() => this.listAll('BlockAffinity', affinitySelector(owner)));
    this.#affinities.set(key, shared);
    return shared.run();
  }

  /** Claims that older versions wrote have no labels, and lists by label would miss them: once per owner they get them. */
  async #labelOldAffinities(owner: Owner): Promise<Result<void, IpamError>> {
    const all = await this.#claims.run();
    if (!all.ok) return all;
    for (const affinity of all.value) {
      const cidr = parseNetwork(affinity.spec.cidr);
      if (!cidr.ok || affinity.spec.node !== owner.name || (affinity.spec.type ?? 'host') !== owner.type)
        continue;
      if (affinity.metadata.labels?.['projectcalico.org/hostname-hash'] === hostnameHash(owner.name))
        continue;
      const labels = { ...affinity.metadata.labels, ...affinityLabels(owner, cidr.value) };
      const updated = await this.#store.update('BlockAffinity', {
        ...affinity,
        metadata: { ...affinity.metadata, labels },
      });
      if (!updated.ok && updated.error.code !== 'NotFound' && updated.error.code !== 'Conflict')
        return storeFailed(`Labelling claim ${affinity.metadata.name}`, updated.error);
    }
    return ok(undefined);
  }

  /** Blocks that somebody claims, as far as claims tell. */
  async claimedBlocks(): Promise<Result<Set<string>, IpamError>> {
    const view = this.#ready;
    const affinities = view === undefined ? await this.#claims.run() : ok(view.affinities());
    return affinities.ok ? ok(new Set(affinities.value.map((affinity) => affinity.spec.cidr))) : affinities;
  }

  /** Every block of the cluster, read from the store: for the rare cases where nothing else helps. */
  blocks(): Promise<Result<Block[], IpamError>> {
    return this.#blocks.run();
  }

  async #readBlocks(): Promise<Result<Block[], IpamError>> {
    const objects = await this.listAll('IPAMBlock');
    return objects.ok ? ok(readableBlocks(objects.value, this.#logger)) : objects;
  }

  viewedBlock(name: string): IPAMBlock | undefined {
    return this.#ready?.block(name);
  }

  async listAll<K extends IpamKind>(
    kind: K,
    labelSelector?: string,
  ): Promise<Result<ResourceOf<K>[], IpamError>> {
    const items: ResourceOf<K>[] = [];
    let page: string | undefined;
    do {
      const listed = await this.#store.list(kind, {
        limit: 500,
        ...(labelSelector === undefined ? {} : { labelSelector }),
        ...(page === undefined ? {} : { continue: page }),
      });
      if (!listed.ok) return storeFailed(`Listing ${kind}`, listed.error);
      for (const item of listed.value.items) items.push(item);
      page = listed.value.continue;
    } while (page !== undefined);
    return ok(items);
  }
}

export function configurationOf(stored: IPAMConfiguration | undefined): Configuration {
  const spec = stored?.spec;
  return {
    strictAffinity: spec?.strictAffinity ?? false,
    autoAllocateBlocks: spec?.autoAllocateBlocks ?? true,
    maxBlocksPerHost: spec?.maxBlocksPerHost ?? 0,
    cooldownSeconds: spec?.ipCooldownSeconds ?? 0,
  };
}

function claimOf(affinity: BlockAffinity, owner: Owner, family: Family): OwnClaim[] {
  const { node, type, deleted } = affinity.spec;
  if (node !== owner.name || (type ?? 'host') !== owner.type || deleted) return [];
  const cidr = parseNetwork(affinity.spec.cidr);
  return cidr.ok && prefixFamily(cidr.value) === family
    ? [{ cidr: cidr.value, state: stateOf(affinity) }]
    : [];
}
