// Host endpoints in the kernel: at each hook a chain that leads packets of an interface to what stands for it, and for each
// host endpoint and stage a chain with failsafe ports first and its program behind.
//
//   filter-input ─ jump host-in:      iifname "lo" return · mark of early allowance return
//                                     iifname vmap @host-in            eth0 : goto hep-in-<name>
//                                     goto hep-in-<name of *>          whatever interface nobody names
//   hep-in-<name>:                    meta l4proto . th dport @failsafe-in return
//                                     goto <program>
//
// Which host endpoint stands for an interface: one that names it, then one whose addresses it has, then `*`; the lowest name
// of equals (RS-141, RS-142). Interfaces of workloads are not the host's, but `*` stands there before translation, and for
// what a workload sends to its host when the endpoint-to-host action is Return. What is sent to oneself is nobody's concern.
import {
  isSingleAddress,
  prefixAddress,
  prefixFamily,
  type Address,
  type Family,
} from '../../../../lib/ip/mod.ts';
import type { Direction, FailsafePort, Stage } from '../../../../policy/mod.ts';
import type { EndpointPolicy } from '../../../calc/mod.ts';
import { noTunnels, type Tunnels } from '../../overlay/types.ts';
import type { NftRow } from '../../nftables.ts';
import { planOf } from '../inputs/mod.ts';
import type { PolicySettings } from '../types.ts';
import { type HostStages, noHosts, workloads } from './base.ts';
import type { ProgramBook, ProgramUser } from './programs.ts';
import { addressType, elementText, nftFamily, OwnedRows, type RowSink } from './rows.ts';
import { isWaived, shortened } from './rule-chains.ts';
import { outermost, protocolWord } from './sets.ts';

/** The interfaces of the host, and the addresses they have. */
export type InterfaceAddresses = ReadonlyMap<string, readonly Address[]>;

/** A place in the kernel where a stage of host endpoints is asked. */
type HostPlace = {
  readonly chain: string;
  readonly stage: Stage;
  readonly direction: Direction;
  /** Packets of workloads' interfaces are left to workloads' policy. */
  readonly skipsWorkloads: boolean;
  /** Early policy may have spoken for the packet already. */
  readonly isWaivable: boolean;
};
const places: readonly HostPlace[] = [
  { chain: 'host-in', stage: 'normal', direction: 'ingress', skipsWorkloads: false, isWaivable: true },
  { chain: 'host-out', stage: 'normal', direction: 'egress', skipsWorkloads: true, isWaivable: true },
  { chain: 'forward-in', stage: 'forward', direction: 'ingress', skipsWorkloads: true, isWaivable: true },
  { chain: 'forward-out', stage: 'forward', direction: 'egress', skipsWorkloads: true, isWaivable: false },
  {
    chain: 'untracked-in',
    stage: 'untracked',
    direction: 'ingress',
    skipsWorkloads: true,
    isWaivable: false,
  },
  {
    chain: 'untracked-out',
    stage: 'untracked',
    direction: 'egress',
    skipsWorkloads: true,
    isWaivable: false,
  },
  { chain: 'pre-dnat', stage: 'preDnat', direction: 'ingress', skipsWorkloads: false, isWaivable: true },
];

export class Hosts {
  readonly #programs: ProgramBook;
  readonly #rows: OwnedRows;
  readonly #endpoints = new Map<string, EndpointPolicy>();
  #interfaces: InterfaceAddresses = new Map();
  #tunnels: Tunnels = noTunnels;
  #settings: PolicySettings;
  #used: readonly ProgramUser[] = [];
  #stages: HostStages = noHosts;

  constructor(sink: RowSink, programs: ProgramBook, settings: PolicySettings) {
    this.#programs = programs;
    this.#rows = new OwnedRows(sink);
    this.#settings = settings;
  }

  get stages(): HostStages {
    return this.#stages;
  }

  set(key: string, endpoint: EndpointPolicy | undefined): void {
    if (endpoint === undefined) this.#endpoints.delete(key);
    else this.#endpoints.set(key, endpoint);
  }

