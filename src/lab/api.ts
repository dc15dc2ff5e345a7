// The few requests that the launcher and the report make of the lab's API server from outside, as kubectl would.
import { until } from '../lib/wait.ts';
import type { KubernetesNode, Pod } from '../model/mod.ts';
import { askServer } from './ask-server.ts';
import { isReady } from './control/pods.ts';

type List<T> = { readonly items: readonly T[] };

/** Answers undefined when the server does not (yet). */
async function request<T>(kubeconfig: string, path: string, body?: unknown): Promise<T | undefined> {
  try {
    const { code, value } = await askServer(kubeconfig, path, body);
    return code < 300 || code === 409 ? (value as T) : undefined;
  } catch {
    return undefined;
  }
}

/** undefined: the API server does not answer. */
export const findNodes = async (kubeconfig: string): Promise<readonly KubernetesNode[] | undefined> =>
  (await request<List<KubernetesNode>>(kubeconfig, '/api/v1/nodes'))?.items;

export const listNodes = async (kubeconfig: string): Promise<readonly KubernetesNode[]> =>
  (await findNodes(kubeconfig)) ?? [];

export const listPods = async (kubeconfig: string, selector?: string): Promise<readonly Pod[]> =>
  (
    await request<List<Pod>>(
      kubeconfig,
      `/api/v1/pods${selector === undefined ? '' : `?labelSelector=${encodeURIComponent(selector)}`}`,
    )
  )?.items ?? [];

/** Creates an object; one that exists already is fine. */
export const createObject = async (kubeconfig: string, path: string, object: unknown): Promise<boolean> =>
  (await request(kubeconfig, path, object)) !== undefined;

/** Waits until so many pods are ready; false when the time is over. */
export async function awaitPods(
  kubeconfig: string,
  selector: string,
  count: number,
  timeoutMs: number,
  progress: (ready: number, of: number) => void,
): Promise<boolean> {
  let last = -1;
  const done = await until(
    async () => {
      const now = (await listPods(kubeconfig, selector)).filter(isReady).length;
      if (now !== last) progress(now, count);
      last = now;
      return now >= count ? true : undefined;
    },
    { timeoutMs, everyMs: 150 },
  );
  return done === true;
}
