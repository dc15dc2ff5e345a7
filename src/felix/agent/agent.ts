// The node agent: datastore → syncer → calculation → dataplane, with the CNI server beside them.
//
//   start-up   nodename file · addresses (IP, IP6) · Node · defaults and pools · first list of everything
//   first sync restored endpoints · dataplane reads the kernel, removes orphans, writes what is missing
//   steady     every batch of the watch: graph.update, graph.flush, dataplane.apply
//
// Start-up needs the datastore and tries until it is there; afterwards a lost datastore changes nothing (FX-009): the
// dataplane stays, CNI works with what is known, and the syncer's relist brings the differences.
import { join } from 'node:path';
import { systemClock, type Clock, type Timer } from '../../lib/clock.ts';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import { backoff, sleep } from '../../lib/wait.ts';
import { type CniServer, startCniServer } from '../../cni/mod.ts';
import { TrialFilter } from '../../controllers/mod.ts';
import { asEtcd, startSyncer, type Syncer, type SyncUpdate } from '../../datastore/mod.ts';
import { createIpam, type Ipam, IpamCache } from '../../ipam/mod.ts';
import { routeProtocols } from '../../kernel/mod.ts';
import {
  calcKinds,
  CalculationGraph,
  type CalcUpdate,
  configFromEnvironment,
  configFromFile,
  type FelixConfig,
  type HostInterface,
  policyKinds,
  type PolicyUpdate,
} from '../calc/mod.ts';
import { Dataplane } from '../dataplane/mod.ts';
import { endpointProgrammer, type TimedProgrammer, whenProgrammed } from './endpoints.ts';
import { EndpointStatusFiles } from './endpoint-status.ts';
import { HeldUpdates } from './held-updates.ts';
import { debugPages } from './debugging.ts';
import { healthPages } from './health.ts';
import { mayWrite, readNodeFile, secretFile, writeNodeFile } from './host.ts';
import { metricsPages } from './metrics.ts';
import { type NarrowPath, PathMtu, pathMtuSettings } from './path-mtu.ts';
import { NetworkCondition } from './network-condition.ts';
import { registerNode } from './register.ts';
import { type NodeEvent, tellOfNode } from './resources.ts';
import { AgentServices } from './services.ts';
import { RouteWriters } from './route-writers.ts';
import { StatusReport } from './status-report.ts';
import { TunnelAddresses } from './tunnel-addresses.ts';
import { WorkCounters } from './work-counters.ts';
import { WireGuardKeys } from './wireguard-keys.ts';
import type { Agent, AgentError, AgentOptions, AgentPhase, AgentStatus } from './types.ts';

/** The kinds that every node follows. */
export const followedByAgents = [
  ...calcKinds,
  ...policyKinds,
  // For addresses of pods.
  'IPReservation',
  'IPAMConfiguration',
] as const;
type AgentKind = (typeof followedByAgents)[number];

/** A cluster that comes up has other things to do. */
const firstProbeMs = 20_000;

/** Starts the agent; the result comes at once, `ready` tells how it went. */
export function startAgent(options: AgentOptions): Agent {
  return new RunningAgent(options);
}

class RunningAgent implements Agent {
  readonly ready: Promise<Result<void, AgentError>>;
  readonly ended: Promise<AgentError>;
  #end: (error: AgentError) => void = () => undefined;
  readonly #options: AgentOptions;
  readonly #clock: Clock;
  readonly #abort = new AbortController();
  readonly #work: WorkCounters;
  readonly #graph: CalculationGraph;
  readonly #dataplane: Dataplane;
  readonly #programmer: TimedProgrammer;
  /** Changes on trial go back here when nobody confirms them. */
  readonly #trials: TrialFilter<AgentKind>;
  /** News wait here while the datastore is not ready. */
  readonly #held: HeldUpdates<AgentKind>;
  readonly #ipamCache = new IpamCache();
  readonly #ipam: Ipam;
  readonly #tunnels: TunnelAddresses;
  readonly #paths: PathMtu | undefined;
  #hostInterfaces: readonly HostInterface[] = [];
  #interfacesAreRead = false;
  #writtenMtu: number | undefined;
  /** What a way carries that is less than the host's interfaces do, when MTUs are to follow it. */
  #pathMtu = Number.POSITIVE_INFINITY;
  readonly #wireguardKeys: WireGuardKeys;
  readonly #routeWriters: RouteWriters;
  readonly #network: NetworkCondition;
  readonly #endpointFiles: EndpointStatusFiles;
  readonly #statusReport: StatusReport;
  readonly #services: AgentServices;
  #phase: AgentPhase = 'starting';
  #datastore: 'waiting' | 'syncing' | 'in-sync' = 'waiting';
  #syncer: Syncer | undefined;
  #cni: CniServer | undefined;
  #poll: Timer | undefined;
  #wake: () => void = () => undefined;

