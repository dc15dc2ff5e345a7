// Liveness and readiness over HTTP (FX-102, FX-103): the status code for probes, the reasons in the body for people.
import type { HttpPages } from '../../lib/http-pages.ts';
import type { AgentStatus } from './types.ts';

export type HealthReport = { readonly ok: boolean; readonly reasons: readonly string[] };

/** Ready after the first full programming, and as long as every table could be read; a lost datastore does not unready a
 *  node whose dataplane works. */
export function readiness(status: AgentStatus): HealthReport {
  const reasons: string[] = [];
  if (status.phase === 'starting') reasons.push('felix-startup: waiting for the datastore and the node');
  if (status.phase === 'waiting') {
    reasons.push(
      status.calc.datastoreReady
        ? `async-calc-graph: the datastore is ${status.datastore}`
        : 'async-calc-graph: ClusterInformation says the datastore is not ready',
    );
  }
  if (status.phase === 'syncing') reasons.push('int-dataplane: the first synchronisation is under way');
  if (status.phase === 'stopped') reasons.push('felix-startup: stopped');
  for (const [name, table] of Object.entries(status.dataplane)) {
    if (table.dumpError !== undefined) reasons.push(`int-dataplane: table ${name}: ${table.dumpError}`);
  }
  return { ok: reasons.length === 0, reasons };
}

/** Calico's name of what is watched here, in HealthTimeoutOverrides. */
const dataplaneReporter = 'InternalDataplaneMainLoop';

/** Live unless a write or read of the kernel has not come back within the watchdog's time. */
export function liveness(status: AgentStatus): HealthReport {
  const overrides = status.config.value('HealthTimeoutOverrides') as Readonly<Record<string, number>> | null;
  const limitMs = overrides?.[dataplaneReporter] ?? status.config.number('DataplaneWatchdogTimeout');
  const reasons = Object.entries(status.dataplane).flatMap(([name, table]) =>
    table.stuckForMs > limitMs
      ? [`int-dataplane: table ${name} has been stuck for ${Math.round(table.stuckForMs / 1000)} s`]
      : [],
  );
  return { ok: reasons.length === 0, reasons };
}

export const healthPages = (status: () => AgentStatus): HttpPages => {
  const page = (report: () => HealthReport) => async () => {
    const { ok: healthy, reasons } = report();
    return {
      status: healthy ? 200 : 503,
      type: 'text/plain',
      body: healthy ? 'ok\n' : `${reasons.join('\n')}\n`,
    };
  };
  return { '/liveness': page(() => liveness(status())), '/readiness': page(() => readiness(status())) };
};
