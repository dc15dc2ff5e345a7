// The table of WireGuard devices and their peers. A device keeps its private key as long as it is; one that is made anew gets
// the key again that this process knows of it, so that others need not learn another.
import { familyOf, type Address } from '../../../lib/ip/mod.ts';
import { err, failure, ok, type Failure, type Result } from '../../../lib/result.ts';
import {
  newPrivateKey,
  type Kernel,
  type Link,
  type LinkAddress,
  type WireGuardDevice,
  type WireGuardKey,
  type WireGuardPeer,
  type WireGuardPeerChange,
} from '../../../kernel/mod.ts';
import type { Change, Operations } from '../types.ts';
import type { WireGuardRow } from './types.ts';

type DeviceRow = Extract<WireGuardRow, { readonly type: 'device' }>;
type PeerRow = Extract<WireGuardRow, { readonly type: 'peer' }>;

export type ActualWireGuard =
  | {
      readonly type: 'device';
      readonly link: Link;
      /** Absent when nobody serves it. */
      readonly device?: WireGuardDevice;
      readonly addresses: readonly LinkAddress[];
    }
  | { readonly type: 'peer'; readonly device: string; readonly peer: WireGuardPeer };

export const deviceKey = (name: string): string => `device ${name}`;
export const wireguardKey = (row: WireGuardRow): string =>
  row.type === 'device' ? deviceKey(row.name) : `peer ${row.device} ${row.publicKey}`;

/** Long enough to be none that somebody else wants; it stands for a moment only. */
const wakingSeconds = 60;

export type DeviceOptions = {
  readonly kernel: Kernel;
  /** Names that devices of ours may have. */
  readonly names: () => readonly string[];
  /** A key that an earlier run of the agent gave to a device of the name. */
  readonly rememberedKey: (name: string) => WireGuardKey | undefined;
  /** What a device became, or why it is not. */
  readonly onDevice: (name: string, found: Result<WireGuardDevice | undefined, Failure>) => void;
};

