// Files that say which workloads of this node have their routes, settings and policy in the kernel (FX-100): one per endpoint
// below `EndpointStatusPathPrefix`, named and filled as Calico does. CNI ADD waits for them when it is told to, and so may
// whoever looks for workloads that are up.
//
//   calculation ─► wanted endpoints ─► in the kernel? ─► due files ─► written, or tried again
//                        gone ───────────────────────────┘ removed
//
// Before `start` nothing is touched: what another run wrote still holds. With it, files of endpoints that are gone go.
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import { sleep } from '../../lib/wait.ts';
import { endpointStatusFile } from '../../cni/mod.ts';
import type { WorkloadEndpoint } from '../../model/mod.ts';
import type { PolicyChange } from '../calc/mod.ts';
import { writeNodeFile } from './host.ts';
import { RetriedWork } from './retried-work.ts';

export type EndpointStatusOptions = {
  readonly clock: Clock;
  readonly logger: Logger;
  /** The local endpoint that policy names `workload <namespace>/<name>`. */
  readonly endpointOf: (policyKey: string) => WorkloadEndpoint | undefined;
  /** Resolves when all that the endpoint stands on is in the kernel, or with why it is not yet. */
  readonly whenProgrammed: (endpoint: WorkloadEndpoint) => Promise<Result<void>>;
};

type Wanted = { readonly endpoint: WorkloadEndpoint; readonly file: string; isUp: boolean };

const againAfterMs = 1_000;

export class EndpointStatusFiles {
  readonly #options: EndpointStatusOptions;
  readonly #wanted = new Map<string, Wanted>();
  readonly #writing: RetriedWork;
  readonly #abort = new AbortController();
  readonly #watches = new Set<Promise<void>>();
  #directory: string | undefined;
  /** What the directory holds, once it was looked at; undefined: a file of an earlier run, whatever it says. */
  #held: Map<string, string | undefined> | undefined;
  #started = false;

  constructor(options: EndpointStatusOptions) {
    this.#options = options;
    this.#writing = new RetriedWork({
      work: () => Promise.resolve(this.#write()),
      clock: options.clock,
      logger: options.logger,
      failed: 'Cannot write files about endpoints, will try again',
      firstDelayMs: 50,
    });
  }

  /** Where the files are; undefined: nowhere. Those in the former place go. */
  setDirectory(directory: string | undefined): void {
    if (directory === this.#directory) return;
    for (const file of this.#held?.keys() ?? []) rmSync(join(this.#directory ?? '', file), { force: true });
    this.#directory = directory;
    this.#held = undefined;
    this.#ask();
  }

  /** Takes what the calculation found different, after the data plane did. */
  take(changes: readonly PolicyChange[]): void {
    for (const change of changes) {
      if (change.type === 'endpoint' && change.endpoint.type === 'workload') this.#want(change.endpoint.key);
      else if (change.type === 'endpoint-removed' && this.#wanted.delete(change.key)) this.#ask();
    }
  }

  /** The kernel was brought in step: from now on files are written and removed. */
  start(): void {
    this.#started = true;
    for (const [key, wanted] of this.#wanted) this.#watch(key, wanted);
    this.#ask();
  }

  /** Ends; the files stay, as the data plane does. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#writing.stop();
    await Promise.all(this.#watches);
  }

  #want(key: string): void {
    const endpoint = this.#options.endpointOf(key);
    if (endpoint === undefined) return;
    const before = this.#wanted.get(key);
    const file = endpointStatusFile(endpoint);
    // Other policy for the same workload: it was up, and stays so.
    if (before?.isUp === true && statusText(before.endpoint) === statusText(endpoint)) return;
    const wanted: Wanted = { endpoint, file, isUp: false };
    this.#wanted.set(key, wanted);
    if (!this.#started) return;
    if (before !== undefined) this.#ask();
    this.#watch(key, wanted);
  }

  #watch(key: string, wanted: Wanted): void {
    const watch = this.#untilUp(key, wanted);
    this.#watches.add(watch);
    void watch.finally(() => this.#watches.delete(watch));
  }

  async #untilUp(key: string, wanted: Wanted): Promise<void> {
    const { signal } = this.#abort;
    const isCurrent = (): boolean => !signal.aborted && this.#wanted.get(key) === wanted;
    while (isCurrent()) {
      const programmed = await Promise.race([this.#options.whenProgrammed(wanted.endpoint), aborted(signal)]);
      if (programmed.ok && isCurrent()) {
        wanted.isUp = true;
        return this.#ask();
      }
      await sleep(againAfterMs, signal);
    }
  }

  #ask(): void {
    if (this.#started && this.#directory !== undefined) this.#writing.ask();
  }

  /** Brings the directory in step with what is up. */
  #write(): Result<void> {
    const directory = this.#directory;
    if (directory === undefined) return ok(undefined);
    const listed = this.#held === undefined ? filesIn(directory) : ok(this.#held);
    if (!listed.ok) return listed;
    const held = listed.value;
    this.#held = held;
    const wanted = new Map([...this.#wanted.values()].map((one) => [one.file, one]));
    for (const [file, text] of held) {
      const one = wanted.get(file);
      // Of an earlier run, and not looked at yet: it still holds.
      if (one !== undefined && (one.isUp || text === undefined)) continue;
      rmSync(join(directory, file), { force: true });
      held.delete(file);
    }
    for (const { endpoint, file, isUp } of wanted.values()) {
      const text = statusText(endpoint);
      if (!isUp || held.get(file) === text) continue;
      const written = writeNodeFile(join(directory, file), text);
      if (!written.ok) return written;
      held.set(file, text);
    }
    return ok(undefined);
  }
}

function filesIn(directory: string): Result<Map<string, string | undefined>> {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    return ok(new Map(readdirSync(directory).map((file) => [file, undefined])));
  } catch (error) {
    return err(failure('NoDirectory', `Cannot use ${directory}: ${String(error)}.`));
  }
}

/** Names are those of Calico; what is not there is left out. */
function statusText({ spec }: WorkloadEndpoint): string {
  const networks = (of: (network: string) => boolean): string[] | undefined => {
    const found = (spec.ipNetworks ?? []).filter(of);
    return found.length === 0 ? undefined : found;
  };
  return JSON.stringify({
    ifaceName: spec.interfaceName,
    mac: spec.mac,
    ipv4Nets: networks((network) => !network.includes(':')),
    ipv6Nets: networks((network) => network.includes(':')),
  });
}

const aborted = (signal: AbortSignal): Promise<Result<void>> =>
  new Promise((resolve) => {
    const end = (): void => resolve(err(failure('Stopped', 'The agent was stopped.')));
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
