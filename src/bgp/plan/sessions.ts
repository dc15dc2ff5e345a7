// Which sessions this node has (BG-010 to BG-025): the mesh, the BGPPeers that select it, the mirrored sessions of peers
// that select others and point here, and local workloads that speak BGP.
import { familyOf, parseAddress, type Address, type Family } from '../../lib/ip/mod.ts';
import { matchesLookup, parseSelector, type LabelLookup, type Selector } from '../../selector/mod.ts';
import {
  defaultPort,
  defaultRestartTimeSeconds,
  longestKeepaliveSeconds,
  longestRestartTimeSeconds,
  nodeAddress,
  parseAs,
  parseDurationSeconds,
  parseRouterId,
  type Settings,
} from './settings.ts';
import type {
  BgpPeerInput,
  LocalEndpointInput,
  NodeInput,
  PasswordReference,
  PlanInput,
  PlanPeer,
  PlanPeerType,
  SecretReferenceInput,
} from './types.ts';

/** A session before its policies are attached. */
export type Session = Omit<PlanPeer, 'importFilters' | 'exportFilters' | 'importPolicy' | 'exportPolicy'> & {
  readonly filters: readonly string[];
  readonly reachableBy?: Address;
};
type PeerSpec = NonNullable<BgpPeerInput['spec']>;

const families = [4, 6] as const;

export class SessionFinder {
  readonly #input: PlanInput;
  readonly #settings: Settings;
  readonly #self: NodeInput;
  readonly #as: number;
  readonly #selectors = new Map<string, Selector | undefined>();
  /** By address and port. First come, first kept; only the mesh makes room for what is said of a node. */
  readonly #found = new Map<string, Session>();

  constructor(input: PlanInput, settings: Settings, self: NodeInput) {
    this.#input = input;
    this.#settings = settings;
    this.#self = self;
    this.#as = settings.asOf(self);
  }

