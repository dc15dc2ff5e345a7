// Waiting that always ends: every wait takes a deadline or a signal.
import { setTimeout as delay } from 'node:timers/promises';

/** Resolves after `ms`, or at once (false) when the signal aborts. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<boolean> {
  try {
    await delay(ms, undefined, signal === undefined ? {} : { signal });
    return true;
  } catch {
    return false;
  }
}

/** Exponential backoff with jitter (±20 %): 1×, 2×, 4×… of `firstMs`, at most `maxMs`. */
export function backoff(attempt: number, firstMs: number, maxMs: number): number {
  const base = Math.min(maxMs, firstMs * 2 ** Math.min(attempt, 30));
  return base * (0.8 + Math.random() * 0.4);
}

/** Calls `probe` until it gives a value or the deadline passes. For conditions without an event. */
export async function until<T>(
  probe: () => Promise<T | undefined> | T | undefined,
  options: { timeoutMs: number; everyMs?: number; signal?: AbortSignal },
): Promise<T | undefined> {
  const end = performance.now() + options.timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined) return value;
    if (performance.now() >= end || options.signal?.aborted) return undefined;
    await sleep(options.everyMs ?? 20, options.signal);
  }
}
