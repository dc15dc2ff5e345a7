// The dataplane of a node: takes rows from the calculation, keeps them in tables of what the kernel should hold, and runs
// a reconciler for each. Kernel events are read in one place here and given to whom they concern.
//
//   CalcDelta ─► routes · sysctls · nftables tables ─► reconcilers ─► kernel
//                          ▲                                           │
//                          └── link, route, nftables events ◄──────────┘
import { type Clock, systemClock } from '../../lib/clock.ts';
import { goPattern } from '../../lib/go-pattern.ts';
import { type Logger, silentLogger } from '../../lib/log.ts';
import { ok, type Result } from '../../lib/result.ts';
import { sleep } from '../../lib/wait.ts';
import type {
  Kernel,
  KernelEvent,
  Link,
  LinkAddress,
  Subscription,
  WireGuardDevice,
} from '../../kernel/mod.ts';
import type { Address } from '../../lib/ip/mod.ts';
import {
  type CalcDelta,
  type FelixConfig,
  type HostInterface,
  type InterfaceRow,
  type NodeRow,
  type RouteRow,
} from '../calc/mod.ts';
import type { BackEndChoice, CommandRunner } from './iptables/mod.ts';
import { AddressMirror } from './addresses.ts';
import { Bandwidth } from './bandwidth/bandwidth.ts';
import { limitDevicePrefix } from './bandwidth/rows.ts';
import { type Inventory, inventory } from './inventory.ts';
import { InterfaceIndex, LinkMirror } from './links.ts';
import { Neighbours } from './neighbours/neighbours.ts';
import { Peerings } from './peerings.ts';
import { nftTableName } from './nftables.ts';
import { Overlay } from './overlay/overlay.ts';
import type { RankedRoute } from './overlay/types.ts';
import { ConnectionCutter } from './policy/mod.ts';
import { Reconciler } from './reconciler.ts';
import { RouteTable } from './route-table.ts';
import { gatewayRoute, kernelRoute, routeKey } from './routes.ts';
import { RuleSwitch } from './rule-switch.ts';
import { interfaceSysctls, nodeSysctls, sysctlOperations, type SysctlRow } from './sysctls.ts';
import { setIfOther, Table } from './table.ts';
import type { ReconcilerCounters, RowStatus, TableCounts } from './types.ts';
import type { TunnelBootstrap, TunnelMemory } from './wireguard/remembered.ts';
import type { WireGuardStates } from './wireguard/types.ts';
import { WireGuard } from './wireguard/wireguard.ts';

export type DataplaneOptions = {
  readonly kernel: Kernel;
  readonly clock?: Clock;
  readonly logger?: Logger;
  /** Told when an interface that the MTU may depend on changes; once at the start. */
  readonly onHostInterfaces?: (interfaces: readonly HostInterface[]) => void;
  /** Puts policy in force; then interfaces of workloads are closed until their endpoint's policy is there. */
  readonly policy?: boolean;
  /** Runs iptables and ipset where the kernel is. Without it rules are in nftables, whatever the configuration says. */
  readonly commands?: CommandRunner;
  /** All that was applied so far as one delta: for a back end of rules that takes over while the agent runs. */
  readonly everything?: () => CalcDelta;
  /** Told what WireGuard is on this node, when that changes. */
  readonly onEncryption?: (states: WireGuardStates) => void;
  /** Where the keys and tunnels of WireGuard are remembered beyond a restart of the node. */
  readonly tunnelMemory?: TunnelMemory;
};

/** Rows of the kernel tables that one endpoint stands on. */
export type EndpointKeys = {
  readonly routes: readonly string[];
  readonly sysctls: readonly string[];
  readonly policy: readonly string[];
  readonly bandwidth: readonly string[];
};

export type DataplaneTableName =
  | 'routes'
  | 'sysctls'
  | 'nftables'
  | 'devices'
  | 'vteps'
  | 'programs'
  | 'wireguard'
  | 'neighbours'
  | 'peerings'
  | 'rules'
  | 'bandwidth';
