// WireGuard devices of a fake kernel, which has them as links of its own.
import { err, ok, type Result } from '../../lib/result.ts';
import { errno, kernelError } from '../errors.ts';
import type { KernelError, Outcome } from '../types.ts';
import type { WireGuardChange, WireGuardDevice, WireGuardPeer, WireGuards } from '../wireguard/types.ts';
import type { FakeNamespace, Fault } from './namespace.ts';

export type FakeWireGuardOptions = {
  readonly ns: FakeNamespace;
  readonly isPossible: () => boolean;
  readonly outcome: (operation: string, subject: string, run: () => Fault) => Outcome;
  readonly read: <T>(operation: string, subject: string, run: () => T) => Result<T, KernelError>;
};

export function fakeWireGuards({ ns, isPossible, outcome, read }: FakeWireGuardOptions): WireGuards {
  const driver = (): Result<'kernel', KernelError> =>
    isPossible() ? ok('kernel') : err(kernelError('find WireGuard', errno.EOPNOTSUPP));
  return {
    driver: async () => driver(),
    create: async (name, mtu) => {
      const kind = driver();
      if (!kind.ok) return kind;
      const made = outcome('wireguard.create', name, () => {
        if (ns.linkNamed(name) !== undefined) return { errno: errno.EEXIST };
        const link = ns.addLink({ name, kind: 'wireguard', up: false, mtu, group: 0 });
        ns.wireguards.set(link.index, { name, driver: 'kernel', port: 0, mark: 0, peers: [] });
        ns.refresh(link);
        return undefined;
      });
      return made.ok ? kind : made;
    },
    read: async (name) =>
      read('wireguard.read', name, () => {
        const link = ns.linkNamed(name);
        return link === undefined ? undefined : ns.wireguards.get(link.index);
      }),
    configure: async (name, change) =>
      outcome('wireguard.configure', name, () => {
        const link = ns.linkNamed(name);
        const device = link === undefined ? undefined : ns.wireguards.get(link.index);
        if (link === undefined || device === undefined) return { errno: errno.ENODEV };
        ns.wireguards.set(link.index, changed(device, change));
        return undefined;
      }),
  };
}

function changed(device: WireGuardDevice, { peers = [], ...own }: WireGuardChange): WireGuardDevice {
  const all = new Map(device.peers.map((peer) => [peer.publicKey, peer]));
  for (const change of peers) {
    const before = all.get(change.publicKey);
    if (change.op === 'remove') {
      all.delete(change.publicKey);
      continue;
    }
    const { op: _op, ...wanted } = change;
    const after: WireGuardPeer = {
      keepaliveSeconds: 0,
      allowed: [],
      receivedBytes: 0,
      sentBytes: 0,
      lastHandshake: 0,
      ...before,
      ...wanted,
    };
    // One prefix belongs to one peer.
    for (const [key, peer] of all)
      if (key !== change.publicKey)
        all.set(key, { ...peer, allowed: peer.allowed.filter((prefix) => !after.allowed.includes(prefix)) });
    all.set(change.publicKey, { ...after, allowed: after.allowed.toSorted() });
  }
  return { ...device, ...own, peers: [...all.values()] };
}
