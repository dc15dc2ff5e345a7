// Keeps the kernel's table equal to what the routing table wants: unicast routes of protocol "bird" (12), and only those.
// Blackholes of own blocks (the agent's, same protocol) and every other program's routes are never touched.
//
//   best paths ──setDesired──► rows ──resolve──► wanted route ─┐
//   kernel events, lists ────────────────► own routes ─────────┴─compare─► add, replace, delete
//
// After a restart the routes found are `stale`: they stay as they are until `removeStale`, except that a row that differs
// is corrected. So a killed speaker that comes back with the same table causes no route event at all.
import { comparePrefixes, hostPrefix, type Address, type Prefix } from '../../../lib/ip/mod.ts';
import type { Clock, Timer } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import { ok, type Result } from '../../../lib/result.ts';
import {
  mainTable,
  type Kernel,
  type KernelError,
  type KernelEvent,
  type Route,
  type RouteChange,
  type Subscription,
} from '../../../kernel/mod.ts';
import type { KernelStatus } from '../types.ts';
import { OwnRoutes } from './own-routes.ts';
import { PrefixQueue } from './prefix-queue.ts';
import { changesTo, isOwn, routeOf, sameRow, throughDevice, type DesiredRoute } from './rows.ts';
import { inSlices, nextTurn } from './slices.ts';
import { affects, ForeignRoutes, KernelView, type Resolution } from './view.ts';

export type KernelSyncOptions = {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Something about links, addresses or other programs' routes has changed; next hops among `changed` may resolve
   *  differently. */
  readonly onForeignChange: (changed: { readonly nextHops: readonly Address[] }) => void;
  /** Next hops the table still knows; others are forgotten now and then. */
  readonly nextHopsInUse?: () => Iterable<Address>;
  readonly auditMs?: number;
};

/** As BIRD writes static routes in Calico. */
const staticMetric = 1024;
const settleMs = 10;
const retryFirstMs = 250;
const retryMaxMs = 30_000;
/** Rows written per batch: other work gets its turn between batches. */
const batchRows = 256;

export class KernelSync {
  readonly #options: KernelSyncOptions;
  readonly view = new KernelView();
  readonly #desired = new Map<Prefix, DesiredRoute>();
  #statics: ReadonlyMap<Prefix, Address> = new Map();
  #own = new OwnRoutes();
  /** Found at start and not claimed by any row yet. */
  readonly #stale = new Set<Prefix>();
  readonly #problems = new Map<Prefix, string>();
  readonly #dirty = new PrefixQueue();
  /** Next hops that resolve differently now: rows that use them are to be looked at. */
  #moved = new Set<Address>();
  /** Next hops of rows, with how they resolved last. */
  readonly #resolutions = new Map<Address, Resolution>();
  #subscription: Subscription | undefined;
  #queued: KernelEvent[] | undefined;
  #settle: Timer | undefined;
  #audit: Timer | undefined;
  #retry: Timer | undefined;
  #retries = 0;
  #working: Promise<void> | undefined;
  #reload = false;
  #held = false;
  /** Destinations that the kernel spoke of while a batch was being written. */
  #heard: Set<Prefix> | undefined;
  #stopped = false;

  constructor(options: KernelSyncOptions) {
    this.#options = options;
  }

  /** Reads the kernel's state and follows it. Own routes found are stale. */
  async start(): Promise<Result<void, KernelError>> {
    this.#queued = [];
    this.#subscription = this.#options.kernel.subscribe(['links', 'addresses', 'routes'], (event) => {
      if (this.#queued !== undefined) this.#queued.push(event);
      else this.#takeEvent(event);
    });
    const loaded = await this.#load();
    if (!loaded.ok) return loaded;
    for (const prefix of this.#own.destinations()) this.#stale.add(prefix);
    this.#scheduleAudit();
    return ok(undefined);
  }

  /** Leaves the kernel's routes as they are: they outlive the process. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#subscription?.close();
    for (const timer of [this.#settle, this.#audit, this.#retry]) timer?.cancel();
    await this.#working;
  }

  /** Routes of an earlier run are in the kernel. */
  get hasStale(): boolean {
    return this.#stale.size > 0;
  }

  /** While held, nothing is written. */
  hold(held: boolean): void {
    this.#held = held;
    if (!held) this.#schedule();
  }

