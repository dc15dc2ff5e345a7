// The plan of a node, followed: watches the Calico resources that a plan is made of and gives a new plan whenever it differs
// from the last. Nothing is given before everything has been read once.
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import {
  startSyncer,
  type SyncKind,
  type Syncer,
  type SyncUpdate,
  type WatchSource,
} from '../../datastore/mod.ts';
import type { ResourceOf } from '../../model/mod.ts';
import type { BgpPlan, BlockAffinityInput, PlanInput } from '../plan/mod.ts';

const always = ['Node', 'BGPConfiguration', 'BGPPeer', 'BGPFilter', 'IPPool', 'BlockAffinity'] as const;
/** Followed from the moment on that a resource needs them: service addresses, passwords, local pods as peers. */
const onDemand = ['services', 'secrets', 'endpoints'] as const;
type OnDemand = (typeof onDemand)[number];
/** What a fan-out has for speakers; local pods and Secrets are followed in part, each by itself. */
export const followedBySpeakers = [...always, 'Service', 'EndpointSlice'] as const;
type Kind = (typeof always)[number] | 'Service' | 'EndpointSlice' | 'Secret' | 'WorkloadEndpoint';

export type PlanSourceOptions = {
  readonly store: WatchSource;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly computePlan: (input: PlanInput) => BgpPlan;
  readonly settings?: Pick<PlanInput, 'routerIdSetting' | 'advertiseClusterIPs'>;
  /** Namespace of the Secrets that BGPPeers and the BGPConfiguration refer to: that of the node's own pod in Calico. */
  readonly secretNamespace?: string;
  /** The plan, and the passwords it refers to, by `secret/key`. */
  readonly onPlan: (plan: BgpPlan, passwords: ReadonlyMap<string, string>) => void;
};

/** Resources that change together are planned together. */
const settleMs = 20;
/** A plan of thousands of nodes takes its time; while everything changes, planning takes a fifth of it. */
const restFactor = 4;
const longestSettleMs = 2_000;

export class PlanSource {
  readonly #options: PlanSourceOptions;
  readonly #objects = new Map<Kind, Map<string, unknown>>();
  #syncer: Syncer | undefined;
  #ready = false;
  readonly #followed = new Map<OnDemand, { readonly syncer: Syncer; ready: boolean }>();
  #settleMs = settleMs;
  #missing = '';
  #timer: Timer | undefined;
  #last = '';
  #stopped = false;

  constructor(options: PlanSourceOptions) {
    this.#options = options;
  }

  start(): void {
    const { store, logger } = this.#options;
    this.#syncer = startSyncer(store, {
      kinds: always,
      logger,
      onUpdates: (updates) => this.#take(updates, () => (this.#ready = true)),
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    const followed = [...this.#followed.values()].map(({ syncer }) => syncer.stop());
    await Promise.all([this.#syncer?.stop(), ...followed]);
  }

  #take(updates: readonly SyncUpdate<Kind>[], inSync: () => void): void {
    for (const update of updates) {
      if (update.type === 'status') {
        if (update.status === 'in-sync') inSync();
      } else if (update.type === 'set')
        this.#kind(update.kind).set(keyOf(update.object.metadata), update.object);
      else this.#kind(update.kind).delete(keyOf(update.name));
    }
    if (!this.#ready || this.#timer !== undefined || this.#stopped) return;
    const { clock } = this.#options;
    this.#timer = clock.after(this.#settleMs, () => {
      this.#timer = undefined;
      const started = clock.monotonic();
      this.#plan();
      const restMs = (clock.monotonic() - started) * restFactor;
      this.#settleMs = Math.min(longestSettleMs, Math.max(settleMs, restMs));
    });
  }

  #kind(kind: Kind): Map<string, unknown> {
    let objects = this.#objects.get(kind);
    if (objects === undefined) this.#objects.set(kind, (objects = new Map()));
    return objects;
  }

  #all<K extends Kind>(kind: K): ResourceOf<K>[] {
    return [...this.#kind(kind).values()] as ResourceOf<K>[];
  }

