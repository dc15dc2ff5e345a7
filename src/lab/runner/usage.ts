// What pods and the node use, from the kernel's own numbers of their processes. CPU is how much they worked between two looks,
// memory their proportional share (each page of memory counts once, divided among those who have it). Nothing is watched while
// nobody asks: who asks first, or after a long time, waits a second for the second look.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Clock } from '../../lib/clock.ts';

/** A container that runs, by the process that its others descend from (process 1 of its own namespace). */
export type UsedContainer = {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly initPid: number;
};

export type Usage = { readonly cpuCores: number; readonly memoryBytes: number };
export type NodeUsage = {
  /** When it was looked last, in milliseconds since 1970, and how long before that for the first time. */
  readonly atMs: number;
  readonly windowMs: number;
  readonly node: Usage;
  readonly containers: readonly (Omit<UsedContainer, 'initPid'> & Usage)[];
};
export type MeasureUsage = () => Promise<NodeUsage>;

/** A process: what it worked since it began, with the children it waited for, and its memory. */
export type ProcessUsage = {
  readonly pid: number;
  readonly startTicks: string;
  readonly cpuSeconds: number;
  readonly memoryBytes: number;
  /** Names of its namespaces: of processes, and of the host's name, which every node has for itself. */
  readonly pidNamespace: string;
  readonly nodeNamespace: string;
};

const shortestWindowMs = 1000;
const longestWindowMs = 60_000;
/** The kernel tells times in these on every architecture. */
const ticksPerSecond = 100;

type Look = {
  readonly atMs: number;
  readonly node: { readonly cpuSeconds: number; readonly memoryBytes: number };
  readonly containers: ReadonlyMap<
    string,
    { readonly of: UsedContainer; readonly cpuSeconds: number; readonly memoryBytes: number }
  >;
};

export function usageMeter(options: {
  readonly containers: () => readonly UsedContainer[];
  readonly processes: () => readonly ProcessUsage[];
  /** As `ProcessUsage.nodeNamespace`: this node's. */
  readonly nodeNamespace: string;
  readonly clock: Clock;
  readonly pause: (ms: number) => Promise<unknown>;
}): MeasureUsage {
  const { clock } = options;
  let before: Look | undefined;
  let last: NodeUsage | undefined;
  let running: Promise<NodeUsage> | undefined;
  const look = (): Look =>
    lookAt(options.processes(), options.containers(), options.nodeNamespace, clock.now());
  const measure = async (): Promise<NodeUsage> => {
    const ageMs = before === undefined ? Number.POSITIVE_INFINITY : clock.now() - before.atMs;
    if (last !== undefined && ageMs >= 0 && ageMs < shortestWindowMs) return last;
    if (before === undefined || ageMs < 0 || ageMs > longestWindowMs) {
      before = look();
      await options.pause(shortestWindowMs);
    }
    const now = look();
    last = between(before, now);
    before = now;
    return last;
  };
  return () => {
    running ??= measure().finally(() => {
      running = undefined;
    });
    return running;
  };
}

function lookAt(
  processes: readonly ProcessUsage[],
  containers: readonly UsedContainer[],
  nodeNamespace: string,
  atMs: number,
): Look {
  const byPid = new Map(processes.map((one) => [one.pid, one]));
  const byNamespace = Map.groupBy(processes, (one) => one.pidNamespace);
  const total = (of: readonly ProcessUsage[]): { cpuSeconds: number; memoryBytes: number } => ({
    cpuSeconds: of.reduce((sum, one) => sum + one.cpuSeconds, 0),
    memoryBytes: of.reduce((sum, one) => sum + one.memoryBytes, 0),
  });
  const found: [string, { of: UsedContainer; cpuSeconds: number; memoryBytes: number }][] = [];
  const ofNode = new Set(processes.filter((one) => one.nodeNamespace === nodeNamespace));
  for (const of of containers) {
    const init = byPid.get(of.initPid);
    if (init === undefined) continue;
    const own = byNamespace.get(init.pidNamespace) ?? [];
    for (const one of own) ofNode.add(one);
    const key = [of.namespace, of.pod, of.container, of.initPid, init.startTicks].join(' ');
    found.push([key, { of, ...total(own) }]);
  }
  return { atMs, node: total([...ofNode]), containers: new Map(found) };
}

function between(first: Look, second: Look): NodeUsage {
  const windowMs = Math.max(1, second.atMs - first.atMs);
  // Processes that ended take their times along.
  const rate = (before: number, after: number): number => (Math.max(0, after - before) * 1000) / windowMs;
  return {
    atMs: second.atMs,
    windowMs,
    node: {
      cpuCores: rate(first.node.cpuSeconds, second.node.cpuSeconds),
      memoryBytes: second.node.memoryBytes,
    },
    containers: [...second.containers].map(([key, { of, cpuSeconds, memoryBytes }]) => ({
      namespace: of.namespace,
      pod: of.pod,
      container: of.container,
      cpuCores: rate(first.containers.get(key)?.cpuSeconds ?? 0, cpuSeconds),
      memoryBytes,
    })),
  };
}

/** The processes that /proc shows and that this process may look into. */
export function readProcesses(): readonly ProcessUsage[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readProcess(Number(name)) ?? []);
}

export const nodeNamespaceOf = (pid: number | 'self'): string => readlinkSync(`/proc/${pid}/ns/uts`);

export function readProcess(pid: number): ProcessUsage | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command's name is in parentheses and may hold anything; fields are counted from the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    return {
      pid,
      startTicks: fields[19] ?? '',
      cpuSeconds: ticks / ticksPerSecond,
      memoryBytes: memoryOf(pid),
      pidNamespace: readlinkSync(`/proc/${pid}/ns/pid`),
      nodeNamespace: nodeNamespaceOf(pid),
    };
  } catch {
    // It ended meanwhile, or is somebody else's.
    return undefined;
  }
}

function memoryOf(pid: number): number {
  const share = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1];
  return Number(share ?? 0) * 1024;
}
