// N nodes on one bridge: one subnet, no routers but route reflectors. The bridge lives in a namespace of its own, as a
// switch would.
import { expect } from '../../lib/result.ts';
import { parseInterfaceAddress } from '../../lib/ip/mod.ts';
import { bridge, port } from './interfaces.ts';
import type { Cable, Fabric, Machine } from './types.ts';

/** 10.0.0.11 … 10.0.0.250. */
export const maxFlatNodes = 240;

export function flatFabric(options: {
  readonly nodes: number;
  readonly dualStack: boolean;
  readonly withReflectors: boolean;
}): Fabric {
  const { dualStack } = options;
  const machine = (name: string, role: Machine['role'], host: number): Machine => ({
    name,
    role,
    interfaces: [
      port(
        'eth0',
        [`10.0.0.${host}/24`, ...(dualStack ? [`fd00:10::${host}/64`] : [])].map((text) =>
          expect(parseInterfaceAddress(text), 'address'),
        ),
      ),
    ],
    routes: [],
  });
  const nodes = Array.from({ length: options.nodes }, (_, i) =>
    machine(i === 0 ? 'master1' : `worker${i}`, 'node', 11 + i),
  );
  const reflectors = options.withReflectors
    ? [machine('rr1', 'router', 251), machine('rr2', 'router', 252)]
    : [];
  const members = [...nodes, ...reflectors];
  return {
    name: 'flat',
    dualStack,
    machines: [
      ...members,
      {
        name: 'switch',
        role: 'switch',
        interfaces: [bridge('lan', []), ...members.map((_, i) => port(`swp${i + 1}`, [], 'lan'))],
        routes: [],
      },
    ],
    cables: members.map(
      ({ name }, i): Cable => ({
        a: { machine: 'switch', interface: `swp${i + 1}` },
        b: { machine: name, interface: 'eth0' },
      }),
    ),
    racks: [],
    reflectors: reflectors.map((r) => r.name),
  };
}
