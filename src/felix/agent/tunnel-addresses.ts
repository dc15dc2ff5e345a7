// Addresses of this node's tunnel devices: taken from the pools that tunnel, written to the Node for all others to see, and
// given back when no pool tunnels any more (RS-061). One at work at a time; what fails is tried again.
import type { Clock } from '../../lib/clock.ts';
import { containsAddress, familyOf, parseAddress, parsePrefix, type Family } from '../../lib/ip/mod.ts';
import type { Logger } from '../../lib/log.ts';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import type { Datastore } from '../../datastore/mod.ts';
import type { Ipam } from '../../ipam/mod.ts';
import type { IPPool, Node } from '../../model/mod.ts';
import { matches, parseSelector } from '../../selector/mod.ts';
import { RetriedWork } from './retried-work.ts';

type Tunnel = {
  readonly family: Family;
  /** Handle and attribute as Calico names them, so that its tools know whose the address is. */
  readonly handle: string;
  readonly type: string;
  /** Whether the node's tunnel may have its address from the pool. */
  readonly isFrom: (pool: IPPool['spec'], node: Node) => boolean;
  readonly read: (spec: Node['spec']) => string | undefined;
  /** The spec with the address, or without any. */
  readonly write: (spec: Node['spec'], address: string | undefined) => Node['spec'];
};

const isOn = (mode: string | undefined): boolean => (mode ?? 'Never') !== 'Never';

type WireGuardAddresses = NonNullable<Node['spec']['wireguard']>;
/** WireGuard is no matter of pools: its address is from any, while the node has a key. */
const wireguardTunnel = (
  family: Family,
  type: string,
  handle: string,
  field: keyof WireGuardAddresses,
  key: 'wireguardPublicKey' | 'wireguardPublicKeyV6',
): Tunnel => ({
  family,
  handle,
  type,
  isFrom: (_pool, node) => (node.status?.[key] ?? '') !== '',
  read: (spec) => spec.wireguard?.[field],
  write: (spec, address) => {
    const { wireguard, ...rest } = spec;
    const { [field]: _old, ...others } = wireguard ?? {};
    const next = { ...others, ...(address === undefined ? {} : { [field]: address }) };
    return { ...rest, ...(Object.keys(next).length === 0 ? {} : { wireguard: next }) };
  },
});

const tunnels: readonly Tunnel[] = [
  {
    family: 4,
    handle: 'ipip-tunnel-addr-',
    type: 'ipipTunnelAddress',
    isFrom: (pool) => isOn(pool.ipipMode),
    read: (spec) => spec.bgp?.ipv4IPIPTunnelAddr,
    write: (spec, address) => {
      const { bgp, ...rest } = spec;
      const { ipv4IPIPTunnelAddr: _old, ...others } = bgp ?? {};
      const next = { ...others, ...(address === undefined ? {} : { ipv4IPIPTunnelAddr: address }) };
      return { ...rest, ...(Object.keys(next).length === 0 ? {} : { bgp: next }) };
    },
  },
  {
    family: 4,
    handle: 'vxlan-tunnel-addr-',
    type: 'vxlanTunnelAddress',
    isFrom: (pool) => isOn(pool.vxlanMode),
    read: (spec) => spec.ipv4VXLANTunnelAddr,
    write: (spec, address) => {
      const { ipv4VXLANTunnelAddr: _old, ...rest } = spec;
      return address === undefined ? rest : { ...rest, ipv4VXLANTunnelAddr: address };
    },
  },
  {
    family: 6,
    handle: 'vxlan-v6-tunnel-addr-',
    type: 'vxlanV6TunnelAddress',
    isFrom: (pool) => isOn(pool.vxlanMode),
    read: (spec) => spec.ipv6VXLANTunnelAddr,
    write: (spec, address) => {
      const { ipv6VXLANTunnelAddr: _old, ...rest } = spec;
      return address === undefined ? rest : { ...rest, ipv6VXLANTunnelAddr: address };
    },
  },
  wireguardTunnel(
    4,
    'wireguardTunnelAddress',
    'wireguard-tunnel-addr-',
    'interfaceIPv4Address',
    'wireguardPublicKey',
  ),
  wireguardTunnel(
    6,
    'wireguardV6TunnelAddress',
    'wireguard-v6-tunnel-addr-',
    'interfaceIPv6Address',
    'wireguardPublicKeyV6',
  ),
];

/** CIDRs of the pools a node's tunnel may take its address from. */
export function tunnelPools(
  pools: Iterable<IPPool>,
  tunnel: Pick<Tunnel, 'family' | 'isFrom'>,
  node: Node,
): string[] {
  const found: string[] = [];
  for (const { spec, metadata } of pools) {
    const cidr = parsePrefix(spec.cidr);
    if (!cidr.ok || spec.disabled === true || metadata.deletionTimestamp !== undefined) continue;
    if ((cidr.value.includes(':') ? 6 : 4) !== tunnel.family || !tunnel.isFrom(spec, node)) continue;
    if (spec.allowedUses !== undefined && !spec.allowedUses.includes('Tunnel')) continue;
    const selector = parseSelector(spec.nodeSelector ?? 'all()');
    if (selector.ok && matches(selector.value, node.metadata.labels ?? {})) found.push(cidr.value);
  }
  return found.sort();
}

