// Automatic host endpoints (RS-144): for every node one that stands for all its traffic, and those that templates ask for,
// while KubeControllersConfiguration says so. They allow everything until a policy selects them, have the node's labels and
// addresses, follow the node, and go with it. Whatever has their label is theirs to change and to take away.
import { systemClock, type Clock } from '../lib/clock.ts';
import { goPattern } from '../lib/go-pattern.ts';
import { containsAddress, parseNetwork, type Address } from '../lib/ip/mod.ts';
import type { Logger } from '../lib/log.ts';
import { backoff, sleep } from '../lib/wait.ts';
import { startSyncer, type Datastore, type StoreError } from '../datastore/mod.ts';
import { nodeAddresses } from '../felix/calc/mod.ts';
import type { HostEndpoint, KubeControllersConfiguration, Node } from '../model/mod.ts';
import { matches, parseSelector } from '../selector/mod.ts';

export type HostEndpointsOptions = {
  readonly datastore: Datastore;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** AUTO_HOST_ENDPOINTS, which outranks the resource when it is given. */
  readonly autoCreate?: boolean;
};
export interface HostEndpoints {
  stop(): Promise<void>;
}

const createdBy = 'projectcalico.org/created-by';
const creator = 'calico-kube-controllers';
const allowProfile = 'projectcalico-default-allow';

type Settings = NonNullable<
  NonNullable<NonNullable<KubeControllersConfiguration['spec']>['controllers']>['node']
>['hostEndpoint'];
type Template = NonNullable<NonNullable<Settings>['templates']>[number];

/** What there should be, by name. */
export function desiredHostEndpoints(
  nodes: Iterable<Node>,
  settings: Settings | undefined,
): ReadonlyMap<string, HostEndpoint> {
  const wanted = new Map<string, HostEndpoint>();
  if (settings?.autoCreate !== 'Enabled') return wanted;
  const add = (endpoint: HostEndpoint): void => void wanted.set(endpoint.metadata.name, endpoint);
  for (const node of nodes) {
    if (settings.createDefaultHostEndpoint !== 'Disabled')
      add(hostEndpoint(node, 'auto-hep', { interfaceName: '*', expectedIPs: allAddresses(node) }));
    for (const template of settings.templates ?? [])
      for (const [suffix, where] of placesOf(node, template))
        if (where.expectedIPs.length > 0) add(hostEndpoint(node, suffix, where, template));
  }
  return wanted;
}

type Where = { readonly interfaceName?: string; readonly expectedIPs: readonly string[] };

/** Interfaces of the node that the template is for, or its addresses within ranges. */
function placesOf(node: Node, template: Template): readonly (readonly [suffix: string, where: Where])[] {
  const { generateName = 'auto-hep', nodeSelector, interfacePattern, interfaceCIDRs = [] } = template;
  const selector = nodeSelector ? parseSelector(nodeSelector) : undefined;
  if (selector !== undefined && !(selector.ok && matches(selector.value, node.metadata.labels))) return [];
  const within = (addresses: readonly string[]): readonly string[] =>
    interfaceCIDRs.length === 0
      ? addresses
      : addresses.filter((one) => isWithin(one as Address, interfaceCIDRs));
  if (!interfacePattern) return [[generateName, { expectedIPs: within(allAddresses(node)) }]];
  // A pattern that does not parse fits nothing.
  const pattern = goPattern(interfacePattern);
  return (node.spec.interfaces ?? []).flatMap(({ name = '', addresses = [] }) =>
    pattern?.test(name) === true
      ? [[`${generateName}-${name}`, { interfaceName: name, expectedIPs: within(addresses) }] as const]
      : [],
  );
}

const isWithin = (address: Address, cidrs: readonly string[]): boolean =>
  cidrs.some((cidr) => {
    const network = parseNetwork(cidr);
    return network.ok && containsAddress(network.value, address);
  });

/** Addresses of the node itself and of its tunnels. */
function allAddresses(node: Node): readonly string[] {
  const { bgp, ipv4VXLANTunnelAddr, ipv6VXLANTunnelAddr, wireguard } = node.spec;
  const tunnels = [
    bgp?.ipv4IPIPTunnelAddr,
    ipv4VXLANTunnelAddr,
    ipv6VXLANTunnelAddr,
    wireguard?.interfaceIPv4Address,
    wireguard?.interfaceIPv6Address,
  ].flatMap((one) => (one ? [one] : []));
  return [...new Set([...nodeAddresses(node), ...tunnels])].toSorted();
}

