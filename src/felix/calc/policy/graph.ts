// From the stream of resources to what this node must enforce (FX-001…FX-009). Updates are taken in at once and cost little;
// `flush` works out what they come to and tells the differences in an order that is safe to apply.
//
//   WorkloadEndpoint, HostEndpoint ─┬─► Enforcement: which policies select which local endpoint ─► policies, endpoints
//   NetworkPolicy … Tier ───────────┤        │ uses sets                                          profiles
//   Namespace, ServiceAccount,      │        ▼
//   Profile: labels and rules ──────┴─► Membership: labels → members, counted ───────────────────► sets
//   NetworkSet, EndpointSlice ──────────────┘
//   IPPool, IPAMBlock, Node, endpoints ──► RouteResolver, EndResolver ───────────────────────────► routes, VTEPs …
//
// Between two flushes at most one entry per object waits, whatever the number of updates: the newest counts. What the graph
// puts out is a function of the objects it knows, not of the way they came (graph.test.ts and slow-model.ts).
import {
  namespaceProfileName,
  namespaceToProfile,
  serviceAccountProfileName,
  serviceAccountToProfile,
  type HostEndpoint,
  type KindName,
  type Profile,
  type ResourceOf,
  type WorkloadEndpoint,
} from '../../../model/mod.ts';
import { compileTier, type PolicyResource } from '../../../policy/mod.ts';
import type { LabelIndexWork } from '../../../selector/mod.ts';
import { endpointKey, LocalEndpoints } from '../endpoints.ts';
import { blockOwners, nodeFacts, poolFacts, type BlockOwner } from '../network/node-facts.ts';
import { RouteResolver } from '../network/routes.ts';
import type { NodeFacts, RouteSource } from '../network/types.ts';
import { EndResolver } from '../network/ends.ts';
import { Enforcement, profileLabels, type LocalEndpoint } from './enforcement.ts';
import {
  hostFacts,
  networks,
  networkSetFacts,
  servicePart,
  workloadFacts,
  workloadLabels,
  type Addressed,
} from './facts.ts';
import { Membership } from './membership.ts';
import {
  policyKey,
  type PolicyChange,
  type PolicyKindName,
  type PolicyState,
  type PolicyStats,
} from './types.ts';

export type PolicyInputKind = PolicyKindName | 'WorkloadEndpoint' | 'IPPool' | 'Node';
type Name = { readonly name: string; readonly namespace?: string };
/** One change of the datastore. Kinds that mean nothing here are passed over. */
export type PolicyUpdate =
  | {
      readonly [K in KindName]: { readonly type: 'set'; readonly kind: K; readonly object: ResourceOf<K> };
    }[KindName]
  | { readonly type: 'delete'; readonly kind: KindName; readonly name: Name };

export type PolicyOptions = {
  readonly nodeName: string;
  /** What routes and overlay take from a Node; `nodeFacts` by default. */
  readonly describeNode?: (node: ResourceOf<'Node'>) => NodeFacts;
};

/** How the parts of one waiting object are worked in; kept instead of the object. */
type Work = () => void;
/** Labels first, then what has labels, then what selects: so that at the start each selector is held against everything
 *  once, not each thing against every selector. */
const stages = ['labels', 'items', 'rules'] as const;
type WorkStage = (typeof stages)[number];