  find(): Session[] {
    const peers = [...(this.#input.bgpPeers ?? [])].sort((a, b) =>
      a.metadata.name < b.metadata.name ? -1 : 1,
    );
    const isGlobal = (p: BgpPeerInput): boolean => !p.spec?.node && !p.spec?.nodeSelector;
    this.#mesh();
    for (const peer of peers)
      if (isGlobal(peer) && this.#selects(peer.spec, this.#self)) this.#peer(peer, 'globalPeer');
    for (const peer of peers)
      if (!isGlobal(peer) && this.#selects(peer.spec, this.#self)) this.#peer(peer, 'nodePeer');
    for (const peer of peers) this.#mirror(peer);
    return [...this.#found.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }

  // ── mesh ───────────────────────────────────────────────────────────────────────────────────────────────────────────
  #mesh(): void {
    const { cluster } = this.#settings;
    if (cluster.nodeToNodeMeshEnabled === false || clusterIdOf(this.#self) !== undefined) return;
    const restart = parseDurationSeconds(cluster.nodeMeshMaxRestartTime);
    for (const node of this.#input.nodes) {
      if (node.metadata.name === this.#self.metadata.name || clusterIdOf(node) !== undefined) continue;
      for (const family of families) {
        const address = nodeAddress(node, family);
        const own = nodeAddress(this.#self, family);
        if (address === undefined || own === undefined || address === own) continue;
        const password = this.#password(cluster.nodeMeshPassword);
        this.#add('nodeMesh', {
          address,
          port: this.#settings.portOf(node.metadata.name),
          as: this.#settings.asOf(node),
          localAs: this.#as,
          sourceAddress: own,
          // Calico compares the texts, and so must every node of a mixed cluster.
          passive: address > own,
          ...restartTime(restart),
          ...(password === undefined ? {} : { password }),
        });
      }
    }
  }

  // ── BGPPeers ───────────────────────────────────────────────────────────────────────────────────────────────────────
  #peer(peer: BgpPeerInput, type: PlanPeerType): void {
    const { spec } = peer;
    if (spec === undefined) return;
    if (spec.localWorkloadSelector) this.#localWorkloads(spec);
    else if (spec.peerSelector) {
      for (const node of this.#input.nodes) {
        if (this.#matchesLabels(spec.peerSelector, node)) this.#toNode(spec, node, type);
      }
    } else this.#toAddress(spec, type);
  }

  #toNode(spec: PeerSpec, node: NodeInput, type: PlanPeerType): void {
    if (node.metadata.name === this.#self.metadata.name) return;
    for (const family of families) {
      const address = nodeAddress(node, family);
      const own = nodeAddress(this.#self, family);
      if (address === undefined || own === undefined || address === own) continue;
      this.#add(type, {
        ...this.#fields(spec, family),
        address,
        port: this.#settings.portOf(node.metadata.name),
        as: this.#settings.asOf(node),
        ...this.#reflection(clusterIdOf(node)),
      });
    }
  }

  #toAddress(spec: PeerSpec, type: PlanPeerType): void {
    const target = parseEndpoint(spec.peerIP ?? '');
    if (target === undefined) return;
    const family = familyOf(target.address);
    const own = nodeAddress(this.#self, family);
    if (own === undefined || own === target.address) return;
    const node = this.#nodeWith(target.address);
    const as = parseAs(spec.asNumber) ?? (node && this.#settings.asOf(node));
    if (as === undefined) return;
    const named = this.#nodeNamed(spec, target);
    const port =
      target.port ?? (named === undefined ? defaultPort : this.#settings.portOf(named.metadata.name));
    const reachableBy = parseAddress(spec.reachableBy ?? '');
    this.#add(type, {
      ...this.#fields(spec, family),
      address: target.address,
      port,
      as,
      passive: type === 'globalPeer' && node !== undefined && target.address > own,
      ...this.#reflection(node === undefined ? undefined : clusterIdOf(node)),
      ...(reachableBy.ok ? { reachableBy: reachableBy.value } : {}),
    });
  }

  #localWorkloads(spec: PeerSpec): void {
    const as = parseAs(spec.asNumber);
    if (as === undefined) return;
    for (const endpoint of this.#input.localEndpoints ?? []) {
      if (!this.#matches(spec.localWorkloadSelector ?? '', endpoint.labels)) continue;
      for (const address of endpointAddresses(endpoint)) {
        const family = familyOf(address);
        if (nodeAddress(this.#self, family) === undefined) continue;
        const { sourceAddress: _, ...fields } = this.#fields(spec, family);
        this.#add('localWorkload', { ...fields, address, port: defaultPort, as, passive: true });
      }
    }
  }

  /** The other end of peers whose remote side is this node. */
  #mirror(peer: BgpPeerInput): void {
    const { spec } = peer;
    if (spec === undefined || spec.localWorkloadSelector || spec.reversePeering === 'Manual') return;
    const target = spec.peerSelector ? undefined : parseEndpoint(spec.peerIP ?? '');
    const isTarget = spec.peerSelector
      ? this.#matchesLabels(spec.peerSelector, this.#self)
      : target !== undefined && this.#nodeNamed(spec, target)?.metadata.name === this.#self.metadata.name;
    if (!isTarget) return;
    for (const node of this.#input.nodes) {
      if (node.metadata.name === this.#self.metadata.name || !this.#selects(spec, node)) continue;
      if (target === undefined) this.#toNode(spec, node, 'nodePeer');
      else this.#mirrorAddress(spec, node, familyOf(target.address));
    }
  }

  #mirrorAddress(spec: PeerSpec, node: NodeInput, family: Family): void {
    const address = nodeAddress(node, family);
    if (address === undefined || address === nodeAddress(this.#self, family)) return;
    this.#add('nodePeer', {
      ...this.#fields(spec, family),
      address,
      port: this.#settings.portOf(node.metadata.name),
      as: this.#settings.asOf(node),
      ...this.#reflection(clusterIdOf(node)),
    });
  }

  // ── fields ─────────────────────────────────────────────────────────────────────────────────────────────────────────
  #fields(spec: PeerSpec, family: Family): Omit<Draft, 'address' | 'port' | 'as'> {
    const own = nodeAddress(this.#self, family);
    const password = this.#password(spec.password);
    const keepalive = parseDurationSeconds(spec.keepaliveTime);
    return {
      localAs: parseAs(spec.localASNumber) ?? this.#as,
      ...(own === undefined || spec.sourceAddress === 'None' ? {} : { sourceAddress: own }),
      passive: false,
      ...restartTime(parseDurationSeconds(spec.maxRestartTime)),
      ...(keepalive === undefined
        ? {}
        : { keepaliveTimeSeconds: Math.min(Math.max(1, keepalive), longestKeepaliveSeconds) }),
      ...(spec.ttlSecurity ? { ttlSecurityHops: spec.ttlSecurity } : {}),
      ...(password === undefined ? {} : { password }),
      nextHop: spec.nextHopMode,
      keepOriginalNextHop: spec.keepOriginalNextHop === true,
      allowLocalAs: spec.numAllowedLocalASNumbers ?? 0,
      filters: spec.filters ?? [],
    };
  }

  #reflection(peerClusterId: Address | undefined): Pick<Draft, 'peerClusterId'> {
    return peerClusterId === undefined ? {} : { peerClusterId };
  }

  #add(type: PlanPeerType, draft: Draft): void {
    const family = familyOf(draft.address);
    const key = `${draft.address} ${draft.port}`;
    const known = this.#found.get(key);
    if (known !== undefined && known.type !== 'nodeMesh') return;
    const peerType = draft.as === draft.localAs ? 'ibgp' : 'ebgp';
    const clusterId = clusterIdOf(this.#self);
    const isClient = peerType === 'ibgp' && clusterId !== undefined && clusterId !== draft.peerClusterId;
    const {
      nextHop,
      keepOriginalNextHop = false,
      peerClusterId: _,
      filters = [],
      allowLocalAs = 0,
      ...rest
    } = draft;
    this.#found.set(key, {
      ...rest,
      name: sessionName(type, draft.address, draft.port),
      type,
      peerType,
      family,
      ...(isClient && type !== 'nodeMesh' ? { rrClient: { clusterId } } : {}),
      nextHopMode: nextHopMode(nextHop, keepOriginalNextHop && peerType === 'ebgp'),
      allowLocalAs,
      filters,
      addPath: true,
    });
  }

  /** A secret that is not there (yet) means a session without password, as upstream does. */
  #password(reference: SecretReferenceInput): PasswordReference | undefined {
    const key = reference?.secretKeyRef;
    if (key === undefined) return undefined;
    const secret = this.#input.secrets?.find((s) => s.name === key.name);
    if (secret === undefined || !secret.keys.includes(key.key)) return undefined;
    return {
      secretName: key.name,
      secretKey: key.key,
      ...(secret.revision === undefined ? {} : { revision: secret.revision }),
    };
  }

  #selects(spec: PeerSpec | undefined, node: NodeInput): boolean {
    if (spec === undefined) return false;
    if (spec.node) return spec.node === node.metadata.name;
    return spec.nodeSelector ? this.#matchesLabels(spec.nodeSelector, node) : true;
  }

  #matchesLabels(selector: string, node: NodeInput): boolean {
    return this.#matches(selector, node.metadata.labels ?? {});
  }

