// From what is known of the cluster to what the kernel must hold for WireGuard (FX-092). Pure and incremental: a change marks
// the nodes it is about, `flush` works these out anew.
//
//   node with a key   ─► peer: its address and port, and as allowed addresses all that is behind it
//                     ─► routes to these through the device, in a table of their own
//   node without one  ─► nothing; but a `throw` where its prefix lies inside one of a node that has a key
//   the device itself ─► a rule: what does not have WireGuard's mark looks into that table first
//
// Rule and routes are there only while the device is: what cannot be encrypted goes as if there were no WireGuard, and is told.
import {
  hostPrefix,
  isSingleAddress,
  prefixAddress,
  prefixFamily,
  prefixLength,
  prefixOf,
  type Address,
  type Family,
  type Prefix,
} from '../../../lib/ip/mod.ts';
import { type PolicyRule, routeProtocols } from '../../../kernel/mod.ts';
import type { NetworkRoute, PolicyChange, WireGuardEnd, WireGuardSide } from '../../calc/mod.ts';
import type { RankedRoute } from '../overlay/types.ts';
import type { KernelRouteRow } from '../routes.ts';
import {
  wireguardMark,
  wireguardParameters,
  wireguardTable,
  type WireGuardRow,
  type WireGuardRowChange,
  type WireGuardSettings,
} from './types.ts';

const families: readonly Family[] = [4, 6];
const rank = '8 WireGuard';

export class WireGuardPlan {
  #settings: WireGuardSettings | undefined;
  readonly #routes = new Map<Prefix, NetworkRoute>();
  readonly #byNode = new Map<string, Set<Prefix>>();
  /** Prefixes inside of another node's: their nodes. */
  readonly #borrowers = new Map<Prefix, string>();
  readonly #ends = new Map<string, WireGuardEnd>();
  /** Which node a key counts for: the first by name of those that claim it. */
  readonly #owners: Readonly<Record<Family, Map<string, string>>> = { 4: new Map(), 6: new Map() };
  /** Our addresses, as the Node says them. */
  readonly #own: { 4?: Address; 6?: Address } = {};
  #local: string | undefined;
  #present: Readonly<Record<Family, boolean>> = { 4: false, 6: false };
  readonly #dirty = new Set<string>();
  #wholeDirty = false;
  #deviceDirty = false;

  configure(settings: WireGuardSettings): void {
    this.#settings = settings;
    this.#wholeDirty = true;
  }

