// Events are news: they go after an hour.
import type { Timer } from '../../lib/clock.ts';
import { ok } from '../../lib/result.ts';
import type { Api } from '../api.ts';
import { textAt } from '../json.ts';
import type { ApiObject } from '../types.ts';

const keepMs = 60 * 60_000;
const everyMs = 60_000;
const perRound = 500;

const lastSeen = (object: ApiObject): number =>
  Date.parse(
    textAt(object, 'lastTimestamp') ??
      textAt(object, 'series', 'lastObservedTime') ??
      object.metadata.creationTimestamp ??
      '',
  );

/** Gives the function that stops it. */
export function expireEvents(api: Api): () => void {
  let timer: Timer | undefined;
  const round = async (): Promise<void> => {
    const before = api.clock.now() - keepMs;
    const old = api.store
      .list('events')
      .filter(({ object }) => lastSeen(object) < before)
      .slice(0, perRound);
    if (old.length > 0) {
      await api.store.write((tx) => {
        for (const stored of old) tx.remove(stored);
        return ok(undefined);
      });
    }
  };
  const next = (): void => {
    timer = api.clock.after(everyMs, () => {
      void round()
        .catch((cause: unknown) => api.logger.error('Removing old events failed', { error: String(cause) }))
        .finally(() => !api.stopping.aborted && next());
    });
  };
  next();
  return () => timer?.cancel();
}
