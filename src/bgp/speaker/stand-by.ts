// A node whose network needs no BGP (CALICO_NETWORKING_BACKEND is `vxlan` or `none`, SR-110, SR-232): routes of an earlier run
// go, and the process waits for its end, so that whoever supervises it sees it run.
import type { Logger } from '../../lib/log.ts';
import type { Result } from '../../lib/result.ts';
import { ok } from '../../lib/result.ts';
import { type Kernel, type KernelError, mainTable } from '../../kernel/mod.ts';
import { isOwn, ownProtocol } from './kernel/rows.ts';

export type StandByOptions = {
  readonly backend: string;
  readonly kernel: Kernel;
  readonly logger: Logger;
  readonly signals: Pick<NodeJS.Process, 'on' | 'off'>;
};

export async function standBy(options: StandByOptions): Promise<Result<void, KernelError>> {
  const { backend, kernel, logger, signals } = options;
  const ended = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) signals.on(signal, () => resolve());
  });
  const removed = await removeOwnRoutes(kernel);
  if (!removed.ok) return removed;
  logger.info('BGP is off', { backend, removedRoutes: removed.value });
  // The signals' handlers alone do not keep a process alive.
  const alive = setInterval(() => undefined, 2 ** 30);
  await ended;
  clearInterval(alive);
  await kernel.close();
  return ok(undefined);
}

async function removeOwnRoutes(kernel: Kernel): Promise<Result<number, KernelError>> {
  const listed = await kernel.routes.list({ table: mainTable, protocol: ownProtocol });
  if (!listed.ok) return listed;
  const own = listed.value.filter(isOwn);
  const outcomes = await kernel.routes.apply(
    own.map(({ dst, table, priority }) => ({
      op: 'delete' as const,
      key: { dst, table, priority },
      protocol: ownProtocol,
      type: 'unicast' as const,
    })),
  );
  const failed = outcomes.find((outcome) => !outcome.ok);
  return failed !== undefined && !failed.ok ? failed : ok(own.length);
}
