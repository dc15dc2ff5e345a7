// The node's condition NetworkUnavailable (BG-078): False once the dataplane is in sync and, where BGP carries the routes,
// the speaker runs; True again when the agent is told to end. A node whose pods are another network's business
// (CALICO_NETWORKING_BACKEND=none) is left alone.
import type { Clock } from '../../lib/clock.ts';
import { askLine } from '../../lib/json-line.ts';
import type { Logger } from '../../lib/log.ts';
import { sleep } from '../../lib/wait.ts';
import type { Datastore } from '../../datastore/mod.ts';
import { reportNetwork } from './resources.ts';

export type NetworkConditionOptions = {
  readonly datastore: Datastore;
  readonly nodeName: string;
  /** bird, vxlan or none. */
  readonly backend: string;
  readonly bgpSocket: string;
  readonly clock: Clock;
  readonly logger: Logger;
};

const askEveryMs = 300;
const answerMs = 2_000;

export class NetworkCondition {
  readonly #options: NetworkConditionOptions;
  readonly #abort = new AbortController();
  #reported = false;
  #waiting: Promise<void> = Promise.resolve();

  constructor(options: NetworkConditionOptions) {
    this.#options = options;
  }

  /** The dataplane is in sync. */
  start(): void {
    if (this.#options.backend !== 'none') this.#waiting = this.#report();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#waiting;
    if (this.#reported) await this.#tell(false);
  }

  async #report(): Promise<void> {
    const { backend } = this.#options;
    while (!this.#abort.signal.aborted) {
      if (backend !== 'bird' || (await this.#speakerRuns())) {
        this.#reported = true;
        return this.#tell(true);
      }
      await sleep(askEveryMs, this.#abort.signal);
    }
  }

  /** It answers, and is not in the middle of finding out what its peers know. */
  async #speakerRuns(): Promise<boolean> {
    const answer = await askLine<{ readonly ok: boolean; readonly result?: { readonly recovery?: string } }>(
      this.#options.bgpSocket,
      { op: 'status' },
      answerMs,
    );
    return answer.ok && answer.value.ok && answer.value.result?.recovery !== 'deferring';
  }

  async #tell(isAvailable: boolean): Promise<void> {
    const { datastore, nodeName, clock, logger } = this.#options;
    const now = new Date(clock.now()).toISOString();
    const reported = await reportNetwork(datastore, nodeName, isAvailable, now);
    if (!reported.ok)
      logger.debug('Cannot report whether there is a network', { isAvailable, error: reported.error });
  }
}
