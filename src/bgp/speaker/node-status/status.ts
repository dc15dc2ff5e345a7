// What a CalicoNodeStatus says (RS-182), from what the speaker answers. Pure.
import type { CalicoNodeStatus } from '../../../model/mod.ts';
import type { RouteView } from '../introspection.ts';
import type { NeighbourKind, PeerStatus, SpeakerStatus } from '../types.ts';

type Status = NonNullable<CalicoNodeStatus['status']>;
type Bgp = NonNullable<Status['bgp']>;
type Peer = NonNullable<Bgp['peersV4']>[number];
type Route = NonNullable<NonNullable<Status['routes']>['routesV4']>[number];
type Class = CalicoNodeStatus['spec']['classes'][number];

/** Answers of the speaker; undefined where it gave none. */
export type SpeakerFacts = {
  readonly status?: SpeakerStatus;
  readonly peers?: readonly PeerStatus[];
  readonly routes?: readonly RouteView[];
};

/** More would not fit into an object. */
const routeLimit = 5000;

export function nodeStatus(
  classes: readonly Class[],
  facts: SpeakerFacts,
  version: string,
  now: string,
): Status {
  return {
    lastUpdated: now,
    ...(classes.includes('Agent') ? { agent: agentStatus(facts.status, version) } : {}),
    ...(classes.includes('BGP') ? { bgp: bgpStatus(facts.peers ?? []) } : {}),
    ...(classes.includes('Routes') ? { routes: routesStatus(facts) } : {}),
  };
}

/** Calico runs a BIRD per family; here one speaker stands for both. */
function agentStatus(status: SpeakerStatus | undefined, version: string): NonNullable<Status['agent']> {
  const daemon =
    status === undefined
      ? { state: 'NotReady' as const }
      : {
          state: status.recovery === 'deferring' ? ('NotReady' as const) : ('Ready' as const),
          version,
          routerID: status.routerId,
          lastBootTime: status.startedAt,
          lastReconfigurationTime: status.configuredAt,
        };
  return { birdV4: daemon, birdV6: daemon };
}

const isV6 = (address: string): boolean => address.includes(':');

function bgpStatus(peers: readonly PeerStatus[]): Bgp {
  const of = (v6: boolean): readonly PeerStatus[] => peers.filter((p) => isV6(p.address) === v6);
  const up = (list: readonly PeerStatus[]): number => list.filter((p) => p.state === 'Established').length;
  const [v4, v6] = [of(false), of(true)];
  return {
    numberEstablishedV4: up(v4),
    numberNotEstablishedV4: v4.length - up(v4),
    numberEstablishedV6: up(v6),
    numberNotEstablishedV6: v6.length - up(v6),
    peersV4: v4.map(peerStatus),
    peersV6: v6.map(peerStatus),
  };
}

const peerTypes: Readonly<Partial<Record<NeighbourKind, NonNullable<Peer['type']>>>> = {
  'node-mesh': 'NodeMesh',
  'global-peer': 'GlobalPeer',
};

const peerStatus = ({ address, kind, state, since }: PeerStatus): Peer => ({
  peerIP: address,
  type: peerTypes[kind] ?? 'NodePeer',
  state,
  since,
});

/** Routes that are used are of the FIB, the others of the RIB alone. */
function routesStatus({ routes = [], peers = [] }: SpeakerFacts): NonNullable<Status['routes']> {
  const byName = new Map(peers.map((p) => [p.name, p]));
  const of = (v6: boolean): Route[] =>
    routes
      .filter((r) => isV6(r.prefix) === v6)
      .slice(0, routeLimit)
      .map((route) => routeStatus(route, byName.get(route.learnedFrom)));
  return { routesV4: of(false), routesV6: of(true) };
}

function routeStatus(route: RouteView, peer: PeerStatus | undefined): Route {
  return {
    type: route.best || route.multipath ? 'FIB' : 'RIB',
    destination: route.prefix,
    ...(route.nextHop === undefined ? {} : { gateway: route.nextHop }),
    ...(route.interfaceName === undefined ? {} : { interface: route.interfaceName }),
    learnedFrom:
      peer === undefined
        ? { sourceType: localSource(route.source) }
        : {
            sourceType: peer.kind === 'node-mesh' ? 'NodeMesh' : 'BGPPeer',
            peerIP: peer.address,
          },
  };
}

const localSource = (source: string): 'Kernel' | 'Direct' | 'Static' =>
  source === 'kernel' ? 'Kernel' : source === 'direct' ? 'Direct' : 'Static';
