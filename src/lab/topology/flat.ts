// N nodes on one bridge: one subnet, no routers. The bridge lives in a namespace of its own, as a switch would.
import { expect } from '../../lib/result.ts';
import { parseInterfaceAddress } from '../../lib/ip/mod.ts';
import { bridge, port } from './interfaces.ts';
import type { Cable, Machine, Topology } from './types.ts';

/** 10.0.0.11 … 10.0.0.250. */
export const maxFlatNodes = 240;

export function flat(options: { nodes: number; dualStack: boolean }): Topology {
  const nodes = Array.from({ length: options.nodes }, (_, i): Machine => {
    const addresses = [`10.0.0.${11 + i}/24`, ...(options.dualStack ? [`fd00:10::${11 + i}/64`] : [])];
    return {
      name: i === 0 ? 'master1' : `worker${i}`,
      role: 'node',
      interfaces: [
        port(
          'eth0',
          addresses.map((text) => expect(parseInterfaceAddress(text), 'node address')),
        ),
      ],
      routes: [],
    };
  });
  const fabric: Machine = {
    name: 'switch',
    role: 'switch',
    interfaces: [bridge('lan', []), ...nodes.map((_, i) => port(`swp${i + 1}`, [], 'lan'))],
    routes: [],
  };
  const cables = nodes.map(
    (node, i): Cable => ({
      a: { machine: 'switch', interface: `swp${i + 1}` },
      b: { machine: node.name, interface: 'eth0' },
    }),
  );
  return {
    name: 'flat',
    dualStack: options.dualStack,
    fabricBgp: false,
    machines: [...nodes, fabric],
    cables,
    peers: [],
    nodeAsNumber: 64512,
  };
}
