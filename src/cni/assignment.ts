// Addresses for a container: Calico's own IPAM, fixed addresses, addresses without IPAM, or another plugin's.
import { type Address, familyOf, parsePrefix } from '../lib/ip/mod.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { addressesOfResult, delegate } from './delegate.ts';
import { type CniError, cniCodes, cniError, wrapFailure, wrapIpamFailure } from './errors.ts';
import type {
  AssignedAddresses,
  CniServerOptions,
  ContainerIdentity,
  NetworkConfiguration,
  PodSettings,
} from './types.ts';

/** RS-044. */
export const handleOf = (configuration: Pick<NetworkConfiguration, 'name'>, containerId: string): string =>
  `${configuration.name}.${containerId}`;

export async function assignAddresses(
  options: CniServerOptions,
  container: ContainerIdentity,
  configuration: NetworkConfiguration,
  settings: PodSettings,
): Promise<Result<AssignedAddresses, CniError>> {
  const handleId = handleOf(configuration, container.containerId);
  if (settings.addressesWithoutIpam.length > 0)
    return ok({ addresses: settings.addressesWithoutIpam, handleId });
  if (configuration.ipam.type !== 'calico-ipam') {
    const output = await delegate('ADD', configuration, container, await podCidrs(options));
    return output.ok ? ok({ addresses: addressesOfResult(output.value), handleId }) : output;
  }
  return settings.requestedAddresses.length > 0
    ? assignRequested(options, container, settings.requestedAddresses, handleId)
    : autoAssign(options, container, configuration, settings, handleId);
}

const attributesOf = (options: CniServerOptions, container: ContainerIdentity): Record<string, string> => ({
  node: options.nodeName,
  ...(container.pod === undefined ? {} : { namespace: container.pod.namespace, pod: container.pod.name }),
  timestamp: new Date().toISOString(),
});

/** Fixed addresses: all of them or none (CN-013). */
async function assignRequested(
  options: CniServerOptions,
  container: ContainerIdentity,
  requested: readonly Address[],
  handleId: string,
): Promise<Result<AssignedAddresses, CniError>> {
  // What an earlier ADD of this container left, when the agent died before it answered, is given back first.
  const released = await options.ipam.releaseByHandle(handleId);
  if (!released.ok)
    return err(wrapIpamFailure('Releasing the addresses of an interrupted ADD', released.error));
  for (const address of requested) {
    const assigned = await options.ipam.assignAddress({
      address,
      nodeName: options.nodeName,
      handleId,
      attributes: attributesOf(options, container),
    });
    if (assigned.ok) continue;
    await options.ipam.releaseByHandle(handleId);
    return err(wrapIpamFailure(`Assigning the requested address ${address}`, assigned.error));
  }
  return ok({ addresses: requested, handleId });
}

async function autoAssign(
  options: CniServerOptions,
  container: ContainerIdentity,
  configuration: NetworkConfiguration,
  settings: PodSettings,
  handleId: string,
): Promise<Result<AssignedAddresses, CniError>> {
  const num4 = (settings.families?.includes(4) ?? configuration.ipam.assignIpv4) ? 1 : 0;
  const num6 = (settings.families?.includes(6) ?? configuration.ipam.assignIpv6) ? 1 : 0;
  if (num4 + num6 === 0) {
    return err(
      cniError(
        cniCodes.invalidConfiguration,
        'NoFamily',
        'Neither IPv4 nor IPv6 is asked for: set ipam.assign_ipv4 or ipam.assign_ipv6.',
      ),
    );
  }
  const pools4 = await poolCidrs(options, settings.ipv4Pools);
  if (!pools4.ok) return pools4;
  const pools6 = await poolCidrs(options, settings.ipv6Pools);
  if (!pools6.ok) return pools6;
  const assigned = await options.ipam.autoAssign({
    nodeName: options.nodeName,
    num4,
    num6,
    handleId,
    attributes: attributesOf(options, container),
    intendedUse: 'Workload',
    replaceHandle: true,
    ...(pools4.value === undefined ? {} : { pools4: pools4.value }),
    ...(pools6.value === undefined ? {} : { pools6: pools6.value }),
    ...(container.pod === undefined ? {} : { namespace: container.pod.namespace }),
    ...(settings.namespaceLabels === undefined ? {} : { namespaceLabels: settings.namespaceLabels }),
  });
  if (!assigned.ok) return err(wrapIpamFailure('Assigning an address', assigned.error));
  const addresses = [...assigned.value.v4, ...assigned.value.v6].map((a) => a.address);
  if (addresses.length < num4 + num6) {
    await options.ipam.releaseByHandle(handleId);
    const family = addresses.some((a) => familyOf(a) === 4) || num4 === 0 ? 'IPv6' : 'IPv4';
    return err(
      cniError(
        cniCodes.addressAssignment,
        'NoAddress',
        `No ${family} address is free in the pools of this pod.`,
      ),
    );
  }
  return ok({ addresses, handleId });
}

/** Pools may be named by CIDR or by name (SR-085). */
async function poolCidrs(
  options: CniServerOptions,
  pools: readonly string[] | undefined,
): Promise<Result<readonly string[] | undefined, CniError>> {
  if (pools === undefined) return ok(undefined);
  const cidrs: string[] = [];
  for (const pool of pools) {
    if (parsePrefix(pool).ok) {
      cidrs.push(pool);
      continue;
    }
    const found = await options.datastore.get('IPPool', { name: pool });
    if (!found.ok)
      return err(
        wrapFailure(cniCodes.addressAssignment, `Reading the requested pool "${pool}"`, found.error),
      );
    cidrs.push(found.value.spec.cidr);
  }
  return ok(cidrs);
}

async function podCidrs(options: CniServerOptions): Promise<readonly string[]> {
  const node = await options.datastore.get('KubernetesNode', { name: options.nodeName });
  if (!node.ok) return [];
  return (
    node.value.spec?.podCIDRs ?? (node.value.spec?.podCIDR === undefined ? [] : [node.value.spec.podCIDR])
  );
}

/** Idempotent; also gives back what very old versions assigned under `<namespace>.<pod>` (RS-044). */
export async function releaseAddresses(
  options: CniServerOptions,
  container: ContainerIdentity,
  configuration: NetworkConfiguration,
): Promise<Result<void, CniError>> {
  if (configuration.ipam.type !== 'calico-ipam') {
    const output = await delegate('DEL', configuration, container, await podCidrs(options));
    return output.ok ? ok(undefined) : output;
  }
  const released = await options.ipam.releaseByHandle(handleOf(configuration, container.containerId));
  return released.ok ? ok(undefined) : err(wrapIpamFailure('Releasing the addresses', released.error));
}
