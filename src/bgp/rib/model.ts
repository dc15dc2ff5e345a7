// The slow, obvious routing table: plain maps, everything computed from scratch on every question. It says what the fast
// one must say; the property test holds them together. Not part of the module's face.
import {
  addressToBytes,
  compareAddresses,
  prefixFamily,
  type Address,
  type Family,
  type Prefix,
} from '../../lib/ip/mod.ts';
import { wellKnownCommunity, type Attributes } from '../packet/mod.ts';
import {
  explainPolicy,
  localPrefOf,
  parseCommunity,
  subjectOf,
  type PeerType,
  type PolicyProgram,
} from '../policy/mod.ts';
import { applyChanges, prependPath, withNextHop, type MutableAttributes } from './changes.ts';
import { policyAttributes } from './attribute-sets.ts';
import { sourcePreference } from './peers.ts';
import type {
  DecisionStep,
  IneligibleReason,
  LocalRoute,
  NextHopState,
  PeerId,
  RibPeerConfig,
} from './types.ts';

type Route = {
  readonly peer: PeerId;
  readonly prefix: Prefix;
  readonly pathId: number;
  readonly attributes: Attributes;
  readonly local?: LocalRoute;
  stale: boolean;
};
export type Candidate = {
  readonly route: Route;
  readonly attributes: Attributes;
  readonly preference: number;
  readonly why: IneligibleReason;
  lostAt?: DecisionStep;
};
type ModelPeer = { config: RibPeerConfig; up: boolean };

export class RibModel {
  readonly peers = new Map<PeerId, ModelPeer>();
  readonly routes = new Map<string, Route>();
  readonly hops = new Map<Address, NextHopState>();
  readonly routerId: Address;

  constructor(routerId: Address) {
    this.routerId = routerId;
  }

  announce(peer: PeerId, prefix: Prefix, pathId: number, attributes: Attributes, local?: LocalRoute): void {
    const route = { peer, prefix, pathId, attributes, stale: false };
    this.routes.set(`${peer} ${prefix} ${pathId}`, local === undefined ? route : { ...route, local });
  }

  withdraw(peer: PeerId, prefix: Prefix, pathId: number): void {
    this.routes.delete(`${peer} ${prefix} ${pathId}`);
  }

  forget(which: (route: Route) => boolean): void {
    for (const [key, route] of this.routes) if (which(route)) this.routes.delete(key);
  }

  prefixes(family: Family): Prefix[] {
    return [...new Set([...this.routes.values()].map((r) => r.prefix))].filter(
      (p) => prefixFamily(p) === family,
    );
  }

  // ── selection ──────────────────────────────────────────────────────────────────────────────────────────────────────
  candidates(prefix: Prefix): Candidate[] {
    const all = [...this.routes.values()].filter((r) => r.prefix === prefix).map((r) => this.#imported(r));
    const eligible = all.filter((c) => c.why === 'eligible');
    const best = this.#best(eligible);
    for (const c of eligible) {
      if (c !== best && best !== undefined) c.lostAt ??= this.#stepBetween(best, c);
    }
    return all;
  }

  best(prefix: Prefix): Candidate | undefined {
    return this.candidates(prefix).find((c) => c.why === 'eligible' && c.lostAt === undefined);
  }

  multipath(prefix: Prefix): Candidate[] {
    const all = this.candidates(prefix);
    const best = all.find((c) => c.why === 'eligible' && c.lostAt === undefined);
    if (best === undefined) return [];
    const late: (DecisionStep | undefined)[] = ['routerId', 'clusterListLength', 'peerAddress', 'pathId'];
    const isBgp = (c: Candidate): boolean => this.#config(c).source === 'bgp';
    return [best, ...all.filter((c) => c !== best && isBgp(c) && isBgp(best) && late.includes(c.lostAt))];
  }

  #imported(route: Route): Candidate {
    const peer = this.peers.get(route.peer)?.config;
    if (peer === undefined) throw new Error('a route of nobody');
    const base = sourcePreference[peer.source];
    const loop = peer.source === 'bgp' ? this.#loop(peer, route.attributes) : 'eligible';
    if (loop !== 'eligible') return { route, attributes: route.attributes, preference: base, why: loop };
    const hop = peer.source === 'bgp' ? route.attributes.nextHop : undefined;
    const state = hop === undefined ? undefined : this.hops.get(hop);
    const policy = peer.families?.find((f) => f.family === prefixFamily(route.prefix))?.importPolicy;
    const ran = this.#run(policy, route, route.attributes, peer.type);
    if (ran === undefined)
      return { route, attributes: route.attributes, preference: base, why: 'importPolicy' };
    const why = hop !== undefined && state?.reachable === false ? 'nextHopUnreachable' : 'eligible';
    return { route, attributes: ran.attributes, preference: ran.preference ?? base, why };
  }