function hostEndpoint(node: Node, suffix: string, where: Where, template?: Template): HostEndpoint {
  const { name, labels } = node.metadata;
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'HostEndpoint',
    metadata: {
      name: `${name}-${suffix}`,
      labels: { ...labels, ...template?.labels, [createdBy]: creator },
      ...(template?.annotations === undefined ? {} : { annotations: template.annotations }),
    },
    spec: {
      node: name,
      ...(where.interfaceName === undefined ? {} : { interfaceName: where.interfaceName }),
      expectedIPs: [...where.expectedIPs],
      profiles: [allowProfile],
    },
  };
}

const longestRetryMs = 10_000;

export function startHostEndpoints(options: HostEndpointsOptions): HostEndpoints {
  const { datastore, logger, clock = systemClock } = options;
  const nodes = new Map<string, Node>();
  const present = new Map<string, HostEndpoint>();
  const abort = new AbortController();
  let settings: Settings | undefined;
  let isComplete = false;
  let isStale = false;
  let running: Promise<void> | undefined;

  const effective = (): Settings | undefined =>
    options.autoCreate === undefined
      ? settings
      : { ...settings, autoCreate: options.autoCreate ? 'Enabled' : 'Disabled' };

  /** The first write that failed; what a conflict is about is told by the watch. One that is refused (it would cut its node
   *  off, and nobody is here to confirm that) is in nobody else's way. */
  const compare = async (): Promise<StoreError | undefined> => {
    const wanted = desiredHostEndpoints(nodes.values(), effective());
    const { signal } = abort;
    let refused: StoreError | undefined;
    for (const [name, endpoint] of wanted) {
      const before = present.get(name);
      if (before !== undefined && (!isOurs(before) || isSame(before, endpoint))) continue;
      const written =
        before === undefined
          ? await datastore.create('HostEndpoint', endpoint, { signal })
          : await datastore.update(
              'HostEndpoint',
              { ...endpoint, metadata: { ...before.metadata, ...endpoint.metadata } },
              { signal },
            );
      if (written.ok || written.error.code === 'AlreadyExists') continue;
      if (written.error.code !== 'Forbidden') return written.error;
      refused ??= written.error;
    }
    for (const [name, endpoint] of present) {
      if (wanted.has(name) || !isOurs(endpoint)) continue;
      const deleted = await datastore.delete('HostEndpoint', { name }, { signal });
      if (!deleted.ok && deleted.error.code !== 'NotFound') return deleted.error;
    }
    return refused;
  };

  const run = async (): Promise<void> => {
    for (let attempt = 0; isStale && !abort.signal.aborted; ) {
      isStale = false;
      const failed = await compare();
      if (failed === undefined) {
        attempt = 0;
        continue;
      }
      isStale = true;
      logger.warn('cannot write host endpoints yet', { error: failed.message, atMs: clock.now() });
      await sleep(backoff(attempt++, 100, longestRetryMs), abort.signal);
    }
  };
  const schedule = (): void => {
    isStale = true;
    if (!isComplete || running !== undefined) return;
    running = run().finally(() => {
      running = undefined;
    });
  };

  const syncer = startSyncer<'Node' | 'HostEndpoint' | 'KubeControllersConfiguration'>(datastore, {
    kinds: ['Node', 'HostEndpoint', 'KubeControllersConfiguration'],
    logger,
    onUpdates: (updates) => {
      for (const update of updates) {
        if (update.type === 'status') isComplete ||= update.status === 'in-sync';
        else if (update.type === 'delete') {
          const { name } = update.name;
          if (update.kind === 'Node') nodes.delete(name);
          else if (update.kind === 'HostEndpoint') present.delete(name);
          else if (name === 'default') settings = undefined;
        } else if (update.kind === 'Node') nodes.set(update.object.metadata.name, update.object);
        else if (update.kind === 'HostEndpoint') present.set(update.object.metadata.name, update.object);
        else if (update.object.metadata.name === 'default')
          settings = update.object.spec.controllers?.node?.hostEndpoint;
      }
      schedule();
    },
  });

  return {
    async stop() {
      abort.abort();
      await syncer.stop();
      await running;
    },
  };
}

const isOurs = ({ metadata }: HostEndpoint): boolean => metadata.labels?.[createdBy] === creator;

const isSame = (a: HostEndpoint, b: HostEndpoint): boolean =>
  JSON.stringify(sorted(a.metadata.labels ?? {})) === JSON.stringify(sorted(b.metadata.labels ?? {})) &&
  Object.entries(b.metadata.annotations ?? {}).every(
    ([key, value]) => a.metadata.annotations?.[key] === value,
  ) &&
  JSON.stringify(sorted(a.spec)) === JSON.stringify(sorted(b.spec));
const sorted = (record: object): readonly (readonly [string, unknown])[] =>
  Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