  /** Whether the device of each family is there and up. */
  setPresent(present: Readonly<Record<Family, boolean>>): void {
    if (present[4] === this.#present[4] && present[6] === this.#present[6]) return;
    this.#present = present;
    this.#wholeDirty = true;
  }

  isEnabled(family: Family): boolean {
    const { config } = this.#settings ?? {};
    return (
      config?.boolean(wireguardParameters[family].enabled) === true &&
      (family === 4 || config.boolean('Ipv6Support'))
    );
  }

  /** Our address in the family. */
  own(family: Family): Address | undefined {
    return this.#own[family];
  }

  get encryptsHosts(): boolean {
    return this.#settings?.config.boolean('WireguardHostEncryptionEnabled') === true;
  }

  /** The name of the family's device, also while it is off. */
  device(family: Family): string | undefined {
    return this.#settings?.config.text(wireguardParameters[family].device);
  }

  take(changes: readonly PolicyChange[]): void {
    for (const change of changes) {
      if (change.type === 'route') this.#setRoute(change.route.dst, change.route);
      else if (change.type === 'route-removed') this.#setRoute(change.dst, undefined);
      else if (change.type === 'wireguard') this.#setEnd(change.end.node, change.end);
      else if (change.type === 'wireguard-removed') this.#setEnd(change.node, undefined);
    }
  }

  flush(): WireGuardRowChange[] {
    if (this.#settings === undefined) return [];
    const changes: WireGuardRowChange[] = [];
    if (this.#wholeDirty || this.#deviceDirty)
      for (const family of families) {
        changes.push({ table: 'wireguard', source: `device ${family}`, rows: this.#deviceRows(family) });
        changes.push({ table: 'rules', source: `wireguard ${family}`, rows: this.#ruleRows(family) });
      }
    if (this.#wholeDirty) {
      for (const node of this.#byNode.keys()) this.#dirty.add(node);
      for (const node of this.#ends.keys()) this.#dirty.add(node);
    }
    for (const node of this.#dirty)
      for (const family of families) {
        const prefixes = this.#prefixes(node, family);
        const peer = this.#peerRow(node, family, prefixes);
        const source = `wireguard ${family} ${node}`;
        changes.push({ table: 'wireguard', source, rows: peer === undefined ? [] : [peer] });
        changes.push({
          table: 'routes',
          source,
          rows: this.#routeRows(node, family, prefixes, peer !== undefined),
        });
      }
    this.#dirty.clear();
    this.#wholeDirty = false;
    this.#deviceDirty = false;
    return changes;
  }

  // ── what is known ──────────────────────────────────────────────────────────────────────────────────────────────────
  #setRoute(dst: Prefix, route: NetworkRoute | undefined): void {
    const before = this.#routes.get(dst);
    for (const one of [before, route]) {
      if (one === undefined) continue;
      this.#touch(one.node);
      // A block covers, or bares, addresses of it that others hold.
      if (!isSingleAddress(dst)) for (const borrower of this.#borrowers.values()) this.#touch(borrower);
    }
    this.#borrowers.delete(dst);
    if (route?.borrowed === true && route.node !== undefined) this.#borrowers.set(dst, route.node);
    if (before?.node !== undefined) {
      const prefixes = this.#byNode.get(before.node);
      prefixes?.delete(dst);
      if (prefixes?.size === 0) this.#byNode.delete(before.node);
    }
    if (route === undefined) this.#routes.delete(dst);
    else this.#routes.set(dst, route);
    if (route?.node !== undefined) {
      const prefixes = this.#byNode.get(route.node) ?? new Set();
      this.#byNode.set(route.node, prefixes.add(dst));
    }
    this.#learnOwn(dst, before, route);
  }

  #learnOwn(dst: Prefix, before: NetworkRoute | undefined, route: NetworkRoute | undefined): void {
    const family = prefixFamily(dst);
    if (before?.types.includes('local-host') === true && this.#own[family] === prefixAddress(dst)) {
      delete this.#own[family];
      this.#wholeDirty = true;
    }
    if (route?.types.includes('local-host') !== true) return;
    if (this.#local !== route.node || this.#own[family] !== route.nodeAddress) this.#wholeDirty = true;
    this.#local = route.node;
    if (route.nodeAddress !== undefined) this.#own[family] = route.nodeAddress;
  }

  #setEnd(node: string, end: WireGuardEnd | undefined): void {
    const before = this.#ends.get(node);
    if (end === undefined) this.#ends.delete(node);
    else this.#ends.set(node, end);
    this.#touch(node);
    if (node === this.#local) this.#deviceDirty = true;
    for (const family of families) {
      if (sideOf(before, family)?.publicKey === sideOf(end, family)?.publicKey) continue;
      for (const key of [sideOf(before, family)?.publicKey, sideOf(end, family)?.publicKey])
        if (key !== undefined) this.#settleOwner(family, key);
      // Whether a node can be reached through the tunnel decides about prefixes inside of its own, too.
      for (const borrower of this.#borrowers.values()) this.#touch(borrower);
    }
  }

  #settleOwner(family: Family, key: string): void {
    const claimants = [...this.#ends.values()]
      .filter((end) => sideOf(end, family)?.publicKey === key)
      .map(({ node }) => node)
      .toSorted();
    const before = this.#owners[family].get(key);
    const [owner] = claimants;
    if (owner === undefined) this.#owners[family].delete(key);
    else this.#owners[family].set(key, owner);
    for (const node of [before, ...claimants]) this.#touch(node);
  }

  #touch(node: string | undefined): void {
    if (node !== undefined) this.#dirty.add(node);
  }

  // ── rows ───────────────────────────────────────────────────────────────────────────────────────────────────────────
  #deviceRows(family: Family): WireGuardRow[] {
    const { config, mtus } = this.#settings ?? {};
    const name = this.device(family);
    const own = this.#own[family];
    if (config === undefined || mtus === undefined || name === undefined || own === undefined) return [];
    if (!this.isEnabled(family)) return [];
    const mark = wireguardMark(config);
    const { mtu, port } = wireguardParameters[family];
    const tunnel = sideOf(this.#ends.get(this.#local ?? ''), family)?.tunnel;
    const address = this.encryptsHosts ? own : tunnel;
    return [
      {
        type: 'device',
        name,
        family,
        mtu: mtus[mtu],
        port: config.number(port),
        mark: mark ?? 0,
        ...(address === undefined ? {} : { address }),
      },
    ];
  }

  #ruleRows(family: Family): PolicyRule[] {
    const { config } = this.#settings ?? {};
    if (config === undefined || !this.#isActive(family)) return [];
    const table = wireguardTable(config, family);
    const mark = wireguardMark(config);
    if (table === undefined || mark === undefined) return [];
    const priority = config.number('WireguardRoutingRulePriority');
    return [{ family, priority, table, mark, markMask: mark, invert: true }];
  }

  #isActive(family: Family): boolean {
    return this.isEnabled(family) && this.#present[family];
  }

  /** Its side, when what is for the node can be encrypted. */
  #peerSide(node: string, family: Family): WireGuardSide | undefined {
    const side = sideOf(this.#ends.get(node), family);
    if (side === undefined || node === this.#local || !this.isEnabled(family)) return undefined;
    const own = sideOf(this.#ends.get(this.#local ?? ''), family)?.publicKey;
    if (!/^[A-Za-z0-9+/]{43}=$/.test(side.publicKey)) return undefined;
    if (side.publicKey === own || this.#owners[family].get(side.publicKey) !== node) return undefined;
    return side;
  }

  /** What is behind the node. */
  #prefixes(node: string, family: Family): Prefix[] {
    const found: Prefix[] = [];
    for (const dst of this.#byNode.get(node) ?? []) {
      if (prefixFamily(dst) !== family) continue;
      const types = this.#routes.get(dst)?.types ?? [];
      // Its block goes there.
      if (types.includes('remote-tunnel') && this.#blockAround(dst)?.node === node) continue;
      if (types.some((type) => type.endsWith('-workload') || type.endsWith('-tunnel'))) found.push(dst);
      else if (this.encryptsHosts && types.includes('remote-host')) found.push(dst);
    }
    return found.toSorted();
  }

  #peerRow(node: string, family: Family, allowed: readonly Prefix[]): WireGuardRow | undefined {
    const side = this.#peerSide(node, family);
    const { config } = this.#settings ?? {};
    const device = this.device(family);
    if (side === undefined || config === undefined || device === undefined) return undefined;
    return {
      type: 'peer',
      device,
      node,
      publicKey: side.publicKey,
      endpoint: { address: side.address, port: config.number(wireguardParameters[family].port) },
      keepaliveSeconds: Math.round(config.number('WireguardPersistentKeepAlive') / 1000),
      allowed,
    };
  }

  #routeRows(node: string, family: Family, prefixes: readonly Prefix[], isPeer: boolean): RankedRoute[] {
    const { config } = this.#settings ?? {};
    const table = config === undefined ? undefined : wireguardTable(config, family);
    const interfaceName = this.device(family);
    if (table === undefined || interfaceName === undefined || !this.#isActive(family)) return [];
    return prefixes.flatMap((dst): RankedRoute[] => {
      if (isPeer) return [{ row: rowOf(dst, table, { interfaceName }), rank }];
      return this.#isInsidePeers(dst, node) ? [{ row: rowOf(dst, table, 'throw'), rank }] : [];
    });
  }

  /** Whether a wider prefix leads to another node through the tunnel. */
  #isInsidePeers(dst: Prefix, node: string): boolean {
    const around = this.#blockAround(dst)?.node;
    return around !== undefined && around !== node && this.#peerSide(around, prefixFamily(dst)) !== undefined;
  }

  /** The block of another node that a prefix lies in. */
  #blockAround(dst: Prefix): NetworkRoute | undefined {
    const address = prefixAddress(dst);
    // No block is larger than 4096 addresses.
    for (let length = prefixLength(dst) - 1; length >= prefixLength(hostPrefix(address)) - 12; length--) {
      const route = this.#routes.get(prefixOf(address, length));
      if (route?.types.includes('remote-workload') === true) return route;
    }
    return undefined;
  }
}

const sideOf = (end: WireGuardEnd | undefined, family: Family): WireGuardSide | undefined =>
  family === 4 ? end?.v4 : end?.v6;

const rowOf = (dst: Prefix, table: number, target: KernelRouteRow['target']): KernelRouteRow => ({
  dst,
  table,
  // The kernel gives IPv6 routes without a metric this one.
  priority: prefixFamily(dst) === 4 ? 0 : 1024,
  protocol: routeProtocols.felix,
  target,
});
