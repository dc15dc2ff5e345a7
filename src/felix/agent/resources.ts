// What the first node of a cluster writes so that the cluster has its defaults (RS-010), and what every node writes about
// itself. Creating what another node has created meanwhile is no failure.
import { randomBytes } from 'node:crypto';
import { type Prefix, prefixOf } from '../../lib/ip/mod.ts';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import { hasRange } from '../../ipam/mod.ts';
import type { Logger } from '../../lib/log.ts';
import type { Datastore, StoreError } from '../../datastore/mod.ts';
import type { KindName, Node, ResourceOf } from '../../model/mod.ts';
import { type Environment, type NodeAddresses } from './startup/addresses.ts';
import type { DetectedInterface } from './startup/detection.ts';
import { kubeadmPodSubnets, planDefaultPools } from './startup/pools.ts';
import type { AgentError } from './types.ts';

const apiVersion = 'projectcalico.org/v3';
const version = '0.1.0';

const storeFailed = (what: string, error: StoreError): Result<never, AgentError> =>
  err(failure('DatastoreFailed', `${what}: ${error.message}`, error.hint));

/** ClusterInformation, FelixConfiguration and IPAMConfiguration `default`, and the default pools. */
export async function ensureDefaults(
  datastore: Datastore,
  env: Environment,
  interfaces: readonly DetectedInterface[],
  logger: Logger,
): Promise<Result<void, AgentError>> {
  const information = {
    clusterGUID: randomBytes(16).toString('hex'),
    clusterType: [
      ...new Set(['k8s', 'bgp', ...(env['CLUSTER_TYPE'] ?? '').split(',').filter((w) => w !== '')]),
    ].join(','),
    calicoVersion: version,
    datastoreReady: true,
  };
  const steps: readonly (() => Promise<Result<void, AgentError>>)[] = [
    () => ensure(datastore, 'ClusterInformation', information),
    () => raiseVersion(datastore),
    () => ensure(datastore, 'FelixConfiguration', { logSeverityScreen: 'Info', floatingIPs: 'Disabled' }),
    () =>
      ensure(datastore, 'IPAMConfiguration', {
        strictAffinity: false,
        autoAllocateBlocks: true,
        maxBlocksPerHost: 0,
      }),
    () => ensurePools(datastore, env, interfaces, logger),
  ];
  for (const step of steps) {
    const done = await step();
    if (!done.ok) return done;
  }
  return ok(undefined);
}

/**
 * calicoctl asks for it, so it follows an upgrade of ours. That of a cluster of Calico stays for Calico's tools, and an older
 * agent beside newer ones does not take it back.
 */
async function raiseVersion(datastore: Datastore): Promise<Result<void, AgentError>> {
  const present = await datastore.get('ClusterInformation', { name: 'default' });
  const before = present.ok ? present.value.spec.calicoVersion : undefined;
  if (before === undefined || !isOlder(before, version)) return ok(undefined);
  const body = { spec: { calicoVersion: version } };
  const raised = await datastore.patch('ClusterInformation', { name: 'default' }, { type: 'merge', body });
  return raised.ok || raised.error.code === 'Forbidden'
    ? ok(undefined)
    : storeFailed('Writing ClusterInformation default', raised.error);
}

/** Of `0.2.1` or `v0.2.1-rc1`; what is no version is not older. */
export function isOlder(one: string, other: string): boolean {
  const [a, b] = [one, other].map((text) => /^v?(\d+)\.(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number));
  if (a === undefined || b === undefined) return false;
  const at = a.findIndex((number, i) => number !== b[i]);
  return at >= 0 && (a[at] ?? 0) < (b[at] ?? 0);
}

async function ensure(datastore: Datastore, kind: KindName, spec: object): Promise<Result<void, AgentError>> {
  const present = await datastore.get(kind, { name: 'default' });
  if (present.ok) return ok(undefined);
  if (present.error.code !== 'NotFound') return storeFailed(`Reading ${kind} default`, present.error);
  return create(datastore, kind, 'default', spec);
}

async function create(
  datastore: Datastore,
  kind: KindName,
  name: string,
  spec: object,
): Promise<Result<void, AgentError>> {
  const created = await datastore.create(kind, {
    apiVersion,
    kind,
    metadata: { name },
    spec,
  } as unknown as ResourceOf<KindName>);
  if (created.ok || created.error.code === 'AlreadyExists') return ok(undefined);
  return storeFailed(`Creating ${kind} ${name}`, created.error);
}

