// The BGP sessions of all machines, asked of each speaker over its socket.
import { askInside } from '../inside.ts';
import { sessionCount, type Topology } from '../topology/mod.ts';
import type { LabRecord, MachineStatus } from '../types.ts';

export type SessionRow = {
  readonly machine: string;
  readonly as: string;
  readonly peer: string;
  readonly peerAs: string;
  readonly kind: string;
  readonly state: string;
  readonly established: boolean;
  readonly routes: string;
};

const speakerSocket = '/run/calico/bgp.sock';

/** What the speaker answers to {"op":"peers"}, as far as it is shown here. */
type Peer = {
  readonly name?: string;
  readonly kind?: string;
  readonly address: string;
  readonly as?: number;
  readonly localAs?: number;
  readonly state: string;
  readonly reasonText?: string;
  readonly routes?: { readonly received?: number; readonly accepted?: number; readonly best?: number };
};
type PeersAnswer = { readonly ok: boolean; readonly result?: readonly Peer[] };

/** One row per session and side, and one per machine that speaks but does not answer. */
export async function bgpSessions(
  record: LabRecord,
  topology: Topology,
  machines: readonly MachineStatus[],
): Promise<readonly SessionRow[]> {
  if (topology.backend !== 'bird') return [];
  const rows: SessionRow[] = [];
  for (const machine of machines) {
    const plan = topology.machines.find((m) => m.name === machine.name);
    if (plan === undefined || (plan.role !== 'node' && plan.bgp === undefined)) continue;
    const answer = await askInside<PeersAnswer>(record, machine, speakerSocket, { op: 'peers' });
    const peers = answer?.result;
    const expected = sessionCount(topology, machine.name);
    if (peers === undefined || peers.length < expected)
      rows.push({
        machine: machine.name,
        as: '',
        peer: '',
        peerAs: '',
        kind: '',
        state:
          peers === undefined ? 'the speaker does not answer' : `${peers.length} of ${expected} peers known`,
        established: false,
        routes: '',
      });
    for (const peer of peers ?? [])
      rows.push({
        machine: machine.name,
        as: String(peer.localAs ?? ''),
        peer: nameOf(machines, peer.address),
        peerAs: String(peer.as ?? ''),
        kind: peer.kind ?? '',
        state: peer.state + (peer.reasonText === undefined ? '' : `: ${peer.reasonText}`),
        established: peer.state === 'Established',
        routes: routesOf(peer),
      });
  }
  return rows;
}

const nameOf = (machines: readonly MachineStatus[], address: string): string => {
  const owner = machines.find((m) => m.addresses.some((a) => a.split('/')[0] === address));
  return owner === undefined ? address : `${owner.name} ${address}`;
};

const routesOf = (peer: Peer): string => {
  const { received, accepted } = peer.routes ?? {};
  return received === undefined ? '' : `${accepted ?? received} of ${received}`;
};
