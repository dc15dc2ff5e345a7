// Where the servers are: one address that is given, or the ready endpoints of a Kubernetes Service (OT-013).
import type { Datastore } from '../datastore/mod.ts';
import type { ClientSettings } from './settings.ts';

const portName = 'calico-typha';

/** Asked at each connection, so that servers come and go freely. Rejects with the reason. */
export function serversOf(
  { address, service }: Pick<ClientSettings, 'address' | 'service'>,
  datastore: Pick<Datastore, 'list'>,
): () => Promise<readonly string[]> {
  if (address !== '') return async () => [address];
  const { name, namespace } = service;
  const labelSelector = `kubernetes.io/service-name=${name}`;
  return async () => {
    const slices = await datastore.list('EndpointSlice', { namespace, labelSelector });
    if (!slices.ok)
      throw new Error(`the service ${namespace}/${name} cannot be looked up: ${slices.error.message}`);
    const found = slices.value.items.flatMap(({ endpoints, ports, addressType }) => {
      const port = (ports ?? []).find((one) => one.name === portName) ?? ports?.[0];
      if (port?.port === undefined) return [];
      return (endpoints ?? [])
        .filter((one) => one.conditions?.ready !== false)
        .flatMap((one) => one.addresses)
        .map((one) => (addressType === 'IPv6' ? `[${one}]:${port.port}` : `${one}:${port.port}`));
    });
    if (found.length === 0) throw new Error(`the service ${namespace}/${name} has no ready endpoint`);
    return found;
  };
}
