// The calculation of a node's desired state, incremental: an update costs what it touches, a flush hands out differences.
// The output is a function of the current objects, never of the order they came in (graph.test.ts compares it with a slow
// model over random histories).
//
//   BGPConfiguration ► ranges of services that must not loop
//   BGPPeer, BGPConfiguration ► local-peers.ts: addresses that local endpoints peer with
//   Service, Node ──► answered.ts: addresses that this node answers ARP and NDP for
//   IPPool ───────► pool sets, nat, encapsulation ─► MTU        FelixConfiguration, Node labels ─► config ─► all of it
//   BlockAffinity ► blackholes ┐                                Node ─► host set
//   WorkloadEndpoint ──────────┴► routes, interfaces            host interfaces ─► MTU
//   all of it, and policies, tiers, profiles, sets … ─► policy/graph.ts ─► policy (only when asked for)
//
// Changes of configuration are rare: they recompute every row.
import type {
  BGPConfiguration,
  BlockAffinity,
  FelixConfiguration,
  IPPool,
  Node,
  WorkloadEndpoint,
} from '../../model/mod.ts';
import { AnsweredAddresses } from './answered.ts';
import { type FelixConfig, resolveConfig } from './configuration.ts';
import { Contributions } from './contributions.ts';
import { encapsulationOf, resolveMtus } from './encapsulation.ts';
import { endpointKey, LocalEndpoints, type EndpointKey } from './endpoints.ts';
import { LocalPeers } from './local-peers.ts';
import { PolicyGraph, type PolicyUpdate } from './policy/graph.ts';
import { readStored } from './readable.ts';
import {
  blockRoutes,
  configInputs,
  endpointFloating,
  endpointInterface,
  endpointRoutes,
  hostMembers,
  natRows,
  nodeRow,
  poolMembers,
  serviceLoops,
} from './rows.ts';
import {
  type CalcDelta,
  type CalcOptions,
  type CalcStats,
  type CalcUpdate,
  type DesiredState,
  type Encapsulation,
  type FloatingRow,
  type HostInterface,
  type InterfaceRow,
  type Mtus,
  type NatRow,
  type NodeRow,
  type RouteRow,
  rowKeys,
  type ServiceLoopRow,
  type SetMemberRow,
} from './types.ts';

type StoredUpdate = Exclude<CalcUpdate, { readonly type: 'status' }> | PolicyUpdate;

export class CalculationGraph {
  readonly #options: CalcOptions;
  readonly #endpoints = new LocalEndpoints();
  /** Undefined when nobody asks for policy. */
  readonly policy: PolicyGraph | undefined;
  readonly #pools = new Map<string, IPPool>();
  readonly #affinities = new Map<string, BlockAffinity>();
  readonly #nodes = new Map<string, Node>();
  readonly #configurations = new Map<string, FelixConfiguration>();
  #hostInterfaces: readonly HostInterface[] = [];
  #datastoreReady = true;

  readonly #routes = new Contributions<RouteRow>(rowKeys.routes);
  readonly #interfaces = new Contributions<InterfaceRow>(rowKeys.interfaces);
  readonly #members = new Contributions<SetMemberRow>(rowKeys.members);
  readonly #nat = new Contributions<NatRow>(rowKeys.nat);
  readonly #floating = new Contributions<FloatingRow>(rowKeys.floating);
  readonly #serviceLoops = new Contributions<ServiceLoopRow>(rowKeys.serviceLoops);
  readonly #answered: AnsweredAddresses;
  readonly #peers: LocalPeers;
  #bgp: BGPConfiguration | undefined;
  #config: FelixConfig;
  #node: NodeRow;
  #mtus: Mtus;
  #encapsulation: Encapsulation;
  /** What the last flush handed out. */
  #told: { config?: FelixConfig; node?: NodeRow; mtus?: Mtus; encapsulation?: Encapsulation } = {};
  #poolsChanged = true;
  #mtusChanged = true;
  #configChanged = true;
  #updates = 0;
  readonly #unreadable = new Map<string, string>();