export type DataplaneTableStatus = {
  readonly synced: boolean;
  readonly counts: TableCounts;
  readonly counters: ReconcilerCounters;
  readonly stuckForMs: number;
  readonly unfinished: readonly (readonly [key: string, status: RowStatus])[];
  readonly dumpError?: string;
};
/** `iptables` where that is the back end of rules. */
export type DataplaneStatus = Readonly<Record<DataplaneTableName, DataplaneTableStatus>> & {
  readonly iptables?: DataplaneTableStatus;
};

/** `policy`, `bandwidth`: see `Dataplane.policyKeys` and `Dataplane.bandwidthKeys`. */
export const endpointKeys = (
  routes: readonly RouteRow[],
  row: InterfaceRow | undefined,
  policy: readonly string[] = [],
  bandwidth: readonly string[] = [],
): EndpointKeys => ({
  routes: routes.map((route) => routeKey(kernelRoute(route))),
  sysctls: row === undefined ? [] : interfaceSysctls(row).map((sysctl) => sysctl.path),
  policy,
  bandwidth,
});

export class Dataplane {
  readonly #kernel: Kernel;
  readonly #logger: Logger;
  readonly #onHostInterfaces: (interfaces: readonly HostInterface[]) => void;
  readonly #links = new LinkMirror();
  readonly #addresses = new AddressMirror();
  readonly #sysctlIndex = new InterfaceIndex();
  readonly #sysctlTable: Table<SysctlRow>;
  readonly #routes: RouteTable;
  readonly #sysctls: Reconciler<SysctlRow, string>;
  readonly #rules: RuleSwitch;
  readonly #overlay: Overlay;
  readonly #wireguard: WireGuard;
  readonly #bandwidth: Bandwidth;
  readonly #neighbours: Neighbours;
  readonly #peerings: Peerings;
  /** What the calculation's rows became here, to take them away again. */
  readonly #derived = new Map<string, readonly string[]>();
  readonly #enforcesPolicy: boolean;
  readonly #everything: DataplaneOptions['everything'];
  #cutter: ConnectionCutter | undefined;
  #node: NodeRow | undefined;
  /** Interfaces that host endpoints do not count (InterfaceExclude). */
  #excluded: readonly RegExp[] = [];
  #subscription: Subscription | undefined;
  readonly #observed = { links: 0, addresses: 0 };
  #started = false;
  #stopped = false;

