// Which host endpoint stands at which interface of the node.
import { prefixAddress, type Address } from '../../../lib/ip/mod.ts';
import type { EndpointPolicy } from '../../calc/mod.ts';

/** Interfaces of the host with their addresses, by name. */
export type HostInterfaces = ReadonlyMap<string, readonly Address[]>;

/** One that names it, else one whose address it has, else the one for all; the
 *  lowest name of equals (RS-141, RS-142). */
export function hostsByInterface(
  endpoints: readonly EndpointPolicy[],
  interfaces: HostInterfaces,
): { readonly named: ReadonlyMap<string, EndpointPolicy>; readonly wildcard: EndpointPolicy | undefined } {
  const sorted = endpoints.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const named = new Map<string, EndpointPolicy>();
  const add = (name: string, endpoint: EndpointPolicy): void => {
    if (!named.has(name)) named.set(name, endpoint);
  };
  for (const endpoint of sorted)
    if (endpoint.interfaceName !== undefined && endpoint.interfaceName !== '*')
      add(endpoint.interfaceName, endpoint);
  for (const endpoint of sorted) {
    if (endpoint.interfaceName !== undefined) continue;
    const own = new Set(endpoint.addresses.map(prefixAddress));
    for (const [name, addresses] of interfaces)
      if (addresses.some((address) => own.has(address))) add(name, endpoint);
  }
  return { named, wildcard: sorted.find(({ interfaceName }) => interfaceName === '*') };
}
