// The table for people and for the kernel: paths as plain data, what a peer has been told, why a path won or lost.
import type { Address, Family, Prefix } from '../../lib/ip/mod.ts';
import { decodeAttributes, type Attributes } from '../packet/mod.ts';
import { explainPolicy } from '../policy/mod.ts';
import type { RibContext } from './context.ts';
import type { Decision } from './decision.ts';
import type { ExportGroup } from './export-group.ts';
import type { FamilyTable } from './family-table.ts';
import { noPath, pathFlags } from './path-table.ts';
import type { Peer } from './peers.ts';
import {
  decisionSteps,
  ineligibleReasons,
  type BestChange,
  type ExportView,
  type PathView,
  type PeerCounts,
  type PeerId,
  type RibCounts,
  type RibExplanation,
} from './types.ts';

export type AnnouncedRoute = {
  readonly prefix: Prefix;
  readonly attributes: Attributes;
  readonly nextHop?: Address;
};

export class Views {
  readonly #context: RibContext;
  readonly #decision: Decision;

  constructor(context: RibContext, decision: Decision) {
    this.#context = context;
    this.#decision = decision;
  }

  path(table: FamilyTable, path: number): PathView {
    const { paths, prefixes } = table;
    const { attributes, nextHops } = this.#context;
    const peer = this.#context.peers[paths.peer[path]!]!;
    const set = paths.attributes[path]! || paths.attributesIn[path]!;
    const hop = attributes.nextHop[set]!;
    const decoded = attributes.decoded(set);
    const local = paths.local.get(path);
    const flags = paths.flags[path]!;
    const nextHop = peer.isBgp ? nextHops.address(hop) : local?.gateway;
    const interfaceName = peer.isBgp ? nextHops.interfaceName(hop) : local?.interfaceName;
    const best = table.best[paths.dest[path]!] === path;
    const why = this.#ineligible(table, path);
    return {
      peer: peer.id,
      peerName: peer.config.name,
      source: peer.config.source,
      ...(peer.config.type === undefined ? {} : { peerType: peer.config.type }),
      prefix: prefixes.text(paths.dest[path]!),
      pathId: paths.pathId[path]! >>> 0,
      ...(nextHop === undefined ? {} : { nextHop }),
      ...(decoded.linkLocalNextHop === undefined ? {} : { nextHopLinkLocal: decoded.linkLocalNextHop }),
      attributes: decoded,
      localPref: attributes.localPref[set]!,
      preference: paths.preference[path]!,
      ...(interfaceName === undefined ? {} : { interfaceName }),
      ...(local?.metric === undefined ? {} : { metric: local.metric }),
      stale: (flags & pathFlags.stale) !== 0,
      best,
      multipath: (flags & pathFlags.multipath) !== 0,
      ...(why === undefined ? {} : { ineligible: why }),
      ...(why !== undefined || best ? {} : { lostAt: decisionSteps[paths.lostAt[path]!] ?? 'best' }),
    };
  }

