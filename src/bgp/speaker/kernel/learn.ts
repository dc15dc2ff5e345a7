// What the kernel's table offers to announce: routes of other programs (the agent's routes to pods above all: those whose
// address was borrowed from another node's block go out as host routes), and the networks of our interfaces. Which of them
// really go out is decided by export policy.
import { prefixAddress, type Prefix } from '../../../lib/ip/mod.ts';
import { routeProtocols, type Route } from '../../../kernel/mod.ts';
import type { LocalRoute, PeerId, Rib } from '../../rib/mod.ts';
import type { KernelView } from './view.ts';

export type LearnConfig = {
  readonly kernel: boolean;
  readonly connected: boolean;
  readonly excludedInterfaces: readonly string[];
};

/** Keeps the table's local sources `kernel` and `direct` equal to the view; says only differences. */
export class KernelLearner {
  readonly #rib: Rib;
  readonly #sources: { readonly kernel: PeerId; readonly direct: PeerId };
  readonly #told = { kernel: new Map<Prefix, string>(), direct: new Map<Prefix, string>() };
  #config: LearnConfig;
  #excluded: RegExp | undefined;

  constructor(rib: Rib, config: LearnConfig) {
    this.#rib = rib;
    this.#sources = {
      kernel: rib.addPeer({ name: 'kernel', source: 'kernel' }),
      direct: rib.addPeer({ name: 'direct', source: 'direct' }),
    };
    this.#config = config;
    this.configure(config);
  }

  configure(config: LearnConfig): void {
    this.#config = config;
    this.#excluded = wildcards(config.excludedInterfaces);
  }

  /** Compares the whole view with what was told. */
  update(view: KernelView): void {
    const kernel = new Map<Prefix, LocalRoute>();
    if (this.#config.kernel) {
      for (const route of view.routes()) {
        // The first of a destination has the best metric.
        if (isCandidate(route) && !kernel.has(route.dst)) kernel.set(route.dst, localRoute(route, view));
      }
    }
    const direct = new Map<Prefix, LocalRoute>();
    if (this.#config.connected) {
      for (const { prefix, interfaceName } of view.connected()) {
        if (this.#excluded?.test(interfaceName)) continue;
        direct.set(prefix, { prefix, interfaceName });
      }
    }
    this.#tell('kernel', kernel);
    this.#tell('direct', direct);
  }

  #tell(source: 'kernel' | 'direct', routes: ReadonlyMap<Prefix, LocalRoute>): void {
    const told = this.#told[source];
    for (const [prefix, route] of routes) {
      const text = JSON.stringify(route);
      if (told.get(prefix) === text) continue;
      told.set(prefix, text);
      this.#rib.announceLocal(this.#sources[source], route);
    }
    for (const prefix of told.keys()) {
      if (routes.has(prefix)) continue;
      told.delete(prefix);
      this.#rib.withdrawLocal(this.#sources[source], prefix);
    }
  }
}

/** Connected networks have protocol "kernel"; link-local and multicast are not routed. */
function isCandidate(route: Route): boolean {
  if (route.type !== 'unicast' || route.protocol === routeProtocols.kernel) return false;
  return !/^(fe[89ab]|ff)/.test(prefixAddress(route.dst));
}

function localRoute(route: Route, view: KernelView): LocalRoute {
  const hop = route.nextHops[0];
  const interfaceName = view.linkName(hop?.linkIndex);
  return {
    prefix: route.dst,
    metric: route.priority,
    ...(interfaceName === undefined ? {} : { interfaceName }),
    ...(hop?.gateway === undefined ? {} : { gateway: hop.gateway }),
  };
}

/** One expression for a list of names with `*` and `?`. */
function wildcards(names: readonly string[]): RegExp | undefined {
  if (names.length === 0) return undefined;
  const escaped = names.map((n) =>
    n
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.'),
  );
  return new RegExp(`^(?:${escaped.join('|')})$`);
}