  #run(
    policy: PolicyProgram | undefined,
    route: Route,
    attributes: Attributes,
    peerType: PeerType | undefined,
  ): { readonly attributes: MutableAttributes; readonly preference: number | undefined } | undefined {
    if (policy === undefined) return { attributes, preference: undefined };
    const source = this.peers.get(route.peer)?.config.source ?? 'bgp';
    const hop = source === 'bgp' ? attributes.nextHop : undefined;
    const trace = explainPolicy(
      policy,
      subjectOf({
        prefix: route.prefix,
        source,
        interfaceName:
          source === 'bgp' ? hop && this.hops.get(hop)?.interfaceName : route.local?.interfaceName,
        nextHop: source === 'bgp' ? hop : route.local?.gateway,
        peerType,
        attributes: policyAttributes(attributes),
      }),
    );
    if (trace.verdict === 'reject') return undefined;
    return { attributes: applyChanges(attributes, trace.changes), preference: trace.changes.preference };
  }

  #loop(peer: RibPeerConfig, attributes: Attributes): IneligibleReason {
    const own = attributes.asPath.flatMap((s) => s.asns).filter((as) => as === peer.localAs).length;
    if (own > (peer.allowLocalAs ?? 0)) return 'asLoop';
    if (peer.type === 'ebgp') return 'eligible';
    if (attributes.originatorId === idNumber(this.routerId)) return 'originatorLoop';
    return attributes.clusterList?.includes(idNumber(this.routerId)) ? 'clusterLoop' : 'eligible';
  }

  #best(all: Candidate[]): Candidate | undefined {
    let rest = all;
    const keep = (worse: (a: Candidate, b: Candidate) => boolean, step?: DecisionStep): void => {
      const left = rest.filter((a) => !rest.some((b) => worse(a, b)));
      if (step !== undefined) for (const c of rest) if (!left.includes(c)) c.lostAt = step;
      rest = left;
    };
    for (const step of ['preference', 'localPref', 'asPathLength', 'origin'] as const) {
      keep((a, b) => this.#order(step, b, a) < 0);
    }
    keep((a, b) => neighbour(a) === neighbour(b) && (b.attributes.med ?? 0) < (a.attributes.med ?? 0), 'med');
    for (const step of restSteps) keep((a, b) => this.#order(step, b, a) < 0);
    return rest[0];
  }

  #stepBetween(winner: Candidate, loser: Candidate): DecisionStep {
    for (const step of ['preference', 'localPref', 'asPathLength', 'origin'] as const) {
      if (this.#order(step, winner, loser) !== 0) return step;
    }
    if (
      neighbour(winner) === neighbour(loser) &&
      (winner.attributes.med ?? 0) !== (loser.attributes.med ?? 0)
    )
      return 'med';
    return restSteps.find((step) => this.#order(step, winner, loser) !== 0) ?? 'pathId';
  }

  /** Negative when `a` is better. */
  #order(step: DecisionStep, a: Candidate, b: Candidate): number {
    const p = this.#config(a);
    const q = this.#config(b);
    switch (step) {
      case 'preference':
        return b.preference - a.preference || Number(p.source === 'bgp') - Number(q.source === 'bgp');
      case 'localPref':
        return (b.attributes.localPref ?? 100) - (a.attributes.localPref ?? 100);
      case 'asPathLength':
        return pathLength(a) - pathLength(b);
      case 'origin':
        return a.attributes.origin - b.attributes.origin;
      case 'peerType':
        return Number(isIbgp(p)) - Number(isIbgp(q));
      case 'nextHopMetric':
        return this.#metric(a) - this.#metric(b);
      case 'routerId':
        return routerIdOf(a, p) - routerIdOf(b, q);
      case 'clusterListLength':
        return (a.attributes.clusterList?.length ?? 0) - (b.attributes.clusterList?.length ?? 0);
      case 'peerAddress':
        if (p.address === undefined || q.address === undefined || p.address === q.address)
          return a.route.peer - b.route.peer;
        return compareAddresses(p.address, q.address);
      default:
        return a.route.pathId - b.route.pathId;
    }
  }

  #metric(c: Candidate): number {
    if (this.#config(c).source !== 'bgp' || c.attributes.nextHop === undefined) return 0;
    return this.hops.get(c.attributes.nextHop)?.metric ?? 0;
  }

  #config(c: Candidate): RibPeerConfig {
    const peer = this.peers.get(c.route.peer);
    if (peer === undefined) throw new Error('a route of nobody');
    return peer.config;
  }

  // ── announcing ─────────────────────────────────────────────────────────────────────────────────────────────────────
  /** What the peer must have been told: per prefix the attributes of every path. */
  announcedTo(id: PeerId, family: Family): Map<Prefix, Attributes[]> {
    const result = new Map<Prefix, Attributes[]>();
    const peer = this.peers.get(id);
    const config = peer?.config.families?.find((f) => f.family === family);
    if (peer === undefined || !peer.up || config?.localAddress === undefined) return result;
    for (const prefix of this.prefixes(family)) {
      const best = this.best(prefix);
      const all = config.addPathSend
        ? this.candidates(prefix).filter((c) => c.why === 'eligible')
        : best === undefined
          ? []
          : [best];
      const told = all
        .filter((c) => c.route.peer !== id)
        .flatMap((c) => this.#exported(c, peer.config, family) ?? []);
      if (told.length > 0) result.set(prefix, told);
    }
    return result;
  }

  #exported(c: Candidate, to: RibPeerConfig, family: Family): Attributes | undefined {
    const from = this.#config(c);
    const ibgp = to.type !== 'ebgp';
    if (ibgp && isIbgp(from) && !from.rrClient && !to.rrClient) return undefined;
    const communities = c.attributes.communities ?? [];
    if (communities.includes(wellKnownCommunity.noAdvertise)) return undefined;
    if (!ibgp && communities.includes(wellKnownCommunity.noExport)) return undefined;
    const config = to.families?.find((f) => f.family === family);
    const ran = this.#run(config?.exportPolicy, c.route, c.attributes, ibgp ? 'ibgp' : 'ebgp');
    if (ran === undefined || config?.localAddress === undefined) return undefined;
    const gateway = ibgp ? c.route.local?.gateway : undefined;
    const present = from.source === 'bgp' ? ran.attributes.nextHop : gateway;
    const mode = to.nextHopMode ?? 'auto';
    const keep = present !== undefined && (mode === 'keep' || (mode === 'auto' && ibgp));
    const next = keep
      ? withNextHop(ran.attributes, present, undefined)
      : withNextHop(ran.attributes, config.localAddress, config.localLinkLocal);
    if (ibgp) {
      next.localPref ??= 100;
      if (isIbgp(from)) {
        next.originatorId ??= idNumber(from.routerId);
        next.clusterList = [idNumber(this.routerId), ...(next.clusterList ?? [])];
      }
      return next;
    }
    next.asPath = prependPath(next.asPath, [to.localAs ?? 0]);
    delete next.localPref;
    delete next.originatorId;
    delete next.clusterList;
    if (from.source === 'bgp') delete next.med;
    return next;
  }
}