async function ensurePools(
  datastore: Datastore,
  env: Environment,
  interfaces: readonly DetectedInterface[],
  logger: Logger,
): Promise<Result<void, AgentError>> {
  const pools = await datastore.list('IPPool');
  if (!pools.ok) return storeFailed('Listing pools', pools.error);
  const readable = pools.value.items.filter(hasRange);
  for (const { metadata } of pools.value.items.filter((pool) => !hasRange(pool)))
    logger.warn('A pool without a range counts as absent', { pool: metadata.name });
  const kubeadm = await datastore.get('ConfigMap', { namespace: 'kube-system', name: 'kubeadm-config' });
  const subnets = kubeadmPodSubnets(
    kubeadm.ok ? (kubeadm.value as { data?: Record<string, string> }) : undefined,
  );
  const planned = planDefaultPools({
    env,
    existing: readable.map((pool) => ({ cidr: pool.spec.cidr })),
    ...(subnets.ok ? { kubeadm: subnets.value } : {}),
    hostNetworks: networksOf(interfaces),
    randomBytes: (count) => randomBytes(count),
  });
  if (!planned.ok) return err(failure('BadEnvironment', planned.error.message));
  for (const pool of planned.value) {
    const created = await create(datastore, 'IPPool', pool.metadata.name, pool.spec);
    if (!created.ok) return created;
  }
  return ok(undefined);
}

const networksOf = (interfaces: readonly DetectedInterface[]): Prefix[] =>
  interfaces
    .filter((i) => i.name !== 'lo')
    .flatMap((i) => i.addresses.map((a) => prefixOf(a.address, a.length)));

/** Makes the Node, or reads the one that somebody made meanwhile. */
export async function ensureNode(
  datastore: Datastore,
  name: string,
  env: Environment,
  options: { readonly dryRun?: boolean } = {},
): Promise<Result<Node, StoreError>> {
  const inKubernetes = env['CALICO_K8S_NODE_REF'];
  const spec = inKubernetes ? { orchRefs: [{ nodeName: inKubernetes, orchestrator: 'k8s' }] } : {};
  const node: Node = { apiVersion, kind: 'Node', metadata: { name }, spec };
  const created = await datastore.create('Node', node, options);
  return !created.ok && created.error.code === 'AlreadyExists' ? datastore.get('Node', { name }) : created;
}

/** How the node's address was found, as `get node -o yaml` shows it. */
export const detectionAnnotation = 'margay.projectcalico.org/address-detection';

/** Which machine gave the Node its addresses: the MAC address of the device that has them. */
export const machineAnnotation = 'margay.projectcalico.org/machine';

export type PublishedFacts = {
  readonly addresses: NodeAddresses;
  /** Empty when no address was detected now. */
  readonly detection: string;
  readonly machine: string | undefined;
};

/** Writes addresses, how they were found and AS number to the Calico Node; nothing when all is there already. */
export async function publishNode(
  datastore: Datastore,
  nodeName: string,
  { addresses, detection, machine }: PublishedFacts,
  env: Environment,
): Promise<Result<void, AgentError>> {
  const asNumber = env['AS'] === undefined || env['AS'] === '' ? undefined : Number(env['AS']);
  if (asNumber !== undefined && !(Number.isInteger(asNumber) && asNumber > 0 && asNumber <= 0xffffffff)) {
    return err(failure('BadEnvironment', `AS is "${env['AS']}", which is not an AS number.`));
  }
  for (let attempt = 0; attempt < 10; attempt++) {
    const node = await datastore.get('Node', { name: nodeName });
    if (!node.ok) return storeFailed(`Reading node ${nodeName}`, node.error);
    const { ipv4Address: _v4, ipv6Address: _v6, ...rest } = node.value.spec.bgp ?? {};
    const bgp = { ...rest, ...addresses, ...(asNumber === undefined ? {} : { asNumber }) };
    const { metadata } = node.value;
    const sameBgp = JSON.stringify(sorted(bgp)) === JSON.stringify(sorted(node.value.spec.bgp ?? {}));
    // An address that is only kept was found as it says there.
    const sameDetection = detection === '' || metadata.annotations?.[detectionAnnotation] === detection;
    const sameMachine = machine === undefined || metadata.annotations?.[machineAnnotation] === machine;
    if (sameBgp && sameDetection && sameMachine) return ok(undefined);
    const {
      [detectionAnnotation]: _before,
      [machineAnnotation]: _machine,
      ...annotations
    } = metadata.annotations ?? {};
    const updated = await datastore.update('Node', {
      ...node.value,
      metadata: {
        ...metadata,
        annotations: {
          ...annotations,
          ...(detection === '' ? {} : { [detectionAnnotation]: detection }),
          ...(machine === undefined ? {} : { [machineAnnotation]: machine }),
        },
      },
      spec: { ...node.value.spec, bgp },
    } as Node);
    if (updated.ok) return ok(undefined);
    if (updated.error.code !== 'Conflict') return storeFailed(`Updating node ${nodeName}`, updated.error);
  }
  return err(failure('DatastoreFailed', `Node ${nodeName} was changed by others in ten attempts in a row.`));
}
const sorted = (record: object): [string, unknown][] =>
  Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1));

