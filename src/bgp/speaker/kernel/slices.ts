// Long loops give way to everything else: a speaker with a full table still sends its keepalives in time.
import type { Clock } from '../../../lib/clock.ts';

/** Of one turn. */
const sliceMs = 6;
/** Items between two looks at the clock. */
const stride = 128;

export const nextTurn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

/** Visits every item, a slice per turn. What is iterated may change meanwhile, as far as its iterator allows. */
export async function inSlices<T>(
  clock: Pick<Clock, 'monotonic'>,
  items: Iterable<T>,
  visit: (item: T) => void,
): Promise<void> {
  let end = clock.monotonic() + sliceMs;
  let visited = 0;
  for (const item of items) {
    visit(item);
    if (++visited % stride !== 0 || clock.monotonic() < end) continue;
    await nextTurn();
    end = clock.monotonic() + sliceMs;
  }
}
