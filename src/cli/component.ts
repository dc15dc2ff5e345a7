// `margay component`: what a container of calico-node is asked by probes and hooks, by the names of Calico's manifests.
import { group } from './calicoctl/group.ts';

const node = group('component node', 'the node that this container is', [
  {
    name: 'health',
    summary: 'whether agent and speaker live and are ready, for probes',
    load: () => import('./component/health.ts'),
  },
  {
    name: 'shutdown',
    summary: 'tells Kubernetes that the node loses its network, for preStop',
    load: () => import('./component/shutdown.ts'),
  },
  {
    name: 'uninstall',
    summary: 'takes all of Calico out of the kernel and files of a node that no agent runs on any more',
    load: () => import('./component/uninstall.ts'),
  },
]);

export const command = group('component', 'probes and hooks of the containers of a cluster', [
  { name: 'node', summary: 'health, shutdown, uninstall', load: () => Promise.resolve({ command: node }) },
]);
