// Opens the real kernel of a namespace.
import { err, ok, type Result } from '../lib/result.ts';
import { kernelError } from './errors.ts';
import { openNamespace } from './namespace.ts';
import { NetlinkOpenError } from './netlink/socket.ts';
import { realConntrack } from './real/conntrack.ts';
import { subscribe, type EventOptions } from './real/events.ts';
import { realFilters } from './real/filters.ts';
import { realQdiscs } from './real/qdiscs.ts';
import { realRedirects } from './real/redirects.ts';
import { realLinks } from './real/links.ts';
import {
  realAddresses,
  realForwardingDatabase,
  realNeighbours,
  realRoutes,
  realRules,
} from './real/routing.ts';
import { KernelSession } from './real/session.ts';
import { realNftables } from './real/nftables.ts';
import { realFrames } from './real/frames.ts';
import { realPaths } from './real/paths.ts';
import { realSysctls } from './real/sysctls.ts';
import { realWireGuards } from './real/wireguard.ts';
import type { Kernel, KernelError, OpenKernelOptions, Subscription } from './types.ts';

/** The kernel of `options.netns`, or of the caller's own namespace. The sockets stay bound to it. */
export const openKernel = (options: OpenKernelOptions = {}): Promise<Result<Kernel, KernelError>> =>
  openKernelWith(options, {});

/** As `openKernel`, for tests that want events to be lost. */
export async function openKernelWith(
  options: OpenKernelOptions,
  events: EventOptions,
): Promise<Result<Kernel, KernelError>> {
  const namespace = await openNamespace(options.netns);
  if (!namespace.ok) return namespace;
  let session: KernelSession;
  try {
    session = new KernelSession(namespace.value, options.allowRootNamespace === true);
  } catch (error) {
    namespace.value.close();
    if (error instanceof NetlinkOpenError) return err(kernelError('open route netlink', error.errno));
    throw error;
  }
  const subscriptions = new Set<Subscription>();
  const links = realLinks(session);
  return ok({
    links,
    addresses: realAddresses(session),
    routes: realRoutes(session),
    neighbours: realNeighbours(session),
    fdb: realForwardingDatabase(session),
    rules: realRules(session),
    filters: realFilters(session),
    wireguard: realWireGuards(session, links),
    paths: realPaths(session),
    frames: realFrames(session),
    qdiscs: realQdiscs(session),
    redirects: realRedirects(session),
    nftables: realNftables(session),
    conntrack: realConntrack(session),
    sysctls: realSysctls(session),
    subscribe: (groups, onEvent) => {
      const subscription = subscribe(session, groups, onEvent, events);
      subscriptions.add(subscription);
      return subscription;
    },
    close: async () => {
      for (const subscription of subscriptions) subscription.close();
      await session.close();
    },
  });
}
