// From what the calculation tells to rows: which chains there are, and what is in them. Chains of policies, profiles and groups
// are in a table as long as an endpoint's chain there leads to them.
import { hostPrefix, type Family } from '../../../lib/ip/mod.ts';
import {
  policyKey,
  type EndpointPolicy,
  type FloatingRow,
  type NatRow,
  type PolicyChange,
  type ServiceLoopRow,
  type SetMemberRow,
  type Vtep,
} from '../../calc/mod.ts';
import type { Direction, PolicyId, SetId } from '../../../policy/mod.ts';
import { planOf, PolicyMirror } from '../policy/inputs/mod.ts';
import type { PolicySettings } from '../policy/types.ts';
import { chainOf, endpointLines, type ChainUse, type EndpointContext } from './chains.ts';
import { dispatchTree, type NamedChain } from './dispatch.ts';
import { hostsByInterface, type HostInterfaces } from './hosts.ts';
import type { Tunnels } from '../overlay/types.ts';
import type { Marks } from './marks.ts';
import { anyInterface, dispatchChains, endpointChain, setName, type EndpointChainKind } from './names.ts';
import { allVxlanHosts, fixedSetIds, natRows, natSetId, serviceLoopRow } from './nat.ts';
import { comment, denialOf, line, type TableName } from './rules.ts';
import { familyOfMember, setMembers, setTypeOf } from './sets.ts';
import { UsedChains } from './used-chains.ts';
import { filterAllowance, mangleAllowance, sourceCheckChain, staticRows, wildcardEnd } from './static.ts';
import type { Row } from './types.ts';

export type LayoutSettings = PolicySettings & {
  readonly marks: Marks;
  readonly place: 'insert' | 'append';
  readonly maxSetSize: number;
  readonly tunnels: Tunnels;
};

/** Where rows go. */
export type RowSink = {
  /** What the source asked for before and does not any more is taken away. */
  put(source: string, rows: readonly Row[]): void;
  set(row: Row): void;
  drop(row: Row): void;
};

export class IptablesLayout {
  readonly #sink: RowSink;
  readonly #mirror = new PolicyMirror();
  readonly #chains: UsedChains;
  readonly #natRows = new Map<Family, NatRow>();
  readonly #floating = new Map<string, FloatingRow>();
  readonly #serviceLoops = new Map<Family, ServiceLoopRow>();
  #settings: LayoutSettings;
  /** Interfaces with chains of a host endpoint. */
  #hostNames: ReadonlySet<string> = new Set();
  #interfaces: HostInterfaces = new Map();
  /** What the chains of an endpoint lead to. */
  readonly #usesOf = new Map<string, readonly (readonly [TableName, ChainUse])[]>();

  constructor(sink: RowSink, settings: LayoutSettings) {
    this.#sink = sink;
    this.#settings = settings;
    this.#chains = new UsedChains(sink, this.#mirror, () => this.#settings);
    this.#renderAll();
  }

