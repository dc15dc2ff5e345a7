// The lab's scheduler and controllers over a datastore: any change of what they watch runs all of them once over the
// whole cluster (level triggered: what was missed or lost is seen at the next run). Labs are small, so a run is cheap.
import { type Datastore, startSyncer, type Syncer } from '../../datastore/mod.ts';
import { type Clock, systemClock, type Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { BindPod } from './binding.ts';
import { ClusterCache, type WatchedKind, watchedKinds } from './cache.ts';
import { ControlRun } from './control-run.ts';

export type ControlOptions = {
  readonly datastore: Datastore;
  readonly logger: Logger;
  readonly bind: BindPod;
  readonly clock?: Clock;
  /** A node that has not reported for this long is not ready; 40 s by default, as in Kubernetes. */
  readonly nodeGraceMs?: number;
};

export interface ControlLoop {
  stop(): Promise<void>;
}

/** Changes that come together are handled together. */
const gatherMs = 5;
const retryMs = 1000;
const longestTimerMs = 3_600_000;

export function startControlLoop(options: ControlOptions): ControlLoop {
  const clock = options.clock ?? systemClock;
  const cache = new ClusterCache();
  const nodeGraceMs = options.nodeGraceMs ?? 40_000;
  const run = new ControlRun({ ...options, cache, clock, nodeGraceMs });
  let timer: Timer | undefined;
  let cronTimer: Timer | undefined;
  let running: Promise<void> | undefined;
  let again = false;
  let stopped = false;
  let complete = false;

  const schedule = (delayMs: number): void => {
    if (stopped || timer !== undefined) return;
    timer = clock.after(delayMs, () => {
      timer = undefined;
      if (running !== undefined) {
        again = true;
        return;
      }
      running = once().finally(() => {
        running = undefined;
        if (again) schedule(gatherMs);
        again = false;
      });
    });
  };
  const once = async (): Promise<void> => {
    // Before everything was listed once, pods would seem to be missing. Later a lost connection does no harm: what is
    // written on old knowledge meets a conflict.
    if (stopped || !complete) return;
    const written = await run.everything();
    if (!written) clock.after(retryMs, () => schedule(gatherMs));
    cronTimer?.cancel();
    const { nextMs } = run;
    // A timer takes no more than 24 days; the run that comes too early sets the next one.
    if (nextMs !== undefined && !stopped)
      cronTimer = clock.after(Math.min(Math.max(0, nextMs - clock.now()), longestTimerMs), () => schedule(0));
  };
  const syncer: Syncer = startSyncer<WatchedKind>(options.datastore, {
    kinds: [...watchedKinds],
    logger: options.logger,
    onUpdates: (updates) => {
      cache.apply(updates);
      complete ||= updates.some((u) => u.type === 'status' && u.status === 'in-sync');
      schedule(gatherMs);
    },
  });
  // Heartbeats that stop make no event: look at the nodes from time to time.
  let nodeTimer: Timer;
  const watchNodes = (): void => {
    nodeTimer = clock.after(nodeGraceMs / 4, () => {
      schedule(gatherMs);
      watchNodes();
    });
  };
  watchNodes();
  return {
    stop: async () => {
      stopped = true;
      timer?.cancel();
      cronTimer?.cancel();
      nodeTimer.cancel();
      await syncer.stop();
      await running;
    },
  };
}
