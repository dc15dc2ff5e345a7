// The overlay's part of the dataplane: its tables with their reconcilers, fed by the plan; routes go to the routes table of
// all, by `onRoutes`.
//
//   PolicyChange (route, vtep) ─► OverlayPlan ─┬─► routes ─► (dataplane's own table)
//   addresses, links of the kernel ────────────┤─► devices, vteps, programs ─► reconcilers ─► kernel
import type { Clock } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import { prefixOf } from '../../../lib/ip/mod.ts';
import type { Kernel, KernelEvent, TrafficFilter } from '../../../kernel/mod.ts';
import type { CalcDelta } from '../../calc/mod.ts';
import type { AddressMirror } from '../addresses.ts';
import { InterfaceIndex, type LinkMirror } from '../links.ts';
import { Reconciler } from '../reconciler.ts';
import { Table } from '../table.ts';
import { actualDevice, type ActualDevice, deviceOperations } from './devices.ts';
import { OverlayPlan } from './plan.ts';
import { programKey, programOperations } from './programs.ts';
import {
  type DeviceRow,
  ipipDevice,
  type OverlayChange,
  overlayDevices,
  type OverlaySettings,
  type ProgramRow,
  type RankedRoute,
  type Underlays,
  type VtepRow,
} from './types.ts';
import { type ActualVtep, vtepKey, vtepOperations } from './vteps.ts';

export type OverlayOptions = {
  readonly kernel: Kernel;
  readonly links: LinkMirror;
  readonly addresses: AddressMirror;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly isEndpoint: (interfaceName: string) => boolean;
  /** Routes that one destination asks for by now. */
  readonly onRoutes: (source: string, rows: readonly RankedRoute[]) => void;
};

export class Overlay {
  readonly #options: OverlayOptions;
  readonly #plan = new OverlayPlan();
  readonly #vtepOperations: ReturnType<typeof vtepOperations>;
  readonly #vtepIndex = new InterfaceIndex();
  readonly #programIndex = new InterfaceIndex();
  readonly #deviceIndex = new InterfaceIndex();
  /** Keys by what asked for them. */
  readonly #asked = new Map<string, readonly string[]>();
  readonly devices: Reconciler<DeviceRow, ActualDevice>;
  readonly vteps: Reconciler<VtepRow, ActualVtep>;
  readonly programs: Reconciler<ProgramRow, TrafficFilter>;
  #settings: Partial<OverlaySettings> = {};

  constructor(options: OverlayOptions) {
    this.#options = options;
    const { kernel, links, clock, logger, isEndpoint } = options;
    this.#vtepOperations = vtepOperations(kernel, links);
    const engine = { clock, logger };
    const devices = new Table<DeviceRow>('devices', (row) => row.name, clock);
    const vteps = new Table<VtepRow>('vteps', vtepKey, clock);
    const programs = new Table<ProgramRow>('programs', programKey, clock);
    // Making a device is several events: what lies between them is no drift.
    const slower = { ...engine, settleMs: 100 };
    this.devices = new Reconciler(devices, deviceOperations(kernel, links), slower);
    this.vteps = new Reconciler(vteps, this.#vtepOperations, engine);
    this.programs = new Reconciler(programs, programOperations(kernel, links, isEndpoint), engine);
  }

  get #reconcilers() {
    return [this.devices, this.vteps, this.programs] as const;
  }

