// The kubeconfig of a lab's API server: plain HTTP, no user.
export function kubeconfigText(name: string, server: string): string {
  return [
    'apiVersion: v1',
    'kind: Config',
    'clusters:',
    `- name: margay-${name}`,
    `  cluster: {server: "${server}"}`,
    'users:',
    '- name: admin',
    '  user: {}',
    'contexts:',
    `- name: margay-${name}`,
    `  context: {cluster: margay-${name}, user: admin}`,
    `current-context: margay-${name}`,
    '',
  ].join('\n');
}
