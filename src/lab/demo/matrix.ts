// Every pod asks every pod: a ping from inside of the asking pod, whose answer's TTL counts the hops, and an HTTP request,
// whose answer says which address the server saw. Compared with what the topology lets expect.
import { until } from '../../lib/wait.ts';
import { type Entrance, outputOf } from '../enter.ts';
import { mainFile } from '../main-file.ts';
import type { ModeName } from '../modes.ts';
import { expectBetween, type Topology } from '../topology/mod.ts';

export type DemoPod = {
  readonly name: string;
  readonly node: string;
  readonly address: string;
  readonly netns: string;
};
/** What `margay pod probe` prints, per address. */
export type Probe = {
  readonly address: string;
  readonly ttl?: number;
  readonly status?: number;
  /** The client address the server saw. */
  readonly client?: string;
  /** Why there was no answer. */
  readonly problem?: string;
};
export type Cell = {
  readonly from: DemoPod;
  readonly to: DemoPod;
  readonly probe: Probe;
  readonly asExpected: boolean;
};
export type Matrix = { readonly cells: readonly Cell[]; readonly asExpected: boolean };

export function judge(
  topology: Topology,
  from: DemoPod,
  to: DemoPod,
  probe: Probe,
  mode: ModeName = 'bgp',
): boolean {
  if (from.address === to.address) return probe.ttl === 64 && probe.status === 200;
  const expected = expectBetween(topology, from.node, to.node, { mode });
  if (!expected.reachable) return probe.ttl === undefined && probe.status === undefined;
  return probe.ttl === expected.ttl && probe.status === 200 && probe.client === from.address;
}

/** Probes until all is as expected or the time is over: routes of the last pod may still be on their way. */
export async function probeAll(
  topology: Topology,
  pods: readonly DemoPod[],
  entranceOf: (node: string) => Entrance,
  mode: ModeName,
  timeoutMs: number,
): Promise<Matrix> {
  const rows = new Map<DemoPod, readonly Probe[]>();
  const good = (from: DemoPod): boolean =>
    pods.every((to) => {
      const probe = rows.get(from)?.find((p) => p.address === to.address);
      return probe !== undefined && judge(topology, from, to, probe, mode);
    });
  await until(
    async () => {
      // At the same time: where nothing is expected, each of them waits for an answer that does not come.
      const open = pods.filter((from) => !good(from));
      const probes = await Promise.all(open.map((from) => probeFrom(from, pods, entranceOf(from.node))));
      for (const [i, from] of open.entries()) rows.set(from, probes[i] ?? []);
      return pods.every(good) ? true : undefined;
    },
    { timeoutMs, everyMs: 300 },
  );
  const cells = pods.flatMap((from) =>
    pods.map((to): Cell => {
      const probe = rows.get(from)?.find((p) => p.address === to.address) ?? { address: to.address };
      return { from, to, probe, asExpected: judge(topology, from, to, probe, mode) };
    }),
  );
  return { cells, asExpected: cells.every((c) => c.asExpected) };
}

async function probeFrom(
  from: DemoPod,
  pods: readonly DemoPod[],
  entrance: Entrance,
): Promise<readonly Probe[]> {
  const result = await outputOf(entrance, [
    'nsenter',
    `--net=${from.netns}`,
    '--',
    process.execPath,
    mainFile(),
    'pod',
    'probe',
    ...pods.map((p) => p.address),
  ]);
  try {
    return JSON.parse(result.out) as readonly Probe[];
  } catch {
    return pods.map((p) => ({ address: p.address, problem: result.err.trim().split('\n').at(-1) ?? '' }));
  }
}