  /** True when something about them became different. */
  setInterfaces(interfaces: InterfaceAddresses): boolean {
    if (JSON.stringify([...interfaces]) === JSON.stringify([...this.#interfaces])) return false;
    this.#interfaces = interfaces;
    return this.#endpoints.size > 0;
  }

  configure(settings: PolicySettings): void {
    this.#settings = settings;
  }

  /** True when that changes what is to be let through. */
  setTunnels(tunnels: Tunnels): boolean {
    this.#tunnels = tunnels;
    return this.#endpoints.size > 0;
  }

  /** Works out the rows anew: there are few host endpoints, and they depend on one another. */
  refresh(): void {
    this.#stages = this.#stagesOf();
    const used: ProgramUser[] = [];
    const rows =
      this.#endpoints.size === 0 ? [] : this.#settings.families.flatMap((f) => this.#rowsOf(f, used));
    this.#rows.replace('hosts', rows);
    for (const user of this.#used) this.#programs.release(user);
    this.#used = used;
  }

  #stagesOf(): HostStages {
    const all = [...this.#endpoints.values()];
    const any = (stage: 'forward' | 'untracked' | 'preDnat'): boolean =>
      all.some((one) => one[stage].length > 0);
    return {
      normal: all.length > 0,
      forward: any('forward'),
      untracked: any('untracked'),
      preDnat: any('preDnat'),
      interfaces: all.length === 0 ? 'none' : this.#all() === undefined ? 'named' : 'all',
    };
  }

  #sorted(): readonly EndpointPolicy[] {
    return [...this.#endpoints.values()].toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }

  #all(): EndpointPolicy | undefined {
    return this.#sorted().find(({ interfaceName }) => interfaceName === '*');
  }

  /** The host endpoint of every interface that one names or finds by its addresses. */
  #byInterface(): ReadonlyMap<string, EndpointPolicy> {
    const found = new Map<string, EndpointPolicy>();
    const sorted = this.#sorted();
    for (const endpoint of sorted) {
      const { interfaceName } = endpoint;
      if (interfaceName === undefined || interfaceName === '*' || found.has(interfaceName)) continue;
      found.set(interfaceName, endpoint);
    }
    for (const [name, addresses] of this.#interfaces) {
      if (found.has(name) || name === 'lo' || this.#isWorkload(name)) continue;
      const present = new Set(addresses);
      const endpoint = sorted.find(
        (one) =>
          one.interfaceName === undefined &&
          one.addresses.some((net) => isSingleAddress(net) && present.has(prefixAddress(net))),
      );
      if (endpoint !== undefined) found.set(name, endpoint);
    }
    return found;
  }

  #isWorkload(name: string): boolean {
    return this.#settings.interfacePrefixes.some((prefix) => name.startsWith(prefix));
  }

  #rowsOf(family: Family, used: ProgramUser[]): readonly NftRow[] {
    const table = nftFamily(family);
    const byInterface = this.#byInterface();
    const all = this.#all();
    const chains = new Map<string, NftRow>();
    const verdict = (place: HostPlace, endpoint: EndpointPolicy): string => {
      const plan = planOf(endpoint, place.stage, place.direction);
      // Nobody speaks here: what comes next decides.
      if (plan.tiers.length === 0 && place.stage !== 'normal') return 'return';
      const name = shortened(`hep-${place.chain}-${endpoint.name}`);
      if (!chains.has(name)) {
        const user = { plan, family };
        used.push(user);
        this.#programs.use(user);
        const rules = [...this.#failsafe(place, family), `goto ${this.#programs.chainOf(user)}`];
        chains.set(name, { kind: 'chain', family: table, chain: { name }, rules, closed: ['drop'] });
      }
      return `goto ${name}`;
    };
    const dispatch = places
      .filter(({ stage }) => this.#stages[stage])
      .flatMap((place): readonly NftRow[] => {
        const key = place.direction === 'ingress' ? 'iifname' : 'oifname';
        const rules = [
          `${key} "lo" return`,
          ...(place.stage === 'normal' ? this.#tunnelRules(family, place.direction) : []),
          ...(place.skipsWorkloads ? workloads(this.#settings, key, 'return') : []),
          ...(place.isWaivable && (this.#stages.untracked || this.#stages.preDnat)
            ? [`${isWaived(this.#settings)} return`]
            : []),
          `${key} vmap @${place.chain}`,
          ...(all === undefined ? [] : [verdict(place, all)]),
        ];
        return [
          {
            kind: 'set',
            family: table,
            set: { name: place.chain, key: ['ifname'], data: ['verdict'] },
          },
          { kind: 'chain', family: table, chain: { name: place.chain }, rules },
          ...[...byInterface].map(
            ([name, endpoint]): NftRow => ({
              kind: 'element',
              family: table,
              set: place.chain,
              element: { key: name, data: verdict(place, endpoint) },
            }),
          ),
        ];
      });
    return [
      ...this.#failsafeSets(family),
      ...this.#interfaceSet(family, byInterface),
      ...dispatch,
      ...chains.values(),
    ];
  }

  /** Interfaces whose invalid packets are dropped. */
  #interfaceSet(family: Family, found: ReadonlyMap<string, EndpointPolicy>): readonly NftRow[] {
    const table = nftFamily(family);
    return [
      { kind: 'set', family: table, set: { name: 'host-interfaces', key: ['ifname'] } },
      ...[...found.keys()].map(
        (key): NftRow => ({ kind: 'element', family: table, set: 'host-interfaces', element: { key } }),
      ),
    ];
  }

  /** Tunnels from and to other nodes: without them a host's policy would cut off all its workloads (FX-044). WireGuard knows
   *  by itself whom it talks to. */
  #tunnelRules(family: Family, direction: Direction): readonly string[] {
    const ip = nftFamily(family);
    const otherNode =
      direction === 'ingress'
        ? `${ip} saddr @all-hosts fib daddr type local`
        : `${ip} daddr @all-hosts fib saddr type local`;
    const { ipip, vxlan, vxlanV6 } = this.#tunnels;
    const port = this.#settings.wireguardPorts[family];
    return [
      ...(family === 4 && ipip ? [`meta l4proto 4 ${otherNode} return`] : []),
      ...((family === 4 ? vxlan : vxlanV6)
        ? [`udp dport ${this.#settings.vxlanPort} ${otherNode} return`]
        : []),
      ...(port === undefined ? [] : [`udp dport ${port} return`]),
    ];
  }

  // ── failsafe ports ─────────────────────────────────────────────────────────────────────────────────────────────────
  /** They come before every stage but forward; without connection tracking answers are let through by the same lists. */
  #failsafe({ stage, direction }: HostPlace, family: Family): readonly string[] {
    if (stage === 'forward') return [];
    const ip = nftFamily(family);
    const [here, back] = direction === 'ingress' ? (['in', 'out'] as const) : (['out', 'in'] as const);
    const peer = `${ip} ${direction === 'ingress' ? 'saddr' : 'daddr'}`;
    const lines = (list: 'in' | 'out', port: 'sport' | 'dport'): readonly string[] => [
      `meta l4proto . th ${port} @failsafe-${list} return`,
      ...(this.#nettedPorts(list, family).length === 0
        ? []
        : [`meta l4proto . th ${port} . ${peer} @failsafe-${list}-nets return`]),
    ];
    return [...lines(here, 'dport'), ...(stage === 'untracked' ? lines(back, 'sport') : [])];
  }

  #list(list: 'in' | 'out'): readonly FailsafePort[] {
    return list === 'in' ? this.#settings.failsafe.inbound : this.#settings.failsafe.outbound;
  }

  #nettedPorts(list: 'in' | 'out', family: Family): readonly FailsafePort[] {
    return this.#list(list).filter(({ net }) => net !== undefined && prefixFamily(net) === family);
  }

  #failsafeSets(family: Family): readonly NftRow[] {
    const table = nftFamily(family);
    return (['in', 'out'] as const).flatMap((list): readonly NftRow[] => {
      const open = this.#list(list).filter(({ net }) => net === undefined);
      const netted = Map.groupBy(
        this.#nettedPorts(list, family),
        ({ protocol, port }) => `${protocolWord(protocol)} ${port}`,
      );
      const name = `failsafe-${list}`;
      const nets = `${name}-nets`;
      const key = ['inet_proto', 'inet_service'];
      return [
        { kind: 'set', family: table, set: { name, key } },
        ...open.map(
          ({ protocol, port }): NftRow => ({
            kind: 'element',
            family: table,
            set: name,
            element: { key: [protocolWord(protocol), String(port)] },
          }),
        ),
        ...(netted.size === 0
          ? []
          : [
              {
                kind: 'set',
                family: table,
                set: { name: nets, key: [...key, addressType(family)], interval: true },
              } as const,
            ]),
        ...[...netted].flatMap(([place, ports]) =>
          outermost(ports.flatMap(({ net }) => (net === undefined ? [] : [net]))).map(
            (net): NftRow => ({
              kind: 'element',
              family: table,
              set: nets,
              element: { key: [...place.split(' '), elementText(net)] },
            }),
          ),
        ),
      ];
    });
  }
}
