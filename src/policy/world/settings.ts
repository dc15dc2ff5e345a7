// What FelixConfigurations say about policy, for one node: `default`, then those whose selector fits the node, then
// `node.<name>` (RS-180).
import { parseNetwork } from '../../lib/ip/mod.ts';
import { protocolNumber, type FelixConfiguration } from '../../model/mod.ts';
import { matches, parseSelector } from '../../selector/mod.ts';
import type { FailsafePort, FailsafePorts } from '../steps.ts';
import type { NodeSettings, WorldNode } from './types.ts';

const tcp = 6;
const udp = 17;
const ports = (list: readonly (readonly [number, number])[]): readonly FailsafePort[] =>
  list.map(([protocol, port]) => ({ protocol, port }));

/** SSH, DHCP, BGP, etcd, Typha and the API server: what a host needs so that a wrong policy can be put right (FX-154). */
export const standardFailsafe: FailsafePorts = {
  inbound: ports([
    [tcp, 22],
    [udp, 68],
    [tcp, 179],
    [tcp, 2379],
    [tcp, 2380],
    [tcp, 5473],
    [tcp, 6443],
    [tcp, 6666],
    [tcp, 6667],
  ]),
  outbound: ports([
    [udp, 53],
    [udp, 67],
    [tcp, 179],
    [tcp, 2379],
    [tcp, 2380],
    [tcp, 5473],
    [tcp, 6443],
    [tcp, 6666],
    [tcp, 6667],
  ]),
};

export const standardSettings: NodeSettings = {
  failsafe: standardFailsafe,
  endpointToHost: 'drop',
  allowsForeignSources: false,
  allowsVxlanFromWorkloads: false,
  allowsIpipFromWorkloads: false,
  vxlanPort: 4789,
  dropsInvalidConnections: true,
};

type Spec = FelixConfiguration['spec'];

/** The settings of a node; of one that is not known by what is for all nodes. */
export function settingsOf(
  configurations: readonly FelixConfiguration[],
  name: string,
  node: WorldNode | undefined,
): NodeSettings {
  const named = (wanted: string) => configurations.filter(({ metadata }) => metadata.name === wanted);
  const selected = configurations
    .filter(({ spec }) => {
      const selector = spec.nodeSelector ? parseSelector(spec.nodeSelector) : undefined;
      return selector?.ok === true && node !== undefined && matches(selector.value, node.labels);
    })
    .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const spec: Spec = Object.assign(
    {},
    ...[...named('default'), ...selected, ...named(`node.${name}`)].map((configuration) =>
      withoutAbsent(configuration.spec),
    ),
  );
  const word = spec.defaultEndpointToHostAction?.toLowerCase();
  return {
    failsafe: {
      inbound: failsafeOf(spec.failsafeInboundHostPorts) ?? standardFailsafe.inbound,
      outbound: failsafeOf(spec.failsafeOutboundHostPorts) ?? standardFailsafe.outbound,
    },
    endpointToHost: word === 'accept' || word === 'return' ? word : 'drop',
    allowsForeignSources: spec.workloadSourceSpoofing?.toLowerCase() === 'any',
    allowsVxlanFromWorkloads: spec.allowVXLANPacketsFromWorkloads === true,
    allowsIpipFromWorkloads: spec.allowIPIPPacketsFromWorkloads === true,
    vxlanPort: spec.vxlanPort || standardSettings.vxlanPort,
    dropsInvalidConnections: spec.disableConntrackInvalidCheck !== true,
  };
}

const withoutAbsent = (spec: Spec): object =>
  Object.fromEntries(Object.entries(spec).filter(([, value]) => value !== undefined && value !== null));

/** An empty list is a choice: nothing is kept open. */
const failsafeOf = (list: Spec['failsafeInboundHostPorts']): readonly FailsafePort[] | undefined =>
  list?.flatMap(({ protocol, port, net }): readonly FailsafePort[] => {
    const number = protocolNumber(protocol ?? tcp);
    const network = net ? parseNetwork(net) : undefined;
    // An entry that cannot be made out keeps nothing open.
    if (number === undefined || network?.ok === false) return [];
    return [{ protocol: number, port, ...(network === undefined ? {} : { net: network.value }) }];
  });