  setSettings(settings: LayoutSettings): void {
    if (JSON.stringify(settings) === JSON.stringify(this.#settings)) return;
    this.#settings = settings;
    this.#renderAll();
  }

  setNat(family: Family, row: NatRow | undefined): void {
    if (row === undefined) this.#natRows.delete(family);
    else this.#natRows.set(family, row);
    this.#renderNat(family);
  }

  /** Rows that came or changed, and addresses that are gone. */
  setFloating(rows: readonly FloatingRow[], deleted: readonly string[]): void {
    for (const key of deleted) this.#floating.delete(key);
    for (const row of rows) this.#floating.set(row.external, row);
    if (rows.length + deleted.length > 0) for (const family of [4, 6] as const) this.#renderNat(family);
  }

  setServiceLoops(family: Family, row: ServiceLoopRow | undefined): void {
    if (row === undefined) this.#serviceLoops.delete(family);
    else this.#serviceLoops.set(family, row);
    this.#renderNat(family);
  }

  setNatMember(key: string, member: SetMemberRow | undefined): void {
    const rows = member === undefined ? [] : this.#memberRows(natSetId(member.set), member.prefix);
    this.#sink.put(`nat-member ${key}`, rows);
  }

  setInterfaces(interfaces: HostInterfaces): void {
    this.#interfaces = interfaces;
    this.#renderHosts();
  }

  apply(changes: readonly PolicyChange[]): void {
    for (const change of changes) {
      if (change.type === 'vtep') this.#setVtep(change.vtep.node, change.vtep);
      else if (change.type === 'vtep-removed') this.#setVtep(change.node, undefined);
    }
    const differences = this.#mirror.take(changes);
    for (const { id, added, removed } of differences.members) {
      this.#renderSet(id);
      for (const member of removed) for (const row of this.#memberRows(id, member)) this.#sink.drop(row);
      for (const member of added) for (const row of this.#memberRows(id, member)) this.#sink.set(row);
    }
    const regrouped = this.#chains.update(differences.policies, differences.profiles);
    const endpoints = new Set(differences.endpoints);
    for (const [key, endpoint] of this.#mirror.endpoints)
      if (regrouped.size > 0 && policiesOf(endpoint).some((id) => regrouped.has(policyKey(id))))
        endpoints.add(key);
    this.#renderEndpoints(endpoints);
    for (const [id, { members }] of differences.removedSets) {
      for (const member of members) for (const row of this.#memberRows(id, member)) this.#sink.drop(row);
      this.#sink.put(`set ${id}`, []);
    }
  }

  /** Sources of the rows that put a workload's policy in force: its chains, what they lead to, and what leads to them. */
  sourcesOf(key: string): readonly string[] {
    const uses = this.#usesOf.get(key) ?? [];
    return [
      `endpoint ${key}`,
      'workload-dispatch',
      ...(['static 4', 'static 6'] as const),
      ...uses.map(([table, use]) => `chain ${table} ${chainOf(use)}`),
    ];
  }

  // ── everything ──
  #renderAll(): void {
    for (const family of [4, 6] as const) {
      const isOn = this.#settings.families.includes(family);
      this.#sink.put(
        `static ${family}`,
        isOn ? staticRows({ family, settings: this.#settings, ...this.#settings }) : [],
      );
      this.#renderNat(family);
    }
    for (const [id, { members }] of this.#mirror.sets) {
      this.#renderSet(id);
      for (const member of members) for (const row of this.#memberRows(id, member)) this.#sink.set(row);
    }
    this.#chains.renderAll();
    this.#renderEndpoints(new Set(this.#mirror.endpoints.keys()));
    this.#renderHosts();
    this.#renderWorkloadDispatch();
  }

  // ── sets and nat ──
  #renderNat(family: Family): void {
    const { families, maxSetSize } = this.#settings;
    const sets = fixedSetIds.map(
      (id): Row => ({
        kind: 'set',
        family,
        name: setName(family, id),
        type: 'hash:net',
        maxSize: maxSetSize,
      }),
    );
    const floating = [...this.#floating.values()]
      .filter((row) => row.family === family)
      .toSorted((a, b) => (a.external < b.external ? -1 : 1));
    const inputs = { row: this.#natRows.get(family), floating };
    const rows = [
      ...sets,
      ...natRows(family, inputs, this.#settings),
      serviceLoopRow(family, this.#serviceLoops.get(family)),
    ];
    this.#sink.put(`nat ${family}`, families.includes(family) ? rows : []);
  }

  #setVtep(node: string, vtep: Vtep | undefined): void {
    const parents = [vtep?.v4?.parentAddress, vtep?.v6?.parentAddress].flatMap((address) => address ?? []);
    this.#sink.put(
      `vtep ${node}`,
      parents.flatMap((address) => this.#memberRows(allVxlanHosts, hostPrefix(address))),
    );
  }

  #renderSet(id: SetId): void {
    const set = this.#mirror.sets.get(id);
    if (set === undefined) return;
    const { families, maxSetSize: maxSize } = this.#settings;
    const type = setTypeOf(set.definition);
    this.#sink.put(
      `set ${id}`,
      families.map((family): Row => ({ kind: 'set', family, name: setName(family, id), type, maxSize })),
    );
  }

  #memberRows(id: string, member: string): readonly Row[] {
    const family = familyOfMember(member);
    if (!this.#settings.families.includes(family)) return [];
    return setMembers(member).map((each) => ({
      kind: 'member',
      family,
      set: setName(family, id),
      member: each,
    }));
  }

  // ── endpoints ──
  #renderEndpoints(keys: ReadonlySet<string>): void {
    if (keys.size === 0) return;
    let hasWorkload = false;
    let hasHost = false;
    for (const key of keys) {
      if (key.startsWith('host ')) hasHost = true;
      else {
        hasWorkload = true;
        this.#renderWorkload(key, this.#mirror.endpoints.get(key));
      }
    }
    if (hasWorkload) this.#renderWorkloadDispatch();
    if (hasHost) this.#renderHosts();
  }

  #renderWorkload(key: string, endpoint: EndpointPolicy | undefined): void {
    const interfaceName = endpoint?.interfaceName;
    if (endpoint === undefined || interfaceName === undefined) return this.#putEndpoint(key, []);
    this.#putEndpoint(key, [
      this.#endpointChain(endpoint, 'normal', 'ingress', 'filter', 'toWorkload', interfaceName),
      this.#endpointChain(endpoint, 'normal', 'egress', 'filter', 'fromWorkload', interfaceName),
    ]);
  }

  #endpointChain(
    endpoint: EndpointPolicy,
    stage: 'normal' | 'forward' | 'untracked' | 'preDnat',
    direction: Direction,
    table: TableName,
    kind: EndpointChainKind,
    interfaceName: string,
  ): EndpointChains {
    const plan = planOf(endpoint, stage, direction);
    const name = endpointChain(kind, interfaceName);
    const settings = this.#settings;
    const context: EndpointContext = {
      table,
      settings,
      marks: settings.marks,
      owner: endpoint.type,
      interfaceName,
      allowance:
        table !== 'mangle'
          ? filterAllowance({ settings })
          : stage === 'preDnat'
            ? mangleAllowance({ settings })
            : 'RETURN',
      groups: (ids) => this.#chains.groups(ids),
      ...(endpoint.limits === undefined ? {} : { limits: endpoint.limits }),
    };
    const { lines: rules, uses } = endpointLines(plan, context);
    return {
      table,
      uses,
      rows: settings.families.map((family): Row => ({ kind: 'chain', family, table, name, rules })),
    };
  }

  #putEndpoint(source: string, chains: readonly EndpointChains[]): void {
    const before = this.#usesOf.get(source) ?? [];
    const after = chains.flatMap(({ table, uses }) => uses.map((use) => [table, use] as const));
    for (const [table, use] of after) this.#chains.use(table, use);
    this.#sink.put(
      `endpoint ${source}`,
      chains.flatMap(({ rows }) => rows),
    );
    for (const [table, use] of before) this.#chains.release(table, use);
    if (after.length === 0) this.#usesOf.delete(source);
    else this.#usesOf.set(source, after);
  }

