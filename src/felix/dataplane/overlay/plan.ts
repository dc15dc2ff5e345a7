// From what is known of the cluster to what the kernel must hold for the overlay: which devices, which entries towards other
// nodes' ends, which routes (FX-077…FX-080, FX-090, FX-091). Pure and incremental: a change marks what may differ, `flush`
// works that out anew and hands out what each destination, node and device asks for.
//
//   route 10.244.1.0/26 behind b ─► pool VXLAN: via b's VTEP, on-link, vxlan.calico · IPIP: via b's address, tunl0
//                                   same subnet, or no encapsulation: via b's address, the device with our own
import {
  containsAddress,
  familyOf,
  hostPrefix,
  isSingleAddress,
  parseAddress,
  prefixAddress,
  prefixFamily,
  prefixOf,
  type Address,
  type Family,
  type Prefix,
} from '../../../lib/ip/mod.ts';
import { mainTable, routeProtocols } from '../../../kernel/mod.ts';
import {
  type NetworkRoute,
  type PolicyChange,
  programmedRoutes,
  type Vtep,
  type VtepSide,
} from '../../calc/mod.ts';
import type { KernelRouteRow } from '../routes.ts';
import { programRows } from './program-rows.ts';
import {
  type DeviceRow,
  ipipDevice,
  type OverlayChange,
  type ProgramRow,
  type RankedRoute,
  type OverlaySettings,
  type TunnelLink,
  type Underlays,
  vxlanDevice,
  vxlanV6Device,
  type VtepRow,
} from './types.ts';

/** FX-080; local workloads and blackholes have ranks of their own (felix/calc). */
const ranks = {
  vxlanSameSubnet: '7 VXLAN same subnet',
  vxlan: '6 VXLAN',
  ipipSameSubnet: '5 IPIP same subnet',
  ipip: '4 IPIP',
  noEncap: '3 no encapsulation',
} as const;

export class OverlayPlan {
  #settings: OverlaySettings | undefined;
  #underlays: Underlays = {};
  #tunnel: TunnelLink | undefined;
  readonly #routes = new Map<Prefix, NetworkRoute>();
  readonly #vteps = new Map<string, Vtep>();
  /** Addresses of this node by family, and of its tunnels; of other nodes all. */
  #localName: string | undefined;
  #own: { 4?: Address; 6?: Address } = {};
  #ipipAddress: Address | undefined;
  readonly #nodes: Readonly<Record<Family, Map<Prefix, Address>>> = { 4: new Map(), 6: new Map() };
  readonly #byNode = new Map<string, Set<Prefix>>();
  readonly #dirtyRoutes = new Set<Prefix>();
  readonly #dirtyVteps = new Set<string>();
  #wholeDirty = false;
  #devicesDirty = false;

  /** Our address in the family, as the Node says it. */
  own(family: Family): Address | undefined {
    return this.#own[family];
  }

  configure(settings: OverlaySettings): void {
    this.#settings = settings;
    this.#touchAll();
  }

