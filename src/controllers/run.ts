// What the control plane does about policy for a cluster as a whole, put together: `margay controllers` runs it beside any
// Kubernetes API server, the lab's control process in itself. Any number may run at once: each writes only what is not so.
import type { Datastore } from '../datastore/mod.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { err, failure, ok, type Failure, type Result } from '../lib/result.ts';
import { startCompaction } from './compaction.ts';
import { startHostEndpoints } from './host-endpoints.ts';
import { startPodLimits } from './pod-limits.ts';
import { startPolicyStatus } from './policy-status.ts';
import { startPoolStatus } from './pool-status.ts';
import { startTrials } from './trials.ts';

/** As ENABLED_CONTROLLERS names them, and what they do here. `limits` and `trials` are Margay's own. */
export const controllerNames = ['node', 'policy', 'ippool', 'limits', 'trials'] as const;
export type ControllerName = (typeof controllerNames)[number];

export type ControllersOptions = {
  readonly datastore: Datastore;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** ENABLED_CONTROLLERS, AUTO_HOST_ENDPOINTS, COMPACTION_PERIOD. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
};
export interface Controllers {
  /** Those that run. */
  readonly names: readonly ControllerName[];
  stop(): Promise<void>;
}

/** Calico's other controllers: the agent, the API server or the lab does what they do, or nobody needs it. */
const others: ReadonlySet<string> = new Set([
  'namespace',
  'serviceaccount',
  'workloadendpoint',
  'loadbalancer',
  'tier',
  'migration',
  'flannelmigration',
]);

export function startControllers(options: ControllersOptions): Result<Controllers, Failure<'BadConfig'>> {
  const { environment = {}, logger, ...told } = options;
  const asked = (environment['ENABLED_CONTROLLERS'] || controllerNames.join())
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '');
  const unknown = asked.find((name) => !isOurs(name) && !others.has(name));
  if (unknown !== undefined)
    return err(
      failure(
        'BadConfig',
        `There is no controller "${unknown}".`,
        `There are ${controllerNames.join(', ')}.`,
      ),
    );
  const elsewhere = asked.filter((name) => others.has(name));
  if (elsewhere.length > 0) logger.info('These controllers have nothing to do here', { names: elsewhere });
  const names = controllerNames.filter((name) => asked.includes(name));
  const automatic = environment['AUTO_HOST_ENDPOINTS']?.toLowerCase();
  const starts: Readonly<Record<ControllerName, () => { stop(): Promise<void> }>> = {
    node: () =>
      startHostEndpoints({ ...told, logger, ...(automatic ? { autoCreate: automatic === 'enabled' } : {}) }),
    policy: () => startPolicyStatus({ ...told, logger }),
    ippool: () => startPoolStatus({ ...told, logger }),
    limits: () => startPodLimits({ ...told, logger }),
    trials: () => startTrials({ ...told, logger }),
  };
  const period = environment['COMPACTION_PERIOD'];
  const running = [
    ...names.map((name) => starts[name]()),
    startCompaction({ ...told, logger, ...(period ? { period } : {}) }),
  ];
  return ok({
    names,
    async stop() {
      await Promise.all(running.map((one) => one.stop()));
    },
  });
}

const isOurs = (name: string): name is ControllerName => controllerNames.some((one) => one === name);
