// WireGuard's part of the dataplane (FX-092): its tables with their reconcilers, fed by the plan; routes go to the routes table
// of all, by `onRoutes`.
//
//   PolicyChange (route, wireguard) ─► WireGuardPlan ─┬─► routes ─► (dataplane's own table)
//   links, addresses of the kernel ───────────────────┴─► devices and peers, rules ─► reconcilers ─► kernel
//                                                               └─► states: off, on with which key, or why not ─► agent
import type { Clock, Timer } from '../../../lib/clock.ts';
import type { Family } from '../../../lib/ip/mod.ts';
import type { Logger } from '../../../lib/log.ts';
import type { Failure, Result } from '../../../lib/result.ts';
import {
  publicKeyOf,
  type Kernel,
  type KernelEvent,
  type PolicyRule,
  type WireGuardDevice,
} from '../../../kernel/mod.ts';
import type { CalcDelta } from '../../calc/mod.ts';
import type { AddressMirror } from '../addresses.ts';
import type { LinkMirror } from '../links.ts';
import type { RankedRoute } from '../overlay/types.ts';
import { Reconciler } from '../reconciler.ts';
import type { SysctlRow } from '../sysctls.ts';
import { setIfOther, Table } from '../table.ts';
import { type ActualWireGuard, deviceKey, wireguardKey, wireguardOperations } from './devices.ts';
import { WireGuardPlan } from './plan.ts';
import { parseRemembered, type RememberedTunnels, TunnelBootstrap, type TunnelMemory } from './remembered.ts';
import { ruleKey, ruleOperations } from './rules.ts';
import {
  isOwnTable,
  type WireGuardRow,
  type WireGuardRowChange,
  type WireGuardSettings,
  type WireGuardState,
  type WireGuardStates,
} from './types.ts';

export type WireGuardOptions = {
  readonly kernel: Kernel;
  readonly links: LinkMirror;
  readonly addresses: AddressMirror;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onRoutes: (source: string, rows: readonly RankedRoute[]) => void;
  /** Kernel settings that it needs by now. */
  readonly onSettings: (rows: readonly SysctlRow[]) => void;
  readonly onStates: (states: WireGuardStates) => void;
  /** Where keys and tunnels are remembered; without it they end with the devices. */
  readonly memory?: TunnelMemory;
};

const rememberAfterMs = 50;

const families: readonly Family[] = [4, 6];

export class WireGuard {
  readonly #options: WireGuardOptions;
  readonly #plan = new WireGuardPlan();
  readonly devices: Reconciler<WireGuardRow, ActualWireGuard>;
  readonly rules: Reconciler<PolicyRule, PolicyRule>;
  /** Keys by what asked for them. */
  readonly #asked = new Map<string, readonly string[]>();
  /** By name: the device that is there, or why it could not be made. */
  /** Names of devices this process wanted so far. */
  readonly #usedNames = new Set<string>();
  readonly #found = new Map<string, Result<WireGuardDevice | undefined, Failure>>();
  /** What an earlier run of the agent left. */
  readonly #remembered: RememberedTunnels | undefined;
  #memorized: string | undefined;
  #rememberTimer: Timer | undefined;
  readonly #routesBySource = new Map<string, readonly RankedRoute[]>();
  #settings: Partial<WireGuardSettings> = {};
  #told = '';
  #started = false;

  constructor(options: WireGuardOptions) {
    this.#options = options;
    this.#memorized = options.memory?.read();
    this.#remembered = parseRemembered(this.#memorized);
    const { kernel, clock, logger } = options;
    const engine = { clock, logger };
    const devices = new Table<WireGuardRow>('wireguard', wireguardKey, clock);
    const rules = new Table<PolicyRule>('rules', ruleKey, clock);
    const operations = wireguardOperations({
      kernel,
      names: () => this.#names(),
      rememberedKey: (name) => this.#remembered?.devices.find((one) => one.name === name)?.privateKey,
      onDevice: (name, found) => {
        this.#found.set(name, found);
        this.#tell();
        this.#rememberSoon();
      },
    });
    // Making a device is several events: what lies between them is no drift.
    this.devices = new Reconciler(devices, operations, { ...engine, settleMs: 100 });
    this.rules = new Reconciler(
      rules,
      ruleOperations(kernel, (table) => this.#isOwnTable(table)),
      engine,
    );
  }

  apply({ config, mtus, policy }: CalcDelta): void {
    if (config !== undefined)
      for (const reconciler of [this.devices, this.rules])
        reconciler.setAuditInterval(config.number('RouteRefreshInterval'));
    if (config !== undefined || mtus !== undefined) {
      this.#settings = {
        ...this.#settings,
        ...(config === undefined ? {} : { config }),
        ...(mtus === undefined ? {} : { mtus }),
      };
      const { config: known, mtus: sizes } = this.#settings;
      if (known !== undefined && sizes !== undefined) this.#plan.configure({ config: known, mtus: sizes });
    }
    this.#plan.take(policy);
    this.#refresh();
  }

