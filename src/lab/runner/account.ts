// Tokens of pods' service accounts, as a kubelet asks for them: bound to the pod, for an audience and a time.
import { err, failure, ok } from '../../lib/result.ts';
import { askServer } from '../ask-server.ts';
import type { RequestToken } from './volumes/mod.ts';

/** With the identity of a runner's kubeconfig. */
export const requestToken =
  (kubeconfig: string): RequestToken =>
  async (pod, { audience, expirationSeconds }) => {
    const { name, namespace = 'default', uid = '' } = pod.metadata;
    const account = pod.spec.serviceAccountName ?? 'default';
    const refused = (why: string) => err(failure('VolumeFailed', `failed to fetch token: ${why}`));
    try {
      const { code, value } = await askServer(
        kubeconfig,
        `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`,
        {
          spec: {
            ...(audience === undefined || audience === '' ? {} : { audiences: [audience] }),
            expirationSeconds,
            boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name, uid },
          },
        },
      );
      const answer = value as {
        readonly message?: string;
        readonly status?: { readonly token: string; readonly expirationTimestamp: string };
      };
      if (code !== 201 || answer.status === undefined)
        return refused(answer.message ?? `the server says ${code}`);
      const { token, expirationTimestamp } = answer.status;
      return ok({ token, expiresAtMs: Date.parse(expirationTimestamp) });
    } catch (error) {
      return refused((error as Error).message);
    }
  };
