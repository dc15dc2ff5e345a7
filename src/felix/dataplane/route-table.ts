// The table of routes with its reconciler: whoever wants routes claims them under a name of its own, and where several ask for
// one place the highest rank has it (FX-080). With RouteSyncDisabled the kernel's routes are nobody's business here: claims only
// gather, nothing is read, written or removed, and what is there stays.
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Kernel, Route } from '../../kernel/mod.ts';
import { Contributions, type FelixConfig, type NodeRow } from '../calc/mod.ts';
import { InterfaceIndex, type LinkMirror } from './links.ts';
import type { RankedRoute } from './overlay/types.ts';
import { Reconciler } from './reconciler.ts';
import { type ActualRoute, type KernelRouteRow, routeKey, routeOperations } from './routes.ts';
import { setIfOther, Table } from './table.ts';
import { isOwnTable } from './wireguard/types.ts';

export type RouteTableOptions = {
  readonly kernel: Kernel;
  readonly links: LinkMirror;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly node: () => NodeRow | undefined;
};

export class RouteTable {
  readonly table: Table<KernelRouteRow>;
  readonly reconciler: Reconciler<KernelRouteRow, ActualRoute>;
  readonly #operations: ReturnType<typeof routeOperations>;
  readonly #index = new InterfaceIndex();
  readonly #claims = new Contributions<KernelRouteRow>(routeKey);
  /** Keys by who claimed them. */
  readonly #keysOf = new Map<string, readonly string[]>();
  #config: FelixConfig | undefined;
  #isDisabled = false;

  constructor({ kernel, links, clock, logger, node }: RouteTableOptions) {
    this.#operations = routeOperations({
      kernel,
      links,
      node,
      isDisabled: () => this.#isDisabled,
      isOwnTable: (table) => this.#config !== undefined && isOwnTable(this.#config, table),
      wantedOn: (dst) => this.#wantedOn(dst),
      logger,
    });
    this.table = new Table<KernelRouteRow>('routes', routeKey, clock);
    this.reconciler = new Reconciler(this.table, this.#operations, { clock, logger });
  }

  configure(config: FelixConfig): void {
    this.#config = config;
    this.reconciler.setAuditInterval(config.number('RouteRefreshInterval'));
    const isDisabled = config.boolean('RouteSyncDisabled');
    if (isDisabled === this.#isDisabled) return;
    this.#isDisabled = isDisabled;
    for (const row of this.#claims.rows.values()) this.#place(row);
    this.reconciler.resync(`RouteSyncDisabled is ${isDisabled}`);
  }

  /** Replaces what the claimant wanted. */
  claim(claimant: string, rows: readonly RankedRoute[]): void {
    this.#claims.replace(
      claimant,
      rows.map(({ row, rank }) => ({ row, rank: `${rank} ${claimant}` })),
    );
    if (rows.length === 0) this.#keysOf.delete(claimant);
    else
      this.#keysOf.set(
        claimant,
        rows.map(({ row }) => routeKey(row)),
      );
    const { set, deleted } = this.#claims.flush();
    for (const row of set) this.#place(row);
    for (const key of deleted) this.#remove(key);
  }

  /** The interface lost its routes without a word. */
  forget(interfaceName: string | undefined): void {
    if (interfaceName === undefined) return;
    this.reconciler.observe({ type: 'forget', keys: this.#index.on(interfaceName) });
  }

  observe(route: Route, deleted: boolean): void {
    if (!this.#operations.concerns(route, this.table.rows)) return;
    this.reconciler.observe({ type: 'actual', key: routeKey(route), actual: deleted ? undefined : [route] });
  }

  #place(row: KernelRouteRow): void {
    const key = routeKey(row);
    if (this.#isDisabled) return this.#remove(key);
    this.#index.set(key, typeof row.target === 'string' ? undefined : row.target.interfaceName);
    setIfOther(this.table, key, row);
  }

  #remove(key: string): void {
    this.table.delete(key);
    this.#index.delete(key);
  }

  #wantedOn(dst: string): string | undefined {
    const [key] = this.#keysOf.get(`route ${dst}`) ?? [];
    const target = key === undefined ? undefined : this.table.rows.get(key)?.target;
    return target === undefined || typeof target === 'string' ? undefined : target.interfaceName;
  }
}