  constructor(options: CalcOptions) {
    this.#options = options;
    this.policy = options.policy === true ? new PolicyGraph({ nodeName: options.nodeName }) : undefined;
    this.#answered = new AnsweredAddresses(options.nodeName);
    this.#config = resolveConfig(configInputs([], undefined, options));
    this.#peers = new LocalPeers(options.nodeName, this.#config);
    this.#node = nodeRow(this.#config, options);
    this.#encapsulation = encapsulationOf(this.#config, []);
    this.#mtus = resolveMtus(this.#config, this.#encapsulation, []);
  }

  /** Takes one change. Objects of other nodes are taken too and cost little. */
  update(told: CalcUpdate | PolicyUpdate): void {
    this.#updates++;
    if (told.type === 'status') return;
    const update = this.#read(told);
    this.policy?.update(update);
    if (update.type === 'delete') return this.#delete(update.kind, update.name);
    switch (update.kind) {
      case 'WorkloadEndpoint':
        return this.#setEndpoint(update.object);
      case 'IPPool':
        this.#pools.set(update.object.metadata.name, update.object);
        this.#poolsChanged = true;
        return;
      case 'BlockAffinity':
        this.#affinities.set(update.object.metadata.name, update.object);
        return this.#refreshAffinity(update.object.metadata.name);
      case 'Node':
        this.#nodes.set(update.object.metadata.name, update.object);
        return this.#refreshNode(update.object.metadata.name);
      case 'FelixConfiguration':
        this.#configurations.set(update.object.metadata.name, update.object);
        this.#configChanged = true;
        return;
      case 'ClusterInformation':
        if (update.object.metadata.name === 'default') {
          this.#datastoreReady = update.object.spec.datastoreReady !== false;
        }
        return;
      case 'BGPConfiguration':
        if (update.object.metadata.name === 'default') this.#setBgp(update.object);
        return;
      case 'BGPPeer':
        return this.#peers.setPeer(update.object.metadata.name, update.object);
      case 'Service':
        this.#answered.setService(endpointKey(update.object.metadata), update.object);
    }
  }