  /** Nothing matches a selector that does not parse. */
  #matches(text: string, labels: Readonly<Record<string, string>>): boolean {
    let selector = this.#selectors.get(text);
    if (selector === undefined && !this.#selectors.has(text)) {
      const parsed = parseSelector(text);
      selector = parsed.ok ? parsed.value : undefined;
      this.#selectors.set(text, selector);
    }
    return selector !== undefined && matchesLookup(selector, textsOf(labels));
  }

  /** The node that a peer given by address means: also its AS and port fit, as far as they are said. Another speaker on a
   *  node's address (say a router beside it) is not the node's. */
  #nodeNamed(spec: PeerSpec, { address, port }: Endpoint): NodeInput | undefined {
    const as = parseAs(spec.asNumber);
    const node = this.#nodeWith(address);
    if (node === undefined || (as !== undefined && as !== this.#settings.asOf(node))) return undefined;
    return port === undefined || port === this.#settings.portOf(node.metadata.name) ? node : undefined;
  }

  #nodeWith(address: Address): NodeInput | undefined {
    return this.#input.nodes.find((n) => nodeAddress(n, familyOf(address)) === address);
  }
}

type Draft = Pick<
  Session,
  'address' | 'port' | 'as' | 'localAs' | 'passive' | 'gracefulRestartTimeSeconds' | 'gracefulRestartTimeSet'
> &
  Partial<
    Pick<
      Session,
      | 'sourceAddress'
      | 'password'
      | 'keepaliveTimeSeconds'
      | 'ttlSecurityHops'
      | 'reachableBy'
      | 'filters'
      | 'allowLocalAs'
    >
  > & {
    readonly nextHop?: string | undefined;
    readonly keepOriginalNextHop?: boolean;
    readonly peerClusterId?: Address;
  };

const restartTime = (
  seconds: number | undefined,
): Pick<Session, 'gracefulRestartTimeSeconds' | 'gracefulRestartTimeSet'> => ({
  gracefulRestartTimeSeconds: Math.min(seconds ?? defaultRestartTimeSeconds, longestRestartTimeSeconds),
  gracefulRestartTimeSet: seconds !== undefined,
});

function nextHopMode(mode: string | undefined, keep: boolean): PlanPeer['nextHopMode'] {
  if (mode === 'Self') return 'self';
  return mode === 'Keep' || keep ? 'keep' : 'auto';
}

export function clusterIdOf(node: NodeInput): Address | undefined {
  return parseRouterId(node.spec?.bgp?.routeReflectorClusterID);
}

type Endpoint = { readonly address: Address; readonly port?: number };

/** `10.0.0.1`, `10.0.0.1:179`, `fd00::1`, `[fd00::1]:179`. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const bare = parseAddress(text);
  if (bare.ok) return { address: bare.value };
  const match = /^(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})$/.exec(text);
  if (match === null) return undefined;
  const parsed = parseAddress(match[1] ?? match[2] ?? '');
  const port = Number(match[3]);
  return parsed.ok && port > 0 && port < 65536 ? { address: parsed.value, port } : undefined;
}

const kinds: Record<PlanPeerType, string> = {
  nodeMesh: 'Mesh',
  globalPeer: 'Global',
  nodePeer: 'Node',
  localWorkload: 'Local_Workload',
};

const sessionName = (type: PlanPeerType, address: Address, port: number): string =>
  `${kinds[type]}_${address.replace(/[.:]/g, '_')}${port === defaultPort ? '' : `_port_${port}`}`;

/** A label like `true` in a file that nobody has checked is a text too. */
const textsOf =
  (labels: Readonly<Record<string, unknown>>): LabelLookup =>
  (name) =>
    Object.hasOwn(labels, name) ? String(labels[name]) : undefined;

const endpointAddresses = ({ addresses }: LocalEndpointInput): Address[] =>
  addresses.flatMap((text) => {
    const parsed = parseAddress(text.split('/')[0] ?? '');
    return parsed.ok ? [parsed.value] : [];
  });