const restSteps = [
  'peerType',
  'nextHopMetric',
  'routerId',
  'clusterListLength',
  'peerAddress',
  'pathId',
] as const;
const isIbgp = (p: RibPeerConfig): boolean => p.source === 'bgp' && p.type !== 'ebgp';
const pathLength = (c: Candidate): number =>
  c.attributes.asPath.reduce(
    (sum, s) => sum + (s.type === 'sequence' ? s.asns.length : s.type === 'set' ? 1 : 0),
    0,
  );
const neighbour = (c: Candidate): number => {
  const [first] = c.attributes.asPath;
  return first?.type === 'sequence' ? (first.asns[0] ?? 0) : 0;
};

function idNumber(id: Address | undefined): number {
  if (id === undefined) return 0;
  const b = addressToBytes(id);
  return (((b[0] ?? 0) << 24) | ((b[1] ?? 0) << 16) | ((b[2] ?? 0) << 8) | (b[3] ?? 0)) >>> 0;
}
const routerIdOf = (c: Candidate, p: RibPeerConfig): number =>
  c.attributes.originatorId ?? idNumber(p.routerId);

/** The attributes the table gives a local route. */
export function localAttributes({ metric, communities = [] }: LocalRoute): Attributes {
  const standard = communities.flatMap((text) => {
    const c = parseCommunity(text);
    return c?.kind === 'standard' ? [c.value] : [];
  });
  return {
    origin: 0,
    asPath: [],
    localPref: localPrefOf(metric ?? 1024),
    ...(standard.length === 0 ? {} : { communities: standard }),
  };
}