/** Tunnel addresses a node lacks, and such it should no longer have, as its agent would see it. */
export function tunnelGaps(node: Node, pools: readonly IPPool[]): readonly string[] {
  return tunnels.flatMap((tunnel) => {
    const isWanted = tunnelPools(pools, tunnel, node).length > 0;
    const isThere = tunnel.read(node.spec) !== undefined;
    if (isWanted === isThere) return [];
    return [`${node.metadata.name}: its ${tunnel.type} is ${isWanted ? 'missing' : 'still there'}`];
  });
}

export type TunnelAddressOptions = {
  readonly nodeName: string;
  readonly datastore: Datastore;
  readonly ipam: Ipam;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The pools by now. */
  readonly pools: () => readonly IPPool[];
};

export class TunnelAddresses {
  readonly #options: TunnelAddressOptions;
  readonly #work: RetriedWork;

  constructor(options: TunnelAddressOptions) {
    this.#options = options;
    this.#work = new RetriedWork({
      work: () => this.#reconcile(),
      clock: options.clock,
      logger: options.logger,
      failed: 'Tunnel addresses are not as they should be, trying again',
      firstDelayMs: 200,
    });
  }

  /** Pools, or this node, may have changed. */
  check(): void {
    this.#work.ask();
  }

  async stop(): Promise<void> {
    await this.#work.stop();
  }

  async #reconcile(): Promise<Result<void, Failure>> {
    for (const tunnel of tunnels) {
      const done = await this.#reconcileTunnel(tunnel);
      if (!done.ok) return done;
    }
    return ok(undefined);
  }

  async #reconcileTunnel(tunnel: Tunnel): Promise<Result<void, Failure>> {
    const { datastore, ipam, nodeName, logger } = this.#options;
    const node = await datastore.get('Node', { name: nodeName });
    if (!node.ok) return node;
    const { spec } = node.value;
    const current = tunnel.read(spec);
    const cidrs = tunnelPools(this.#options.pools(), tunnel, node.value);
    const handleId = `${tunnel.handle}${nodeName}`;
    if (cidrs.length === 0) {
      if (current === undefined) return ok(undefined);
      // Not before nobody sends there any more.
      const cleared = await this.#write(tunnel, undefined);
      if (!cleared.ok) return cleared;
      const released = await ipam.releaseByHandle(handleId);
      logger.info('Tunnel address given back', { type: tunnel.type, address: current });
      return released.ok ? ok(undefined) : released;
    }
    if (current !== undefined && (await this.#isOurs(current, cidrs, handleId))) return ok(undefined);
    const assigned = await ipam.autoAssign({
      nodeName,
      num4: tunnel.family === 4 ? 1 : 0,
      num6: tunnel.family === 6 ? 1 : 0,
      handleId,
      attributes: { node: nodeName, type: tunnel.type },
      ...(tunnel.family === 4 ? { pools4: cidrs } : { pools6: cidrs }),
      intendedUse: 'Tunnel',
      replaceHandle: true,
    });
    if (!assigned.ok) return assigned;
    const address = (tunnel.family === 4 ? assigned.value.v4 : assigned.value.v6)[0]?.address;
    const written = await this.#write(tunnel, address);
    if (written.ok) logger.info('Tunnel address taken', { type: tunnel.type, address });
    else await ipam.releaseByHandle(handleId);
    return written;
  }

  /** In a pool that tunnels, and given to us for this by the address management. */
  async #isOurs(text: string, cidrs: readonly string[], handleId: string): Promise<boolean> {
    const address = parseAddress(text);
    if (!address.ok) return false;
    const inside = cidrs.some((cidr) => {
      const prefix = parsePrefix(cidr);
      return (
        prefix.ok &&
        familyOf(address.value) === (cidr.includes(':') ? 6 : 4) &&
        containsAddress(prefix.value, address.value)
      );
    });
    if (!inside) return false;
    const detail = await this.#options.ipam.detailOf(address.value);
    // When it cannot be read the address stays: to change it costs everybody their routes.
    return !detail.ok || detail.value?.handleId === handleId;
  }

  async #write(tunnel: Tunnel, address: string | undefined): Promise<Result<void, Failure>> {
    const { datastore, nodeName } = this.#options;
    for (let attempt = 0; attempt < 10; attempt++) {
      const node = await datastore.get('Node', { name: nodeName });
      if (!node.ok) return node;
      const updated = await datastore.update('Node', {
        ...node.value,
        spec: tunnel.write(node.value.spec, address),
      });
      if (updated.ok) return ok(undefined);
      if (updated.error.code !== 'Conflict') return updated;
    }
    return err(failure('Conflict', `Node ${nodeName} was changed by others in ten attempts in a row.`));
  }
}
