// DEL and GC: succeed whatever is gone already, and never harm a newer sandbox of the same pod (CN-009): the interface is
// found from inside the container's own namespace, the addresses by the container's own handle, and the pod's annotations
// are only emptied while they still name this container.
import { ok, type Result } from '../lib/result.ts';
import { releaseAddresses } from './assignment.ts';
import type { CniError } from './errors.ts';
import { disconnectPod } from './pod-network.ts';
import type { Context, ContainerIdentity, NetworkConfiguration } from './types.ts';

export async function detach(
  context: Context,
  container: ContainerIdentity,
  configuration: NetworkConfiguration,
): Promise<Result<void, CniError>> {
  const record = context.records.get(container.containerId, container.ifName);
  // Routes go before the interface and the address: nothing may be sent to an address that is already somebody else's.
  if (record !== undefined && !replacedBy(context, record.hostInterface, container.containerId)) {
    await context.endpoints.remove(record.endpoint);
  }
  // Deleting a link waits for the kernel's grace period; the datastore is told meanwhile.
  const done = await Promise.all([
    disconnect(context, container),
    context.stored.withdraw(container),
    releaseAddresses(context, container, configuration),
  ]);
  const failed = done.find((outcome) => !outcome.ok);
  if (failed !== undefined) return failed;
  context.records.remove(container);
  return ok(undefined);
}

/** True when a newer container of the same pod owns the host interface's name by now. */
const replacedBy = (context: Context, hostInterface: string, containerId: string): boolean =>
  context.records.all().some((r) => r.hostInterface === hostInterface && r.containerId !== containerId);

async function disconnect(context: Context, container: ContainerIdentity): Promise<Result<void, CniError>> {
  if (container.netns === '') return ok(undefined);
  const opened = await context.openNamespace(container.netns);
  // The runtime may take the namespace away at any moment: then the interface is gone with it.
  if (!opened.ok) return ok(undefined);
  try {
    return await disconnectPod(opened.value, container.ifName);
  } finally {
    await opened.value.close();
  }
}

/** GC (CNI 1.1): whatever the runtime no longer lists is detached. */
export async function collectGarbage(
  context: Context,
  configuration: NetworkConfiguration,
  path: readonly string[],
): Promise<Result<void, CniError>> {
  const valid = new Set((configuration.validAttachments ?? []).map((a) => `${a.containerID}@${a.ifname}`));
  for (const record of context.records.all()) {
    if (record.network !== configuration.name || valid.has(`${record.containerId}@${record.ifName}`))
      continue;
    const { pod } = record.endpoint.spec;
    const namespace = record.endpoint.metadata.namespace;
    const container: ContainerIdentity = {
      containerId: record.containerId,
      netns: record.netns,
      ifName: record.ifName,
      path,
      ...(pod === undefined || namespace === undefined ? {} : { pod: { namespace, name: pod } }),
    };
    const gone = await detach(context, container, configuration);
    if (!gone.ok) return gone;
    context.logger.info('garbage collected an attachment', {
      container: record.containerId,
      interface: record.ifName,
    });
  }
  return ok(undefined);
}
