// Numbers of WireGuard under Felix's names.
import type { WireGuardDevice } from '../../../kernel/mod.ts';
import type { AgentStatus } from '../types.ts';
import type { Sample } from '../../../lib/metrics.ts';

/** What went through WireGuard, by peer; how it is set stands in labels, as with Felix. */
export function wireguardSamples(
  { nodeName, encryption }: AgentStatus,
  devices: readonly WireGuardDevice[],
): Sample[] {
  return devices.flatMap(({ name, port, peers }): Sample[] => {
    const state = [encryption[4], encryption[6]].find((one) => one.state === 'on' && one.device === name);
    const meta = {
      hostname: nodeName,
      iface: name,
      listen_port: String(port),
      peer_count: String(peers.length),
      public_key: state?.state === 'on' ? state.publicKey : '',
    };
    return [
      {
        name: 'wireguard_meta',
        help: 'The device of WireGuard.',
        type: 'gauge',
        value: 1,
        labels: meta,
      },
      ...peers.flatMap((peer): Sample[] => {
        const labels = {
          hostname: nodeName,
          iface: name,
          peer_key: peer.publicKey,
          peer_endpoint: peer.endpoint === undefined ? '' : `${peer.endpoint.address}:${peer.endpoint.port}`,
        };
        const of = (about: string, type: Sample['type'], value: number, help: string): Sample => ({
          name: `wireguard_${about}`,
          help,
          type,
          value,
          labels,
        });
        return [
          of('bytes_rcvd', 'counter', peer.receivedBytes, 'Bytes received from the peer.'),
          of('bytes_sent', 'counter', peer.sentBytes, 'Bytes sent to the peer.'),
          of(
            'latest_handshake_seconds',
            'gauge',
            peer.lastHandshake,
            'When the last handshake with the peer was, in seconds since 1970; 0: never.',
          ),
        ];
      }),
    ];
  });
}
