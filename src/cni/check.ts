// CHECK: what ADD made is still there. (Upstream answers without looking, CN-002; the specification asks to look.)
import { addressBits, familyOf, hostPrefix } from '../lib/ip/mod.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { mainTable } from '../kernel/mod.ts';
import { type CniError, cniCodes, cniError, wrapFailure } from './errors.ts';
import type { Context, ContainerIdentity, EndpointRecord } from './types.ts';

const missing = (what: string): CniError =>
  cniError(cniCodes.checkFailed, 'CheckFailed', `${what} is missing.`);

export async function check(context: Context, container: ContainerIdentity): Promise<Result<void, CniError>> {
  const record = context.records.get(container.containerId, container.ifName);
  if (record === undefined) {
    return err(
      cniError(
        cniCodes.unknownContainer,
        'UnknownContainer',
        `Container ${container.containerId} has no interface ${container.ifName} here.`,
      ),
    );
  }
  const host = await checkHost(context, record);
  if (!host.ok) return host;
  const opened = await context.openNamespace(container.netns);
  if (!opened.ok)
    return err(
      wrapFailure(cniCodes.unknownContainer, `Opening network namespace ${container.netns}`, opened.error),
    );
  try {
    const link = await opened.value.links.get(container.ifName);
    if (!link.ok || link.value === undefined)
      return err(missing(`Interface ${container.ifName} of the container`));
    const addresses = await opened.value.addresses.list();
    if (!addresses.ok) return err(wrapFailure(cniCodes.networking, 'Reading addresses', addresses.error));
    for (const address of record.addresses) {
      const there = addresses.value.some(
        (a) => a.address === address && a.length === addressBits(familyOf(address)),
      );
      if (!there) return err(missing(`Address ${hostPrefix(address)} of ${container.ifName}`));
    }
    return ok(undefined);
  } finally {
    await opened.value.close();
  }
}

async function checkHost(context: Context, record: EndpointRecord): Promise<Result<void, CniError>> {
  const link = await context.kernel.links.get(record.hostInterface);
  if (!link.ok || link.value === undefined) return err(missing(`Host interface ${record.hostInterface}`));
  const routes = await context.kernel.routes.list({ linkIndex: link.value.index, table: mainTable });
  if (!routes.ok) return err(wrapFailure(cniCodes.networking, 'Reading routes', routes.error));
  const absent = record.addresses.find((a) => !routes.value.some((r) => r.dst === hostPrefix(a)));
  return absent === undefined
    ? ok(undefined)
    : err(missing(`Host route ${hostPrefix(absent)} dev ${record.hostInterface}`));
}
