// The few requests that the launcher and the report make of the lab's API server from outside, as kubectl would.
import { until } from '../lib/wait.ts';
import type { KubernetesNode, Pod } from '../model/mod.ts';
import { isNodeReady, isReady } from './control/pods.ts';

type List<T> = { readonly items: readonly T[] };

/** Answers undefined when the server does not (yet). */
async function request<T>(port: number, path: string, body?: unknown): Promise<T | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      signal: AbortSignal.timeout(5000),
      ...(body === undefined
        ? {}
        : { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    const value = (await response.json()) as T;
    return response.ok || response.status === 409 ? value : undefined;
  } catch {
    return undefined;
  }
}

export const listNodes = async (port: number): Promise<readonly KubernetesNode[]> =>
  (await request<List<KubernetesNode>>(port, '/api/v1/nodes'))?.items ?? [];

export const listPods = async (port: number, selector?: string): Promise<readonly Pod[]> =>
  (
    await request<List<Pod>>(
      port,
      `/api/v1/pods${selector === undefined ? '' : `?labelSelector=${encodeURIComponent(selector)}`}`,
    )
  )?.items ?? [];

/** Creates an object; one that exists already is fine. */
export const createObject = async (port: number, path: string, object: unknown): Promise<boolean> =>
  (await request(port, path, object)) !== undefined;

type Progress = (ready: number, of: number) => void;

/** Waits until so many nodes are ready; false when the time is over. */
export async function awaitNodes(
  port: number,
  count: number,
  timeoutMs: number,
  progress: Progress,
): Promise<boolean> {
  return awaitCount(
    async () => (await listNodes(port)).filter(isNodeReady).length,
    count,
    timeoutMs,
    progress,
  );
}

export async function awaitPods(
  port: number,
  selector: string,
  count: number,
  timeoutMs: number,
  progress: Progress,
): Promise<boolean> {
  return awaitCount(
    async () => (await listPods(port, selector)).filter(isReady).length,
    count,
    timeoutMs,
    progress,
  );
}

async function awaitCount(
  look: () => Promise<number>,
  count: number,
  timeoutMs: number,
  progress: Progress,
): Promise<boolean> {
  let last = -1;
  const done = await until(
    async () => {
      const now = await look();
      if (now !== last) progress(now, count);
      last = now;
      return now >= count ? true : undefined;
    },
    { timeoutMs, everyMs: 50 },
  );
  return done === true;
}
