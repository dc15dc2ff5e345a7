// The cluster as policy of hosts sees it, read out of the store. Only what can be about a host's own connections is looked at:
// of pods, sets and services those that have one of the few addresses in question.
import { isOver, trialOf } from '../../controllers/mod.ts';
import { type Address, familyOf, isAddress } from '../../lib/ip/mod.ts';
import { type KubernetesNode, kubernetesNodeToNode } from '../../model/mod.ts';
import { buildWorld, type Door, type Way, wayOf, type World, type WorldResource } from '../../policy/mod.ts';
import { isObject, listAt, numberAt, textAt } from '../json.ts';
import type { Key } from '../store/types.ts';
import type { ApiObject, World as Objects } from '../types.ts';

const group = 'projectcalico.org';
export const hostEndpointResource = `hostendpoints.${group}`;
/** Kinds that decide about connections of hosts; a change of one of them may cut some. */
export const decidingResources: readonly string[] = [
  hostEndpointResource,
  ...['globalnetworkpolicies', 'tiers', 'profiles', 'globalnetworksets', 'networksets'].map(
    (plural) => `${plural}.${group}`,
  ),
  `felixconfigurations.${group}`,
];

/** What is looked at: `agreed` without any trial, `tried` with those that are under way, `kept` with those among them that
 *  the server began. */
export type Moment = 'agreed' | 'tried' | 'kept';

/** An object as it counts at that moment; undefined: it does not. */
export function asOf(object: ApiObject, moment: Moment, nowMs: number): ApiObject | undefined {
  const trial = trialOf(object);
  if (trial === undefined) return object;
  const counts =
    !isOver(trial, nowMs) && (moment === 'tried' || (moment === 'kept' && trial.cuts !== undefined));
  if (counts) return trial.deletes ? undefined : object;
  return (trial.before ?? undefined) as ApiObject | undefined;
}

/** A write that is looked at before it is done; without `next` a deletion. */
export type Change = { readonly key: Key; readonly next: ApiObject | undefined };

const isSame = (key: Key, resource: string, { metadata }: ApiObject): boolean =>
  key.resource === resource && key.name === metadata.name && key.namespace === (metadata.namespace ?? '');

/** Objects of a resource as they count, with the change. */
export function* objectsAt(
  objects: Objects,
  resource: string,
  moment: Moment,
  nowMs: number,
  change?: Change,
): Generator<ApiObject> {
  for (const object of objects.objects(resource)) {
    if (change !== undefined && isSame(change.key, resource, object)) continue;
    const counted = asOf(object, moment, nowMs);
    if (counted !== undefined) yield counted;
  }
  if (change?.next !== undefined && change.key.resource === resource) yield change.next;
}

/** The connections that a change must leave open. */
export function waysOf(
  objects: Objects,
  nodes: ReadonlySet<string>,
  client: Client | undefined,
): readonly Way[] {
  const servers = apiServers(objects);
  const hosts = [...objects.objects('nodes')].map((node) => ({
    name: node.metadata.name,
    addresses: addressesOf(node),
    agentPort: numberAt(node, 'status', 'daemonEndpoints', 'kubeletEndpoint', 'Port') ?? 0,
  }));
  const nodeAt = (address: string): readonly string[] =>
    hosts.filter(({ addresses }) => addresses.includes(address as Address)).map(({ name }) => name);
  const ways: Way[] = [];
  for (const { name, addresses, agentPort } of hosts) {
    for (const server of servers) {
      const address = addresses.find((one) => familyOf(one) === familyOf(server.address));
      // On one host nothing stands between.
      if (address === undefined || addresses.includes(server.address)) continue;
      const both = [name, ...nodeAt(server.address)];
      if (!both.some((one) => nodes.has(one))) continue;
      const to = `the API server at ${doorText(server)}`;
      ways.push(wayOf(`node ${name} from ${to}`, both, { address }, server));
      if (agentPort > 0)
        ways.push(
          wayOf(
            `the API server from node ${name}, port ${agentPort}`,
            both,
            { address: server.address },
            {
              address,
              port: agentPort,
            },
          ),
        );
    }
  }
  if (client === undefined || client.address === client.server.address) return ways;
  const ends = [...nodeAt(client.address), ...nodeAt(client.server.address)];
  const name = `the connection of this request, from ${doorText(client)} to ${doorText(client.server)},`;
  return ends.some((one) => nodes.has(one)) ? [wayOf(name, ends, client, client.server), ...ways] : ways;
}

/** Who asks, and where. */
export type Client = Door & { readonly server: Door };

const doorText = ({ address, port }: Door): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;

/** Where others reach the API server: the endpoints of the service `kubernetes`. */
function apiServers(objects: Objects): readonly Door[] {
  const key = { resource: 'endpointslices.discovery.k8s.io', namespace: 'default', name: 'kubernetes' };
  const slice = objects.get(key)?.object;
  if (slice === undefined) return [];
  const ports = listAt(slice, 'ports').flatMap((one) => (isObject(one) ? (numberAt(one, 'port') ?? []) : []));
  return listAt(slice, 'endpoints')
    .flatMap((one) => (isObject(one) ? listAt(one, 'addresses') : []))
    .flatMap((address) =>
      typeof address === 'string' && isAddress(address)
        ? ports.map((port) => ({ address: address as Address, port }))
        : [],
    );
}

/** Where the node is reached: as BGP knows it, then as Kubernetes does. */
function addressesOf(node: ApiObject): readonly Address[] {
  const { bgp, addresses = [] } = kubernetesNodeToNode(node as unknown as KubernetesNode).spec;
  const internal = addresses.flatMap(({ type, address }) => (type === 'InternalIP' ? [address] : []));
  return [bgp?.ipv4Address, bgp?.ipv6Address, ...internal].flatMap((text = '') => {
    const address = text.split('/', 1)[0] ?? '';
    return isAddress(address) ? [address as Address] : [];
  });
}

/** The world at a moment, with a change, as far as the ways are concerned. */
export function worldAt(
  objects: Objects,
  moment: Moment,
  nowMs: number,
  ways: readonly Way[],
  change?: Change,
): World {
  const addresses = new Set(ways.flatMap(({ packets }) => packets.map(({ source }) => source)));
  const has = (text: unknown): boolean => addresses.has(text as Address);
  const resources: ApiObject[] = decidingResources.flatMap((resource) => [
    ...objectsAt(objects, resource, moment, nowMs, change),
  ]);
  for (const node of objects.objects('nodes'))
    resources.push(kubernetesNodeToNode(node as unknown as KubernetesNode) as unknown as ApiObject);
  for (const pod of objects.objects('pods')) if (has(textAt(pod, 'status', 'podIP'))) resources.push(pod);
  for (const slice of objects.objects('endpointslices.discovery.k8s.io')) {
    const ends = listAt(slice, 'endpoints').flatMap((one) => (isObject(one) ? listAt(one, 'addresses') : []));
    if (ends.some(has)) resources.push(slice);
  }
  for (const namespace of objects.objects('namespaces')) resources.push(namespace);
  return buildWorld(resources as unknown as readonly WorldResource[]);
}
