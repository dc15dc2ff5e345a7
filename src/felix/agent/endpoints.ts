// Felix as CNI sees it: an endpoint is programmed when its rows are in the kernel, removed when they are out of it.
import { err, failure, ok, type Result } from '../../lib/result.ts';
import { parsePrefix } from '../../lib/ip/mod.ts';
import type { EndpointProgrammer } from '../../cni/mod.ts';
import type { WorkloadEndpoint } from '../../model/mod.ts';
import { type CalculationGraph, endpointKey, type RouteRow } from '../calc/mod.ts';
import { type Dataplane, endpointKeys, type EndpointKeys } from '../dataplane/mod.ts';

const programDeadlineMs = 10_000;
const removeDeadlineMs = 5_000;

export function endpointProgrammer(graph: CalculationGraph, dataplane: Dataplane): EndpointProgrammer {
  const flush = (): void => dataplane.apply(graph.flush());

  return {
    async program(endpoint) {
      graph.announce(endpoint);
      flush();
      const keys = keysOf(graph, dataplane, endpoint);
      return keys.ok ? dataplane.whenDone(keys.value, programDeadlineMs) : keys;
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
      if (keys.ok) await dataplane.whenDone({ ...keys.value, sysctls: [], policy: [] }, removeDeadlineMs);
    },
  };
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
  const policy = dataplane.policyKeys(`workload ${endpointKey(endpoint.metadata)}`);
  return ok(endpointKeys(routes, tables.interfaces.get(interfaceName), policy));
}
