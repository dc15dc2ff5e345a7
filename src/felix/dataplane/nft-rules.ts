// Everything of the node that is in nftables: nat-outgoing and, where it is asked for, policy. One table of rows, one
// reconciler, one transaction per flush.
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Kernel } from '../../kernel/mod.ts';
import type { CalcDelta, FelixConfig, FloatingRow } from '../calc/mod.ts';
import {
  floatingElement,
  floatingNftRows,
  floatingSelfElement,
  gatewayNftRow,
  memberNftRow,
  natNftRows,
  nodeNftRows,
  serviceLoopNftRow,
  tunnelSourceNftRows,
} from './nat.ts';
import { isSameRow, nftKey, nftOperations, type NftActual, type NftRow } from './nftables.ts';
import { noTunnels, tunnelDevices, type Tunnels } from './overlay/types.ts';
import { type InterfaceAddresses, NftPolicy, type RowSink, policySettings } from './policy/mod.ts';
import { Reconciler } from './reconciler.ts';
import { Table } from './table.ts';

export type NftRulesOptions = {
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly policy: boolean;
};

export class NftRules {
  readonly table: Table<NftRow>;
  readonly reconciler: Reconciler<NftRow, NftActual>;
  readonly #enforcesPolicy: boolean;
  /** What the calculation's rows became here, to take them away again. */
  readonly #derived = new Map<string, readonly string[]>();
  readonly #floating = new Map<string, FloatingRow>();
  #policy: NftPolicy | undefined;
  #interfaces: InterfaceAddresses = new Map();
  #tunnels: Tunnels = noTunnels;

  constructor({ kernel, clock, logger, policy }: NftRulesOptions) {
    this.table = new Table<NftRow>('nftables', nftKey, clock);
    // What belongs together is never cut: a flush is one transaction.
    const whole = { batchSize: Number.POSITIVE_INFINITY };
    this.reconciler = new Reconciler(this.table, nftOperations(kernel), { clock, logger, ...whole });
    this.#enforcesPolicy = policy;
  }

  apply({ node, config, encapsulation, tables, policy }: CalcDelta): void {
    if (!this.#enforcesPolicy) this.#derive('gateway', [gatewayNftRow]);
    if (node !== undefined) this.#derive('node', nodeNftRows(node));
    if (config !== undefined) this.#configure(config);
    if (encapsulation !== undefined) this.#setTunnels(encapsulation);
    const { members, nat, floating, serviceLoops } = tables;
    for (const row of members.set) this.#derive(`member ${row.set} ${row.prefix}`, [memberNftRow(row)]);
    for (const key of members.deleted) this.#derive(`member ${key}`, []);
    for (const row of nat.set) this.#derive(`nat ${row.family}`, natNftRows(row));
    for (const key of nat.deleted) this.#derive(`nat ${key}`, []);
    for (const row of serviceLoops.set) this.#derive(`service-loops ${row.family}`, [serviceLoopNftRow(row)]);
    for (const key of serviceLoops.deleted) this.#derive(`service-loops ${key}`, []);
    for (const row of floating.set) this.#floating.set(row.external, row);
    for (const key of floating.deleted) this.#floating.delete(key);
    if (floating.set.length + floating.deleted.length > 0) this.#deriveFloating();
    this.#policy?.take(policy);
  }

  #setTunnels(tunnels: Tunnels): void {
    this.#tunnels = tunnels;
    for (const family of [4, 6] as const)
      this.#derive(`tunnel-sources ${family}`, tunnelSourceNftRows(family, tunnelDevices(family, tunnels)));
    this.#policy?.setTunnels(tunnels);
  }

  #deriveFloating(): void {
    const all = [...this.#floating.values()].toSorted((a, b) => (a.external < b.external ? -1 : 1));
    const firsts = new Map(all.toReversed().map((row) => [row.internal, row]));
    const families = [...new Set(all.map(({ family }) => family))];
    this.#derive('floating', [
      ...families.flatMap(floatingNftRows),
      ...all.map(floatingElement),
      ...[...firsts.values()].map(floatingSelfElement),
    ]);
  }

  /** Interfaces of the host with their addresses. */
  setInterfaces(interfaces: InterfaceAddresses): void {
    this.#interfaces = interfaces;
    this.#policy?.setInterfaces(interfaces);
  }

  /** Wants nothing any more: the kernel's table goes. */
  clear(): void {
    this.#policy = undefined;
    this.#derived.clear();
    this.#floating.clear();
    for (const key of this.table.rows.keys()) this.table.delete(key);
  }

  /** Keys of the rows that put the policy of an endpoint (`EndpointPolicy.key`) in force. */
  keysOf(endpoint: string): readonly string[] {
    return this.#policy?.keysOf(endpoint) ?? [];
  }

  #configure(config: FelixConfig): void {
    this.reconciler.setAuditInterval(config.number('NftablesRefreshInterval'));
    if (!this.#enforcesPolicy) return;
    const settings = policySettings(config, 'nftables');
    const sink: RowSink = { put: (row, key) => this.#put(row, key), drop: (key) => this.table.delete(key) };
    if (this.#policy !== undefined) return this.#policy.configure(settings);
    this.#policy = new NftPolicy(sink, settings);
    this.#policy.setInterfaces(this.#interfaces);
    this.#policy.setTunnels(this.#tunnels);
  }

  /** Replaces the rows that one row of the calculation stands for; equal ones are not touched. */
  #derive(source: string, rows: readonly NftRow[]): void {
    const before = this.#derived.get(source) ?? [];
    const added = rows.map((row) => this.#put(row));
    const kept = new Set(added);
    for (const key of before) if (!kept.has(key)) this.table.delete(key);
    if (added.length === 0) this.#derived.delete(source);
    else this.#derived.set(source, added);
  }

  #put(row: NftRow, key = nftKey(row)): string {
    const before = this.table.rows.get(key);
    if (before === undefined || !isSameRow(before, row)) this.table.set(row, key);
    return key;
  }
}