/** Another node that claims one of the addresses (BG-074). */
export async function conflictingNode(
  datastore: Datastore,
  nodeName: string,
  addresses: NodeAddresses,
): Promise<Result<{ readonly node: string; readonly address: string } | undefined, AgentError>> {
  const nodes = await datastore.list('Node');
  if (!nodes.ok) return storeFailed('Listing nodes', nodes.error);
  const own = new Set([addresses.ipv4Address, addresses.ipv6Address].flatMap(addressOf));
  for (const node of nodes.value.items) {
    if (node.metadata.name === nodeName) continue;
    for (const address of [node.spec.bgp?.ipv4Address, node.spec.bgp?.ipv6Address].flatMap(addressOf)) {
      if (own.has(address)) return ok({ node: node.metadata.name, address });
    }
  }
  return ok(undefined);
}
const addressOf = (text: string | undefined): string[] =>
  text === undefined || text === '' ? [] : [text.replace(/\/.*$/, '')];

/** The address where another machine lives under our name (SR-228): the Node has it, from a machine that is not this one,
 *  and a host is there. A node that moved, or was built anew after the old one had gone, is none. */
export async function otherMachine(
  node: Node,
  {
    machine,
    own,
    isHostAt,
  }: {
    readonly machine: string | undefined;
    /** All addresses of this host. */
    readonly own: ReadonlySet<string>;
    readonly isHostAt: (address: string) => Promise<boolean>;
  },
): Promise<string | undefined> {
  const before = node.metadata.annotations?.[machineAnnotation];
  if (before === undefined || machine === undefined || before === machine) return undefined;
  const { ipv4Address, ipv6Address } = node.spec.bgp ?? {};
  for (const address of [ipv4Address, ipv6Address].flatMap(addressOf))
    if (!own.has(address) && (await isHostAt(address))) return address;
  return undefined;
}

/** Tells Kubernetes whether pods of the node can reach others (BG-078). A node that is not there, or a refusal, is no matter. */
export async function reportNetwork(
  datastore: Datastore,
  nodeName: string,
  isAvailable: boolean,
  now: string,
): Promise<Result<void, StoreError>> {
  const condition = {
    type: 'NetworkUnavailable',
    status: isAvailable ? 'False' : 'True',
    reason: isAvailable ? 'CalicoIsUp' : 'CalicoIsDown',
    message: isAvailable ? 'Calico is running on this node' : 'Calico is shutting down on this node',
    lastHeartbeatTime: now,
    lastTransitionTime: now,
  };
  const patched = await datastore.patch(
    'KubernetesNode',
    { name: nodeName },
    { type: 'strategic', status: true, body: { status: { conditions: [condition] } } },
  );
  return patched.ok ? ok(undefined) : patched;
}

export type NodeEvent = {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
};

/** What `kubectl describe node` shows. A help for people: one that cannot be written is dropped. */
export async function tellOfNode(
  datastore: Datastore,
  nodeName: string,
  event: NodeEvent,
  now: string,
): Promise<void> {
  const node = await datastore.get('KubernetesNode', { name: nodeName });
  const { uid } = node.ok ? node.value.metadata : {};
  const time = now.replace(/\.\d+Z$/, 'Z');
  await datastore.create('Event', {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: '', generateName: `${nodeName}.`, namespace: 'default' },
    involvedObject: {
      apiVersion: 'v1',
      kind: 'Node',
      name: nodeName,
      ...(uid === undefined ? {} : { uid }),
    },
    ...event,
    count: 1,
    firstTimestamp: time,
    lastTimestamp: time,
    source: { component: 'margay-agent', host: nodeName },
    reportingComponent: 'margay-agent',
  });
}