  #plan(): void {
    const references = this.#passwordReferences();
    const needs: Readonly<Record<OnDemand, boolean>> = {
      services: this.#needsServices(),
      secrets: references.length > 0,
      endpoints: this.#all('BGPPeer').some(({ spec }) => Boolean(spec?.localWorkloadSelector)),
    };
    const awaited = onDemand.filter((what) => needs[what] && this.#followed.get(what)?.ready !== true);
    if (awaited.length > 0) return awaited.forEach((what) => this.#follow(what));
    const { nodeName, computePlan, settings, onPlan } = this.#options;
    const secrets = this.#all('Secret');
    const passwords = passwordsOf(secrets);
    this.#tellMissing(references.filter((r) => !passwords.has(r)));
    const plan = computePlan({
      nodeName,
      nodes: this.#all('Node'),
      bgpConfigurations: this.#all('BGPConfiguration'),
      bgpPeers: this.#all('BGPPeer'),
      bgpFilters: this.#all('BGPFilter'),
      ipPools: this.#all('IPPool'),
      blockAffinities: this.#all('BlockAffinity').flatMap(ownedBlock),
      services: this.#all('Service'),
      endpointSlices: this.#all('EndpointSlice'),
      localEndpoints: this.#all('WorkloadEndpoint').map(({ metadata, spec }) => ({
        name: keyOf(metadata),
        labels: metadata.labels ?? {},
        addresses: spec?.ipNetworks ?? [],
      })),
      secrets: secrets.map(({ metadata, data }) => ({
        name: metadata.name,
        keys: Object.keys(data ?? {}),
        revision: metadata.resourceVersion,
      })),
      ...settings,
    });
    const text = JSON.stringify(plan);
    if (text === this.#last) return;
    this.#last = text;
    onPlan(plan, passwords);
  }

  /** `secret/key` of every password that a resource speaks of. */
  #passwordReferences(): string[] {
    const all = [
      ...this.#all('BGPPeer').map(({ spec }) => spec?.password),
      ...this.#all('BGPConfiguration').map(({ spec }) => spec?.nodeMeshPassword),
    ];
    return all.flatMap((password) => {
      const key = password?.secretKeyRef;
      return key === undefined ? [] : [`${key.name}/${key.key}`];
    });
  }

  /** Once for each set of them. */
  #tellMissing(missing: readonly string[]): void {
    const text = missing.join();
    if (text === this.#missing) return;
    this.#missing = text;
    if (text !== '')
      this.#options.logger.warn('passwords are missing, sessions go without, as Calico has it', { missing });
  }

  #follow(what: OnDemand): void {
    if (this.#followed.has(what)) return;
    const { store, logger, nodeName, secretNamespace = 'kube-system' } = this.#options;
    const kinds: Readonly<Record<OnDemand, readonly SyncKind<Kind>[]>> = {
      services: ['Service', 'EndpointSlice'],
      secrets: [{ kind: 'Secret', namespace: secretNamespace }],
      endpoints: [{ kind: 'WorkloadEndpoint', fieldSelector: `spec.node=${nodeName}` }],
    };
    const syncer = startSyncer(store, {
      kinds: kinds[what],
      logger,
      onUpdates: (updates) => this.#take(updates, () => (followed.ready = true)),
    });
    const followed = { syncer, ready: false };
    this.#followed.set(what, followed);
  }

  #needsServices(): boolean {
    const { settings } = this.#options;
    if ((settings?.advertiseClusterIPs?.length ?? 0) > 0) return true;
    return this.#all('BGPConfiguration').some(
      ({ spec }) =>
        (spec?.serviceClusterIPs?.length ?? 0) +
          (spec?.serviceExternalIPs?.length ?? 0) +
          (spec?.serviceLoadBalancerIPs?.length ?? 0) >
        0,
    );
  }
}

/** A node's claim on a block; nothing for claims of load balancers (`virtual`) and those about to go. */
const ownedBlock = ({
  spec: { node, cidr, state, type, deleted },
}: ResourceOf<'BlockAffinity'>): BlockAffinityInput[] =>
  deleted === true || type === 'virtual' ? [] : [{ node, cidr, state }];

/** Values of Secrets are base64. */
function passwordsOf(secrets: readonly ResourceOf<'Secret'>[]): Map<string, string> {
  return new Map(
    secrets.flatMap(({ metadata, data }) =>
      Object.entries(data ?? {}).map(
        ([key, value]) => [`${metadata.name}/${key}`, Buffer.from(value, 'base64').toString('utf8')] as const,
      ),
    ),
  );
}

const keyOf = (name: { readonly name: string; readonly namespace?: string }): string =>
  `${name.namespace ?? ''}/${name.name}`;
