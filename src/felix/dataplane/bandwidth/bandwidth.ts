// Limits of bandwidth in the dataplane: rows by endpoint, their reconciler, and which events of the kernel concern them.
import type { Clock } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import type { Kernel, KernelEvent } from '../../../kernel/mod.ts';
import type { CalcDelta, EndpointPolicy } from '../../calc/mod.ts';
import { InterfaceIndex, type LinkMirror } from '../links.ts';
import { Reconciler } from '../reconciler.ts';
import { setIfOther, Table } from '../table.ts';
import { type ActualBandwidth, bandwidthOperations } from './operations.ts';
import { bandwidthKey, type BandwidthRow, bandwidthRows, limitDevicePrefix } from './rows.ts';

export type BandwidthOptions = {
  readonly kernel: Kernel;
  readonly links: LinkMirror;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly isWorkload: (interfaceName: string) => boolean;
};

export class Bandwidth {
  readonly reconciler: Reconciler<BandwidthRow, ActualBandwidth>;
  readonly #table: Table<BandwidthRow>;
  readonly #links: LinkMirror;
  /** Keys by the workload's interface. */
  readonly #index = new InterfaceIndex();
  readonly #keys = new Map<string, readonly string[]>();
  /** Of two endpoints with one interface the later one counts. */
  readonly #owner = new Map<string, string>();

  constructor({ kernel, links, clock, logger, isWorkload }: BandwidthOptions) {
    this.#links = links;
    this.#table = new Table<BandwidthRow>('bandwidth', bandwidthKey, clock);
    const operations = bandwidthOperations(kernel, links, isWorkload);
    this.reconciler = new Reconciler(this.#table, operations, { clock, logger });
  }

  apply({ config, policy }: CalcDelta): void {
    if (config !== undefined) this.reconciler.setAuditInterval(config.number('InterfaceRefreshInterval'));
    for (const change of policy) {
      if (change.type === 'endpoint') this.#set(change.endpoint.key, bandwidthRows(change.endpoint));
      else if (change.type === 'endpoint-removed') this.#set(change.key, []);
    }
  }

  /** Keys of the rows of an endpoint (`EndpointPolicy.key`). */
  keysOf(endpoint: EndpointPolicy['key']): readonly string[] {
    return this.#keys.get(endpoint) ?? [];
  }

  whenDone(keys: readonly string[], deadlineMs: number) {
    return this.#table.whenDone(keys, deadlineMs);
  }

  /** The link came, went, or is other than it was; the mirror knows already. */
  observeLink(name: string): void {
    if (this.#table.rows.has(name) && name.startsWith(limitDevicePrefix))
      // Mostly because we have just made it.
      return this.reconciler.resync(`${name} changed`);
    const keys = this.#index.on(name);
    if (keys.length > 0) this.reconciler.observe({ type: 'forget', keys });
  }

  observe(event: KernelEvent): void {
    if (event.type !== 'filters' || event.own === true) return;
    const name = this.#links.nameOf(event.linkIndex) ?? '';
    if (this.#table.rows.has(name) || this.#index.on(name).length > 0)
      this.reconciler.resync(`queueing of ${name} changed`);
  }

  #set(endpoint: string, rows: readonly BandwidthRow[]): void {
    const keys = rows.map(bandwidthKey);
    const left = (this.#keys.get(endpoint) ?? []).filter(
      (key) => !keys.includes(key) && this.#owner.get(key) === endpoint,
    );
    for (const key of left) {
      this.#table.delete(key);
      this.#index.delete(key);
      this.#owner.delete(key);
    }
    // The workload's interface may have gone first, and with it what was known of the device beside it.
    if (left.length > 0) this.reconciler.resync('limits were taken away');
    for (const row of rows) {
      const key = bandwidthKey(row);
      this.#owner.set(key, endpoint);
      this.#index.set(key, row.interfaceName);
      setIfOther(this.#table, key, row);
    }
    if (keys.length === 0) this.#keys.delete(endpoint);
    else this.#keys.set(endpoint, keys);
  }
}