  constructor(options: AgentOptions) {
    const { environment, paths, kernel, logger, nodeName } = options;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#work = new WorkCounters(this.#clock);
    const backend = environment['CALICO_NETWORKING_BACKEND'] ?? 'bird';
    const byBird = backend === 'bird';
    this.#graph = new CalculationGraph({
      nodeName,
      environment: configFromEnvironment(environment),
      file: configFromFile(readNodeFile(paths.felixConfig) ?? ''),
      blackholeProtocol: byBird ? routeProtocols.bird : routeProtocols.felix,
      policy: true,
    });
    this.#dataplane = new Dataplane({
      kernel,
      clock: this.#clock,
      logger,
      policy: true,
      ...(options.commands === undefined ? {} : { commands: this.#work.watched(options.commands) }),
      everything: () => this.#graph.everything(),
      onEncryption: (states) => this.#wireguardKeys.take(states),
      tunnelMemory: secretFile(paths.wireguard, logger),
      onHostInterfaces: (interfaces) => {
        this.#hostInterfaces = interfaces;
        this.#setHostInterfaces();
      },
    });
    const { datastore } = options;
    this.#routeWriters = new RouteWriters({
      logger,
      hasSpeaker: byBird,
      tell: (message) => void this.#tell({ type: 'Warning', reason: 'ClusterRoutes', message }),
    });
    const { bgpSocket } = paths;
    const told = { datastore, nodeName, clock: this.#clock, logger };
    this.#network = new NetworkCondition({ ...told, backend, bgpSocket });
    this.#ipam = createIpam(datastore, { clock: this.#clock, logger, view: this.#ipamCache });
    this.#statusReport = new StatusReport({ ...told, config: () => this.#graph.config });
    this.#wireguardKeys = new WireGuardKeys({
      ...told,
      tell: (message) => void this.#tell({ type: 'Warning', reason: 'NotEncrypted', message }),
    });
    this.#tunnels = new TunnelAddresses({
      nodeName,
      datastore,
      ipam: this.#ipam,
      clock: this.#clock,
      logger,
      pools: () => this.#ipamCache.pools(),
    });
    const probing = pathMtuSettings(environment);
    if (probing.action !== 'off')
      this.#paths = new PathMtu({
        ...told,
        paths: kernel.paths,
        firstAfterMs: Math.min(probing.everyMs, firstProbeMs),
        everyMs: probing.everyMs,
        wantedMtu: () => this.#largestPacket(),
        onNarrow: (path) => this.#tellPath(path, probing.action === 'lower'),
        onRestored: ({ node, address }) =>
          logger.info('The way carries the largest packets again', { node, address }),
      });
    this.#held = new HeldUpdates(logger);
    this.#trials = new TrialFilter(this.#clock, logger, (updates) => this.#take(updates));
    this.#programmer = endpointProgrammer(this.#graph, this.#dataplane, this.#clock, () => this.#flush());
    this.#endpointFiles = new EndpointStatusFiles({
      clock: this.#clock,
      logger,
      endpointOf: (key) => this.#graph.localEndpoint(key.replace(/^workload /, '')),
      whenProgrammed: (endpoint) => whenProgrammed(this.#graph, this.#dataplane, endpoint),
    });
    this.#services = new AgentServices({
      logger,
      log: options.log,
      tell: (event) => void this.#tell(event),
      pages: {
        health: healthPages(() => this.status()),
        metrics: metricsPages(
          () => this.status(),
          () => this.#dataplane.wireguardDevices(),
        ),
        debugging: debugPages(() => this.status()),
      },
    });
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.ready = this.#start();
  }

  status(): AgentStatus {
    return {
      phase: this.#phase,
      nodeName: this.#options.nodeName,
      datastore: this.#datastore,
      calc: this.#graph.stats,
      mtus: this.#graph.state().mtus,
      encryption: this.#dataplane.encryption,
      paths: this.#paths?.status() ?? { checked: 0, narrow: [] },
      dataplane: this.#dataplane.status(),
      config: this.#graph.config,
      ignored: this.#services.ignored,
      programming: this.#programmer.times,
      ...(this.#graph.policy === undefined
        ? {}
        : { policy: this.#graph.policy.stats, labelIndex: this.#graph.policy.indexWork }),
      unreadable: this.#graph.unreadable,
      work: this.#work,
      logErrors: this.#options.log?.errors() ?? 0,
      inventory: this.#dataplane.inventory(),
      observed: this.#dataplane.observed,
    };
  }

  async stop(): Promise<void> {
    if (this.#phase === 'stopped') return;
    this.#phase = 'stopped';
    this.#abort.abort();
    this.#wake();
    this.#poll?.cancel();
    this.#trials.stop();
    await this.#network.stop();
    await this.#cni?.stop();
    await this.#syncer?.stop();
    await this.#tunnels.stop();
    await this.#wireguardKeys.stop();
    await this.#paths?.stop();
    await this.#endpointFiles.stop();
    await this.#statusReport.stop();
    await this.#dataplane.stop();
    await this.#services.stop();
  }

  async #start(): Promise<Result<void, AgentError>> {
    const { kernel, logger, nodeName, paths } = this.#options;
    const allowed = await mayWrite(kernel);
    if (!allowed.ok) return allowed;
    const bad = this.#graph.config.problems.find((problem) => problem.fatal);
    if (bad !== undefined) return err(failure('BadEnvironment', bad.message));
    this.#flush();
    const named = writeNodeFile(paths.nodename, nodeName);
    if (!named.ok) return named;
    const tunnels = this.#dataplane.tunnelBootstrap();
    await tunnels?.start();
    const published = await this.#untilDatastore(() => this.#startNode());
    await tunnels?.stop();
    if (!published.ok) return published;
    this.#phase = 'waiting';
    this.#startSyncer();
    if (!(await this.#syncer?.inSync())) return stopped();
    await this.#untilDatastoreReady();
    if (this.#abort.signal.aborted) return stopped();
    this.#phase = 'syncing';
    return this.#startDataplane(logger);
  }

  /** Addresses of this node, found or given, into the datastore; defaults for a new cluster. */
  #startNode(): Promise<Result<void, AgentError>> {
    return registerNode(this.#options, (event) => this.#tell(event));
  }

  #tell(event: NodeEvent): Promise<void> {
    const { datastore, nodeName } = this.#options;
    return tellOfNode(datastore, nodeName, event, new Date(this.#clock.now()).toISOString());
  }

  /** Tries until the datastore answers; other failures are final. */
  async #untilDatastore(act: () => Promise<Result<void, AgentError>>): Promise<Result<void, AgentError>> {
    for (let attempt = 0; !this.#abort.signal.aborted; attempt++) {
      const result = await act();
      if (this.#abort.signal.aborted) break;
      if (result.ok || result.error.code !== 'DatastoreFailed') return result;
      if (attempt % 10 === 0)
        this.#options.logger.info('Waiting for the datastore', { reason: result.error.message });
      await sleep(backoff(attempt, 50, 1_000), this.#abort.signal);
    }
    return stopped();
  }

  #startSyncer(): void {
    const { datastore, followed, logger } = this.#options;
    this.#syncer = startSyncer<AgentKind>(followed ?? datastore, {
      // Its definition is not Calico's own and not in every cluster.
      kinds: followedByAgents.map((kind) =>
        kind === 'ClusterNetworkPolicy' ? { kind, mayBeMissing: true } : kind,
      ),
      logger,
      onUpdates: (updates) => this.#take(this.#held.pass(updates)),
    });
    void this.#syncer.done.then((end) => {
      if (!end.ok) this.#end(failure('DatastoreFailed', `News of the datastore ended: ${end.error.message}`));
    });
  }

  #take(told: readonly SyncUpdate<AgentKind>[]): void {
    const updates = this.#trials.pass(told);
    this.#ipamCache.apply(updates);
    for (const update of updates) {
      if (update.type === 'status') {
        if (this.#datastore === 'waiting' && update.status !== 'waiting') this.#work.resyncs++;
        this.#datastore = update.status;
      } else this.#graph.update(update as CalcUpdate | PolicyUpdate);
    }
    this.#services.takeUnreadable(this.#graph.unreadable);
    this.#flush();
    if (updates.some((update) => this.#concernsTunnels(update))) {
      this.#tunnels.check();
      this.#wireguardKeys.check();
    }
    this.#routeWriters.take(updates);
    this.#paths?.take(updates);
    if (this.#datastore === 'in-sync') this.#routeWriters.check(this.#graph.config, this.#ipamCache.pools());
    this.#wake();
  }

  /** The first news of all, pools, and this node. */
  #concernsTunnels(update: SyncUpdate<AgentKind>): boolean {
    if (this.#datastore !== 'in-sync') return false;
    if (update.type === 'status') return true;
    if (update.kind === 'IPPool') return true;
    const { name } = update.type === 'set' ? update.object.metadata : update.name;
    return update.kind === 'Node' && name === this.#options.nodeName;
  }

  #flush(): void {
    const delta = this.#work.calculation(() => this.#graph.flush());
    this.#dataplane.apply(delta);
    this.#endpointFiles.take(delta.policy);
    this.#reconfigure(delta.config);
    this.#writeMtu();
  }

  /** Felix waits while ClusterInformation says so (RS-181): an upgrade of the data is under way. */
  async #untilDatastoreReady(): Promise<void> {
    while (!this.#graph.stats.datastoreReady && !this.#abort.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async #startDataplane(logger: AgentOptions['logger']): Promise<Result<void, AgentError>> {
    const measured = await this.#dataplane.readHostInterfaces();
    if (this.#abort.signal.aborted) return stopped();
    if (!measured.ok) return err(failure('KernelFailed', measured.error.message));
    this.#interfacesAreRead = true;
    this.#flush();
    // Before the first sync: what CNI restores must not be taken for orphans.
    const serving = await this.#startCni();
    if (!serving.ok) return serving;
    const began = this.#clock.monotonic();
    const started = await this.#dataplane.start();
    if (!started.ok) return err(failure('KernelFailed', started.error.message));
    while (!this.#dataplane.synced && !this.#abort.signal.aborted) await sleep(2, this.#abort.signal);
    if (this.#abort.signal.aborted) return stopped();
    this.#phase = 'ready';
    this.#work.firstSyncMs = this.#clock.monotonic() - began;
    this.#flush();
    logger.info('Dataplane in sync', {
      tookMs: Math.round(this.#work.firstSyncMs),
      endpoints: this.#graph.stats.localEndpoints,
    });
    this.#pollAddresses();
    this.#endpointFiles.start();
    this.#statusReport.start();
    this.#network.start();
    this.#paths?.start();
    return ok(undefined);
  }

  async #startCni(): Promise<Result<void, AgentError>> {
    const { datastore, kernel, logger, nodeName, openNamespace, paths, serveCni } = this.#options;
    if (!serveCni) return ok(undefined);
    const started = await startCniServer({
      socketPath: paths.cniSocket,
      stateDirectory: paths.cniState,
      nodeName,
      datastore,
      kernel,
      openNamespace,
      logger,
      ipam: this.#ipam,
      endpoints: this.#programmer,
      interfacePrefix: () => this.#graph.config.text('InterfacePrefix').split(',')[0] ?? 'cali',
      podMtu: () => this.#graph.state().mtus.pod,
      notReady: () => this.#notReady(),
      isLocked: () => !this.#graph.stats.datastoreReady,
      onEtcd: (await asEtcd(datastore)) !== undefined,
    });
    if (!started.ok) return err(failure('CniServerFailed', started.error.message, started.error.hint));
    // It may have been told to end meanwhile.
    if (this.#abort.signal.aborted) {
      await started.value.stop();
      return stopped();
    }
    this.#cni = started.value;
    return ok(undefined);
  }

  #notReady(): string | undefined {
    if (!this.#graph.stats.datastoreReady) return 'ClusterInformation says that the datastore is not ready.';
    return this.#phase === 'ready' ? undefined : 'The agent has not finished its first synchronisation.';
  }

  #setHostInterfaces(): void {
    const narrowed = this.#hostInterfaces.map((one) => ({ ...one, mtu: Math.min(one.mtu, this.#pathMtu) }));
    this.#graph.setHostInterfaces(narrowed);
    if (this.#phase === 'ready') this.#flush();
  }

  /** What leaves for another node at the most. Hosts' own traffic in WireGuard is what a probe would be, too. */
  #largestPacket(): number {
    const { mtus } = this.#graph.state();
    const isInTunnel =
      this.#dataplane.encryption[4].state === 'on' &&
      this.#graph.config.boolean('WireguardHostEncryptionEnabled');
    return isInTunnel ? mtus.wireguard : mtus.wire;
  }

  #tellPath({ node, address, mtu, wantedMtu }: NarrowPath, lowers: boolean): void {
    const { pod } = this.#graph.state().mtus;
    const fitting = pod - (wantedMtu - mtu);
    const message =
      `The way to node ${node} (${address}) carries packets of ${mtu} bytes, and this node sends up to ${wantedMtu}: ` +
      `larger ones vanish. ` +
      (lowers
        ? `New pods get an MTU of ${fitting}.`
        : `An MTU of ${fitting} for pods would fit; it is ${pod}.`);
    this.#options.logger.warn('A way to another node carries less than is sent', {
      node,
      address,
      mtu,
      wantedMtu,
    });
    void this.#tell({ type: 'Warning', reason: 'PathMtu', message });
    if (!lowers) return;
    this.#pathMtu = Math.min(this.#pathMtu, mtu);
    this.#setHostInterfaces();
  }

  /** For the CNI plug-in. Before the interfaces were read it would be a guess. */
  #writeMtu(): void {
    const { pod } = this.#graph.state().mtus;
    if (!this.#interfacesAreRead || pod === this.#writtenMtu) return;
    const written = writeNodeFile(this.#options.paths.mtu, String(pod));
    if (written.ok) this.#writtenMtu = pod;
    else this.#options.logger.warn('Cannot write the MTU file', { error: written.error });
  }

  /** IP=autodetect: an address that moves is followed (BG-074). */
  #pollAddresses(): void {
    const { environment } = this.#options;
    const seconds = Number(environment['AUTODETECT_POLL_INTERVAL']?.replace(/s$/, '') ?? 60);
    const detected = [environment['IP'], environment['IP6']].includes('autodetect');
    if (!detected || !(seconds > 0) || this.#abort.signal.aborted) return;
    this.#poll = this.#clock.after(seconds * 1000, () => {
      void this.#startNode().then((result) => {
        if (!result.ok)
          this.#options.logger.warn('Cannot follow the node’s address', { error: result.error });
        this.#pollAddresses();
      });
    });
  }

  #reconfigure(config: FelixConfig | undefined): void {
    if (config === undefined) return;
    this.#endpointFiles.setDirectory(this.#endpointDirectory(config));
    this.#services.take(config);
  }

  #endpointDirectory(config: FelixConfig): string | undefined {
    const prefix = config.text('EndpointStatusPathPrefix');
    if (config.source('EndpointStatusPathPrefix') === 'default') return this.#options.paths.endpointStatus;
    return prefix === '' ? undefined : join(prefix, 'endpoint-status');
  }
}

const stopped = (): Result<void, AgentError> => err(failure('Stopped', 'The agent was stopped.'));
