// The Calico resources of a fresh lab: what calico-node and the manifest set up at a first start. Pure.
import type {
  BGPConfiguration,
  BGPFilter,
  BGPPeer,
  ClusterInformation,
  FelixConfiguration,
  IPPool,
} from '../../model/mod.ts';
import { type ModeName, poolModes } from '../modes.ts';
import type { Topology } from '../topology/mod.ts';

export type ClusterObjects = {
  readonly pools: readonly IPPool[];
  readonly bgpConfiguration: BGPConfiguration;
  readonly felixConfiguration: FelixConfiguration;
  readonly clusterInformation: ClusterInformation;
  readonly filters: readonly BGPFilter[];
  readonly peers: readonly BGPPeer[];
};

/** A node tells its leaf of its own blocks only. What it learned from the mesh it must keep to itself: the leaf would
 *  hear of every block from every node of the rack, with the same AS path, and send packets in circles. */
const ownBlocksOnly = 'own-blocks-only';
/** On every BGPPeer that a design made, so that the next one can take it away. */
export const designLabel = 'lab-design';

const apiVersion = 'projectcalico.org/v3';

export function clusterObjects(topology: Topology, mode: ModeName = 'bgp'): ClusterObjects {
  const pool = (name: string, cidr: string, blockSize: number): IPPool => ({
    apiVersion,
    kind: 'IPPool',
    metadata: { name },
    spec: {
      cidr,
      blockSize,
      ...poolModes(mode, cidr),
      natOutgoing: true,
      nodeSelector: 'all()',
      allowedUses: ['Workload', 'Tunnel'],
    },
  });
  return {
    // Another network has addresses of its own.
    pools:
      topology.backend === 'none'
        ? []
        : [
            pool('default-ipv4-ippool', '192.168.0.0/16', 26),
            ...(topology.dualStack ? [pool('default-ipv6-ippool', 'fd00:192:168::/48', 122)] : []),
          ],
    bgpConfiguration: {
      apiVersion,
      kind: 'BGPConfiguration',
      metadata: { name: 'default' },
      spec: {
        asNumber: topology.nodeAsNumber,
        nodeToNodeMeshEnabled: topology.mesh,
        logSeverityScreen: 'Info',
      },
    },
    felixConfiguration: { apiVersion, kind: 'FelixConfiguration', metadata: { name: 'default' }, spec: {} },
    clusterInformation: {
      apiVersion,
      kind: 'ClusterInformation',
      metadata: { name: 'default' },
      spec: {
        datastoreReady: true,
        clusterType: topology.backend === 'bird' ? 'k8s,bgp,margay' : 'k8s,margay',
      },
    },
    filters: !topology.peers.some((p) => p.ownBlocksOnly)
      ? []
      : [
          {
            apiVersion,
            kind: 'BGPFilter',
            metadata: { name: ownBlocksOnly },
            spec: {
              exportV4: [{ action: 'Reject', source: 'RemotePeers' }],
              exportV6: [{ action: 'Reject', source: 'RemotePeers' }],
            },
          },
        ],
    peers: topology.peers.map(({ name, ownBlocksOnly: filtered, ...spec }) => ({
      apiVersion,
      kind: 'BGPPeer',
      metadata: { name, labels: { [designLabel]: topology.design } },
      spec: { ...spec, ...(filtered === true ? { filters: [ownBlocksOnly] } : {}) },
    })),
  };
}