export function wireguardOperations({
  kernel,
  names,
  rememberedKey,
  onDevice,
}: DeviceOptions): Operations<WireGuardRow, ActualWireGuard> {
  const keys = new Map<string, WireGuardKey>();

  const read = async (
    name: string,
  ): Promise<Result<Extract<ActualWireGuard, { type: 'device' }> | undefined>> => {
    const [link, device, addresses] = await Promise.all([
      kernel.links.get(name),
      kernel.wireguard.read(name),
      kernel.addresses.list(),
    ]);
    if (!link.ok) return link;
    if (!device.ok) return device;
    if (!addresses.ok) return addresses;
    if (link.value === undefined) return ok(undefined);
    const { index } = link.value;
    const own = addresses.value.filter((a) => a.linkIndex === index && a.scope !== 'link');
    const key = device.value?.privateKey;
    if (key !== undefined) keys.set(name, key);
    return ok({
      type: 'device',
      link: link.value,
      addresses: own,
      ...(device.value === undefined ? {} : { device: device.value }),
    });
  };

  /** A link of another kind under the name is somebody's. */
  const isForeign = (link: Link): boolean => link.kind !== 'wireguard' && link.kind !== 'tun';

  const putDevice = async (row: DeviceRow): Promise<Result<ActualWireGuard | undefined>> => {
    const { name, mtu, port, mark } = row;
    let found = await read(name);
    if (!found.ok) return found;
    if (found.value !== undefined && isForeign(found.value.link))
      return err(failure('NameTaken', `A link called ${name} is there, and it is no WireGuard.`));
    if (found.value !== undefined && found.value.device === undefined) {
      await kernel.links.delete([found.value.link.index]);
      found = ok(undefined);
    }
    if (found.value === undefined) {
      const created = await kernel.wireguard.create(name, mtu);
      if (!created.ok) return created;
      found = await read(name);
      if (!found.ok) return found;
    }
    const actual = found.value;
    if (actual?.device === undefined) return err(failure('NoDevice', `${name} was made and is not there.`));
    const { link, device } = actual;
    const privateKey = keys.get(name) ?? rememberedKey(name) ?? newPrivateKey();
    const change = {
      ...(device.privateKey === undefined ? { privateKey } : {}),
      ...(device.port === port ? {} : { port }),
      ...(device.mark === mark ? {} : { mark }),
    };
    if (Object.keys(change).length > 0) {
      const configured = await kernel.wireguard.configure(name, change);
      if (!configured.ok) return configured;
    }
    const linkChange = { ...(link.mtu === mtu ? {} : { mtu }), ...(link.up ? {} : { up: true }) };
    if (Object.keys(linkChange).length > 0) {
      const changed = await kernel.links.change(link.index, linkChange);
      if (!changed.ok) return changed;
    }
    const addressed = await setAddress(row.address, link.index, actual.addresses);
    return addressed.ok ? read(name) : addressed;
  };

  const setAddress = async (
    address: Address | undefined,
    linkIndex: number,
    present: readonly LinkAddress[],
  ): Promise<Result<void>> => {
    const isWanted = (a: LinkAddress): boolean => a.address === address && a.length === hostLength(a.address);
    const outcomes = await kernel.addresses.apply([
      ...(address === undefined || present.some(isWanted)
        ? []
        : [{ op: 'add' as const, address: newAddress(address, linkIndex) }]),
      ...present.filter((a) => !isWanted(a)).map((a) => ({ op: 'delete' as const, address: a })),
    ]);
    return outcomes.find((outcome) => !outcome.ok) ?? ok(undefined);
  };

  type PeerChange = Change<PeerRow, Extract<ActualWireGuard, { type: 'peer' }>>;
  /** All peers of a device in one go. */
  const changePeers = async (
    device: string,
    changes: readonly PeerChange[],
  ): Promise<Result<ActualWireGuard | undefined>[]> => {
    const peers = changes.map(
      (change): WireGuardPeerChange =>
        change.op === 'remove'
          ? { op: 'remove', publicKey: change.actual.peer.publicKey }
          : {
              op: 'put',
              publicKey: change.row.publicKey,
              endpoint: change.row.endpoint,
              keepaliveSeconds: change.actual === undefined ? wakingSeconds : change.row.keepaliveSeconds,
              allowed: change.row.allowed,
            },
    );
    let done = await kernel.wireguard.configure(device, { peers });
    // A keepalive that begins is sent at once: who adds the other last makes the connection, and nobody waits for a packet
    // that was lost because only one of the two knew the other yet.
    const woken = changes.flatMap((change): WireGuardPeerChange[] =>
      change.op === 'put' && change.actual === undefined && change.row.keepaliveSeconds !== wakingSeconds
        ? [{ op: 'put', publicKey: change.row.publicKey, keepaliveSeconds: change.row.keepaliveSeconds }]
        : [],
    );
    if (done.ok && woken.length > 0) done = await kernel.wireguard.configure(device, { peers: woken });
    return changes.map((change) => {
      if (change.op === 'remove') return done.ok || done.error.code === 'NoSuchObject' ? ok(undefined) : done;
      if (!done.ok) return done;
      const { publicKey, endpoint, keepaliveSeconds, allowed } = change.row;
      const counted = { receivedBytes: 0, sentBytes: 0, lastHandshake: 0 };
      return ok({
        type: 'peer',
        device,
        peer: { ...counted, publicKey, endpoint, keepaliveSeconds, allowed },
      });
    });
  };

  const applyDevice = async (
    change: Change<WireGuardRow, ActualWireGuard>,
  ): Promise<Result<ActualWireGuard | undefined>> => {
    if (change.op === 'put' && change.row.type === 'device') {
      const put = await putDevice(change.row);
      onDevice(change.row.name, put.ok ? ok(deviceOf(put.value)) : put);
      return put;
    }
    if (change.op === 'remove' && change.actual.type === 'device') {
      const { link } = change.actual;
      const [gone] = await kernel.links.delete([link.index]);
      keys.delete(link.name);
      onDevice(link.name, ok(undefined));
      return gone === undefined || gone.ok ? ok(undefined) : gone;
    }
    return ok(undefined);
  };

  return {
    name: 'wireguard',
    keyOf: wireguardKey,

    async dump() {
      const found = new Map<string, ActualWireGuard>();
      for (const name of names()) {
        const actual = await read(name);
        if (!actual.ok) return actual;
        onDevice(name, ok(actual.value?.device));
        if (actual.value === undefined || isForeign(actual.value.link)) continue;
        found.set(deviceKey(name), actual.value);
        for (const peer of actual.value.device?.peers ?? [])
          found.set(`peer ${name} ${peer.publicKey}`, { type: 'peer', device: name, peer });
      }
      return ok(found);
    },

    equal(row, actual) {
      if (row.type === 'peer') {
        if (actual.type !== 'peer') return false;
        const { peer } = actual;
        return (
          peer.endpoint?.address === row.endpoint.address &&
          peer.endpoint.port === row.endpoint.port &&
          peer.keepaliveSeconds === row.keepaliveSeconds &&
          peer.allowed.join() === row.allowed.join()
        );
      }
      if (actual.type !== 'device' || actual.device === undefined) return false;
      const { link, device, addresses } = actual;
      return (
        link.up &&
        link.mtu === row.mtu &&
        device.privateKey !== undefined &&
        device.port === row.port &&
        device.mark === row.mark &&
        addresses.length === (row.address === undefined ? 0 : 1) &&
        addresses.every((a) => a.address === row.address)
      );
    },

    /** Under our names, of the kinds that we make. */
    orphan: (_key, actual) => (actual.type === 'device' && isForeign(actual.link) ? 'leave' : 'remove'),

    async apply(changes) {
      const results = new Map<string, Result<ActualWireGuard | undefined>>();
      const isOfPeer = (change: (typeof changes)[number]): change is PeerChange =>
        change.op === 'put' ? change.row.type === 'peer' : change.actual.type === 'peer';
      for (const change of changes) if (!isOfPeer(change)) results.set(change.key, await applyDevice(change));
      const byDevice = Map.groupBy(changes.filter(isOfPeer), (change) =>
        change.op === 'put' ? change.row.device : change.actual.device,
      );
      for (const [device, peers] of byDevice) {
        const done = await changePeers(device, peers);
        for (const [i, change] of peers.entries()) results.set(change.key, done[i] ?? ok(undefined));
      }
      return changes.map(({ key }) => results.get(key) ?? ok(undefined));
    },
  };
}

const deviceOf = (actual: ActualWireGuard | undefined): WireGuardDevice | undefined =>
  actual?.type === 'device' ? actual.device : undefined;

const hostLength = (address: Address): number => (familyOf(address) === 4 ? 32 : 128);

const newAddress = (address: Address, linkIndex: number): LinkAddress => ({
  address,
  length: hostLength(address),
  linkIndex,
  scope: 'global',
  ...(familyOf(address) === 6 ? { noDad: true } : {}),
});
