// What BIRD 2 leaves behind. Where the metric of a route changes (an elevated route becomes an ordinary one, another peer's
// preference wins), BIRD 2.0 writes the new route and forgets the old one, and its scans of the kernel overlook it, as one
// of that destination has been seen already. The old one may be preferred by the kernel, forever. So routes of BIRD's
// protocol that BIRD does not export to the kernel are removed here, when two looks have found them.
import { parsePrefix, prefixFamily, type Family } from '../../lib/ip/mod.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import { mainTable, routeProtocols, type Kernel, type Route, type Subscription } from '../../kernel/mod.ts';
import type { ReplyLine } from './control-client.ts';
import type { BirdError } from './errors.ts';

export type LeftoversOptions = {
  readonly kernel: Kernel;
  readonly ask: (command: string) => Promise<Result<readonly ReplyLine[], BirdError>>;
  readonly clock: Clock;
  readonly logger: Logger;
};

const settleMs = 250;
/** A look may take this part of the time. */
const restFactor = 20;
const auditMs = 30_000;

const keyOf = (dst: string, metric: number): string => `${dst} ${metric}`;

export class Leftovers {
  readonly #options: LeftoversOptions;
  #subscription: Subscription | undefined;
  #timer: Timer | undefined;
  #audit: Timer | undefined;
  #suspects: ReadonlySet<string> = new Set();
  #lookMs = 0;
  #looking: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: LeftoversOptions) {
    this.#options = options;
  }

  start(): void {
    this.#subscription = this.#options.kernel.subscribe(['routes'], (event) => {
      const isOwn =
        event.type === 'route' || event.type === 'route-deleted'
          ? event.route.protocol === routeProtocols.bird
          : event.type === 'lost';
      if (isOwn) this.#soon();
    });
    this.#soon();
    this.#auditLater();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#audit?.cancel();
    this.#subscription?.close();
    await this.#looking;
  }

  #auditLater(): void {
    this.#audit = this.#options.clock.after(auditMs, () => {
      this.#soon();
      this.#auditLater();
    });
  }

  #soon(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    this.#timer = this.#options.clock.after(Math.max(settleMs, this.#lookMs * restFactor), () => {
      this.#looking = this.look().finally(() => {
        this.#timer = undefined;
        if (this.#suspects.size > 0) this.#soon();
      });
    });
  }

  /** Compares once; removes what an earlier look found too. */
  async look(): Promise<void> {
    const { kernel, clock, logger } = this.#options;
    const started = clock.monotonic();
    const before = this.#suspects;
    this.#suspects = new Set();
    const wanted = await this.#wanted();
    const listed = await kernel.routes.list({ table: mainTable, protocol: routeProtocols.bird });
    // While BIRD is down, or waits for its neighbours after a restart, everything stays.
    if (!wanted.ok || !listed.ok) return;
    const unwanted = listed.value.filter(
      (r) => r.type === 'unicast' && !wanted.value.has(keyOf(r.dst, r.priority)),
    );
    const leftovers = unwanted.filter((r) => before.has(keyOf(r.dst, r.priority)));
    this.#suspects = new Set(unwanted.map((r) => keyOf(r.dst, r.priority)).filter((k) => !before.has(k)));
    if (leftovers.length > 0) {
      logger.info('routes that BIRD has left behind are removed', {
        routes: leftovers.slice(0, 10).map((r) => `${r.dst} metric ${r.priority}`),
        count: leftovers.length,
      });
      await kernel.routes.apply(leftovers.map(removal));
    }
    this.#lookMs = clock.monotonic() - started;
  }

  /** Destination and metric of everything that BIRD wants in the kernel. */
  async #wanted(): Promise<Result<ReadonlySet<string>, BirdError>> {
    const wanted = new Set<string>();
    const status = await this.#options.ask('show status');
    if (!status.ok) return status;
    if (status.value.some(({ text }) => /recovery in progress/i.test(text)))
      return err(failure('NoAnswer', 'BIRD waits for the tables of its neighbours.'));
    for (const family of [4, 6] as const) {
      const reply = await this.#options.ask(`show route table master${family} export kernel${family} all`);
      if (!reply.ok) return reply;
      collect(reply.value, family, wanted);
    }
    return ok(wanted);
  }
}

const removal = ({ dst, table, priority }: Route) => ({
  op: 'delete' as const,
  key: { dst, table, priority },
  protocol: routeProtocols.bird,
  type: 'unicast' as const,
});

/** IPv6 has no metric 0: the kernel makes 1024 of it. */
function collect(lines: readonly ReplyLine[], family: Family, into: Set<string>): void {
  let dst: string | undefined;
  let metric = 0;
  const done = (): void => {
    if (dst !== undefined) into.add(keyOf(dst, family === 6 && metric === 0 ? 1024 : metric));
  };
  for (const { code, text } of lines) {
    if (code === 1007 && /^\S/.test(text)) {
      const parsed = parsePrefix(text.slice(0, text.search(/\s|$/)));
      if (!parsed.ok || prefixFamily(parsed.value) !== family) continue;
      done();
      dst = parsed.value;
      metric = 0;
    } else if (code === 1012 && text.startsWith('\tKernel.metric:')) metric = Number(text.slice(15));
  }
  done();
}
