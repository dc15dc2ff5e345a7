// The speaker: one configuration, one routing table, a session per neighbour, one kernel. It owns their lifecycles and the
// order of things: the kernel is read first, then sessions start; the table is flushed in slices; best paths go to the
// kernel. `apply` takes a new configuration and touches only what differs.
import type { Clock, Timer } from '../../lib/clock.ts';
import {
  prefixAddress,
  prefixFamily,
  prefixLength,
  prefixOf,
  type Address,
  type Prefix,
} from '../../lib/ip/mod.ts';
import type { Logger } from '../../lib/log.ts';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import type { Kernel } from '../../kernel/mod.ts';
import { subcode } from '../packet/mod.ts';
import { createRib, type NextHopState, type PeerId, type Rib, type RibExplanation } from '../rib/mod.ts';
import { Announcer } from './announcer.ts';
import { KernelLearner } from './kernel/learn.ts';
import { KernelProgram } from './kernel/program.ts';
import { KernelSync } from './kernel/sync.ts';
import { Listeners } from './listeners.ts';
import { Neighbours } from './neighbours.ts';
import { Recovery } from './recovery.ts';
import type { Transport } from './transport.ts';
import type { PeerStatus, SpeakerConfig, SpeakerError, SpeakerStatus } from './types.ts';
import { whyOf, type WhyAnswer } from './why.ts';

export type SpeakerOptions = {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Without one, routes are exchanged but neither learned from nor written to a kernel. */
  readonly kernel?: Kernel;
  readonly random?: () => number;
  /** How long a restarted speaker waits for its peers' tables before it selects and announces; 8 s when absent. */
  readonly deferMs?: number;
  /** How long it keeps kernel routes that nobody has announced again; 120 s when absent. */
  readonly keepMs?: number;
  readonly auditMs?: number;
};

/** What the kernel says at once is looked at together. */
const learnDelayMs = 2;
/** Best paths handed to the kernel's rows between two looks at the clock, and for how long in one turn. */
const bestBatch = 256;
const writeBudgetMs = 4;

export class Speaker {
  readonly #options: SpeakerOptions;
  #config: SpeakerConfig;
  #rib: Rib;
  #origins: PeerId;
  #neighbours: Neighbours;
  readonly #listeners: Listeners;
  #sync: KernelSync | undefined;
  #learner: KernelLearner | undefined;
  #program: KernelProgram;
  #recovery: Recovery;
  readonly #announcer: Announcer;
  /** Forwarding has been told something. */
  #hasRows = false;
  #learnTimer: Timer | undefined;
  #startedAt = 0;
  #configuredAt = 0;
  #stopped = false;
  /** The recovery is over: once the table is complete, kernel routes that it does not want go. */
  #removesStale = false;

