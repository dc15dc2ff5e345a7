// The three routes of which each beats the next (see compare.ts), in the order that misleads BIRD.
import type { Announced, Scenario } from './random-plan.ts';
import { node, peers } from './random-plan.ts';

const prefix = '192.0.2.0/24';
const of = (name: string, asns: readonly number[], med?: number): Announced => {
  const peer = peers.find((p) => p.name === name);
  if (peer === undefined) throw new Error(`no peer ${name}`);
  return {
    prefix,
    attributes: {
      origin: 0,
      asPath: [{ type: 'sequence', asns }],
      nextHop: peer.address,
      ...(med === undefined ? {} : { med }),
      ...(peer.as === node.as ? { localPref: 100 } : {}),
    },
  };
};
const a = of('e1', [65001, 65010], 5);
const b = of('e2', [65002, 65010]);
const c = of('n2', [65001, 65011]);

const input: Scenario['input'] = {
  nodeName: 'n1',
  nodes: [
    { metadata: { name: 'n1' }, spec: { bgp: { ipv4Address: '10.9.0.1/24' } } },
    { metadata: { name: 'n2' }, spec: { bgp: { ipv4Address: '10.9.0.12/24' } } },
  ],
  bgpConfigurations: [],
  bgpPeers: [
    { metadata: { name: 'e1' }, spec: { peerIP: '10.9.0.21', asNumber: 65001 } },
    { metadata: { name: 'e2' }, spec: { peerIP: '10.9.0.22', asNumber: 65002 } },
  ],
  bgpFilters: [],
  ipPools: [],
  blockAffinities: [],
  services: [],
  endpointSlices: [],
};
const scenario = (announced: Scenario['announced']): Scenario => ({ input, announced, kernel: [] });

const [viaA, viaB, viaC] = ['10.9.0.21 dev eth0', '10.9.0.22 dev eth0', '10.9.0.12 dev eth0'] as const;

/** One after the other, and through whom each engine then sends. */
export const orderScenarios: readonly {
  readonly scenario: Scenario;
  readonly ours: string;
  readonly birds: string;
}[] = [
  { scenario: scenario({ e2: [b] }), ours: viaB, birds: viaB },
  { scenario: scenario({ e2: [b], n2: [c] }), ours: viaB, birds: viaB },
  // A is beaten by C and out of it; for BIRD it is as good as B.
  { scenario: scenario({ e1: [a], e2: [b], n2: [c] }), ours: viaB, birds: `${viaA} + ${viaB}` },
  { scenario: scenario({ e1: [a], n2: [c] }), ours: viaC, birds: viaA },
];
