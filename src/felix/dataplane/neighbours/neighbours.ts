// ARP and NDP for pods' and load balancers' addresses that lie in the node's own subnet (FX-086): the kernel answers, by proxy
// entries; routes and settings that this needs go to the tables of all. What is answered is announced when it comes, and again
// every LocalSubnetL2ReachabilityRefreshInterval, for neighbours and switches that have forgotten, or know another.
//
//   answered addresses ─┐
//   links, addresses ───┴─► plan.ts ─► proxy entries ─► reconciler ─► kernel ─► announcement
//                              └─► routes, settings ─► (dataplane's own tables)
//
// The kernel answers while no agent runs, too.
import type { Clock, Timer } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import type { Kernel, LinkAddress, Neighbour } from '../../../kernel/mod.ts';
import type { AnsweredRow, CalcDelta } from '../../calc/mod.ts';
import type { AddressMirror } from '../addresses.ts';
import { InterfaceIndex, type LinkMirror } from '../links.ts';
import type { RankedRoute } from '../overlay/types.ts';
import { Reconciler } from '../reconciler.ts';
import type { SysctlRow } from '../sysctls.ts';
import { setIfOther, Table } from '../table.ts';
import { announcement } from './announcement.ts';
import { neighbourOperations } from './operations.ts';
import { type HostLink, neighbourKey, neighbourPlan, type NeighbourRow } from './plan.ts';

export type NeighboursOptions = {
  readonly kernel: Kernel;
  readonly links: LinkMirror;
  readonly addresses: AddressMirror;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly isEndpoint: (interfaceName: string) => boolean;
  readonly onRoutes: (source: string, rows: readonly RankedRoute[]) => void;
  readonly onSettings: (rows: readonly SysctlRow[]) => void;
};

export class Neighbours {
  readonly #options: NeighboursOptions;
  readonly #answered = new Map<string, AnsweredRow>();
  readonly #index = new InterfaceIndex();
  readonly reconciler: Reconciler<NeighbourRow, Neighbour>;
  #announceEveryMs = 0;
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(options: NeighboursOptions) {
    this.#options = options;
    const { kernel, links, clock, logger } = options;
    const table = new Table<NeighbourRow>('neighbours', neighbourKey, clock);
    const operations = neighbourOperations(kernel, links, (row) => this.#announce(row));
    this.reconciler = new Reconciler(table, operations, { clock, logger });
  }

  apply({ config, tables }: CalcDelta): void {
    if (config !== undefined) {
      this.reconciler.setAuditInterval(config.number('RouteRefreshInterval'));
      this.#announceEveryMs = config.number('LocalSubnetL2ReachabilityRefreshInterval');
      this.#setTimer();
    }
    const { set, deleted } = tables.answered;
    if (set.length + deleted.length === 0) return;
    for (const key of deleted) this.#answered.delete(key);
    for (const row of set) this.#answered.set(row.address, row);
    this.refresh();
  }

  /** Links or addresses of the host are others; the mirrors know already. */
  refresh(): void {
    const { table } = this.reconciler;
    if (this.#answered.size === 0 && table.rows.size === 0) return;
    const { neighbours, routes, settings } = neighbourPlan(this.#answered.values(), this.#hosts());
    const wanted = new Map(neighbours.map((row) => [neighbourKey(row), row]));
    for (const key of table.rows.keys())
      if (!wanted.has(key)) {
        table.delete(key);
        this.#index.delete(key);
      }
    for (const [key, row] of wanted) {
      this.#index.set(key, row.interfaceName);
      setIfOther(table, key, row);
    }
    this.#options.onRoutes('answered', routes);
    this.#options.onSettings(settings);
  }

  /** The link of this name came, went, or changed in a way that takes its entries. */
  observeLink(name: string): void {
    this.reconciler.observe({ type: 'forget', keys: this.#index.on(name) });
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.reconciler.stop();
  }

  #hosts(): HostLink[] {
    const { links, addresses, isEndpoint } = this.#options;
    const byLink = Map.groupBy(addresses.all(), ({ linkIndex }: LinkAddress) => linkIndex);
    return [...links.all()]
      .filter(({ name }) => !isEndpoint(name))
      .map((link) => ({ link, addresses: byLink.get(link.index) ?? [] }));
  }

  #setTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#announceEveryMs <= 0 || this.#isStopped) return;
    this.#timer = this.#options.clock.after(this.#announceEveryMs, () => {
      this.#setTimer();
      void this.#announceAll();
    });
  }

  async #announceAll(): Promise<void> {
    for (const [key, row] of this.reconciler.table.rows)
      if (this.reconciler.table.status(key)?.state === 'done' && !this.#isStopped) await this.#announce(row);
  }

  async #announce({ interfaceName, address, source }: NeighbourRow): Promise<void> {
    const { kernel, links, logger } = this.#options;
    const link = links.byName(interfaceName);
    if (link?.mac === undefined) return;
    const mac = link.mac.split(':').map((byte) => Number.parseInt(byte, 16));
    const frame = announcement(address, mac, source);
    if (frame === undefined) return;
    const sent = await kernel.frames.send(link.index, frame);
    if (!sent.ok) logger.warn('Cannot announce an address', { address, interfaceName, error: sent.error });
  }
}