export class PolicyGraph {
  readonly #node: string;
  readonly #describeNode: (node: ResourceOf<'Node'>) => NodeFacts;
  readonly #local = new LocalEndpoints();
  readonly #membership = new Membership();
  readonly #enforcement = new Enforcement(this.#membership);
  readonly #routes: RouteResolver;
  readonly #vteps = new EndResolver((facts) => facts.vtep);
  readonly #wireguard = new EndResolver((facts) => facts.wireguard);
  readonly #waiting: Readonly<Record<WorkStage, Map<string, Work>>> = {
    labels: new Map(),
    items: new Map(),
    rules: new Map(),
  };
  /** Nodes of remote endpoints with addresses, for RouteSource WorkloadIPs. */
  readonly #remote = new Map<string, { readonly node: string; readonly facts: Addressed }>();
  readonly #blocks = new Map<string, readonly BlockOwner[]>();
  /** A profile may stand on its own and be derived from a namespace or account, too; then the derived one counts. */
  readonly #profiles = new Map<string, { derived?: Profile; own?: Profile }>();
  readonly #hosts = new Set<string>();
  #routeSource: RouteSource = 'CalicoIPAM';

  constructor(options: PolicyOptions) {
    this.#node = options.nodeName;
    this.#describeNode = options.describeNode ?? nodeFacts;
    this.#routes = new RouteResolver(options.nodeName);
  }

  /** How many objects wait for the next flush. */
  get waiting(): number {
    return stages.reduce((sum, stage) => sum + this.#waiting[stage].size, 0);
  }

  update(update: PolicyUpdate): void {
    if (update.type === 'set') this.#set(update);
    else this.#delete(update.kind, update.name);
  }

  /** An endpoint that CNI has just made: counts until the watch tells of it. */
  announce(endpoint: WorkloadEndpoint): void {
    const key = endpointKey(endpoint.metadata);
    this.#local.announce(key, endpoint);
    this.#refreshWorkload(key);
  }

  /** An endpoint that CNI is about to take away: gone until the watch tells of another one. */
  withdraw(endpoint: WorkloadEndpoint): void {
    const key = endpointKey(endpoint.metadata);
    this.#local.withdraw(key, endpoint);
    this.#refreshWorkload(key);
  }

  /** Where routes to other nodes' workloads come from. A change works through all remote endpoints. */
  setRouteSource(source: RouteSource): void {
    if (source === this.#routeSource) return;
    this.#routeSource = source;
    for (const key of this.#remote.keys()) this.#refreshWorkload(key);
    for (const name of this.#blocks.keys()) this.#refreshBlock(name);
  }

  /** What changed since the last flush, everything on the first; see PolicyChange for the order. */
  flush(): readonly PolicyChange[] {
    for (const stage of stages) {
      const waiting = this.#waiting[stage];
      for (const work of waiting.values()) work();
      waiting.clear();
    }
    const enforced = this.#enforcement.flush();
    const sets = this.#membership.flush();
    const routes = this.#routes.flush();
    const vteps = this.#vteps.flush();
    const wireguard = this.#wireguard.flush();
    return [
      ...sets.changes,
      ...enforced.changes,
      ...enforced.removals,
      ...sets.removals,
      ...routes.deleted.map((dst) => ({ type: 'route-removed' as const, dst })),
      ...vteps.deleted.map((node) => ({ type: 'vtep-removed' as const, node })),
      ...wireguard.deleted.map((node) => ({ type: 'wireguard-removed' as const, node })),
      ...vteps.set.map((vtep) => ({ type: 'vtep' as const, vtep })),
      ...wireguard.set.map((end) => ({ type: 'wireguard' as const, end })),
      ...routes.set.map((route) => ({ type: 'route' as const, route })),
    ];
  }

  /** The state after the last flush. */
  state(): PolicyState {
    const sets = [...this.#membership.sets].map(
      ([id, { definition, members }]) =>
        [id, { set: definition, members: new Set(members.members()) }] as const,
    );
    return {
      sets: new Map(sets),
      policies: new Map([...this.#enforcement.policies.values()].map((p) => [policyKey(p.id), p])),
      profiles: this.#enforcement.profiles,
      endpoints: this.#enforcement.endpoints,
      routes: this.#routes.routes,
      vteps: this.#vteps.ends,
      wireguard: this.#wireguard.ends,
    };
  }

  /** The state as changes, in the order of a flush. */
  everything(): readonly PolicyChange[] {
    const { sets, policies, profiles, endpoints, vteps, wireguard, routes } = this.state();
    return [
      ...[...sets.values()].map(({ set, members }) => ({ type: 'set' as const, set, members: [...members] })),
      ...[...policies.values()].map((policy) => ({ type: 'policy' as const, policy })),
      ...[...profiles.values()].map((profile) => ({ type: 'profile' as const, profile })),
      ...[...endpoints.values()].map((endpoint) => ({ type: 'endpoint' as const, endpoint })),
      ...[...vteps.values()].map((vtep) => ({ type: 'vtep' as const, vtep })),
      ...[...wireguard.values()].map((end) => ({ type: 'wireguard' as const, end })),
      ...[...routes.values()].map((route) => ({ type: 'route' as const, route })),
    ];
  }

  /** Of the indexes of labels together. */
  get indexWork(): LabelIndexWork {
    return together(this.#membership.indexWork, this.#enforcement.indexWork);
  }

  get stats(): PolicyStats {
    let members = 0;
    for (const { members: set } of this.#membership.sets.values()) members += set.size;
    return {
      endpoints: this.#membership.itemCount,
      localEndpoints: this.#enforcement.endpoints.size,
      policies: this.#enforcement.policyCount,
      activePolicies: this.#enforcement.policies.size,
      activeSets: this.#membership.sets.size,
      members,
      routes: this.#routes.routes.size,
      workloads: this.#remote.size + this.#local.keys().size,
      hostEndpoints: this.#hosts.size,
      profiles: this.#profiles.size,
      tiers: this.#enforcement.tierCount,
    };
  }

  #set(update: Extract<PolicyUpdate, { readonly type: 'set' }>): void {
    const { name, namespace } = update.object.metadata;
    const key = endpointKey(update.object.metadata);
    switch (update.kind) {
      case 'WorkloadEndpoint':
        return this.#setWorkload(key, update.object);
      case 'HostEndpoint':
        return this.#setHost(name, update.object);
      case 'NetworkSet':
      case 'GlobalNetworkSet':
        return this.#setItem(`${update.kind} ${key}`, networkSetFacts(update.object));
      case 'EndpointSlice':
        return this.#setSlice(key, servicePart(update.object));
      case 'Namespace':
        return this.#setProfile('derived', namespaceToProfile(update.object));
      case 'ServiceAccount':
        return this.#setProfile('derived', serviceAccountToProfile(update.object));
      case 'Profile':
        return this.#setProfile('own', update.object);
      case 'Tier': {
        const tier = compileTier(update.object);
        return this.#wait('rules', `Tier ${name}`, () => this.#enforcement.setTier(name, tier));
      }
      case 'NetworkPolicy':
      case 'GlobalNetworkPolicy':
      case 'KubernetesNetworkPolicy':
      case 'ClusterNetworkPolicy':
        return this.#setPolicy(
          update.kind,
          { name, ...(namespace === undefined ? {} : { namespace }) },
          update.object,
        );
      case 'IPPool': {
        const pool = poolFacts(update.object);
        return this.#wait('items', `IPPool ${name}`, () => this.#routes.setPool(name, pool));
      }
      case 'IPAMBlock':
        this.#blocks.set(name, blockOwners(update.object));
        return this.#refreshBlock(name);
      case 'Node':
        return this.#setNode(name, this.#describeNode(update.object));
      default:
        return;
    }
  }

  #delete(kind: KindName, name: Name): void {
    const key = endpointKey(name);
    switch (kind) {
      case 'WorkloadEndpoint':
        return this.#setWorkload(key, undefined);
      case 'HostEndpoint':
        return this.#setHost(name.name, undefined);
      case 'NetworkSet':
      case 'GlobalNetworkSet':
        return this.#setItem(`${kind} ${key}`, undefined);
      case 'EndpointSlice':
        return this.#setSlice(key, undefined);
      case 'Namespace':
        return this.#dropProfile('derived', namespaceProfileName(name.name));
      case 'ServiceAccount':
        return this.#dropProfile('derived', serviceAccountProfileName(name.namespace, name.name));
      case 'Profile':
        return this.#dropProfile('own', name.name);
      case 'Tier':
        return this.#wait('rules', `Tier ${name.name}`, () =>
          this.#enforcement.setTier(name.name, undefined),
        );
      case 'NetworkPolicy':
      case 'GlobalNetworkPolicy':
      case 'KubernetesNetworkPolicy':
      case 'ClusterNetworkPolicy':
        return this.#setPolicy(kind, name, undefined);
      case 'IPPool':
        return this.#wait('items', `IPPool ${name.name}`, () => this.#routes.setPool(name.name, undefined));
      case 'IPAMBlock':
        this.#blocks.delete(name.name);
        return this.#refreshBlock(name.name);
      case 'Node':
        return this.#setNode(name.name, undefined);
      default:
        return;
    }
  }

  #wait(stage: WorkStage, key: string, work: Work): void {
    this.#waiting[stage].set(key, work);
  }

  #setWorkload(key: string, endpoint: WorkloadEndpoint | undefined): void {
    const isLocal = endpoint?.spec.node === this.#node;
    this.#local.watched(key, isLocal ? endpoint : undefined);
    if (endpoint === undefined || isLocal) this.#remote.delete(key);
    else this.#remote.set(key, { node: endpoint.spec.node ?? '', facts: workloadFacts(endpoint) });
    this.#refreshWorkload(key);
  }

  #refreshWorkload(key: string): void {
    this.#wait('items', `workload ${key}`, () => {
      const local = this.#local.get(key);
      const remote = local === undefined ? this.#remote.get(key) : undefined;
      const facts = local === undefined ? remote?.facts : workloadFacts(local);
      const id = `workload ${key}`;
      this.#membership.setItem(id, facts);
      this.#enforcement.setEndpoint(id, local === undefined ? undefined : localWorkload(id, local));
      const isRouted = local !== undefined || this.#routeSource === 'WorkloadIPs';
      const node = local === undefined ? (remote?.node ?? '') : this.#node;
      this.#routes.setWorkload(key, node, isRouted && node !== '' ? (facts?.prefixes ?? []) : []);
    });
  }

  #setHost(name: string, endpoint: HostEndpoint | undefined): void {
    const id = `host ${name}`;
    if (endpoint === undefined) this.#hosts.delete(name);
    else this.#hosts.add(name);
    const facts = endpoint === undefined ? undefined : hostFacts(endpoint);
    const local = endpoint?.spec.node === this.#node ? localHost(id, endpoint) : undefined;
    this.#wait('items', id, () => {
      this.#membership.setItem(id, facts);
      this.#enforcement.setEndpoint(id, local);
    });
  }

  #setItem(id: string, facts: Addressed | undefined): void {
    this.#wait('items', id, () => this.#membership.setItem(id, facts));
  }

  #setSlice(key: string, part: ReturnType<typeof servicePart>): void {
    this.#wait('items', `EndpointSlice ${key}`, () => this.#membership.setServicePart(key, part));
  }

  #setProfile(source: 'derived' | 'own', profile: Profile): void {
    const { name } = profile.metadata;
    const sources = this.#profiles.get(name) ?? {};
    sources[source] = profile;
    this.#profiles.set(name, sources);
    this.#refreshProfile(name);
  }

  #dropProfile(source: 'derived' | 'own', name: string): void {
    const sources = this.#profiles.get(name);
    if (sources === undefined) return;
    delete sources[source];
    if (sources.derived === undefined && sources.own === undefined) this.#profiles.delete(name);
    this.#refreshProfile(name);
  }

  #refreshProfile(name: string): void {
    this.#wait('labels', name, () => {
      const sources = this.#profiles.get(name);
      const profile = sources?.derived ?? sources?.own;
      this.#membership.setProfileLabels(name, profile === undefined ? undefined : profileLabels(profile));
      this.#enforcement.setProfile(name, profile);
    });
  }

  #setPolicy(kind: string, name: Name, resource: PolicyResource | undefined): void {
    const key = `${kind} ${endpointKey(name)}`;
    this.#wait('rules', key, () => this.#enforcement.setPolicy(key, resource));
  }

  #refreshBlock(name: string): void {
    this.#wait('items', `IPAMBlock ${name}`, () => {
      const isRouted = this.#routeSource === 'CalicoIPAM';
      this.#routes.setBlock(name, isRouted ? (this.#blocks.get(name) ?? []) : []);
    });
  }

  #setNode(name: string, facts: NodeFacts | undefined): void {
    this.#wait('items', `Node ${name}`, () => {
      this.#routes.setNode(name, facts);
      this.#vteps.setNode(name, facts);
      this.#wireguard.setNode(name, facts);
    });
  }
}

