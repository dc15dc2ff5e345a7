// Writing kubeconfig files: one cluster, one user, one context. JSON is YAML too, and is read without a library.

export type KubeconfigContent = {
  readonly cluster: string;
  readonly server: string;
  readonly user: string;
  /** PEM. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
};

const data = (pem: string): string => Buffer.from(pem).toString('base64');

export function kubeconfig(content: KubeconfigContent): string {
  const { cluster, server, user, ca, cert, key, token } = content;
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: cluster,
        cluster: { server, ...(ca === undefined ? {} : { 'certificate-authority-data': data(ca) }) },
      },
    ],
    users: [
      {
        name: user,
        user: {
          ...(cert === undefined ? {} : { 'client-certificate-data': data(cert) }),
          ...(key === undefined ? {} : { 'client-key-data': data(key) }),
          ...(token === undefined ? {} : { token }),
        },
      },
    ],
    contexts: [{ name: cluster, context: { cluster, user } }],
    'current-context': cluster,
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}
