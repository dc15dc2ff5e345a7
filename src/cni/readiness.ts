// readiness_gates (CN-016): URLs that must answer with success before a pod gets its network.
import { err, ok, type Result } from '../lib/result.ts';
import { sleep } from '../lib/wait.ts';
import { type CniError, cniCodes, cniError } from './errors.ts';

const everyMs = 5_000;
const limitMs = 30_000;

export async function awaitReadiness(urls: readonly string[]): Promise<Result<void, CniError>> {
  const deadline = performance.now() + limitMs;
  for (const url of urls) {
    for (;;) {
      const problem = await ask(url);
      if (problem === undefined) break;
      if (performance.now() + everyMs > deadline) {
        return err(
          cniError(
            cniCodes.tryAgainLater,
            'NotReady',
            `Readiness gate ${url} did not open within 30 s: ${problem}.`,
          ),
        );
      }
      await sleep(everyMs);
    }
  }
  return ok(undefined);
}

async function ask(url: string): Promise<string | undefined> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(everyMs) });
    await answer.body?.cancel();
    return answer.ok ? undefined : `status ${answer.status}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