  apply({ config, mtus, encapsulation, policy }: CalcDelta): void {
    if (config !== undefined)
      for (const reconciler of this.#reconcilers)
        reconciler.setAuditInterval(config.number('RouteRefreshInterval'));
    if (config !== undefined || mtus !== undefined || encapsulation !== undefined) {
      this.#settings = {
        ...this.#settings,
        ...(config === undefined ? {} : { config }),
        ...(mtus === undefined ? {} : { mtus }),
        ...(encapsulation === undefined ? {} : { encapsulation }),
      };
      if (isComplete(this.#settings)) this.#plan.configure(this.#settings);
    }
    this.#plan.take(policy);
    this.#refresh();
  }

  /** Call it when links and addresses are loaded and events are listened to. */
  start(): void {
    this.#refresh();
    for (const reconciler of this.#reconcilers) reconciler.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#reconcilers.map((reconciler) => reconciler.stop()));
  }

  get synced(): boolean {
    return this.#reconcilers.every((reconciler) => reconciler.synced);
  }

  async idle(): Promise<void> {
    await Promise.all(this.#reconcilers.map((reconciler) => reconciler.idle()));
  }

  /** Everything may have changed unseen; the mirrors are loaded anew. */
  reload(): void {
    this.#refresh();
    for (const reconciler of this.#reconcilers)
      reconciler.observe({ type: 'resync', reason: 'events were lost' });
  }

  /** The link of this name came, went, or changed; the mirror knows already. */
  observeLink(name: string, replaced: boolean): void {
    if (overlayDevices.includes(name)) this.#observeDevice(name);
    this.#refresh();
    if (!replaced) return;
    this.devices.recheck(this.#deviceIndex.on(name));
    this.vteps.observe({ type: 'forget', keys: this.#vtepIndex.on(name) });
    this.programs.observe({ type: 'forget', keys: this.#programIndex.on(name) });
  }

  /** An address of the link of this name came or went; the mirror knows already. */
  observeAddress(name: string | undefined): void {
    if (name !== undefined && overlayDevices.includes(name)) this.#observeDevice(name);
    if (name === undefined || !this.#options.isEndpoint(name)) this.#refresh();
  }

  observe(event: KernelEvent): void {
    switch (event.type) {
      case 'neighbour':
      case 'neighbour-deleted':
      case 'fdb':
      case 'fdb-deleted': {
        const seen = this.#vtepOperations.observation(event, this.vteps.table.rows);
        if (seen !== undefined) this.vteps.observe(seen);
        return;
      }
      case 'filters': {
        const name = this.#options.links.nameOf(event.linkIndex);
        if (name !== undefined && !this.#options.isEndpoint(name)) this.programs.resync('filters changed');
        return;
      }
      default:
    }
  }

  #observeDevice(name: string): void {
    const actual = actualDevice(this.#options.links.byName(name), this.#options.addresses.all());
    this.devices.observe({ type: 'actual', key: name, actual });
  }

  #refresh(): void {
    this.#plan.setUnderlays(this.#underlays());
    const tunnel = this.#options.links.byName(ipipDevice);
    const isOurs = tunnel?.kind === 'ipip' || tunnel?.kind === 'ifb';
    this.#plan.setTunnel(isOurs ? { kind: tunnel.kind as 'ipip' | 'ifb', index: tunnel.index } : undefined);
    for (const change of this.#plan.flush()) this.#place(change);
  }

  #underlays(): Underlays {
    const underlays: { -readonly [F in keyof Underlays]: Underlays[F] } = {};
    for (const family of [4, 6] as const) {
      const own = this.#plan.own(family);
      if (own === undefined) continue;
      for (const { address, length, linkIndex } of this.#options.addresses.all()) {
        const interfaceName = this.#options.links.nameOf(linkIndex);
        if (address !== own || interfaceName === undefined) continue;
        underlays[family] = { interfaceName, network: prefixOf(address, length) };
      }
    }
    return underlays;
  }

  #place(change: OverlayChange): void {
    switch (change.table) {
      case 'routes':
        return this.#options.onRoutes(change.source, change.rows);
      case 'devices':
        return this.#replace(this.devices.table, change.source, change.rows, this.#deviceIndex, (row) =>
          row.form.kind === 'vxlan' ? row.form.parent : undefined,
        );
      case 'vteps':
        return this.#replace(
          this.vteps.table,
          change.source,
          change.rows,
          this.#vtepIndex,
          (row) => row.device,
        );
      case 'programs':
        return this.#replace(
          this.programs.table,
          change.source,
          change.rows,
          this.#programIndex,
          (row) => row.interfaceName,
        );
    }
  }

  #replace<Row>(
    table: Table<Row>,
    source: string,
    rows: readonly Row[],
    index: InterfaceIndex,
    interfaceOf: (row: Row) => string | undefined,
  ): void {
    const asked = `${table.name} ${source}`;
    const kept = new Set(rows.map((row) => table.keyOf(row)));
    for (const key of this.#asked.get(asked) ?? []) {
      if (kept.has(key)) continue;
      table.delete(key);
      index.delete(key);
    }
    for (const row of rows) {
      const key = table.keyOf(row);
      const before = table.rows.get(key);
      index.set(key, interfaceOf(row));
      if (before === undefined || comparable(before) !== comparable(row)) table.set(row);
    }
    if (kept.size === 0) this.#asked.delete(asked);
    else this.#asked.set(asked, [...kept]);
  }
}

/** Code is told by the name of its program. */
const comparable = (row: unknown): string =>
  JSON.stringify(row, (key, value: unknown) => (key === 'code' ? undefined : value));

const isComplete = (settings: Partial<OverlaySettings>): settings is OverlaySettings =>
  settings.config !== undefined && settings.mtus !== undefined && settings.encapsulation !== undefined;
