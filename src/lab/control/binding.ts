// Giving a pod its node. Kubernetes has a request of its own for it (a Binding); an update of spec.nodeName is refused.
// The datastore's face knows no subresources but status, so this is an edge of its own.
import { type Datastore, type StoreError, storeError } from '../../datastore/mod.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import type { Pod } from '../../model/mod.ts';
import { askServer } from '../ask-server.ts';

export type BindPod = (pod: Pod, node: string) => Promise<Result<void, StoreError>>;

/** Through the API server of a kubeconfig. */
export const bindThroughApi =
  (kubeconfig: string): BindPod =>
  async (pod, node) => {
    const { name, namespace = 'default', uid } = pod.metadata;
    try {
      const path = `/api/v1/namespaces/${namespace}/pods/${name}/binding`;
      const answer = await askServer(kubeconfig, path, {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name, namespace, ...(uid === undefined ? {} : { uid }) },
        target: { apiVersion: 'v1', kind: 'Node', name: node },
      });
      if (answer.code < 300) return ok(undefined);
      const { message = `status ${answer.code}` } = answer.value as { readonly message?: string };
      const code = answer.code === 404 ? 'NotFound' : answer.code === 409 ? 'Conflict' : 'Unavailable';
      return err(storeError(code, message));
    } catch (error) {
      return err(storeError('Unavailable', (error as Error).message));
    }
  };

/** For stores without such a rule: compare-and-swap of spec.nodeName. */
export const bindByPatch =
  (store: Datastore): BindPod =>
  async (pod, node) => {
    const patched = await store.patch(
      'Pod',
      {
        name: pod.metadata.name,
        ...(pod.metadata.namespace === undefined ? {} : { namespace: pod.metadata.namespace }),
      },
      {
        type: 'merge',
        body: { metadata: { resourceVersion: pod.metadata.resourceVersion }, spec: { nodeName: node } },
      },
    );
    return patched.ok ? ok(undefined) : patched;
  };
