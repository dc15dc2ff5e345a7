// Who is told what: membership of sessions in export groups, and the jobs that bring a session up to date.
import type { Family } from '../../lib/ip/mod.ts';
import type { RibContext } from './context.ts';
import { ExportGroup, groupConfig, groupKey } from './export-group.ts';
import type { Job } from './jobs.ts';
import type { Peer } from './peers.ts';

export class Sessions {
  readonly #context: RibContext;
  readonly jobs: { 4: Job[]; 6: Job[] } = { 4: [], 6: [] };
  /** Paused peers that may be written to again. */
  readonly resumed = new Set<Peer>();

  constructor(context: RibContext) {
    this.#context = context;
  }

  /** A session came up: it gets the whole table and End-of-RIB. */
  join(peer: Peer, family: Family): void {
    const group = this.#groupFor(peer, family);
    if (group === undefined) return;
    this.#enter(peer, family, group);
    const job = this.#fresh(family, group, 'dump') ?? this.#newJob(family, { group, mode: 'dump' });
    job.targets.add(peer.id);
    job.endOfRib.add(peer.id);
  }

  leave(peer: Peer, family: Family): void {
    const state = peer[family];
    this.#dropFromJobs(peer, family);
    state.missed = undefined;
    state.endOfRibDue = false;
    const { group } = state;
    state.group = undefined;
    if (group !== undefined) this.#exit(peer, family, group);
    if (peer[4].missed === undefined && peer[6].missed === undefined) this.resumed.delete(peer);
  }

  /** Another group after a change of policy or role: the session is told the differences. */
  move(peer: Peer, family: Family): void {
    const state = peer[family];
    const old = state.group;
    if (old === undefined) {
      // It was receive-only, as we had no address to announce.
      this.join(peer, family);
      return;
    }
    const next = this.#groupFor(peer, family);
    if (next === old) return;
    if (next === undefined) {
      this.leave(peer, family);
      return;
    }
    const unfinished = this.#dropFromJobs(peer, family);
    state.group = undefined;
    // What the old group had announced to it, as of now; shared by all that move together.
    const { addPath } = old.config;
    let job =
      unfinished.wasTarget || addPath
        ? this.#fresh(family, next, 'full')
        : this.#difference(family, old, next);
    if (job === undefined && (unfinished.wasTarget || addPath)) {
      job = this.#newJob(family, { group: next, mode: 'full' });
    }
    job ??= this.#newJob(family, {
      group: next,
      mode: 'difference',
      before: { group: old, version: old.version, out: old.out.slice(), source: old.source.slice() },
    });
    this.#enter(peer, family, next);
    job.targets.add(peer.id);
    if (unfinished.endOfRib) job.endOfRib.add(peer.id);
    if (peer.paused && state.missed !== undefined) state.missed.fill(255);
    this.#exit(peer, family, old);
  }

  /** Everything once more, for ROUTE-REFRESH. */
  repeat(peer: Peer, family: Family): void {
    const { group } = peer[family];
    if (group === undefined) return;
    const job = this.#fresh(family, group, 'dump') ?? this.#newJob(family, { group, mode: 'dump' });
    job.targets.add(peer.id);
  }

  get busy(): boolean {
    return this.jobs[4].length > 0 || this.jobs[6].length > 0 || this.resumed.size > 0;
  }

  /** Numbers of destinations, paths and encoded sets must keep their meaning while this holds. */
  get pinned(): boolean {
    if (this.jobs[4].length > 0 || this.jobs[6].length > 0) return true;
    if (!this.#context.mayLag) return false;
    return (this.#context.mayLag = this.#context.peers.some(
      (p) => p !== undefined && (p[4].missed !== undefined || p[6].missed !== undefined),
    ));
  }

  #groupFor(peer: Peer, family: Family): ExportGroup | undefined {
    const familyConfig = peer[family].config;
    if (familyConfig === undefined) return undefined;
    const { policies, tables } = this.#context;
    const policy =
      familyConfig.exportPolicy === undefined ? undefined : policies.compile(familyConfig.exportPolicy);
    const config = groupConfig(peer.config, familyConfig, policy);
    if (config === undefined) return undefined;
    const key = groupKey(config);
    const { groups } = tables[family];
    let group = groups.get(key);
    if (group === undefined) groups.set(key, (group = new ExportGroup(key, config, this.#context)));
    return group;
  }

  #enter(peer: Peer, family: Family, group: ExportGroup): void {
    peer[family].group = group;
    group.members.add(peer.id);
  }

  #exit(peer: Peer, family: Family, group: ExportGroup): void {
    group.members.delete(peer.id);
    if (group.members.size > 0) return;
    this.#context.tables[family].groups.delete(group.key);
    group.dispose();
  }

  /** A job of the group that has not begun. */
  #fresh(family: Family, group: ExportGroup, mode: Job['mode']): Job | undefined {
    return this.jobs[family].find((job) => job.group === group && job.mode === mode && job.cursor === 0);
  }

  #difference(family: Family, old: ExportGroup, next: ExportGroup): Job | undefined {
    return this.jobs[family].find(
      (job) =>
        job.group === next &&
        job.cursor === 0 &&
        job.before !== undefined &&
        job.before.group === old &&
        job.before.version === old.version,
    );
  }

  #newJob(family: Family, what: Pick<Job, 'group' | 'mode' | 'before'>): Job {
    const job: Job = { ...what, targets: new Set(), endOfRib: new Set(), cursor: 0 };
    this.jobs[family].push(job);
    return job;
  }

  #dropFromJobs(peer: Peer, family: Family): { readonly wasTarget: boolean; readonly endOfRib: boolean } {
    let wasTarget = false;
    let endOfRib = false;
    for (const job of this.jobs[family]) {
      if (job.targets.delete(peer.id)) wasTarget = true;
      if (job.endOfRib.delete(peer.id)) endOfRib = true;
    }
    this.jobs[family] = this.jobs[family].filter((job) => job.targets.size > 0);
    return { wasTarget, endOfRib };
  }
}
