// Tells when the agent and the BGP speaker are set so that routes to other nodes are written twice, or by nobody.
import type { Logger } from '../../lib/log.ts';
import type { BGPConfiguration, IPPool } from '../../model/mod.ts';
import { clusterRouteGaps, type FelixConfig, routeClasses } from '../calc/mod.ts';

type Update =
  | {
      readonly type: 'set';
      readonly kind: string;
      readonly object: { readonly metadata: { readonly name: string } };
    }
  | { readonly type: 'delete'; readonly kind: string; readonly name: { readonly name: string } }
  | { readonly type: 'status' };

export class RouteWriters {
  readonly #logger: Logger;
  readonly #hasSpeaker: boolean;
  #bgp: string | undefined;
  #told = '';

  constructor(logger: Logger, hasSpeaker: boolean) {
    this.#logger = logger;
    this.#hasSpeaker = hasSpeaker;
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
    const felix = config.text('ProgramClusterRoutes');
    const bgp = this.#hasSpeaker ? (this.#bgp ?? 'EnabledNoEncapOnly') : undefined;
    const gaps = clusterRouteGaps(felix, bgp, routeClasses(pools.map((pool) => pool.spec)));
    const text = JSON.stringify([gaps, felix, bgp]);
    if (text === this.#told) return;
    this.#told = text;
    for (const gap of gaps)
      this.#logger.warn(
        gap.writers === 'both'
          ? 'Routes are written by Felix and by BGP, too: set programClusterRoutes of one of them otherwise'
          : 'Routes are written by nobody: set programClusterRoutes of Felix or of BGP otherwise',
        { class: gap.class, felixConfiguration: felix, bgpConfiguration: bgp ?? 'no speaker' },
      );
  }
}
