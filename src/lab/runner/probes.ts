// Probes of a container, as a kubelet runs them: startup first, then readiness and liveness beside each other, each at its own
// pace, counting what came in a row. What a check is, is said by an edge (probe-checks.ts).
import type { Clock, Timer } from '../../lib/clock.ts';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import type { Pod } from '../../model/mod.ts';

type Container = Pod['spec']['containers'][number];
export type Probe = NonNullable<Container['readinessProbe']>;
export type ProbeKind = 'startup' | 'readiness' | 'liveness';

/** Why a check failed, in words; undefined: it passed. Must end within `timeoutMs`. */
export type ProbeCheck = (probe: Probe, timeoutMs: number) => Promise<string | undefined>;

export type ContainerProbesOptions = {
  readonly container: Container;
  readonly clock: Clock;
  readonly check: ProbeCheck;
  /** What was told of the container before: a runner that starts again must not take back what holds. */
  readonly wasReady: boolean;
  readonly wasStarted: boolean;
  /** `ready` or `started` changed. */
  readonly onChange: () => void;
  /** A check failed; `isFatal`: so often that the container has to be started again. */
  readonly onFailure: (kind: ProbeKind, message: string, isFatal: boolean) => void;
};

const firstFatalMs = 1000;
const handlers = ['httpGet', 'tcpSocket', 'exec'] as const;

/** Refuses probes that nobody would run: a container that waits for one for ever helps nobody. */
export function validateProbes(container: Container): Result<void, Failure<'UnsupportedProbe'>> {
  for (const kind of ['startup', 'readiness', 'liveness'] as const) {
    const probe = container[`${kind}Probe`];
    if (probe === undefined) continue;
    if (handlers.filter((handler) => probe[handler] !== undefined).length !== 1)
      return err(
        failure(
          'UnsupportedProbe',
          `${kind}Probe of container ${container.name} has none of the handlers that the lab runs.`,
          `Give it one of ${handlers.join(', ')}.`,
        ),
      );
  }
  return ok(undefined);
}

export const hasProbes = ({ startupProbe, readinessProbe, livenessProbe }: Container): boolean =>
  (startupProbe ?? readinessProbe ?? livenessProbe) !== undefined;

export class ContainerProbes {
  readonly #options: ContainerProbesOptions;
  readonly #timers = new Set<Timer>();
  #isStarted: boolean;
  #isReady: boolean;
  #stopped = false;

  constructor(options: ContainerProbesOptions) {
    this.#options = options;
    const { startupProbe, readinessProbe } = options.container;
    this.#isStarted = startupProbe === undefined || options.wasStarted;
    this.#isReady = readinessProbe === undefined || options.wasReady;
    if (this.#isStarted) this.#runOthers();
    else if (startupProbe !== undefined) this.#run('startup', startupProbe);
  }

  get started(): boolean {
    return this.#isStarted;
  }

  get ready(): boolean {
    return this.#isStarted && this.#isReady;
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  #runOthers(): void {
    const { readinessProbe, livenessProbe } = this.#options.container;
    if (readinessProbe !== undefined) this.#run('readiness', readinessProbe);
    if (livenessProbe !== undefined) this.#run('liveness', livenessProbe);
  }

  #run(kind: ProbeKind, probe: Probe): void {
    const { periodSeconds = 10, timeoutSeconds = 1, initialDelaySeconds = 0 } = probe;
    const { successThreshold = 1, failureThreshold = 3 } = probe;
    let passed = 0;
    let failed = 0;
    const again = (ms: number): void => {
      if (this.#stopped) return;
      const timer = this.#options.clock.after(ms, () => {
        this.#timers.delete(timer);
        void once();
      });
      this.#timers.add(timer);
    };
    const once = async (): Promise<void> => {
      const problem = await this.#options.check(probe, Math.max(1, timeoutSeconds) * 1000);
      if (this.#stopped) return;
      passed = problem === undefined ? passed + 1 : 0;
      failed = problem === undefined ? 0 : failed + 1;
      const isFatal = kind !== 'readiness' && failed >= failureThreshold;
      if (problem !== undefined) this.#options.onFailure(kind, problem, isFatal);
      if (kind === 'startup' && passed >= 1) {
        this.#isStarted = true;
        this.#options.onChange();
        this.#runOthers();
        return;
      }
      if (kind === 'readiness') {
        if (!this.#isReady && passed >= successThreshold) this.#setReady(true);
        if (this.#isReady && failed >= failureThreshold) this.#setReady(false);
      }
      // The container is about to end; the next attempt has probes of its own.
      if (!isFatal) again(Math.max(1, periodSeconds) * 1000);
    };
    // A container that has only just begun would not hear the signal to end.
    again(Math.max(initialDelaySeconds * 1000, kind === 'readiness' ? 0 : firstFatalMs));
  }

  #setReady(ready: boolean): void {
    this.#isReady = ready;
    this.#options.onChange();
  }
}
