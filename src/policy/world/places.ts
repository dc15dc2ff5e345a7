// Where addresses are: which workload, which host, or outside; and which host endpoint stands for an interface.
import { familyOf, type Address } from '../../lib/ip/mod.ts';
import type { Endpoint, World } from './types.ts';

/** An end of a packet's way. */
export type Place =
  | { readonly kind: 'workload'; readonly endpoint: Endpoint }
  | { readonly kind: 'host'; readonly node: string }
  /** An address of a pod that has no endpoint. */
  | { readonly kind: 'closed'; readonly reason: string }
  | { readonly kind: 'outside' };

/** Finds an address. Of several endpoints with one address the first by node and name has it. */
export function placeOf(world: World, address: Address): Place {
  const endpoint = world.workloads
    .filter(({ addresses }) => addresses.includes(address))
    .toSorted((a, b) => compareText(`${a.node} ${a.name}`, `${b.node} ${b.name}`))[0];
  if (endpoint !== undefined) return { kind: 'workload', endpoint };
  const reason = world.closed.get(address);
  if (reason !== undefined) return { kind: 'closed', reason };
  for (const { name, addresses, interfaces } of world.nodes.values())
    if (addresses.includes(address) || interfaces.some((one) => one.addresses.includes(address)))
      return { kind: 'host', node: name };
  const hostEndpoint = world.hostEndpoints.find(({ addresses }) => addresses.includes(address));
  return hostEndpoint === undefined ? { kind: 'outside' } : { kind: 'host', node: hostEndpoint.node };
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Stands for all interfaces of a host. */
const allInterfaces = '*';

/** The host endpoint for all interfaces of a node; the lowest name where there are several. */
export const allInterfacesEndpoint = (world: World, node: string): Endpoint | undefined =>
  byName(world, node).find(({ interfaceName }) => interfaceName === allInterfaces);

/** The host endpoint of an interface that leads away from a node (RS-141, RS-142): one that names it, then one whose
 *  addresses it has, then the one for all interfaces; the lowest name of equals. Without a name of the interface it is the
 *  one with the address, and else the node's only way out is meant: whatever host endpoint is there stands for it. */
export function hostEndpointAt(
  world: World,
  node: string,
  interfaceName: string | undefined,
  address: Address | undefined,
): Endpoint | undefined {
  const own = byName(world, node).filter((endpoint) => endpoint.interfaceName !== allInterfaces);
  const at = interfaceName ?? interfaceWith(world, node, address);
  const named = own.filter((endpoint) =>
    at === undefined
      ? endpoint.interfaceName !== '' && mayHave(endpoint, address)
      : endpoint.interfaceName === at,
  );
  const present = new Set(addressesAt(world, node, at, address));
  const byAddress = own.filter(
    (endpoint) => endpoint.interfaceName === '' && endpoint.addresses.some((one) => present.has(one)),
  );
  return named[0] ?? byAddress[0] ?? allInterfacesEndpoint(world, node);
}

const byName = (world: World, node: string): readonly Endpoint[] =>
  world.hostEndpoints
    .filter((endpoint) => endpoint.node === node)
    .toSorted((a, b) => compareText(a.name, b.name));

const interfaceWith = (world: World, node: string, address: Address | undefined): string | undefined =>
  address === undefined
    ? undefined
    : world.nodes.get(node)?.interfaces.find(({ addresses }) => addresses.includes(address))?.name;

/** Whether nothing speaks against the endpoint's having the address: it says nothing about addresses of that family. */
const mayHave = ({ addresses }: Endpoint, address: Address | undefined): boolean =>
  address === undefined ||
  addresses.includes(address) ||
  !addresses.some((one) => familyOf(one) === familyOf(address));

/** The addresses of the interface if they are known, of the node otherwise. */
function addressesAt(
  world: World,
  node: string,
  interfaceName: string | undefined,
  address: Address | undefined,
): readonly Address[] {
  const { interfaces = [], addresses = [] } = world.nodes.get(node) ?? {};
  const known = interfaces.find(({ name }) => name === interfaceName)?.addresses;
  return known ?? [...addresses, ...(address === undefined ? [] : [address])];
}