  /** Host routes to peers behind a gateway: written like rows, and used to resolve the peers' addresses. */
  setStatics(routes: readonly { readonly prefix: Prefix; readonly gateway: Address }[]): void {
    const before = this.#statics;
    this.#statics = new Map(routes.map((r) => [r.prefix, r.gateway]));
    for (const prefix of [...before.keys(), ...this.#statics.keys()]) this.#touch(prefix);
    this.#foreignChanged();
  }

  setDesired(prefix: Prefix, route: DesiredRoute | undefined): void {
    const before = this.#desired.get(prefix);
    if (route === undefined ? before === undefined : before !== undefined && sameRow(before, route)) return;
    if (route === undefined) this.#desired.delete(prefix);
    else this.#desired.set(prefix, route);
    this.#touch(prefix);
  }

  /** Every row is gone: the table starts anew. The kernel keeps what it has until rows come back or `removeStale`. */
  restartTable(): void {
    for (const prefix of this.#desired.keys()) if (this.#own.has(prefix)) this.#stale.add(prefix);
    this.#desired.clear();
    this.#dirty.clear();
  }

  /** What no row has claimed since the start goes. */
  removeStale(): void {
    const left = [...this.#stale];
    this.#stale.clear();
    for (const prefix of left) this.#touch(prefix);
    // Rows of the table that have not been compared with the kernel yet stay.
    const count = left.filter((prefix) => this.#row(prefix) === undefined).length;
    if (count > 0) this.#options.logger.info('removing routes of an earlier run', { count });
  }

  resolve(address: Address): Resolution {
    const resolution = this.#look(address);
    this.#resolutions.set(address, resolution);
    return resolution;
  }

  #look(address: Address): Resolution {
    return this.view.resolve(this.#statics.get(hostPrefix(address)) ?? address);
  }

  /** A static route comes before what was learned for the same prefix. */
  #row(prefix: Prefix): DesiredRoute | undefined {
    const gateway = this.#statics.get(prefix);
    if (gateway === undefined) return this.#desired.get(prefix);
    return { prefix, metric: staticMetric, nextHops: [{ address: gateway }] };
  }

  status(): KernelStatus {
    return {
      installed: this.#own.count,
      desired: this.#desired.size,
      stale: this.#stale.size,
      problems: [...this.#problems].map(([prefix, problem]) => ({ prefix, problem })),
    };
  }

  /** Whether a route of ours to the prefix is in the kernel, and why it is not or not as wanted. */
  stateOf(prefix: Prefix): { readonly installed: boolean; readonly problem?: string } {
    const problem = this.#problems.get(prefix);
    return { installed: this.#own.has(prefix), ...(problem === undefined ? {} : { problem }) };
  }

  /** Why an address cannot be reached; undefined when it can. Changes nothing. */
  whyUnreachable(address: Address): string | undefined {
    const resolution = this.#look(address);
    return resolution.reachable ? undefined : resolution.why;
  }

  /** Resolves when everything that is dirty now has been written or has failed. */
  async settled(): Promise<void> {
    while (this.#working !== undefined || this.#settle !== undefined) {
      if (this.#settle !== undefined) {
        this.#settle.cancel();
        this.#settle = undefined;
        this.#run();
      }
      await this.#working;
    }
  }

  // ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────────
  async #load(): Promise<Result<void, KernelError>> {
    const { kernel } = this.#options;
    this.#queued ??= [];
    const [links, addresses, routes] = await Promise.all([
      kernel.links.list(),
      kernel.addresses.list(),
      kernel.routes.list({ table: mainTable }),
    ]);
    const failed = [links, addresses, routes].find((list) => !list.ok);
    if (!links.ok || !addresses.ok || !routes.ok) {
      this.#takeQueued();
      return failed as Result<void, KernelError>;
    }
    // Built aside, slice by slice: meanwhile the old state answers and events wait.
    const own = new OwnRoutes();
    const foreign: Route[] = [];
    await inSlices(this.#options.clock, routes.value, (route) => {
      if (isOwn(route)) own.add(route);
      else foreign.push(route);
    });
    const table = new ForeignRoutes();
    await inSlices(this.#options.clock, foreign, (route) => table.add(route));
    this.view.load(links.value, addresses.value, table);
    this.#own = own;
    await inSlices(this.#options.clock, this.#stale, (prefix) => {
      if (!this.#own.has(prefix)) this.#stale.delete(prefix);
    });
    this.#takeQueued();
    return ok(undefined);
  }

  #takeQueued(): void {
    const early = this.#queued ?? [];
    this.#queued = undefined;
    for (const event of early) this.#takeEvent(event);
  }

  #takeEvent(event: KernelEvent): void {
    if (event.type === 'lost') {
      this.#options.logger.warn('kernel events were lost, reading everything again');
      return this.#reloadSoon();
    }
    if (event.type === 'route' || event.type === 'route-deleted') {
      const { route } = event;
      if (route.table === mainTable) this.#takeRoute(route, event.type === 'route-deleted');
      return;
    }
    if (event.type === 'link' && event.link.up) {
      const before = this.view.link(event.link.name);
      if (before?.up !== true || before.index !== event.link.index) this.#touchThrough(event.link.name);
    }
    const follows = this.view.takeEvent(event);
    const isGone = event.type === 'link-deleted' || (event.type === 'link' && !event.link.up);
    // Pods come and go without a route of ours on their link: nothing to read then.
    if (follows === 'routes' || (isGone && this.#own.usesLink(event.link.index))) this.#reloadSoon();
    else if (follows === 'next-hops') this.#foreignChanged();
  }

  /** Rows that go through a tunnel device wait for it. */
  #touchThrough(device: string): void {
    for (const row of this.#desired.values())
      if (row.nextHops.some((hop) => hop.tunnel === device)) this.#touch(row.prefix);
  }

  #takeRoute(route: Route, deleted: boolean): void {
    this.#heard?.add(route.dst);
    if (isOwn(route)) {
      if (deleted) this.#own.remove(route.dst, route.priority);
      else this.#own.add(route);
      const wanted = this.#desired.get(route.dst);
      if (wanted !== undefined || !this.#stale.has(route.dst)) this.#touch(route.dst);
      return;
    }
    if (deleted) this.view.removeRoute(route);
    else {
      this.view.addRoute(route);
      // A replace of our route by another program shows as the other's route only.
      const lost = this.#own.to(route.dst).some((r) => r.priority === route.priority);
      if (lost) this.#own.remove(route.dst, route.priority);
    }
    if (this.#desired.has(route.dst)) this.#touch(route.dst);
    this.#foreignChanged(route.dst);
  }

  /** Looks which next hops resolve differently now, tells the table and writes the rows that use them. */
  #foreignChanged(dst?: Prefix): void {
    const changed: Address[] = [];
    for (const [address, old] of this.#resolutions) {
      if (dst !== undefined && !affects(dst, address)) continue;
      const resolution = this.#look(address);
      if (JSON.stringify(resolution) === JSON.stringify(old)) continue;
      this.#resolutions.set(address, resolution);
      changed.push(address);
    }
    for (const address of changed) this.#moved.add(address);
    if (changed.length > 0) this.#schedule();
    this.#options.onForeignChange({ nextHops: changed });
  }

  #reloadSoon(): void {
    this.#reload = true;
    this.#schedule();
  }

  #scheduleAudit(): void {
    if (this.#stopped) return;
    this.#audit = this.#options.clock.after(this.#options.auditMs ?? 90_000, () => {
      this.#reloadSoon();
      this.#scheduleAudit();
    });
  }

  // ── writing ────────────────────────────────────────────────────────────────────────────────────────────────────────
  #touch(prefix: Prefix): void {
    this.#dirty.add(prefix);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#stopped || this.#settle !== undefined || this.#working !== undefined) return;
    this.#settle = this.#options.clock.after(settleMs, () => {
      this.#settle = undefined;
      this.#run();
    });
  }

  /** Work that has nothing to await ends before `#work` returns, hence `#working` is cleared in a later turn. */
  #run(): void {
    this.#working ??= this.#work().then(() => {
      this.#working = undefined;
      if (this.#reload || this.#moved.size > 0 || (!this.#held && this.#dirty.size > 0)) this.#schedule();
    });
  }

  async #work(): Promise<void> {
    if (this.#reload) {
      this.#reload = false;
      await this.#reloadAll();
    }
    if (this.#moved.size > 0) await this.#touchMoved();
    while (!this.#held && !this.#stopped && this.#dirty.size > 0) {
      await this.#write(this.#dirty.take(batchRows));
      // A batch that finds nothing to write waits for nothing.
      if (this.#dirty.size > 0) await nextTurn();
    }
  }

  async #touchMoved(): Promise<void> {
    const moved = this.#moved;
    this.#moved = new Set();
    await inSlices(this.#options.clock, this.#desired.values(), (row) => {
      if (row.nextHops.some((h) => moved.has(h.address))) this.#dirty.add(row.prefix);
    });
  }

  async #reloadAll(): Promise<void> {
    const loaded = await this.#load();
    if (!loaded.ok) {
      this.#options.logger.error('cannot read the kernel', { reason: loaded.error.message });
      return this.#retryLater();
    }
    this.#forgetResolutions();
    this.#foreignChanged();
    const { clock } = this.#options;
    await inSlices(clock, this.#desired.keys(), (prefix) => this.#dirty.add(prefix));
    await inSlices(clock, this.#own.destinations(), (prefix) => {
      if (!this.#stale.has(prefix)) this.#dirty.add(prefix);
    });
  }

  #forgetResolutions(): void {
    const { nextHopsInUse } = this.#options;
    if (nextHopsInUse === undefined) return;
    const used = new Set(nextHopsInUse());
    for (const address of this.#resolutions.keys()) if (!used.has(address)) this.#resolutions.delete(address);
  }

  async #write(prefixes: readonly Prefix[]): Promise<void> {
    const changes: { readonly prefix: Prefix; readonly change: RouteChange }[] = [];
    for (const prefix of prefixes) {
      // What was found at the start and has no row stays until `removeStale`.
      if (this.#stale.has(prefix) && this.#row(prefix) === undefined) continue;
      this.#problems.delete(prefix);
      for (const change of this.#changesFor(prefix)) changes.push({ prefix, change });
    }
    if (changes.length === 0) return;
    const heard = new Set<Prefix>();
    this.#heard = heard;
    const outcomes = await this.#options.kernel.routes.apply(
      changes.map((c) => c.change),
      { aside: true },
    );
    this.#heard = undefined;
    let failed = false;
    outcomes.forEach((outcome, i) => {
      const entry = changes[i];
      if (entry === undefined) return;
      const { prefix, change } = entry;
      if (!outcome.ok) {
        failed = true;
        this.#problems.set(prefix, outcome.error.message);
        this.#options.logger.warn('route not written', { prefix, reason: outcome.error.message });
        // What the kernel has told meanwhile says as much, and perhaps what came after it.
      } else if (!heard.has(prefix)) {
        if (change.op === 'delete') this.#own.remove(prefix, change.key.priority);
        else this.#own.add(change.route);
      }
    });
    if (failed) {
      this.#retryLater();
    } else this.#retries = 0;
  }

  /** Failed rows are tried again on a kernel event that touches them, and after a while anyway. */
  #retryLater(): void {
    if (this.#retry !== undefined || this.#stopped) return;
    const ms = Math.min(retryMaxMs, retryFirstMs * 2 ** this.#retries++);
    this.#retry = this.#options.clock.after(ms, () => {
      this.#retry = undefined;
      this.#reloadSoon();
    });
  }

  #changesFor(prefix: Prefix): RouteChange[] {
    const own = this.#own.to(prefix);
    const row = this.#row(prefix);
    const wanted = row === undefined ? undefined : this.#routeOf(row);
    if (row !== undefined) this.#stale.delete(prefix);
    const taken =
      wanted === undefined
        ? undefined
        : this.view.routesTo(prefix).find((r) => r.priority === wanted.priority);
    if (taken !== undefined)
      this.#problems.set(prefix, `another program (protocol ${taken.protocol}) has this route`);
    return changesTo(prefix, own, wanted, taken !== undefined);
  }

  /** The kernel's form of a row; undefined, with the problem noted, when no next hop is usable. */
  #routeOf(row: DesiredRoute): Route | undefined {
    const built = routeOf(row, ({ address, tunnel }) =>
      tunnel === undefined ? this.resolve(address) : throughDevice(this.view, address, tunnel),
    );
    if (typeof built !== 'string') return built;
    this.#problems.set(row.prefix, built);
    return undefined;
  }

  /** Own destinations in order: for tests and tools. */
  installed(): Prefix[] {
    return [...this.#own.destinations()].sort(comparePrefixes);
  }
}
