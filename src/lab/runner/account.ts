// A pod's service account inside of its containers, as a kubelet mounts it: token, authority and namespace in
// /var/run/secrets/kubernetes.io/serviceaccount. The token is bound to the pod and goes with it.
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Pod } from '../../model/mod.ts';
import { askServer, readIdentity } from '../ask-server.ts';

/** Tokens are not renewed: nobody keeps a lab for longer. */
const tokenSeconds = 365 * 86_400;

/** Where the API server is for pods. */
export const serviceEnvironment = {
  KUBERNETES_SERVICE_HOST: '10.96.0.1',
  KUBERNETES_SERVICE_PORT: '443',
} as const;

export type MountAccount = (pod: Pod, directory: string) => Promise<boolean>;

const wantsAccount = (pod: Pod): boolean =>
  (pod.spec as { readonly automountServiceAccountToken?: unknown }).automountServiceAccountToken !== false;

/** Fills the directory with the identity of a runner's kubeconfig; false when the pod gets none. */
export const mountAccount =
  (kubeconfig: string): MountAccount =>
  async (pod, directory) => {
    if (existsSync(directory)) return true;
    if (!wantsAccount(pod)) return false;
    const { name, namespace = 'default', uid = '' } = pod.metadata;
    const account = pod.spec.serviceAccountName ?? 'default';
    try {
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
      const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name, uid };
      const { code, value } = await askServer(kubeconfig, path, {
        spec: { expirationSeconds: tokenSeconds, boundObjectRef },
      });
      if (code !== 201) return false;
      const { status } = value as { readonly status: { readonly token: string } };
      // Complete or not there: the next attempt of a container must not find half of it.
      const made = `${directory}.new`;
      mkdirSync(made, { recursive: true, mode: 0o755 });
      writeFileSync(join(made, 'token'), status.token, { mode: 0o644 });
      writeFileSync(join(made, 'ca.crt'), readIdentity(kubeconfig).ca, { mode: 0o644 });
      writeFileSync(join(made, 'namespace'), namespace, { mode: 0o644 });
      renameSync(made, directory);
      return true;
    } catch {
      rmSync(`${directory}.new`, { force: true, recursive: true });
      return false;
    }
  };
