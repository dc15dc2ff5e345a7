// Tells when the agent and the BGP speaker are set so that routes to other nodes are written twice, or by nobody.
import type { Logger } from '../../lib/log.ts';
import type { BGPConfiguration, IPPool } from '../../model/mod.ts';
import { type ClusterRouteGap, clusterRouteGaps, type FelixConfig, routeClasses } from '../calc/mod.ts';

type Update =
  | {
      readonly type: 'set';
      readonly kind: string;
      readonly object: { readonly metadata: { readonly name: string } };
    }
  | { readonly type: 'delete'; readonly kind: string; readonly name: { readonly name: string } }
  | { readonly type: 'status' };

export type RouteWritersOptions = {
  readonly logger: Logger;
  /** Without one nobody writes what Felix does not. */
  readonly hasSpeaker: boolean;
  /** For an event of the node. */
  readonly tell: (message: string) => void;
};

export class RouteWriters {
  readonly #options: RouteWritersOptions;
  #bgp: string | undefined;
  #told = '';

  constructor(options: RouteWritersOptions) {
    this.#options = options;
  }

  take(updates: readonly Update[]): void {
    for (const update of updates) {
      if (update.type === 'status' || update.kind !== 'BGPConfiguration') continue;
      const { name } = update.type === 'set' ? update.object.metadata : update.name;
      if (name !== 'default') continue;
      this.#bgp =
        update.type === 'set' ? (update.object as BGPConfiguration).spec?.programClusterRoutes : undefined;
    }
  }

  /** Says what does not fit, once for each state of things. */
  check(config: FelixConfig, pools: readonly IPPool[]): void {
    const { logger, hasSpeaker, tell } = this.#options;
    const felix = config.text('ProgramClusterRoutes');
    const bgp = hasSpeaker ? (this.#bgp ?? 'EnabledNoEncapOnly') : undefined;
    const gaps = clusterRouteGaps(felix, bgp, routeClasses(pools.map((pool) => pool.spec)));
    const text = gaps.map((gap) => gapText(gap, felix, bgp)).join(' ');
    if (text === this.#told) return;
    this.#told = text;
    if (text === '') {
      logger.info('Routes to other nodes have one writer each again');
      return;
    }
    logger.warn(text, { felixConfiguration: felix, bgpConfiguration: bgp ?? 'no speaker' });
    tell(text);
  }
}

function gapText({ class: name, writers }: ClusterRouteGap, felix: string, bgp: string | undefined): string {
  const settings =
    bgp === undefined
      ? `programClusterRoutes of FelixConfiguration is ${felix}, and no speaker runs`
      : `programClusterRoutes of FelixConfiguration is ${felix}, of BGPConfiguration ${bgp}`;
  return writers === 'both'
    ? `Routes of pools with ${name} are written by Felix and by BGP: ${settings}.`
    : `Routes of pools with ${name} are written by nobody: ${settings}.`;
}