  constructor(options: DataplaneOptions) {
    const { kernel, clock = systemClock, logger = silentLogger } = options;
    this.#kernel = kernel;
    this.#logger = logger;
    this.#onHostInterfaces = options.onHostInterfaces ?? (() => undefined);
    this.#enforcesPolicy = options.policy === true;
    this.#everything = options.everything;
    this.#routes = new RouteTable({ kernel, links: this.#links, clock, logger, node: () => this.#node });
    const sysctls = sysctlOperations(kernel, this.#links);
    this.#sysctlTable = new Table<SysctlRow>('sysctls', (row) => sysctls.keyOf(row), clock);
    this.#sysctls = new Reconciler(this.#sysctlTable, sysctls, { clock, logger });
    this.#rules = new RuleSwitch({
      kernel,
      clock,
      logger,
      policy: options.policy === true,
      commands: options.commands,
      everything: options.everything,
    });
    this.#overlay = new Overlay({
      kernel,
      links: this.#links,
      addresses: this.#addresses,
      clock,
      logger,
      isEndpoint: (name) => this.#isEndpoint(name),
      onRoutes: (source, rows) => this.#routes.claim(source, rows),
    });
    this.#bandwidth = new Bandwidth({
      kernel,
      links: this.#links,
      clock,
      logger,
      isWorkload: (name) => this.#isWorkload(name),
    });
    this.#neighbours = new Neighbours({
      kernel,
      links: this.#links,
      addresses: this.#addresses,
      clock,
      logger,
      isEndpoint: (name) => this.#isEndpoint(name),
      onRoutes: (source, rows) => this.#routes.claim(source, rows),
      onSettings: (rows) => this.#derive('answered addresses', rows),
    });
    this.#peerings = new Peerings({
      kernel,
      links: this.#links,
      clock,
      logger,
      isWorkload: (name) => this.#isWorkload(name),
    });
    this.#wireguard = new WireGuard({
      kernel,
      links: this.#links,
      addresses: this.#addresses,
      clock,
      logger,
      onRoutes: (source, rows) => this.#routes.claim(source, rows),
      onSettings: (rows) => this.#derive('wireguard', rows),
      onStates: options.onEncryption ?? (() => undefined),
      ...(options.tunnelMemory === undefined ? {} : { memory: options.tunnelMemory }),
    });
    this.#routes.claim('gateway', [{ row: gatewayRoute, rank: '9' }]);
  }

  /** Takes what the calculation found different. Before `start` rows only gather. */
  apply(delta: CalcDelta): void {
    if (delta.node !== undefined) this.#setNode(delta.node);
    if (delta.config !== undefined) this.#setConfig(delta.config);
    const { routes, interfaces } = delta.tables;
    for (const row of routes.set) this.#routes.claim(`route ${row.dst}`, [ranked(row)]);
    for (const key of routes.deleted) this.#routes.claim(`route ${key}`, []);
    for (const row of interfaces.set) this.#derive(`interface ${row.interfaceName}`, interfaceSysctls(row));
    for (const key of interfaces.deleted) this.#derive(`interface ${key}`, []);
    this.#rules.apply(delta);
    this.#watchConnections(delta);
    this.#overlay.apply(delta);
    this.#wireguard.apply(delta);
    this.#bandwidth.apply(delta);
    this.#neighbours.apply(delta);
    this.#peerings.apply(delta);
  }

  /** Listens to the kernel, reads it, and begins to write. Call it when the rows are complete. */
  async start(): Promise<Result<void>> {
    this.#started = true;
    this.#subscription ??= this.#kernel.subscribe(
      ['links', 'addresses', 'routes', 'rules', 'neighbours', 'filters', 'nftables'],
      (event) => this.#observe(event),
    );
    const links = await this.#kernel.links.list();
    if (!links.ok) return links;
    this.#links.load(links.value);
    this.#tellHostInterfaces();
    const addressed = await this.#loadAddresses();
    if (!addressed.ok) return addressed;
    this.#overlay.start();
    this.#wireguard.start();
    // Closed before open: nothing is routed to a workload before its policy is in force.
    const standing = await this.#rules.start();
    if (!standing.ok) return standing;
    this.#bandwidth.reconciler.start();
    this.#neighbours.refresh();
    this.#neighbours.reconciler.start();
    this.#peerings.reconciler.start();
    this.#routes.reconciler.start();
    this.#sysctls.start();
    return ok(undefined);
  }

  async #loadAddresses(): Promise<Result<void>> {
    const addresses = await this.#kernel.addresses.list();
    if (!addresses.ok) return addresses;
    this.#addresses.load(addresses.value);
    this.#tellPolicyInterfaces();
    return ok(undefined);
  }

  /** Host endpoints stand at interfaces, some of them found by their addresses. */
  #tellPolicyInterfaces(): void {
    const interfaces = new Map<string, readonly Address[]>();
    for (const { name, index } of this.#links.all())
      if (!this.#isEndpoint(name) && !this.#excluded.some((one) => one.test(name)))
        interfaces.set(name, this.#addresses.on(index));
    this.#rules.setInterfaces(interfaces);
  }

  /** The MTU must be known before the first rows are made: what `start` reports later, read now. */
  async readHostInterfaces(): Promise<Result<void>> {
    const links = await this.#kernel.links.list();
    if (!links.ok) return links;
    this.#links.load(links.value);
    this.#tellHostInterfaces();
    return ok(undefined);
  }

  /** Ends; the kernel stays as it is. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#subscription?.close();
    await this.#cutter?.stop();
    await Promise.all([
      this.#routes.reconciler.stop(),
      this.#sysctls.stop(),
      this.#rules.stop(),
      this.#overlay.stop(),
      this.#wireguard.stop(),
      this.#bandwidth.reconciler.stop(),
      this.#neighbours.stop(),
      this.#peerings.reconciler.stop(),
    ]);
  }

  /** Resolves when the rows are in the kernel, or, when they are no longer wanted, out of it. */
  async whenDone(keys: EndpointKeys, deadlineMs: number): Promise<Result<void>> {
    const results = await Promise.all([
      this.#routes.table.whenDone(keys.routes, deadlineMs),
      this.#sysctlTable.whenDone(keys.sysctls, deadlineMs),
      this.#rules.whenDone(keys.policy, deadlineMs),
      this.#bandwidth.whenDone(keys.bandwidth, deadlineMs),
    ]);
    return results.find((result) => !result.ok) ?? ok(undefined);
  }

  /** Keys of the rows that put the policy of an endpoint (`EndpointPolicy.key`) in force. */
  policyKeys(endpoint: string): readonly string[] {
    return this.#rules.keysOf(endpoint);
  }

  /** Keys of the rows that limit the bandwidth of an endpoint (`EndpointPolicy.key`). */
  bandwidthKeys(endpoint: string): readonly string[] {
    return this.#bandwidth.keysOf(endpoint);
  }

  /** Which back end has the rules, and why; undefined before `start`. */
  get backEnd(): BackEndChoice | undefined {
    return this.#rules.choice;
  }

  /** First read done and every row tried, in all tables. */
  get synced(): boolean {
    return (
      this.#started &&
      this.#routes.reconciler.synced &&
      this.#sysctls.synced &&
      this.#rules.synced &&
      this.#overlay.synced &&
      this.#wireguard.synced &&
      this.#bandwidth.reconciler.synced &&
      this.#neighbours.reconciler.synced &&
      this.#peerings.reconciler.synced
    );
  }

  /** How other nodes are reached before anything is known, when that is remembered. Call it before `start`. */
  tunnelBootstrap(): TunnelBootstrap | undefined {
    return this.#wireguard.bootstrap();
  }

  /** Whether and how traffic to other nodes is encrypted. */
  get encryption(): WireGuardStates {
    return this.#wireguard.states();
  }

  /** Devices and peers of WireGuard as they are, with what went through them. */
  wireguardDevices(): Promise<readonly WireGuardDevice[]> {
    return this.#wireguard.read();
  }

  status(): DataplaneStatus {
    const of = <Row, Actual>(reconciler: Reconciler<Row, Actual>) => ({
      synced: reconciler.synced,
      counts: reconciler.table.counts(),
      counters: reconciler.counters,
      stuckForMs: reconciler.stuckForMs(),
      unfinished: [...reconciler.table.unfinished()].slice(0, 10),
      ...(reconciler.dumpError === undefined ? {} : { dumpError: reconciler.dumpError.message }),
    });
    return {
      routes: of(this.#routes.reconciler),
      sysctls: of(this.#sysctls),
      nftables: of(this.#rules.nft.reconciler),
      ...(this.#rules.iptables === undefined ? {} : { iptables: of(this.#rules.iptables.reconciler) }),
      devices: of(this.#overlay.devices),
      vteps: of(this.#overlay.vteps),
      programs: of(this.#overlay.programs),
      wireguard: of(this.#wireguard.devices),
      neighbours: of(this.#neighbours.reconciler),
      peerings: of(this.#peerings.reconciler),
      rules: of(this.#wireguard.rules),
      bandwidth: of(this.#bandwidth.reconciler),
    };
  }

  /** What there should be, counted. */
  inventory(): Inventory {
    return inventory(
      this.#rules.nft.reconciler.table.rows.values(),
      this.#rules.iptables?.reconciler.table.rows.values() ?? [],
      this.#routes.table.rows.values(),
    );
  }

  /** Events of the kernel so far. */
  get observed(): { readonly links: number; readonly addresses: number } {
    return this.#observed;
  }

  /** Nothing left to do now. For tests. */
  async idle(): Promise<void> {
    await Promise.all([
      this.#routes.reconciler.idle(),
      this.#sysctls.idle(),
      this.#rules.idle(),
      this.#overlay.idle(),
      this.#wireguard.idle(),
      this.#bandwidth.reconciler.idle(),
      this.#neighbours.reconciler.idle(),
      this.#peerings.reconciler.idle(),
    ]);
    await this.#cutter?.idle();
  }

  #setNode(node: NodeRow): void {
    this.#node = node;
    this.#derive('node', nodeSysctls(node));
  }

  /** Cuts what policy no longer allows, where that is wanted; who begins late is told everything. */
  #watchConnections({ config, policy }: CalcDelta): void {
    if (config !== undefined && config.text('PolicyChangeConnections') !== 'Cut') {
      void this.#cutter?.stop();
      this.#cutter = undefined;
    } else if (config !== undefined && this.#cutter === undefined && this.#enforcesPolicy) {
      this.#cutter = new ConnectionCutter({
        kernel: this.#kernel,
        logger: this.#logger,
        settled: () => this.#rulesSettled(),
      });
      return this.#cutter.take(this.#everything?.().policy ?? policy);
    }
    this.#cutter?.take(policy);
  }

  async #rulesSettled(): Promise<void> {
    while (!this.#rules.synced && !this.#stopped) await sleep(10);
    await this.#rules.idle();
  }

  #setConfig(config: FelixConfig): void {
    const listed = (config.value('InterfaceExclude') ?? []) as readonly string[];
    const excluded = listed.flatMap((one) => goPattern(one) ?? []);
    const isOther = String(excluded) !== String(this.#excluded);
    this.#excluded = excluded;
    if (isOther && this.#started) this.#tellPolicyInterfaces();
    this.#routes.configure(config);
    this.#sysctls.setAuditInterval(config.number('InterfaceRefreshInterval'));
  }

  /** Workloads' interfaces, and what their limits stand on beside them. */
  #isEndpoint(name: string): boolean {
    return this.#isWorkload(name) || name.startsWith(limitDevicePrefix);
  }

  #isWorkload(name: string): boolean {
    return (this.#node?.interfacePrefixes ?? []).some((prefix) => name.startsWith(prefix));
  }

  /** Replaces the settings that one row of the calculation stands for; equal ones are not touched. */
  #derive(source: string, rows: readonly SysctlRow[]): void {
    const before = this.#derived.get(source) ?? [];
    for (const row of rows) {
      this.#sysctlIndex.set(row.path, row.interfaceName);
      setIfOther(this.#sysctlTable, row.path, row);
    }
    const kept = new Set(rows.map(({ path }) => path));
    for (const path of before)
      if (!kept.has(path)) {
        this.#sysctlTable.delete(path);
        this.#sysctlIndex.delete(path);
      }
    if (rows.length === 0) this.#derived.delete(source);
    else this.#derived.set(source, [...kept]);
  }

  #observe(event: KernelEvent): void {
    this.#overlay.observe(event);
    this.#wireguard.observe(event);
    this.#bandwidth.observe(event);
    switch (event.type) {
      case 'address':
      case 'address-deleted':
        this.#observed.addresses++;
        return this.#observeAddress(event.address, event.type === 'address-deleted');
      case 'link':
      case 'link-deleted':
        this.#observed.links++;
        return this.#observeLink(event.link, event.type === 'link-deleted');
      case 'route':
      case 'route-deleted':
        // What became of an own write is known; its event may be about one before the last.
        if (event.own !== true) this.#routes.observe(event.route, event.type === 'route-deleted');
        return;
      case 'nftables':
        if (event.own !== true && event.tables.some(({ name }) => name === nftTableName))
          this.#rules.nft.reconciler.observe({
            type: 'resync',
            reason: `nftables changed by process ${event.pid}`,
          });
        return;
      case 'lost':
        this.#logger.warn('Kernel events were lost, reading everything again');
        void this.#reload();
        return;
      default:
    }
  }

  #observeAddress(address: LinkAddress, deleted: boolean): void {
    const name = this.#links.nameOf(address.linkIndex);
    // With its last address an interface loses its IPv4 routes, without a word.
    if (deleted) this.#routes.forget(name);
    this.#addresses.observe(address, deleted);
    this.#peerings.observeAddress(address, deleted);
    this.#overlay.observeAddress(name);
    this.#wireguard.observeInterface(name);
    if (name === undefined || !this.#isEndpoint(name)) {
      this.#tellPolicyInterfaces();
      this.#neighbours.refresh();
    }
  }

  #observeLink(link: Link, deleted: boolean): void {
    const known = this.#links.byName(link.name);
    const names = this.#links.observe(link, deleted);
    for (const name of names) this.#linkChanged(name);
    if (known !== undefined && known.mtu !== link.mtu) this.#bandwidth.observeLink(link.name);
    for (const name of new Set([link.name, ...names]))
      if (!this.#isEndpoint(name)) {
        this.#neighbours.refresh();
        this.#overlay.observeLink(name, names.includes(name));
        this.#wireguard.observeInterface(name);
      }
    if (deleted || known === undefined || known.mtu !== link.mtu || known.up !== link.up) {
      this.#tellHostInterfaces(link.name);
      if (!this.#isEndpoint(link.name)) this.#tellPolicyInterfaces();
    }
  }

  /** Routes of an interface that went down are gone without an event; settings are gone with the interface only. */
  #linkChanged(name: string): void {
    this.#routes.forget(name);
    this.#sysctls.observe({ type: 'forget', keys: this.#sysctlIndex.on(name) });
    this.#bandwidth.observeLink(name);
    this.#neighbours.observeLink(name);
    this.#peerings.observeLink(name);
  }

  async #reload(): Promise<void> {
    const links = await this.#kernel.links.list();
    if (links.ok) for (const name of this.#links.load(links.value)) this.#linkChanged(name);
    this.#tellHostInterfaces();
    const { nft, iptables } = this.#rules;
    for (const reconciler of [
      this.#routes.reconciler,
      this.#bandwidth.reconciler,
      this.#neighbours.reconciler,
      this.#peerings.reconciler,
      nft.reconciler,
      iptables?.reconciler,
    ])
      reconciler?.observe({ type: 'resync', reason: 'events were lost' });
    this.#sysctls.observe({ type: 'resync', reason: 'events were lost' });
    await this.#loadAddresses();
    this.#neighbours.refresh();
    this.#overlay.reload();
    this.#wireguard.reload();
  }

  /** Endpoint interfaces have no say in the MTU. */
  #tellHostInterfaces(changed?: string): void {
    if (changed !== undefined && this.#isEndpoint(changed)) return;
    const interfaces: HostInterface[] = [];
    for (const { name, mtu, up } of this.#links.all())
      if (!this.#isEndpoint(name)) interfaces.push({ name, mtu, up });
    this.#onHostInterfaces(interfaces);
  }
}

const ranked = (row: RouteRow): RankedRoute => ({
  row: kernelRoute(row),
  rank: row.target.type === 'blackhole' ? '1 blackhole' : '9 endpoint',
});