  /** Call it when links and addresses are loaded and events are listened to. */
  start(): void {
    this.#started = true;
    this.#refresh();
    this.devices.start();
    this.rules.start();
  }

  async stop(): Promise<void> {
    if (this.#rememberTimer !== undefined) this.#remember();
    await Promise.all([this.devices.stop(), this.rules.stop()]);
  }

  get synced(): boolean {
    return this.devices.synced && this.rules.synced;
  }

  async idle(): Promise<void> {
    await Promise.all([this.devices.idle(), this.rules.idle()]);
  }

  /** Everything may have changed unseen; the mirrors are loaded anew. */
  reload(): void {
    this.#refresh();
    for (const reconciler of [this.devices, this.rules])
      reconciler.observe({ type: 'resync', reason: 'events were lost' });
  }

  /** Something about the link of this name changed; the mirrors know already. */
  observeInterface(name: string | undefined): void {
    if (name === undefined || !this.#names().includes(name)) return;
    this.#refresh();
    this.devices.resync(`${name} changed`);
  }

  observe(event: KernelEvent): void {
    if (event.type === 'rule' || event.type === 'rule-deleted') this.rules.resync('rules changed');
  }

  states(): WireGuardStates {
    return { 4: this.#state(4), 6: this.#state(6) };
  }

  /** The devices with what went through them. */
  async read(): Promise<readonly WireGuardDevice[]> {
    const found: WireGuardDevice[] = [];
    for (const family of families) {
      const state = this.#state(family);
      if (state.state !== 'on') continue;
      const device = await this.#options.kernel.wireguard.read(state.device);
      if (device.ok && device.value !== undefined) found.push(device.value);
    }
    return found;
  }

  #state(family: Family): WireGuardState {
    const name = this.#plan.device(family);
    if (name === undefined || !this.#plan.isEnabled(family)) return { state: 'off' };
    if (this.#started && this.#plan.own(family) === undefined)
      return { state: 'waiting', reason: `this node has no address of IPv${family}` };
    const found = this.#found.get(name);
    if (found?.ok === false) return { state: 'waiting', reason: found.error.message };
    const device = found?.value;
    const publicKey = device?.privateKey === undefined ? undefined : publicKeyOf(device.privateKey);
    if (device === undefined || publicKey === undefined) return { state: 'waiting' };
    const peers = [...this.devices.table.rows.values()].filter(
      (row) => row.type === 'peer' && row.device === name,
    ).length;
    return { state: 'on', driver: device.driver, device: name, publicKey, peers };
  }

  #tell(): void {
    if (!this.#started) return;
    const states = this.states();
    const text = JSON.stringify(states);
    if (text === this.#told) return;
    this.#told = text;
    this.#options.onStates(states);
  }

  /** Those that devices should have, and those of devices that are still to go. */
  #names(): readonly string[] {
    const wanted = families.flatMap((family) => this.#plan.device(family) ?? []);
    for (const name of wanted) this.#usedNames.add(name);
    const { table } = this.devices;
    return [...this.#usedNames].filter(
      (name) => wanted.includes(name) || table.status(deviceKey(name)) !== undefined,
    );
  }

  #isOwnTable(table: number): boolean {
    const { config } = this.#settings;
    return config !== undefined && isOwnTable(config, table);
  }

  #refresh(): void {
    const isUp = (family: Family): boolean => {
      const link = this.#options.links.byName(this.#plan.device(family) ?? '');
      return link?.up === true && (link.kind === 'wireguard' || link.kind === 'tun');
    };
    this.#plan.setPresent({ 4: isUp(4), 6: isUp(6) });
    const changes = this.#plan.flush();
    // A key that one node gives up may be another's in the same flush.
    for (const change of changes) this.#withdraw(change);
    for (const change of changes) this.#place(change);
    this.#options.onSettings(this.#sysctls());
    this.#tell();
    this.#rememberSoon();
  }

  /** What comes encrypted from another node seems to come the wrong way when that node's own traffic goes through the tunnel:
   *  a strict check of sources would drop it. */
  #sysctls(): SysctlRow[] {
    const own = this.#plan.own(4);
    if (!this.#plan.isEnabled(4) || !this.#plan.encryptsHosts || own === undefined) return [];
    return [...this.#options.addresses.all()]
      .filter(({ address }) => address === own)
      .flatMap(({ linkIndex }) => this.#options.links.nameOf(linkIndex) ?? [])
      .filter((name) => !this.#names().includes(name))
      .map((name) => ({
        path: `net/ipv4/conf/${name}/rp_filter`,
        value: '2',
        interfaceName: name,
        optional: false,
      }));
  }

  /** For what has to be known before the datastore is reached: how to get there. Undefined: nothing is remembered. */
  bootstrap(): TunnelBootstrap | undefined {
    const { kernel, clock, logger } = this.#options;
    const remembered = this.#remembered;
    return remembered === undefined ? undefined : new TunnelBootstrap({ kernel, clock, logger, remembered });
  }

  #rememberSoon(): void {
    if (!this.#started || this.#options.memory === undefined) return;
    this.#rememberTimer ??= this.#options.clock.after(rememberAfterMs, () => this.#remember());
  }

  #remember(): void {
    this.#rememberTimer?.cancel();
    this.#rememberTimer = undefined;
    const rows = [...this.devices.table.rows.values()];
    const devices = rows.flatMap((row) => {
      const found = row.type === 'device' ? this.#found.get(row.name) : undefined;
      const privateKey = found?.ok === true ? found.value?.privateKey : undefined;
      return row.type !== 'device' || privateKey === undefined ? [] : [{ ...row, privateKey }];
    });
    // One of them is being made: what is known from before stays until it is.
    if (devices.length < rows.filter(({ type }) => type === 'device').length) return;
    const tunnels: RememberedTunnels = {
      version: 1,
      encryptsHosts: this.#plan.encryptsHosts,
      devices,
      peers: rows.filter((row) => row.type === 'peer'),
      rules: [...this.rules.table.rows.values()],
      routes: [...this.#routesBySource.values()].flat().map(({ row }) => row),
      settings: this.#sysctls(),
    };
    const text = devices.length === 0 ? undefined : JSON.stringify(tunnels);
    if (text === this.#memorized) return;
    this.#memorized = text;
    this.#options.memory?.write(text);
  }

  #place(change: WireGuardRowChange): void {
    if (change.table === 'routes') {
      this.#options.onRoutes(change.source, change.rows);
      if (change.rows.length === 0) this.#routesBySource.delete(change.source);
      else this.#routesBySource.set(change.source, change.rows);
    } else if (change.table === 'rules') this.#put(this.rules.table, change.source, change.rows);
    else this.#put(this.devices.table, change.source, change.rows);
  }

  #withdraw(change: WireGuardRowChange): void {
    if (change.table === 'rules') this.#drop(this.rules.table, change.source, change.rows);
    else if (change.table === 'wireguard') this.#drop(this.devices.table, change.source, change.rows);
  }

  #drop<Row>(table: Table<Row>, source: string, rows: readonly Row[]): void {
    const kept = new Set(rows.map((row) => table.keyOf(row)));
    for (const key of this.#asked.get(`${table.name} ${source}`) ?? []) if (!kept.has(key)) table.delete(key);
  }

  #put<Row>(table: Table<Row>, source: string, rows: readonly Row[]): void {
    const asked = `${table.name} ${source}`;
    for (const row of rows) setIfOther(table, table.keyOf(row), row);
    if (rows.length === 0) this.#asked.delete(asked);
    else
      this.#asked.set(
        asked,
        rows.map((row) => table.keyOf(row)),
      );
  }
}
