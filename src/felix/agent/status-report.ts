// In etcd each agent says every now and then that it is alive (FX-101): under a key that goes by itself when the agent is
// silent for too long, and under one that stays. OpenStack's driver and other tools look there. Kubernetes knows by the pod.
import { type Clock, type Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { asEtcd, type Datastore } from '../../datastore/mod.ts';
import type { FelixConfig } from '../calc/mod.ts';

export type StatusReportOptions = {
  readonly datastore: Datastore;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly config: () => FelixConfig;
};

const prefix = '/calico/felix/v2';

export class StatusReport {
  readonly #options: StatusReportOptions;
  readonly #abort = new AbortController();
  readonly #startedMs: number;
  #timer: Timer | undefined;
  #running: Promise<void> = Promise.resolve();
  #isFirst = true;
  #failed = false;

  constructor(options: StatusReportOptions) {
    this.#options = options;
    this.#startedMs = options.clock.monotonic();
  }

  /** From the moment on that the node is as the datastore wants it. */
  start(): void {
    if (this.#abort.signal.aborted) return;
    this.#running = this.#report();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#timer?.cancel();
    await this.#running;
  }

  async #report(): Promise<void> {
    const { datastore, nodeName, clock, logger } = this.#options;
    const config = this.#options.config();
    const everySeconds = config.number('ReportingIntervalSecs');
    const etcd = await asEtcd(datastore);
    if (etcd === undefined || everySeconds <= 0 || this.#abort.signal.aborted) return;
    const region = config.text('OpenstackRegion');
    const host = `${prefix}/${region === '' ? 'no-region' : `region-${region}`}/host/${nodeName}`;
    const put = JSON.stringify({
      time: new Date(clock.now()).toISOString(),
      uptime: (clock.monotonic() - this.#startedMs) / 1000,
      first_update: this.#isFirst,
    });
    const ttlSeconds = Math.max(1, config.number('ReportingTTLSecs'));
    const written = await etcd.keys.write(
      [
        { key: `${host}/status`, change: { put, ttlSeconds } },
        { key: `${host}/last_reported_status`, change: { put } },
      ],
      this.#abort.signal,
    );
    if (this.#abort.signal.aborted) return;
    if (written.ok) this.#isFirst = false;
    else if (!this.#failed) logger.warn('Cannot report the status', { reason: written.error.message });
    this.#failed = !written.ok;
    // Not all agents of a cluster at once.
    const pauseMs = everySeconds * 1000 * (0.95 + Math.random() * 0.1);
    this.#timer = clock.after(pauseMs, () => {
      this.#running = this.#report();
    });
  }
}
