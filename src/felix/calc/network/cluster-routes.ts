// Who writes the routes to other nodes' blocks: the agent and the BGP speaker are told so apart from each other
// (programClusterRoutes of FelixConfiguration and BGPConfiguration), and upstream checks not whether both fit together.
import { programmedRoutes } from '../configuration.ts';

export type RouteClass = 'IPIP' | 'no encapsulation';

/** What is written twice or by nobody, of the classes in use. */
export type ClusterRouteGap = {
  readonly class: RouteClass;
  readonly writers: 'both' | 'nobody';
};

/** `bgp` is undefined where no speaker runs. Unset means the default of each side. */
export function clusterRouteGaps(
  felix: string | undefined,
  bgp: string | undefined,
  inUse: ReadonlySet<RouteClass>,
): readonly ClusterRouteGap[] {
  const agent = programmedRoutes(felix ?? 'EnabledIPIPOnly');
  const speaker = programmedRoutes(bgp ?? 'Disabled');
  const writers = [
    ['IPIP', agent.ipip, speaker.ipip],
    ['no encapsulation', agent.noEncap, speaker.noEncap],
  ] as const;
  return writers.flatMap(([name, byAgent, bySpeaker]) =>
    byAgent !== bySpeaker || !inUse.has(name)
      ? []
      : [{ class: name, writers: byAgent ? ('both' as const) : ('nobody' as const) }],
  );
}

/** Classes of the pools; VXLAN is always the agent's. */
export function routeClasses(
  pools: Iterable<{ readonly ipipMode?: string; readonly vxlanMode?: string }>,
): Set<RouteClass> {
  const off = (mode: string | undefined): boolean => mode === undefined || mode === '' || mode === 'Never';
  const classes = new Set<RouteClass>();
  for (const { ipipMode, vxlanMode } of pools) {
    if (!off(vxlanMode)) continue;
    classes.add(off(ipipMode) ? 'no encapsulation' : 'IPIP');
  }
  return classes;
}
