// `margay bgp peers`: the sessions of every node, and why one is down.
import type { PeerStatus } from '../../bgp/speaker/mod.ts';
import { textFlag, verb } from '../calicoctl/program.ts';
import { askFlags, type NodeAnswer } from './ask.ts';
import { askAndPrint, columns } from './run.ts';

export const command = verb(
  {
    name: 'bgp peers',
    summary:
      'Show the BGP sessions of every node. A peer that is down says why: unreachable, refused, AS mismatch, password, hold timer, TTL.',
    flags: [...askFlags, { flags: '--node <name>', description: 'of this node only' }],
    examples: ['bgp peers', 'bgp peers --node worker1', 'bgp peers --local'],
    notes:
      'Nodes are asked through a CalicoNodeStatus that exists as long as the question takes; --local asks over a socket.',
  },
  ({ flags }) => {
    const node = textFlag(flags, 'node');
    return askAndPrint<readonly PeerStatus[]>(flags, {
      question: { op: 'peers' },
      ...(node === undefined ? {} : { node }),
      prefersLocal: false,
      text: peersText,
    });
  },
);

const kinds: Readonly<Record<PeerStatus['kind'], string>> = {
  'node-mesh': 'mesh',
  'global-peer': 'global',
  'node-peer': 'node',
  'local-workload': 'workload',
  static: 'static',
  dynamic: 'dynamic',
};

export function peersText(answers: readonly NodeAnswer<readonly PeerStatus[]>[]): string {
  const rows = answers.flatMap(rowsOf);
  const up = rows.filter((row) => row[4] === 'Established').length;
  const sessions = rows.filter((row) => row[1] !== '-').length;
  return `${columns([['NODE', 'PEER', 'AS', 'TYPE', 'STATE', 'SINCE', 'ROUTES IN/OUT', 'WHY'], ...rows])}\n${up} of ${sessions} ends of sessions are established.\n`;
}

function rowsOf({ node, answer, status }: NodeAnswer<readonly PeerStatus[]>): string[][] {
  if (answer.ok) {
    if (answer.value.length === 0) return [[node, '-', '-', '-', '-', '-', '-', 'no peers are configured']];
    return answer.value.map((peer) => [
      node,
      peer.port === 179 ? peer.address : `${peer.address} port ${peer.port}`,
      String(peer.as ?? 'any'),
      kinds[peer.kind],
      peer.state,
      peer.since.replace(/\.\d+Z$/, 'Z'),
      `${peer.routes.accepted}/${peer.routes.announced}`,
      peer.reasonText ?? '',
    ]);
  }
  const { bgp } = status ?? {};
  // All that a node of Calico proper says.
  const known = [...(bgp?.peersV4 ?? []), ...(bgp?.peersV6 ?? [])].map((peer) => [
    node,
    peer.peerIP ?? '',
    '',
    peer.type ?? '',
    peer.state ?? '',
    peer.since ?? '',
    '',
    '',
  ]);
  return known.length > 0 ? known : [[node, '-', '-', '-', '-', '-', '-', answer.error.message]];
}
