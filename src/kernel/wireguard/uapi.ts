// What wireguard-go understands and says on its socket: lines of `key=value`, an empty line at the end. Pure.
//
//   set=1                              get=1
//   private_key=<hex>                  private_key=<hex>
//   listen_port=51820                  listen_port=51820
//   public_key=<hex of a peer>         public_key=<hex>        begins a peer
//   remove=true | endpoint=A:P …       endpoint=A:P …
//   allowed_ip=10.0.0.0/26             allowed_ip=10.0.0.0/26
//                                      errno=0                 the last line of every answer
import { familyOf, parseAddress, parsePrefix, type Prefix } from '../../lib/ip/mod.ts';
import { isNoKey, keyFromHex, keyToHex } from './keys.ts';
import type { WireGuardChange, WireGuardDevice, WireGuardEndpoint, WireGuardPeer } from './types.ts';

export const uapiGet = 'get=1\n\n';

export function uapiSet({ privateKey, port, mark, peers = [] }: WireGuardChange): string {
  const lines = ['set=1'];
  if (privateKey !== undefined) lines.push(`private_key=${keyToHex(privateKey)}`);
  if (port !== undefined) lines.push(`listen_port=${port}`);
  if (mark !== undefined) lines.push(`fwmark=${mark}`);
  for (const peer of peers) {
    lines.push(`public_key=${keyToHex(peer.publicKey)}`);
    if (peer.op === 'remove') {
      lines.push('remove=true');
      continue;
    }
    if (peer.endpoint !== undefined) lines.push(`endpoint=${endpointText(peer.endpoint)}`);
    if (peer.keepaliveSeconds !== undefined)
      lines.push(`persistent_keepalive_interval=${peer.keepaliveSeconds}`);
    if (peer.allowed === undefined) continue;
    lines.push('replace_allowed_ips=true', ...peer.allowed.map((prefix) => `allowed_ip=${prefix}`));
  }
  return `${lines.join('\n')}\n\n`;
}

const endpointText = ({ address, port }: WireGuardEndpoint): string =>
  familyOf(address) === 6 ? `[${address}]:${port}` : `${address}:${port}`;

/** `errno` is the kernel's number, positive; undefined when the answer is cut short. */
export function uapiErrno(answer: string): number | undefined {
  const text = /(?:^|\n)errno=(-?\d+)\n/.exec(answer)?.[1];
  return text === undefined ? undefined : Math.abs(Number(text));
}

export function parseUapi(name: string, answer: string): WireGuardDevice {
  let privateKey: string | undefined;
  let port = 0;
  let mark = 0;
  type Building = { -readonly [K in keyof WireGuardPeer]: WireGuardPeer[K] } & { allowed: Prefix[] };
  const peers: Building[] = [];
  for (const line of answer.split('\n')) {
    const at = line.indexOf('=');
    const [key, value] = [line.slice(0, at), line.slice(at + 1)];
    const peer = peers.at(-1);
    if (key === 'private_key') privateKey = keyFromHex(value);
    else if (key === 'listen_port') port = Number(value);
    else if (key === 'fwmark') mark = Number(value);
    else if (key === 'public_key')
      peers.push({
        publicKey: keyFromHex(value),
        keepaliveSeconds: 0,
        allowed: [],
        receivedBytes: 0,
        sentBytes: 0,
        lastHandshake: 0,
      });
    else if (peer === undefined) continue;
    else if (key === 'endpoint') {
      const endpoint = parseEndpoint(value);
      if (endpoint !== undefined) peer.endpoint = endpoint;
    } else if (key === 'persistent_keepalive_interval') peer.keepaliveSeconds = Number(value);
    else if (key === 'rx_bytes') peer.receivedBytes = Number(value);
    else if (key === 'tx_bytes') peer.sentBytes = Number(value);
    else if (key === 'last_handshake_time_sec') peer.lastHandshake = Number(value);
    else if (key === 'allowed_ip') {
      const prefix = parsePrefix(value);
      if (prefix.ok) peer.allowed.push(prefix.value);
    }
  }
  return {
    name,
    driver: 'userspace',
    ...(privateKey === undefined || isNoKey(privateKey) ? {} : { privateKey }),
    port,
    mark,
    peers: peers.map((peer) => ({ ...peer, allowed: peer.allowed.toSorted() })),
  };
}

function parseEndpoint(text: string): WireGuardEndpoint | undefined {
  const [, v6, v4, port] = /^(?:\[(.*)\]|(.*)):(\d+)$/.exec(text) ?? [];
  const address = parseAddress(v6 ?? v4 ?? '');
  return address.ok ? { address: address.value, port: Number(port) } : undefined;
}
