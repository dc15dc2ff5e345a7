// Policy and nat-outgoing in iptables and ipset: what the calculation tells becomes rows (layout.ts), and one reconciler
// brings the kernel there and keeps it (operations.ts). Changes that come while the tools run wait for the next run, so that
// there is one restore per family at a time and none per change.
import { type Clock, systemClock, type Timer } from '../../../lib/clock.ts';
import { type Logger, silentLogger } from '../../../lib/log.ts';
import { expect } from '../../../lib/result.ts';
import type { CalcDelta, FelixConfig } from '../../calc/mod.ts';
import { policySettings } from '../policy/mod.ts';
import { Reconciler } from '../reconciler.ts';
import { setIfOther, Table } from '../table.ts';
import type { CommandRunner } from './commands.ts';
import type { HostInterfaces } from './hosts.ts';
import { IptablesLayout, type LayoutSettings, type RowSink } from './layout.ts';
import { allocateMarks, type Marks, usualMarkMask } from './marks.ts';
import { iptablesOperations, type Variant } from './operations.ts';
import { noTunnels, type Tunnels } from '../overlay/types.ts';
import { type Actual, type Row, rowKey } from './types.ts';

export type IptablesOptions = {
  readonly runner: CommandRunner;
  readonly variant: Variant;
  readonly config: FelixConfig;
  readonly clock?: Clock;
  readonly logger?: Logger;
};

export class IptablesBackEnd {
  readonly table: Table<Row>;
  readonly reconciler: Reconciler<Row, Actual>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #layout: IptablesLayout;
  /** Rows that a source of the layout stands for, and whose a row is. */
  readonly #rowsOf = new Map<string, readonly string[]>();
  readonly #ownerOf = new Map<string, string>();
  #config: FelixConfig;
  #tunnels: Tunnels = noTunnels;
  #settings: LayoutSettings;
  #check: Timer | undefined;
  #stopped = false;

  constructor(options: IptablesOptions) {
    const { runner, variant, config, clock = systemClock, logger = silentLogger } = options;
    this.#clock = clock;
    this.#logger = logger;
    this.#config = config;
    this.#settings = this.#settingsOf(config);
    this.table = new Table<Row>('iptables', rowKey, clock);
    const operations = iptablesOperations({
      runner,
      variant,
      families: this.#settings.families,
      rows: () => this.table.rows,
      lockFile: () => this.#config.text('IptablesLockFilePath'),
      lockTimeoutSeconds: () => Math.ceil(this.#config.number('IptablesLockTimeoutSecs') / 1000),
      onWritten: (isStale) => this.#checkLater(isStale),
    });
    // What belongs together is never cut: a flush is one restore.
    const whole = { batchSize: Number.POSITIVE_INFINITY };
    this.reconciler = new Reconciler(this.table, operations, { clock, logger, ...whole });
    this.#setIntervals();
    this.#layout = new IptablesLayout(this.#sink(), this.#settings);
  }

  apply({ config, encapsulation, tables, policy }: CalcDelta): void {
    if (encapsulation !== undefined) this.#tunnels = encapsulation;
    if (config !== undefined || encapsulation !== undefined) this.#configure(config ?? this.#config);
    for (const row of tables.members.set) this.#layout.setNatMember(`${row.set} ${row.prefix}`, row);
    for (const key of tables.members.deleted) this.#layout.setNatMember(key, undefined);
    for (const row of tables.nat.set) this.#layout.setNat(row.family, row);
    for (const key of tables.nat.deleted) this.#layout.setNat(key === '6' ? 6 : 4, undefined);
    const { floating, serviceLoops } = tables;
    this.#layout.setFloating(floating.set, floating.deleted);
    for (const row of serviceLoops.set) this.#layout.setServiceLoops(row.family, row);
    for (const key of serviceLoops.deleted) this.#layout.setServiceLoops(key === '6' ? 6 : 4, undefined);
    this.#layout.apply(policy);
  }

  #configure(config: FelixConfig): void {
    this.#config = config;
    this.#setIntervals();
    this.#settings = this.#settingsOf(config);
    this.#layout.setSettings(this.#settings);
  }

  /** Interfaces of the host with their addresses: where host endpoints stand. */
  setInterfaces(interfaces: HostInterfaces): void {
    this.#layout.setInterfaces(interfaces);
  }

  /** Keys of the rows that put the policy of an endpoint (`EndpointPolicy.key`) in force. */
  keysOf(endpoint: string): readonly string[] {
    return this.#layout.sourcesOf(endpoint).flatMap((source) => this.#rowsOf.get(source) ?? []);
  }

  /** Ends; the kernel stays as it is. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#check?.cancel();
    await this.reconciler.stop();
  }

  #settingsOf(config: FelixConfig): LayoutSettings {
    return {
      ...policySettings(config, 'iptables'),
      marks: this.#marksOf(Number(config.value('IptablesMarkMask'))),
      place: config.text('ChainInsertMode').toLowerCase() === 'append' ? 'append' : 'insert',
      maxSetSize: config.number('MaxIpsetSize'),
      tunnels: this.#tunnels,
    };
  }

  /** A mask that is too small cannot be what was meant: with the usual one policy is at least enforced. */
  #marksOf(mask: number): Marks {
    const marks = allocateMarks(mask);
    if (marks.ok) return marks.value;
    this.#logger.error('The usual mark mask is taken instead', { error: marks.error });
    return expect(allocateMarks(usualMarkMask), 'usual marks');
  }

  /** Others write here without a word: what they did is found by reading (FX-018). */
  #setIntervals(): void {
    const intervals = ['IptablesRefreshInterval', 'IpsetsRefreshInterval'].map((name) =>
      this.#config.number(name),
    );
    const wanted = intervals.filter((interval) => interval > 0);
    this.reconciler.setAuditInterval(wanted.length === 0 ? 0 : Math.min(...wanted));
  }

  /** A program that read before our write and writes after it undoes ours; and what failed may be due to what it did. */
  #checkLater(isStale: boolean): void {
    const interval = this.#config.number('IptablesPostWriteCheckIntervalSecs');
    if (this.#stopped || (interval <= 0 && !isStale)) return;
    this.#check?.cancel();
    const reason = isStale ? 'a write failed' : 'check after a write';
    this.#check = this.#clock.after(isStale ? 50 : interval, () => this.reconciler.resync(reason));
  }

  #sink(): RowSink {
    const drop = (key: string, source: string): void => {
      if (this.#ownerOf.get(key) !== source) return;
      this.#ownerOf.delete(key);
      this.table.delete(key);
    };
    return {
      put: (source, rows) => {
        const before = this.#rowsOf.get(source) ?? [];
        const keys = rows.map((row) => {
          const key = this.#set(row);
          this.#ownerOf.set(key, source);
          return key;
        });
        const kept = new Set(keys);
        for (const key of before) if (!kept.has(key)) drop(key, source);
        if (keys.length === 0) this.#rowsOf.delete(source);
        else this.#rowsOf.set(source, keys);
      },
      set: (row) => void this.#set(row),
      drop: (row) => this.table.delete(rowKey(row)),
    };
  }

  #set(row: Row): string {
    const key = rowKey(row);
    setIfOther(this.table, key, row);
    return key;
  }
}