  setUnderlays(underlays: Underlays): void {
    if (JSON.stringify(underlays) === JSON.stringify(this.#underlays)) return;
    this.#underlays = underlays;
    this.#touchAll();
  }

  /** tunl0 came, went or was replaced. */
  setTunnel(tunnel: TunnelLink | undefined): void {
    if (JSON.stringify(tunnel) === JSON.stringify(this.#tunnel)) return;
    this.#tunnel = tunnel;
    this.#devicesDirty = true;
  }

  take(changes: readonly PolicyChange[]): void {
    for (const change of changes) {
      if (change.type === 'route') this.#setRoute(change.route);
      else if (change.type === 'route-removed') this.#removeRoute(change.dst);
      else if (change.type === 'vtep') this.#setVtep(change.vtep.node, change.vtep);
      else if (change.type === 'vtep-removed') this.#setVtep(change.node, undefined);
    }
  }

  flush(): OverlayChange[] {
    if (this.#settings === undefined) return [];
    const changes: OverlayChange[] = [];
    const routes = this.#wholeDirty ? this.#routes.keys() : this.#dirtyRoutes;
    for (const dst of routes)
      changes.push({ table: 'routes', source: `overlay ${dst}`, rows: this.#routeRows(dst) });
    // What went while everything was marked.
    if (this.#wholeDirty)
      for (const dst of this.#dirtyRoutes)
        if (!this.#routes.has(dst)) changes.push({ table: 'routes', source: `overlay ${dst}`, rows: [] });
    const vteps = this.#wholeDirty ? new Set([...this.#vteps.keys(), ...this.#dirtyVteps]) : this.#dirtyVteps;
    for (const node of vteps)
      changes.push({ table: 'vteps', source: `vtep ${node}`, rows: this.#vtepRows(node) });
    if (this.#devicesDirty || this.#wholeDirty) {
      changes.push({ table: 'devices', source: 'overlay', rows: this.#deviceRows() });
      changes.push({ table: 'programs', source: 'overlay', rows: this.#programRows() });
    }
    this.#dirtyRoutes.clear();
    this.#dirtyVteps.clear();
    this.#wholeDirty = false;
    this.#devicesDirty = false;
    return changes;
  }

  #touchAll(): void {
    this.#wholeDirty = true;
  }

  #setRoute(route: NetworkRoute): void {
    const before = this.#routes.get(route.dst);
    if (before !== undefined && before.node !== route.node) this.#touchTunnels(before);
    this.#forget(route.dst);
    this.#routes.set(route.dst, route);
    this.#dirtyRoutes.add(route.dst);
    if (route.node !== undefined) {
      const prefixes = this.#byNode.get(route.node) ?? new Set();
      this.#byNode.set(route.node, prefixes.add(route.dst));
      this.#touchTunnels(route);
    }
    const family = prefixFamily(route.dst);
    if (route.types.includes('local-host')) {
      this.#localName = route.node;
      if (route.nodeAddress !== undefined && this.#own[family] !== route.nodeAddress) {
        this.#own[family] = route.nodeAddress;
        this.#touchAll();
      }
    }
    if (route.types.includes('local-tunnel') && route.tunnels.includes('ipip')) {
      this.#ipipAddress = prefixAddress(route.dst);
      this.#devicesDirty = true;
    }
    if (route.types.includes('remote-host')) {
      this.#nodes[family].set(route.dst, prefixAddress(route.dst));
      this.#devicesDirty = true;
    }
  }

  #removeRoute(dst: Prefix): void {
    const before = this.#routes.get(dst);
    if (before !== undefined) this.#touchTunnels(before);
    this.#forget(dst);
    this.#routes.delete(dst);
    this.#dirtyRoutes.add(dst);
  }

  /** A block that comes or goes covers, or bares, tunnel addresses of its node. */
  #touchTunnels({ dst, node = '' }: NetworkRoute): void {
    if (isSingleAddress(dst)) return;
    for (const other of this.#byNode.get(node) ?? [])
      if (isSingleAddress(other)) this.#dirtyRoutes.add(other);
  }

  /** Takes back what the destination's route told. */
  #forget(dst: Prefix): void {
    const before = this.#routes.get(dst);
    if (before?.node !== undefined) {
      const prefixes = this.#byNode.get(before.node);
      prefixes?.delete(dst);
      if (prefixes?.size === 0) this.#byNode.delete(before.node);
    }
    if (this.#nodes[prefixFamily(dst)].delete(dst)) this.#devicesDirty = true;
    if (this.#ipipAddress !== undefined && hostPrefix(this.#ipipAddress) === dst) {
      this.#ipipAddress = undefined;
      this.#devicesDirty = true;
    }
    const family = prefixFamily(dst);
    const own = this.#own[family];
    if (own !== undefined && hostPrefix(own) === dst && before?.types.includes('local-host') === true) {
      delete this.#own[family];
      this.#touchAll();
    }
  }

  #setVtep(node: string, vtep: Vtep | undefined): void {
    if (vtep === undefined) this.#vteps.delete(node);
    else this.#vteps.set(node, vtep);
    this.#dirtyVteps.add(node);
    for (const dst of this.#byNode.get(node) ?? []) this.#dirtyRoutes.add(dst);
    if (node === this.#localName || this.#localName === undefined) this.#touchAll();
  }

  // ── routes ─────────────────────────────────────────────────────────────────────────────────────────────────────────
  #routeRows(dst: Prefix): RankedRoute[] {
    const route = this.#routes.get(dst);
    if (route === undefined || this.#settings === undefined || route.localWorkload) return [];
    const tunnelEnd = route.types.includes('remote-tunnel');
    if (tunnelEnd ? this.#isCovered(route) : !route.types.includes('remote-workload')) return [];
    const { config, encapsulation } = this.#settings;
    const byUs = programmedRoutes(config.text('ProgramClusterRoutes'));
    switch (route.poolType) {
      case 'vxlan': {
        if (!(prefixFamily(dst) === 4 ? encapsulation.vxlan : encapsulation.vxlanV6)) return [];
        const direct = route.sameSubnet ? this.#direct(route) : undefined;
        if (direct !== undefined) return [{ row: direct, rank: ranks.vxlanSameSubnet }];
        const row = this.#vxlanRoute(route, tunnelEnd);
        return row === undefined ? [] : [{ row, rank: ranks.vxlan }];
      }
      case 'ipip': {
        if (!byUs.ipip || !encapsulation.ipip || prefixFamily(dst) === 6) return [];
        const direct = route.sameSubnet ? this.#direct(route) : undefined;
        if (direct !== undefined) return [{ row: direct, rank: ranks.ipipSameSubnet }];
        if (route.nodeAddress === undefined) return [];
        const target = { interfaceName: ipipDevice, gateway: route.nodeAddress, onlink: true };
        return [{ row: rowOf(dst, routeProtocols.felix, target), rank: ranks.ipip }];
      }
      case 'no-encap': {
        if (!byUs.noEncap || !this.#isNear(route)) return [];
        const direct = this.#direct(route);
        return direct === undefined ? [] : [{ row: direct, rank: ranks.noEncap }];
      }
      default:
        return [];
    }
  }

  /** A node's tunnel address is mostly from a block of its own, whose route leads there. */
  #isCovered({ dst, node }: NetworkRoute): boolean {
    const address = prefixAddress(dst);
    const longest = familyOf(address) === 4 ? 31 : 127;
    // No block is larger.
    for (let length = longest; length > longest - 12; length--) {
      const route = this.#routes.get(prefixOf(address, length));
      if (route?.types.includes('remote-workload')) return route.node === node;
    }
    return false;
  }

  #isNear({ dst, nodeAddress }: NetworkRoute): boolean {
    const underlay = this.#underlays[prefixFamily(dst)];
    return (
      underlay !== undefined && nodeAddress !== undefined && containsAddress(underlay.network, nodeAddress)
    );
  }

  /** Without a tunnel, by the device that has our address. */
  #direct({ dst, nodeAddress }: NetworkRoute): KernelRouteRow | undefined {
    const underlay = this.#underlays[prefixFamily(dst)];
    if (underlay === undefined || nodeAddress === undefined) return undefined;
    const { interfaceName } = underlay;
    return rowOf(dst, routeProtocols.felix, { interfaceName, gateway: nodeAddress, onlink: true });
  }

  #vxlanRoute({ dst, node }: NetworkRoute, tunnelEnd: boolean): KernelRouteRow | undefined {
    const family = prefixFamily(dst);
    const interfaceName = family === 4 ? vxlanDevice : vxlanV6Device;
    const gateway = addressOf(sideOf(this.#vteps.get(node ?? ''), family));
    if (gateway === undefined || this.#localSide(family) === undefined) return undefined;
    const protocol = this.#settings?.config.number('DeviceRouteProtocol') ?? routeProtocols.boot;
    // The other end itself: it has a neighbour entry of its own.
    if (tunnelEnd && gateway === prefixAddress(dst)) return rowOf(dst, protocol, { interfaceName });
    return rowOf(dst, protocol, { interfaceName, gateway, onlink: true });
  }

  // ── other nodes' ends ──────────────────────────────────────────────────────────────────────────────────────────────
  #vtepRows(node: string): VtepRow[] {
    if (node === this.#localName) return [];
    const rows: VtepRow[] = [];
    for (const family of [4, 6] as const) {
      const side = sideOf(this.#vteps.get(node), family);
      const address = addressOf(side);
      if (side === undefined || address === undefined || this.#localSide(family) === undefined) continue;
      const device = family === 4 ? vxlanDevice : vxlanV6Device;
      const mac = side.mac.toLowerCase();
      rows.push({ type: 'neighbour', device, address, mac });
      rows.push({ type: 'fdb', device, mac, remote: side.parentAddress });
    }
    return rows;
  }

  /** Our own end, while VXLAN is in use. */
  #localSide(family: Family): VtepSide | undefined {
    const { encapsulation } = this.#settings ?? {};
    if (!(family === 4 ? encapsulation?.vxlan : encapsulation?.vxlanV6)) return undefined;
    return sideOf(this.#vteps.get(this.#localName ?? ''), family);
  }

  // ── devices and programs ───────────────────────────────────────────────────────────────────────────────────────────
  #deviceRows(): DeviceRow[] {
    if (this.#settings === undefined) return [];
    const { config, mtus, encapsulation } = this.#settings;
    const rows: DeviceRow[] = [];
    for (const family of [4, 6] as const) {
      const side = this.#localSide(family);
      const address = addressOf(side);
      const underlay = this.#underlays[family];
      if (side === undefined || address === undefined || underlay === undefined) continue;
      rows.push({
        name: family === 4 ? vxlanDevice : vxlanV6Device,
        mtu: family === 4 ? mtus.vxlan : mtus.vxlanV6,
        address,
        form: {
          kind: 'vxlan',
          mac: side.mac.toLowerCase(),
          vni: config.number('VXLANVNI'),
          port: config.number('VXLANPort'),
          local: side.parentAddress,
          parent: underlay.interfaceName,
        },
      });
    }
    if (encapsulation.ipip) {
      const given = config.text('IpInIpTunnelAddr') as Address | '';
      const address = given === '' ? this.#ipipAddress : given;
      rows.push({
        name: ipipDevice,
        mtu: mtus.ipip,
        ...(address === undefined ? {} : { address }),
        form: { kind: 'ipip' },
      });
    }
    return rows;
  }

  #programRows(): ProgramRow[] {
    if (this.#settings === undefined) return [];
    return programRows({
      settings: this.#settings,
      own: this.#own,
      underlays: this.#underlays,
      nodes: { 4: [...this.#nodes[4].values()], 6: [...this.#nodes[6].values()] },
      tunnel: this.#tunnel,
    });
  }
}

const sideOf = (vtep: Vtep | undefined, family: Family): VtepSide | undefined =>
  family === 4 ? vtep?.v4 : vtep?.v6;

function addressOf(side: VtepSide | undefined): Address | undefined {
  const parsed = side === undefined ? undefined : parseAddress(side.address);
  return parsed?.ok ? parsed.value : undefined;
}

const rowOf = (
  dst: Prefix,
  protocol: number,
  target: Exclude<KernelRouteRow['target'], 'blackhole'>,
): KernelRouteRow => ({
  dst,
  table: mainTable,
  // The kernel gives IPv6 routes without a metric this one.
  priority: prefixFamily(dst) === 4 ? 0 : 1024,
  protocol,
  target,
});