const localWorkload = (
  key: string,
  endpoint: WorkloadEndpoint,
  { metadata, spec } = endpoint,
): LocalEndpoint => ({
  labels: workloadLabels(endpoint),
  described: {
    key,
    type: 'workload',
    name: metadata.name,
    ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
    ...(spec.interfaceName === undefined ? {} : { interfaceName: spec.interfaceName }),
    addresses: networks(spec.ipNetworks),
    profiles: spec.profiles ?? [],
    ...(spec.allowSpoofedSourcePrefixes?.length
      ? { foreignSources: networks(spec.allowSpoofedSourcePrefixes) }
      : {}),
    ...(spec.qosControls === undefined ? {} : { limits: spec.qosControls }),
  },
});

const localHost = (key: string, { metadata, spec }: HostEndpoint): LocalEndpoint => ({
  labels: metadata.labels ?? {},
  described: {
    key,
    type: 'host',
    name: metadata.name,
    ...(spec.interfaceName ? { interfaceName: spec.interfaceName } : {}),
    addresses: networks(spec.expectedIPs),
    profiles: spec.profiles ?? [],
  },
});

const together = (a: LabelIndexWork, b: LabelIndexWork): LabelIndexWork => ({
  items: a.items + b.items,
  selectors: a.selectors + b.selectors,
  unfiled: a.unfiled + b.unfiled,
  evaluations: a.evaluations + b.evaluations,
  matches: a.matches + b.matches,
});
