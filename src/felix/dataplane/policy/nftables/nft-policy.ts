// Policy in nftables: takes what the calculation tells and keeps the rows of the ruleset in step. Everything that one call
// changes is written in one transaction. See docs/policy-dataplane.md for the layout.
import type { SetId } from '../../../../policy/mod.ts';
import type { PolicyChange } from '../../../calc/mod.ts';
import { CompiledPrograms } from '../compiled/mod.ts';
import type { Tunnels } from '../../overlay/types.ts';
import { PolicyMirror } from '../inputs/mod.ts';
import type { PolicySettings } from '../types.ts';
import { baseRows } from './base.ts';
import { Hosts, type InterfaceAddresses } from './hosts.ts';
import { type LimitKinds, noLimits } from './limits.ts';
import { ProgramBook } from './programs.ts';
import { OwnedRows, type RowSink } from './rows.ts';
import { RuleChainBook } from './rule-chains.ts';
import { ListSetBook, MemberSetBook } from './sets.ts';
import { Workloads } from './workloads.ts';

export class NftPolicy {
  readonly #mirror = new PolicyMirror();
  readonly #base: OwnedRows;
  readonly #chains: Readonly<Record<'filter' | 'untracked' | 'preDnat', RuleChainBook>>;
  readonly #members: MemberSetBook;
  readonly #compiled: CompiledPrograms;
  readonly #programs: ProgramBook;
  readonly #workloads: Workloads;
  readonly #hosts: Hosts;
  /** Sets that the compiled programs know. */
  readonly #knownSets = new Set<SetId>();
  #limits: LimitKinds = noLimits;
  #settings: PolicySettings;

  constructor(sink: RowSink, settings: PolicySettings) {
    this.#settings = settings;
    this.#base = new OwnedRows(sink);
    this.#chains = {
      filter: new RuleChainBook(sink, 'filter', settings),
      untracked: new RuleChainBook(sink, 'untracked', settings),
      preDnat: new RuleChainBook(sink, 'preDnat', settings),
    };
    this.#members = new MemberSetBook(sink, this.#mirror);
    const lists = new ListSetBook(sink);
    this.#compiled = new CompiledPrograms(this.#chains.filter);
    const parts = {
      rows: sink,
      mirror: this.#mirror,
      chains: this.#chains,
      members: this.#members,
      lists,
      compiled: this.#compiled,
    };
    this.#programs = new ProgramBook(parts, settings);
    this.#workloads = new Workloads(sink, this.#programs, settings);
    this.#hosts = new Hosts(sink, this.#programs, settings);
    this.#layOutBase();
  }

  /** Takes the settings; equal ones change nothing. */
  configure(settings: PolicySettings): void {
    if (JSON.stringify(settings) === JSON.stringify(this.#settings)) return;
    this.#settings = settings;
    for (const book of Object.values(this.#chains)) book.configure(settings);
    this.#programs.configure(settings);
    this.#workloads.configure(settings);
    this.#hosts.configure(settings);
    this.#hosts.refresh();
    this.#layOutBase();
    this.#programs.flush();
  }

  take(changes: readonly PolicyChange[]): void {
    if (changes.length === 0) return;
    const { endpoints, policies, profiles, members, removedSets } = this.#mirror.take(changes);
    const renamed = this.#members.take(members, removedSets);
    for (const { id, added, removed } of members) this.#tellCompiled(id, added, removed);
    for (const id of removedSets.keys()) {
      this.#knownSets.delete(id);
      this.#compiled.removeSet(id);
    }
    this.#programs.refresh({ policies, profiles, sets: [...renamed, ...removedSets.keys()] });
    let isHost = false;
    for (const key of endpoints) {
      const endpoint = this.#mirror.endpoints.get(key);
      if (key.startsWith('workload ')) this.#workloads.set(key, endpoint);
      else {
        this.#hosts.set(key, endpoint);
        isHost = true;
      }
    }
    this.#workloads.flush();
    const { rates, dscp } = this.#workloads.limits;
    if (isHost) this.#refreshHosts();
    else if (rates !== this.#limits.rates || dscp !== this.#limits.dscp) this.#layOutBase();
    this.#programs.flush();
  }

  #tellCompiled(id: SetId, added: readonly string[], removed: readonly string[]): void {
    const set = this.#mirror.sets.get(id);
    if (set === undefined) return;
    if (this.#knownSets.has(id)) return this.#compiled.changeMembers(id, added, removed);
    this.#knownSets.add(id);
    this.#compiled.setSet(set.definition, added);
  }

  /** Interfaces of the host with their addresses: host endpoints may be found by these. */
  setInterfaces(interfaces: InterfaceAddresses): void {
    if (!this.#hosts.setInterfaces(interfaces)) return;
    this.#refreshHosts();
    this.#programs.flush();
  }

  /** Which tunnels lead to other nodes. */
  setTunnels(tunnels: Tunnels): void {
    if (!this.#hosts.setTunnels(tunnels)) return;
    this.#refreshHosts();
    this.#programs.flush();
  }

  #refreshHosts(): void {
    this.#hosts.refresh();
    this.#layOutBase();
  }

  /** Keys of the rows that put the endpoint's policy in force. */
  keysOf(endpoint: string): readonly string[] {
    return this.#workloads.keysOf(endpoint);
  }

  /** By what name the program of each plan goes. */
  programNames(): ReadonlyMap<string, string> {
    return new Map(this.#programs.names());
  }

  #layOutBase(): void {
    const { limits } = this.#workloads;
    this.#limits = limits;
    for (const family of [4, 6] as const) {
      const isThere = this.#settings.families.includes(family);
      this.#base.replace(
        String(family),
        isThere ? baseRows(this.#settings, family, this.#hosts.stages, limits) : [],
      );
    }
  }
}