  constructor(config: SpeakerConfig, options: SpeakerOptions) {
    this.#config = config;
    this.#options = options;
    this.#program = new KernelProgram(config.kernel.policies);
    this.#rib = this.#newRib();
    this.#origins = this.#rib.addPeer({ name: 'static', source: 'static' });
    this.#neighbours = this.#newNeighbours();
    this.#recovery = new Recovery({ ...this.#recoveryOptions, onPhase: () => {} }, false, []);
    const { transport, clock, logger } = options;
    this.#announcer = new Announcer({
      clock,
      senderOf: (peer) => this.#neighbours.ofRibPeer(peer),
      flush: (budgetMs, sink) => this.#rib.flush(budgetMs, sink),
      writeBest: () => this.#writeBest(),
      done: () => this.#removeStale(),
      isHeld: () => this.#recovery.phase === 'deferring',
    });
    this.#listeners = new Listeners({
      transport,
      clock,
      logger,
      onWire: (wire) => this.#neighbours.accept(wire),
    });
  }

  /** Reads the kernel, listens, starts the sessions. Resolves when the listeners have been tried once. */
  async start(): Promise<Result<void, SpeakerError>> {
    const { kernel, clock, logger, auditMs } = this.#options;
    this.#startedAt = clock.now();
    this.#configuredAt = this.#startedAt;
    if (kernel !== undefined) {
      this.#sync = new KernelSync({
        kernel,
        clock,
        logger,
        onForeignChange: ({ nextHops }) => this.#foreignChanged(nextHops),
        nextHopsInUse: () => this.#rib.nextHops().map((n) => n.address),
        ...(auditMs === undefined ? {} : { auditMs }),
      });
      const started = await this.#sync.start();
      if (!started.ok)
        return err(failure('KernelFailed', `Cannot read the kernel's routes: ${started.error.message}.`));
    }
    this.#beginRecovery();
    this.#populate();
    await this.#listen();
    this.#neighbours.start();
    return ok(undefined);
  }

  /** `persist`: peers are not told, so that they keep our routes as after a crash; kernel routes stay. `end`: sessions end
   *  with a Cease; kernel routes stay too, as BIRD's `persist` has it. */
  async stop(mode: 'persist' | 'end'): Promise<void> {
    this.#stopped = true;
    this.#recovery.stop();
    this.#announcer.stop();
    this.#learnTimer?.cancel();
    if (mode === 'persist') this.#neighbours.abandon();
    else this.#neighbours.end(subcode.cease.administrativeShutdown);
    await this.#listeners.close();
    await this.#sync?.stop();
  }

  /** Makes a new configuration real. Sessions that do not differ are not touched. */
  async apply(next: SpeakerConfig): Promise<void> {
    const before = this.#config;
    this.#config = next;
    this.#configuredAt = this.#options.clock.now();
    this.#program = new KernelProgram(next.kernel.policies);
    // New passwords first: a peer whose session ends dials again at once, and must not get in with the old one.
    const listening = this.#listen();
    if (before.as !== next.as || before.routerId !== next.routerId || before.clusterId !== next.clusterId) {
      this.#options.logger.info('identity changed, all sessions start anew', {
        as: next.as,
        routerId: next.routerId,
      });
      this.#restartTable();
    } else {
      this.#neighbours.change(before, next);
      this.#changeOrigins(before, next);
      this.#learner?.configure(next.learn);
      this.#learnSoon();
      if (!same(before.kernel, next.kernel)) {
        this.#sync?.setStatics(next.kernel.staticRoutes);
        this.#rib.repeatBestChanges();
      }
    }
    this.#changed();
    await listening;
  }

  async #listen(): Promise<void> {
    const { listen, neighbours } = this.#config;
    const secured = neighbours.flatMap(({ address, security }) =>
      security === undefined ? [] : [{ address, security }],
    );
    await this.#listeners.set(listen.addresses, listen.port, secured);
  }

  // ── the table ──────────────────────────────────────────────────────────────────────────────────────────────────────
  #newRib(): Rib {
    const { clusterId, routerId } = this.#config;
    return createRib({
      routerId,
      ...(clusterId === undefined ? {} : { clusterId }),
      resolveNextHop: (address) => this.#nextHopState(address),
      now: () => this.#options.clock.monotonic(),
    });
  }

  #newNeighbours(): Neighbours {
    const { transport, clock, logger, random = Math.random } = this.#options;
    return new Neighbours({
      rib: this.#rib,
      transport,
      clock,
      logger,
      random,
      local: () => this.#config,
      restarting: () => this.#recovery.phase === 'deferring',
      changed: () => this.#changed(),
      ready: (sender) => this.#announcer.writable(sender),
      complete: (name) => this.#recovery.heard(name),
      restarted: (name) => this.#recovery.restarts(name),
    });
  }

  #nextHopState(address: Address): NextHopState {
    const resolution = this.#sync?.resolve(address);
    if (resolution === undefined) return { reachable: true };
    if (!resolution.reachable) return { reachable: false };
    const { metric, interfaceName } = resolution;
    return interfaceName === undefined
      ? { reachable: true, metric }
      : { reachable: true, metric, interfaceName };
  }

  #populate(): void {
    if (this.#sync !== undefined) {
      this.#learner = new KernelLearner(this.#rib, this.#config.learn);
      this.#learner.update(this.#sync.view);
      this.#sync.setStatics(this.#config.kernel.staticRoutes);
    }
    this.#changeOrigins(undefined, this.#config);
    this.#neighbours.load(this.#config);
    this.#changed();
  }

  #restartTable(): void {
    this.#neighbours.end(subcode.cease.otherConfigurationChange);
    this.#sync?.restartTable();
    this.#rib = this.#newRib();
    this.#origins = this.#rib.addPeer({ name: 'static', source: 'static' });
    this.#neighbours = this.#newNeighbours();
    this.#beginRecovery();
    this.#populate();
    this.#neighbours.start();
  }

  #changeOrigins(before: SpeakerConfig | undefined, next: SpeakerConfig): void {
    const old = new Set(before?.origins);
    for (const prefix of next.origins) {
      const family = prefixFamily(prefix);
      const metric = next.normalPriority?.[family];
      if (old.delete(prefix) && before?.normalPriority?.[family] === metric) continue;
      this.#rib.announceLocal(this.#origins, metric === undefined ? { prefix } : { prefix, metric });
    }
    for (const prefix of old) this.#rib.withdrawLocal(this.#origins, prefix);
  }

  #changed(): void {
    this.#announcer.changed();
  }

  #removeStale(): void {
    if (!this.#removesStale) return;
    this.#removesStale = false;
    this.#sync?.removeStale();
  }

  /** Best paths that changed become rows of the kernel, for about as long as the budget allows. False when some are left. */
  #writeBest(): boolean {
    const { clock } = this.#options;
    const { install } = this.#config.kernel;
    if (!install && !this.#hasRows) {
      this.#rib.dropBestChanges();
      return true;
    }
    this.#hasRows = true;
    const end = clock.monotonic() + writeBudgetMs;
    for (;;) {
      const batch = this.#rib.takeBestChanges(bestBatch);
      for (const change of batch)
        this.#sync?.setDesired(change.prefix, install ? this.#program.row(change) : undefined);
      if (batch.length < bestBatch) return true;
      if (clock.monotonic() >= end) return false;
    }
  }

  // ── the kernel ─────────────────────────────────────────────────────────────────────────────────────────────────────
  #foreignChanged(nextHops: readonly Address[]): void {
    if (nextHops.length > 0) {
      this.#rib.setNextHops(nextHops.map((address) => ({ address, state: this.#nextHopState(address) })));
      this.#changed();
    }
    this.#learnSoon();
  }

  #learnSoon(): void {
    if (this.#learnTimer !== undefined || this.#stopped) return;
    this.#learnTimer = this.#options.clock.after(learnDelayMs, () => {
      this.#learnTimer = undefined;
      if (this.#sync !== undefined) this.#learner?.update(this.#sync.view);
      this.#changed();
    });
  }

  get #recoveryOptions(): { clock: Clock; deferMs: number; keepMs: number } {
    const { clock, deferMs = 8_000, keepMs = 120_000 } = this.#options;
    return { clock, deferMs, keepMs };
  }

  #beginRecovery(): void {
    this.#recovery.stop();
    const names = this.#config.neighbours.map((n) => n.name);
    const restarted = this.#sync?.hasStale === true;
    const onPhase = (): void => this.#phaseChanged();
    this.#recovery = new Recovery({ ...this.#recoveryOptions, onPhase }, restarted, names);
    if (restarted)
      this.#options.logger.info('routes of an earlier run found, waiting for the peers', {
        neighbours: names.length,
      });
    this.#phaseChanged();
  }

  #phaseChanged(): void {
    const { phase } = this.#recovery;
    this.#sync?.hold(phase === 'deferring');
    if (phase === 'deferring') return;
    // What the peers have announced is selected first, so that only what nobody wants is removed.
    this.#removesStale = phase === 'done' && this.#sync?.hasStale === true;
    this.#changed();
  }

  // ── what it says about itself ──────────────────────────────────────────────────────────────────────────────────────
  get config(): SpeakerConfig {
    return this.#config;
  }

  status(): SpeakerStatus {
    const { name, as, routerId } = this.#config;
    const peers = [...this.#neighbours];
    return {
      name,
      as,
      routerId,
      startedAt: new Date(this.#startedAt).toISOString(),
      configuredAt: new Date(this.#configuredAt).toISOString(),
      recovery: this.#recovery.phase,
      awaiting: this.#recovery.awaiting,
      listening: this.#listeners.status(),
      sessions: { established: peers.filter((p) => p.isEstablished).length, configured: peers.length },
      rib: this.#rib.counts(),
      kernel: this.#sync?.status(),
    };
  }

  peers(): PeerStatus[] {
    return [...this.#neighbours].map((n) => n.status()).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Paths of the table; all of them without a filter. */
  *routes(filter: { readonly prefix?: Prefix; readonly peer?: string; readonly bestOnly?: boolean } = {}) {
    const peer = filter.peer === undefined ? undefined : this.#neighbours.get(filter.peer)?.ribPeer;
    if (filter.peer !== undefined && peer === undefined) return;
    for (const family of [4, 6] as const) {
      const paths = this.#rib.paths(family, {
        ...(peer === undefined ? {} : { peer }),
        ...(filter.bestOnly === undefined ? {} : { bestOnly: filter.bestOnly }),
      });
      for (const path of paths) if (filter.prefix === undefined || path.prefix === filter.prefix) yield path;
    }
  }

  /** What a peer has been told. */
  *announced(peer: string) {
    const id = this.#neighbours.get(peer)?.ribPeer;
    if (id === undefined) return;
    for (const family of [4, 6] as const) yield* this.#rib.announced(id, family);
  }

  explain(prefix: Prefix): RibExplanation {
    return this.#rib.explain(prefix);
  }

  /** The same in words, with the kernel's part and the peers that are down; `peer` is a name or an address. */
  why(prefix: Prefix, peer?: string): WhyAnswer {
    const explanation = this.#rib.explain(prefix);
    const best = explanation.paths.find((p) => p.best);
    const covering = explanation.paths.length > 0 ? undefined : this.#coveringOf(prefix);
    return whyOf(
      {
        explanation,
        as: this.#config.as,
        unreachable: (nextHop) => this.#sync?.whyUnreachable(nextHop as Address),
        installs: this.#config.kernel.install,
        peers: this.peers(),
        ...(covering === undefined ? {} : { covering }),
        ...(best?.source === 'bgp' ? { kernelTrace: this.#program.explain(best) } : {}),
        ...(this.#sync === undefined ? {} : { kernel: this.#sync.stateOf(prefix) }),
      },
      peer,
    );
  }

  #coveringOf(prefix: Prefix): Prefix | undefined {
    const address = prefixAddress(prefix);
    for (let length = prefixLength(prefix) - 1; length >= 0; length--) {
      const shorter = prefixOf(address, length);
      if (this.#rib.explain(shorter).paths.length > 0) return shorter;
    }
    return undefined;
  }

  /** Resolves when the kernel has what the table wants: for tests and orderly ends. */
  async settled(): Promise<void> {
    await this.#sync?.settled();
  }
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
