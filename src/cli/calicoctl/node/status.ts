// `node status`: whether Calico runs here, and its BGP sessions as a table (CT-040, SR-203).
import { connect } from 'node:net';
import type { PeerStatus } from '../../../bgp/speaker/mod.ts';
import { ok } from '../../../lib/result.ts';
import { askSocket } from '../../bgp/ask.ts';
import { boxedTable } from '../output/table.ts';
import { fail, print, printLine, textFlag, verb } from '../program.ts';

const timeoutMs = 3_000;

export const command = verb(
  {
    name: 'node status',
    summary: 'Show whether Calico runs on this node, and its BGP sessions.',
    flags: [
      {
        flags: '--socket <path>',
        description: 'where the BGP speaker answers',
        default: '/var/run/calico/bgp.sock',
      },
      {
        flags: '--agent-socket <path>',
        description: 'where the agent answers',
        default: '/var/run/calico/cni.sock',
      },
    ],
  },
  async ({ flags }) => {
    const socket = textFlag(flags, 'socket') ?? '';
    const [hasAgent, peers] = await Promise.all([
      isListening(textFlag(flags, 'agentSocket') ?? ''),
      askSocket<readonly PeerStatus[]>(socket, { op: 'peers' }, timeoutMs),
    ]);
    const isDenied = !peers.ok && peers.error.code === 'Denied';
    if (isDenied) return fail('Need super user privileges: Operation not permitted');
    if (!hasAgent && !peers.ok && peers.error.code === 'NotRunning')
      return fail('Calico process is not running.');
    printLine('Calico process is running.');
    if (!peers.ok) {
      printLine(
        peers.error.code === 'NotRunning'
          ? '\nThe BGP speaker is not running.\n'
          : `\n${peers.error.message}\n`,
      );
      return ok(undefined);
    }
    for (const family of [4, 6] as const) {
      printLine(`\nIPv${family} BGP status`);
      const ofFamily = peers.value.filter(({ address }) => address.includes(':') === (family === 6));
      if (ofFamily.length === 0) printLine(`No IPv${family} peers found.`);
      else print(peerTable(ofFamily, new Date()));
    }
    printLine();
    return ok(undefined);
  },
);

const types: Readonly<Record<string, string>> = {
  'node-mesh': 'node-to-node mesh',
  'global-peer': 'global',
  'node-peer': 'node specific',
  'local-workload': 'local workload',
};

export function peerTable(peers: readonly PeerStatus[], now: Date): string {
  const rows = peers.map((peer) => {
    const isUp = peer.state === 'Established';
    // As BIRD says it: a session is up, or starts, or is down for good.
    const state = isUp ? 'up' : peer.state === 'Idle' ? 'down' : 'start';
    const why = isUp || peer.reasonText === undefined ? '' : ` ${peer.reasonText}`;
    return [
      peer.address,
      types[peer.kind] ?? peer.kind,
      state,
      sinceText(peer.since, now),
      `${peer.state}${why}`,
    ];
  });
  return boxedTable(['PEER ADDRESS', 'PEER TYPE', 'STATE', 'SINCE', 'INFO'], rows);
}

/** The time of today, the date of earlier days. */
export function sinceText(since: string, now: Date): string {
  const at = new Date(since);
  if (Number.isNaN(at.getTime())) return since;
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = (date: Date): string =>
    `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return day(at) === day(now)
    ? `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
    : day(at);
}

function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
