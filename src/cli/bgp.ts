// `margay bgp`: sessions and routes of every node, from anywhere, and why a prefix goes where it goes.
import { group } from './calicoctl/group.ts';

export const command = group(
  'bgp',
  'BGP sessions and routes of the whole cluster, and why they are as they are',
  [
    {
      name: 'peers',
      summary: 'the sessions of every node; a peer that is down says why',
      load: () => import('./bgp/peers.ts'),
    },
    {
      name: 'routes',
      summary: 'the routes of a node',
      load: () => import('./bgp/routes.ts'),
    },
    {
      name: 'why',
      summary: 'what chose, stopped or passed on the route to a prefix',
      load: () => import('./bgp/why.ts'),
    },
  ],
);
