// Who carries pods' packets between the nodes of a lab: CALICO_NETWORKING_BACKEND of every node, by the same names.
//
//   bird    a BGP speaker on every node
//   vxlan   no BGP at all: the agent writes the routes to other nodes' blocks, in a tunnel
//   none    another network; Calico does policy only (topology/foreign-network.ts)
import { err, failure, ok, type Failure, type Result } from '../lib/result.ts';
import type { ModeName } from './modes.ts';

export const backendNames = ['bird', 'vxlan', 'none'] as const;
export type BackendName = (typeof backendNames)[number];

/** The mode of the pools, which needs somebody who writes the routes. */
export function modeFor(
  backend: BackendName,
  asked: ModeName | undefined,
): Result<ModeName, Failure<'BadMode'>> {
  if (backend === 'none' && asked !== undefined)
    return err(
      failure(
        'BadMode',
        'With the backend none there are no pools that could have a mode: another network has the pods.',
      ),
    );
  if (backend === 'vxlan' && asked === 'bgp')
    return err(
      failure('BadMode', 'The mode bgp needs BGP, and the backend vxlan has none.', 'Use --backend bird.'),
    );
  return ok(asked ?? (backend === 'vxlan' ? 'vxlan' : 'bgp'));
}