  #ineligible(table: FamilyTable, path: number): PathView['ineligible'] {
    const reason = ineligibleReasons[table.paths.reason[path]!] ?? 'eligible';
    if (reason !== 'eligible') return reason;
    return this.#decision.isEligible(table.paths, path) ? undefined : 'nextHopUnreachable';
  }

  bestChange(table: FamilyTable, dest: number): BestChange {
    const { paths } = table;
    const prefix = table.prefixes.text(dest);
    const best = table.best[dest]!;
    if (best === noPath || (paths.flags[best]! & pathFlags.removed) !== 0) return { prefix, paths: [] };
    const view = this.path(table, best);
    const others: PathView[] = [];
    for (let path = table.head[dest]!; path !== noPath; path = paths.nextInDest[path]!) {
      const flags = paths.flags[path]!;
      if (path === best || (flags & pathFlags.multipath) === 0 || (flags & pathFlags.removed) !== 0) continue;
      others.push(this.path(table, path));
    }
    return { prefix, best: view, paths: [view, ...others] };
  }

  *paths(
    table: FamilyTable,
    filter: { readonly peer?: PeerId; readonly bestOnly?: boolean } = {},
  ): Generator<PathView> {
    const { paths } = table;
    for (let path = 0; path < paths.bound; path++) {
      const peer = paths.peer[path]!;
      if (peer === -1 || (paths.flags[path]! & pathFlags.removed) !== 0) continue;
      if (filter.peer !== undefined && filter.peer !== peer) continue;
      if (filter.bestOnly === true && table.best[paths.dest[path]!] !== path) continue;
      yield this.path(table, path);
    }
  }

  *announced(table: FamilyTable, peer: Peer): Generator<AnnouncedRoute> {
    const { group } = peer[table.family];
    if (group === undefined) return;
    const { addPath } = group.config;
    for (let index = 0; index < group.out.length; index++) {
      const out = group.out[index]!;
      if (out === 0 || group.source[index] === peer.id) continue;
      const dest = addPath ? table.paths.dest[index]! : index;
      const attributes = decodeAttributes(this.#context.outgoing.bytes(out));
      const prefix = table.prefixes.text(dest);
      yield attributes.nextHop === undefined
        ? { prefix, attributes }
        : { prefix, attributes, nextHop: attributes.nextHop };
    }
  }

  explain(table: FamilyTable, prefix: Prefix): RibExplanation {
    const dest = table.prefixes.findPrefix(prefix);
    if (dest < 0) return { prefix, paths: [], exports: [] };
    const { paths } = table;
    const list: RibExplanation['paths'][number][] = [];
    for (let path = table.head[dest]!; path !== noPath; path = paths.nextInDest[path]!) {
      if ((paths.flags[path]! & pathFlags.removed) !== 0) continue;
      const peer = this.#context.peers[paths.peer[path]!]!;
      const policy = peer[table.family].importPolicy;
      const view = this.path(table, path);
      if (policy === undefined) list.push(view);
      else {
        const set = paths.attributesIn[path]!;
        const subject = this.#context.policies.subject(table, path, set, peer.config.type);
        list.push({ ...view, importTrace: explainPolicy(policy.program, subject) });
      }
    }
    const exports = [...table.groups.values()].map((group) => this.#explainExport(table, group, dest));
    return { prefix, paths: list.sort((a, b) => Number(b.best) - Number(a.best)), exports };
  }

  #explainExport(table: FamilyTable, group: ExportGroup, dest: number): ExportView {
    const best = table.best[dest]!;
    const peers = [...group.members].map((id) => this.#context.peers[id]?.config.name ?? `${id}`);
    const usable = best !== noPath && this.#decision.isEligible(table.paths, best);
    const reason = usable ? group.explain(table, best) : 'noPath';
    const { policy } = group.config;
    const looked = usable && policy !== undefined && (reason === undefined || reason === 'exportPolicy');
    const trace = looked
      ? explainPolicy(
          policy.program,
          this.#context.policies.subject(
            table,
            best,
            table.paths.attributes[best]!,
            group.config.ibgp ? 'ibgp' : 'ebgp',
          ),
        )
      : undefined;
    return {
      group: group.key,
      peers,
      announced: reason === undefined,
      ...(reason === undefined ? {} : { reason }),
      ...(trace === undefined ? {} : { trace }),
    };
  }

  counts(): RibCounts {
    const { tables, attributes, nextHops, policies } = this.#context;
    return {
      prefixes: { 4: tables[4].prefixes.size, 6: tables[6].prefixes.size },
      paths: tables[4].paths.size + tables[6].paths.size,
      attributeSets: attributes.sets.size,
      nextHops: nextHops.size,
      groups: tables[4].groups.size + tables[6].groups.size,
      policies: policies.compiledCount,
    };
  }

  peerCounts(peer: Peer): PeerCounts {
    const counts = { received: 0, accepted: 0, best: 0, stale: 0, announced: 0 };
    for (const family of [4, 6] as Family[]) {
      const table = this.#context.tables[family];
      const { paths } = table;
      for (let path = peer[family].firstPath; path !== noPath; path = paths.nextInPeer[path]!) {
        counts.received++;
        if (paths.attributes[path] !== 0) counts.accepted++;
        if (table.best[paths.dest[path]!] === path) counts.best++;
        if ((paths.flags[path]! & pathFlags.stale) !== 0) counts.stale++;
      }
      counts.announced += peer[family].group?.announcedTo(peer.id) ?? 0;
    }
    return counts;
  }
}