  #renderWorkloadDispatch(): void {
    const { families, denial, allowsForeignSources } = this.#settings;
    const workloads = [...this.#mirror.endpoints.values()].filter(({ type }) => type === 'workload');
    const interfaces = [...new Set(workloads.flatMap(({ interfaceName }) => interfaceName ?? []))];
    const end = [line(comment('Unknown interface'), '--jump', denialOf('filter', denial))];
    const trees = [
      ...dispatchTree({
        root: dispatchChains.toWorkload,
        by: 'out',
        interfaces,
        end,
        target: (name) => endpointChain('toWorkload', name),
      }),
      ...dispatchTree({
        root: dispatchChains.fromWorkload,
        by: 'in',
        interfaces,
        end,
        target: (name) => endpointChain('fromWorkload', name),
      }),
    ];
    this.#sink.put('workload-dispatch', this.#chainRows('filter', trees));
    const foreign = (family: Family): readonly string[] =>
      workloads
        .toSorted((a, b) => (a.key < b.key ? -1 : 1))
        .flatMap(({ interfaceName, foreignSources = [] }) =>
          allowsForeignSources && interfaceName !== undefined
            ? foreignSources
                .filter((prefix) => (prefix.includes(':') ? 6 : 4) === family)
                .map((prefix) => `--in-interface ${interfaceName} --source ${prefix} --jump ACCEPT`)
            : [],
        );
    this.#sink.put(
      'source-check',
      families.map(
        (family): Row => ({
          kind: 'chain',
          family,
          table: 'raw',
          name: sourceCheckChain,
          rules: foreign(family),
        }),
      ),
    );
  }

  #chainRows(table: TableName, chains: readonly NamedChain[]): readonly Row[] {
    return this.#settings.families.flatMap((family) =>
      chains.map((chain): Row => ({ kind: 'chain', family, table, ...chain })),
    );
  }

  // ── hosts ──
  #renderHosts(): void {
    const endpoints = [...this.#mirror.endpoints.values()].filter(({ type }) => type === 'host');
    const { named, wildcard } = hostsByInterface(endpoints, this.#interfaces);
    const places = [...named, ...(wildcard === undefined ? [] : [[anyInterface, wildcard] as const])];
    for (const [name, endpoint] of places) {
      const chain = (
        stage: 'normal' | 'forward' | 'untracked' | 'preDnat',
        direction: Direction,
        table: TableName,
        kind: EndpointChainKind,
      ) => this.#endpointChain(endpoint, stage, direction, table, kind, name);
      this.#putEndpoint(`host ${name}`, [
        chain('untracked', 'ingress', 'raw', 'fromHost'),
        chain('untracked', 'egress', 'raw', 'toHost'),
        chain('preDnat', 'ingress', 'mangle', 'fromHost'),
        chain('normal', 'egress', 'mangle', 'toHost'),
        chain('normal', 'ingress', 'filter', 'fromHost'),
        chain('normal', 'egress', 'filter', 'toHost'),
        chain('forward', 'ingress', 'filter', 'fromHostForward'),
        chain('forward', 'egress', 'filter', 'toHostForward'),
      ]);
    }
    const names = new Set(places.map(([name]) => name));
    for (const name of this.#hostNames) if (!names.has(name)) this.#putEndpoint(`host ${name}`, []);
    this.#hostNames = names;
    this.#renderHostDispatch([...named.keys()], wildcard !== undefined);
  }

  #renderHostDispatch(interfaces: readonly string[], hasWildcard: boolean): void {
    const tree = (kind: EndpointChainKind, excludesWorkloads: boolean): readonly NamedChain[] => {
      const by = kind === 'fromHost' || kind === 'fromHostForward' ? 'in' : 'out';
      const target = (name: string): string => endpointChain(kind, name);
      const wildcard = hasWildcard ? target(anyInterface) : undefined;
      const end = wildcardEnd({ settings: this.#settings }, by, excludesWorkloads, wildcard);
      return dispatchTree({ root: dispatchChains[kind], by, interfaces, target, end });
    };
    this.#sink.put('host-dispatch', [
      ...this.#chainRows('raw', [...tree('fromHost', true), ...tree('toHost', true)]),
      // Before translation it stands at the interfaces of workloads, too, and so it does for what they send to the host.
      ...this.#chainRows('mangle', [...tree('fromHost', false), ...tree('toHost', true)]),
      ...this.#chainRows('filter', [
        ...tree('fromHost', false),
        ...tree('toHost', true),
        ...tree('fromHostForward', true),
        ...tree('toHostForward', true),
      ]),
    ]);
  }
}

type EndpointChains = {
  readonly table: TableName;
  readonly rows: readonly Row[];
  readonly uses: readonly ChainUse[];
};

const policiesOf = ({ normal, forward, untracked, preDnat }: EndpointPolicy): readonly PolicyId[] =>
  [normal, forward, untracked, preDnat].flatMap((tiers) =>
    tiers.flatMap(({ ingress, egress }) => [...ingress, ...egress]),
  );
