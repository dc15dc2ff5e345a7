// The kubeconfig of a lab's API server: plain HTTP, no user. JSON is YAML too, and is read without a library.
export function kubeconfigText(name: string, server: string): string {
  const entry = `margay-${name}`;
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: entry, cluster: { server } }],
    users: [{ name: 'admin', user: {} }],
    contexts: [{ name: entry, context: { cluster: entry, user: 'admin' } }],
    'current-context': entry,
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}
