// What a router of the fabric tells its speaker, as the file `margay speaker --plan` reads: sessions with its neighbours,
// everything accepted and passed on, everything learned written to its kernel.
import type { BgpPlan, PlanPeer } from '../../bgp/plan/mod.ts';
import type { Machine } from '../topology/mod.ts';

const acceptAll = 'accept-all';

export function routerPlan(machine: Machine): string {
  const { bgp } = machine;
  if (bgp === undefined) throw new Error(`${machine.name} speaks no BGP`);
  const addresses = machine.interfaces.flatMap((i) => i.addresses);
  const v4 = addresses.find((a) => !a.address.includes(':'));
  const v6 = addresses.find((a) => a.address.includes(':'));
  const plan: BgpPlan = {
    local: {
      nodeName: machine.name,
      as: bgp.asNumber,
      routerId: bgp.routerId,
      listen: { port: 179, addresses: addresses.map((a) => a.address) },
      addresses: { ...(v4 === undefined ? {} : { 4: v4 }), ...(v6 === undefined ? {} : { 6: v6 }) },
    },
    peers: bgp.neighbours
      .map(
        (neighbour): PlanPeer => ({
          name: `${neighbour.name}_${neighbour.address.replaceAll(/[.:]/g, '_')}`,
          type: 'nodePeer',
          address: neighbour.address,
          port: 179,
          as: neighbour.asNumber,
          localAs: bgp.asNumber,
          peerType: neighbour.asNumber === bgp.asNumber ? 'ibgp' : 'ebgp',
          family: neighbour.address.includes(':') ? 6 : 4,
          passive: false,
          nextHopMode: neighbour.keepsNextHop === true ? 'keep' : 'auto',
          ...(neighbour.rrClient === true ? { rrClient: { clusterId: bgp.routerId } } : {}),
          gracefulRestartTimeSeconds: 120,
          gracefulRestartTimeSet: false,
          allowLocalAs: 0,
          importFilters: [],
          exportFilters: [],
          importPolicy: acceptAll,
          exportPolicy: acceptAll,
          addPath: false,
        }),
      )
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
    origins: [],
    ownBlocks: [],
    staticRoutes: [],
    pools: [],
    policies: { [acceptAll]: { name: acceptAll, rules: [], otherwise: 'accept' } },
    kernelPolicy: { 4: acceptAll, 6: acceptAll },
    excludedInterfaces: [],
    normalPriority: { 4: 1024, 6: 1024 },
    logSeverity: 'Info',
  };
  return `${JSON.stringify(plan, undefined, 2)}\n`;
}
