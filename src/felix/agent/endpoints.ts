// Felix as CNI sees it: an endpoint is programmed when its rows are in the kernel, removed when they are out of it.
import type { Clock } from '../../lib/clock.ts';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import { parsePrefix } from '../../lib/ip/mod.ts';
import type { EndpointProgrammer } from '../../cni/mod.ts';
import type { WorkloadEndpoint } from '../../model/mod.ts';
import { type CalculationGraph, endpointKey, type RouteRow } from '../calc/mod.ts';
import { type Dataplane, endpointKeys, type EndpointKeys } from '../dataplane/mod.ts';

const programDeadlineMs = 10_000;
const removeDeadlineMs = 5_000;

/** How long endpoints took from ADD's news until routes, settings and policy were in the kernel. */
export type ProgrammingTimes = {
  readonly count: number;
  readonly failures: number;
  readonly totalMs: number;
  readonly longestMs: number;
};

export type TimedProgrammer = EndpointProgrammer & { readonly times: ProgrammingTimes };

export function endpointProgrammer(
  graph: CalculationGraph,
  dataplane: Dataplane,
  clock: Clock,
  /** Hands on what the calculation found different, all of it. */
  flush: () => void,
): TimedProgrammer {
  const times = { count: 0, failures: 0, totalMs: 0, longestMs: 0 };

  return {
    times,

    async program(endpoint) {
      const began = clock.monotonic();
      graph.announce(endpoint);
      flush();
      const done = await whenProgrammed(graph, dataplane, endpoint);
      const tookMs = clock.monotonic() - began;
      times.count++;
      times.totalMs += tookMs;
      times.longestMs = Math.max(times.longestMs, tookMs);
      if (!done.ok) times.failures++;
      return done;
    },

    restore(endpoint) {
      graph.announce(endpoint);
      flush();
    },

    async remove(endpoint) {
      const keys = keysOf(graph, dataplane, endpoint);
      graph.withdraw(endpoint);
      flush();
      // Late rows are tried again by their reconciler; DEL does not fail for them.
      if (keys.ok)
        await dataplane.whenDone({ ...keys.value, sysctls: [], policy: [], bandwidth: [] }, removeDeadlineMs);
    },
  };
}

/** Resolves when all that the endpoint stands on is in the kernel, or with why it is not yet. */
export async function whenProgrammed(
  graph: CalculationGraph,
  dataplane: Dataplane,
  endpoint: WorkloadEndpoint,
): Promise<Result<void>> {
  const keys = keysOf(graph, dataplane, endpoint);
  return keys.ok ? dataplane.whenDone(keys.value, programDeadlineMs) : keys;
}

/** The kernel rows the endpoint stands on; a failure when another endpoint has one of its addresses. */
function keysOf(
  graph: CalculationGraph,
  dataplane: Dataplane,
  endpoint: WorkloadEndpoint,
): Result<EndpointKeys> {
  const { interfaceName = '', ipNetworks = [] } = endpoint.spec;
  const tables = graph.state().tables;
  const routes: RouteRow[] = [];
  for (const network of ipNetworks) {
    const parsed = parsePrefix(network);
    const row = parsed.ok ? tables.routes.get(parsed.value) : undefined;
    // IPv6 switched off: the address is not routed at all.
    if (row === undefined) continue;
    if (row.target.type !== 'endpoint' || row.target.interfaceName !== interfaceName) {
      const holder = row.target.type === 'endpoint' ? row.target.interfaceName : 'a block';
      return err(failure('AddressInUse', `${network} of ${interfaceName} is routed to ${holder}.`));
    }
    routes.push(row);
  }
  const key = `workload ${endpointKey(endpoint.metadata)}`;
  const row = tables.interfaces.get(interfaceName);
  return ok(endpointKeys(routes, row, dataplane.policyKeys(key), dataplane.bandwidthKeys(key)));
}