  /** What cannot be read is as if it were not there. */
  #read(told: StoredUpdate): StoredUpdate {
    const { name, namespace } = told.type === 'set' ? told.object.metadata : told.name;
    const key = `${told.kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
    this.#unreadable.delete(key);
    if (told.type === 'delete') return told;
    const read = readStored<object & { metadata: { name: string } }>(told.kind, told.object);
    if ('object' in read) return { ...told, object: read.object } as StoredUpdate;
    this.#unreadable.set(key, read.problem);
    return {
      type: 'delete',
      kind: told.kind,
      name: { name, ...(namespace === undefined ? {} : { namespace }) },
    };
  }

  /** Objects that cannot be read, with the reason: `<kind> <namespace>/<name>`. */
  get unreadable(): ReadonlyMap<string, string> {
    return this.#unreadable;
  }

  /** An endpoint that CNI has just made: counts until the watch tells of it. */
  announce(endpoint: WorkloadEndpoint): void {
    const key = endpointKey(endpoint.metadata);
    this.#endpoints.announce(key, endpoint);
    this.policy?.announce(endpoint);
    this.#refreshEndpoint(key);
  }

  /** An endpoint that CNI is about to take away: gone until the watch tells of another one. */
  withdraw(endpoint: WorkloadEndpoint): void {
    const key = endpointKey(endpoint.metadata);
    this.#endpoints.withdraw(key, endpoint);
    this.policy?.withdraw(endpoint);
    this.#refreshEndpoint(key);
  }

  setHostInterfaces(interfaces: readonly HostInterface[]): void {
    this.#hostInterfaces = interfaces;
    this.#mtusChanged = true;
  }

  /** What changed since the last flush; everything on the first. */
  flush(): CalcDelta {
    if (this.#configChanged) this.#resolveConfig();
    if (this.#poolsChanged) this.#refreshPools();
    if (this.#mtusChanged) {
      this.#encapsulation = encapsulationOf(this.#config, this.#poolModes());
      this.#mtus = resolveMtus(this.#config, this.#encapsulation, this.#hostInterfaces);
    }
    const answered = this.#answered.flush();
    if (answered.set.length + answered.deleted.length > 0) this.#refreshServiceLoops();
    this.#poolsChanged = false;
    this.#mtusChanged = false;
    this.#configChanged = false;
    const { config, node, mtus, encapsulation } = this.#told;
    this.#told = {
      config: this.#config,
      node: this.#node,
      mtus: this.#mtus,
      encapsulation: this.#encapsulation,
    };
    return {
      tables: {
        routes: this.#routes.flush(),
        interfaces: this.#interfaces.flush(),
        members: this.#members.flush(),
        nat: this.#nat.flush(),
        floating: this.#floating.flush(),
        serviceLoops: this.#serviceLoops.flush(),
        answered,
        peerings: this.#peers.flush(),
      },
      policy: this.#flushPolicy(),
      ...(config === this.#config ? {} : { config: this.#config }),
      ...(same(node, this.#node) ? {} : { node: this.#node }),
      ...(same(mtus, this.#mtus) ? {} : { mtus: this.#mtus }),
      ...(same(encapsulation, this.#encapsulation) ? {} : { encapsulation: this.#encapsulation }),
    };
  }

  #flushPolicy(): CalcDelta['policy'] {
    const source = this.#config.text('RouteSource') === 'WorkloadIPs' ? 'WorkloadIPs' : 'CalicoIPAM';
    this.policy?.setRouteSource(source);
    return this.policy?.flush() ?? [];
  }

  /** The state after the last flush. */
  state(): DesiredState {
    return {
      tables: {
        routes: this.#routes.rows,
        interfaces: this.#interfaces.rows,
        members: this.#members.rows,
        nat: this.#nat.rows,
        floating: this.#floating.rows,
        serviceLoops: this.#serviceLoops.rows,
        answered: this.#answered.rows,
        peerings: this.#peers.rows,
      },
      node: this.#node,
      mtus: this.#mtus,
    };
  }

  /** All that flushes told so far as one delta, for a reader that comes later. */
  everything(): CalcDelta {
    const { tables } = this.state();
    const all = <Row>(rows: ReadonlyMap<string, Row>) => ({ set: [...rows.values()], deleted: [] });
    return {
      tables: {
        routes: all(tables.routes),
        interfaces: all(tables.interfaces),
        members: all(tables.members),
        nat: all(tables.nat),
        floating: all(tables.floating),
        serviceLoops: all(tables.serviceLoops),
        answered: all(tables.answered),
        peerings: all(tables.peerings),
      },
      policy: this.policy?.everything() ?? [],
      ...this.#told,
    };
  }

  /** The endpoint of this node under the key, by the watch or by CNI's word. */
  localEndpoint(key: EndpointKey): WorkloadEndpoint | undefined {
    return this.#endpoints.get(key);
  }

  get config(): FelixConfig {
    return this.#config;
  }

  get stats(): CalcStats {
    let localEndpoints = 0;
    for (const key of this.#endpoints.keys()) if (this.#endpoints.get(key) !== undefined) localEndpoints++;
    return {
      localEndpoints,
      pools: this.#pools.size,
      nodes: this.#nodes.size,
      updates: this.#updates,
      datastoreReady: this.#datastoreReady,
    };
  }

  #delete(kind: string, name: { readonly name: string; readonly namespace?: string }): void {
    switch (kind) {
      case 'WorkloadEndpoint': {
        const key = endpointKey(name);
        this.#endpoints.watched(key, undefined);
        return this.#refreshEndpoint(key);
      }
      case 'IPPool':
        this.#poolsChanged = this.#pools.delete(name.name) || this.#poolsChanged;
        return;
      case 'BlockAffinity':
        this.#affinities.delete(name.name);
        return this.#refreshAffinity(name.name);
      case 'Node':
        this.#nodes.delete(name.name);
        return this.#refreshNode(name.name);
      case 'FelixConfiguration':
        this.#configChanged = this.#configurations.delete(name.name) || this.#configChanged;
        return;
      case 'ClusterInformation':
        if (name.name === 'default') this.#datastoreReady = true;
        return;
      case 'BGPConfiguration':
        if (name.name === 'default') this.#setBgp(undefined);
        return;
      case 'BGPPeer':
        return this.#peers.setPeer(name.name, undefined);
      case 'Service':
        this.#answered.setService(endpointKey(name), undefined);
    }
  }

  #setBgp(bgp: BGPConfiguration | undefined): void {
    this.#bgp = bgp;
    this.#peers.setBgp(bgp);
    this.#refreshServiceLoops();
  }

  #refreshServiceLoops(): void {
    const rows = serviceLoops(this.#config, this.#bgp, this.#answered.servicePrefixes);
    this.#serviceLoops.replace(
      'bgp',
      rows.map((row) => ({ row, rank: 'bgp' })),
    );
  }

  #setEndpoint(endpoint: WorkloadEndpoint): void {
    const key = endpointKey(endpoint.metadata);
    this.#endpoints.watched(key, endpoint.spec.node === this.#options.nodeName ? endpoint : undefined);
    this.#refreshEndpoint(key);
  }

  #refreshEndpoint(key: EndpointKey): void {
    const endpoint = this.#endpoints.get(key);
    const overlaid = this.#endpoints.isOverlaid(key);
    const none = endpoint === undefined;
    this.#answered.setEndpoint(key, endpoint);
    this.#peers.setEndpoint(key, endpoint);
    this.#routes.replace(
      `endpoint ${key}`,
      none ? [] : endpointRoutes(this.#config, key, endpoint, overlaid),
    );
    this.#interfaces.replace(
      `endpoint ${key}`,
      none ? [] : endpointInterface(this.#config, key, endpoint, overlaid),
    );
    this.#floating.replace(
      `endpoint ${key}`,
      none ? [] : endpointFloating(this.#config, key, endpoint, overlaid),
    );
  }

  #refreshAffinity(name: string): void {
    const affinity = this.#affinities.get(name);
    const routes = affinity === undefined ? [] : blockRoutes(this.#config, this.#options, name, affinity);
    this.#routes.replace(`affinity ${name}`, routes);
  }

  #refreshNode(name: string): void {
    // Labels of this node select configurations.
    const node = this.#nodes.get(name);
    if (name === this.#options.nodeName) {
      this.#configChanged = true;
      this.#peers.setNode(node);
    }
    this.#answered.setNode(name, node);
    const members = node === undefined ? [] : hostMembers(this.#config, node);
    this.#members.replace(
      `node ${name}`,
      members.map((row) => ({ row, rank: name })),
    );
  }

  #refreshPools(): void {
    this.#answered.setPools(this.#pools.values());
    const members = poolMembers(this.#config, this.#pools.values());
    this.#members.replace(
      'pools',
      members.map((row) => ({ row, rank: 'pools' })),
    );
    this.#nat.replace(
      'pools',
      natRows(this.#config, members).map((row) => ({ row, rank: 'pools' })),
    );
    this.#mtusChanged = true;
  }

  *#poolModes() {
    for (const pool of this.#pools.values()) yield pool.spec;
  }

  #resolveConfig(): void {
    const labels = this.#nodes.get(this.#options.nodeName)?.metadata.labels;
    const hasNode = this.#nodes.has(this.#options.nodeName);
    const config = resolveConfig(
      configInputs(this.#configurations.values(), hasNode ? (labels ?? {}) : undefined, this.#options),
    );
    if (config.equals(this.#config) && this.#told.config !== undefined) return;
    this.#config = config;
    this.#node = nodeRow(config, this.#options);
    this.#answered.configure(config);
    this.#peers.configure(config);
    for (const key of this.#endpoints.keys()) this.#refreshEndpoint(key);
    for (const name of this.#affinities.keys()) this.#refreshAffinity(name);
    for (const name of this.#nodes.keys()) this.#refreshNode(name);
    this.#refreshServiceLoops();
    this.#poolsChanged = true;
    this.#mtusChanged = true;
  }
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
