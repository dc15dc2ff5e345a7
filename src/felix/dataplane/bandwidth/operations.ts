// The table of limits of bandwidth: a bucket, and for packets from a workload the device it stands on and the redirect that
// leads there, are one row. Put in the order in which no packet meets half of it: device, bucket, redirect; taken away the
// other way round. A redirect whose device is gone drops packets: a limited workload never runs without its limit unseen.
import { err, type Failure, failure, ok, type Result } from '../../../lib/result.ts';
import {
  bucketHandle,
  type Kernel,
  type Link,
  type Redirect,
  sameBucket,
  type TokenBucket,
} from '../../../kernel/mod.ts';
import type { LinkMirror } from '../links.ts';
import type { Operations } from '../types.ts';
import {
  bandwidthKey,
  type BandwidthRow,
  bucketOf,
  limitDevice,
  limitDevicePrefix,
  pluginDevicePrefix,
} from './rows.ts';

/** What there is of a row: any part may be missing. */
export type ActualBandwidth = {
  /** Where the bucket is, or should be. */
  readonly device?: Link;
  readonly bucket?: TokenBucket;
  readonly redirect?: Redirect;
};

/** First of all filters: what is behind it would else decide before the limit. Calico's has the same place. */
const redirectPriority = 1;

export function bandwidthOperations(
  kernel: Kernel,
  links: LinkMirror,
  isWorkload: (interfaceName: string) => boolean,
): Operations<BandwidthRow, ActualBandwidth> {
  /** Of everything, or of rows of these interfaces. */
  const read = async (only?: ReadonlySet<string>): Promise<Result<Map<string, ActualBandwidth>>> => {
    const [listed, qdiscs] = await Promise.all([kernel.links.list(), kernel.qdiscs.list()]);
    if (!listed.ok) return listed;
    if (!qdiscs.ok) return qdiscs;
    const byIndex = new Map(listed.value.map((link) => [link.index, link]));
    const found = new Map<string, ActualBandwidth>();
    for (const link of listed.value)
      if (link.name.startsWith(limitDevicePrefix)) found.set(link.name, { device: link });
    for (const { linkIndex, kind, handle, isRoot, bucket } of qdiscs.value) {
      const link = byIndex.get(linkIndex);
      if (link === undefined) continue;
      const isOurs = found.has(link.name);
      if (isRoot && handle === bucketHandle && bucket !== undefined) {
        if (isOurs || isWorkload(link.name))
          found.set(link.name, { ...found.get(link.name), device: link, bucket });
      } else if ((kind === 'clsact' || kind === 'ingress') && isWorkload(link.name)) {
        if (only !== undefined && !only.has(link.name)) continue;
        const redirects = await kernel.redirects.list(linkIndex);
        if (!redirects.ok) return redirects;
        const redirect = redirects.value.find((one) => one.priority === redirectPriority);
        const target = byIndex.get(redirect?.targetIndex ?? 0)?.name;
        // Somebody else's leads to a device of their own.
        if (redirect === undefined || target?.startsWith(limitDevicePrefix) === false) continue;
        const key = limitDevice(link.name);
        found.set(key, { ...found.get(key), redirect });
      }
    }
    return ok(found);
  };

  const workload = (row: BandwidthRow): Link | undefined => links.byName(row.interfaceName);

  const equal = (row: BandwidthRow, { device, bucket, redirect }: ActualBandwidth): boolean => {
    const link = workload(row);
    if (link === undefined || device === undefined || bucket === undefined) return false;
    if (!sameBucket(bucket, bucketOf(row, link.mtu))) return false;
    if (row.direction === 'ingress') return device.index === link.index;
    return (
      isUsable(device, link.mtu) &&
      redirect?.linkIndex === link.index &&
      redirect.targetIndex === device.index
    );
  };

  const put = async (
    row: BandwidthRow,
    present: ActualBandwidth = {},
  ): Promise<Result<ActualBandwidth | undefined>> => {
    if (equal(row, present)) return ok(present);
    const link = workload(row);
    if (link === undefined) return ok(undefined);
    const device = row.direction === 'ingress' ? ok(link) : await deviceFor(row, link.mtu, present.device);
    if (!device.ok) return device;
    const bucket = bucketOf(row, link.mtu);
    const isThere = present.device?.index === device.value.index && present.bucket !== undefined;
    // Writing it anew would fill it anew.
    if (!isThere || !sameBucket(present.bucket, bucket)) {
      const linkIndex = device.value.index;
      const [placed] = await kernel.qdiscs.applyBuckets([{ op: 'replace', linkIndex, bucket }]);
      if (placed !== undefined && !placed.ok) return placed;
    }
    if (row.direction === 'ingress') return ok({ device: device.value, bucket });
    const led = await lead(link, device.value);
    return led.ok ? ok({ device: device.value, bucket, redirect: led.value }) : led;
  };

  /** The device that packets from the workload are led through. */
  const deviceFor = async (
    row: BandwidthRow,
    mtu: number,
    present: Link | undefined,
  ): Promise<Result<Link>> => {
    const name = limitDevice(row.interfaceName);
    if (present === undefined) return kernel.links.create({ kind: 'ifb', name, mtu, up: true });
    if (present.kind !== 'ifb')
      return err(failure('NameTaken', `${name} is there, and not as a device for limits of bandwidth.`));
    if (isUsable(present, mtu)) return ok(present);
    const changed = await kernel.links.change(present.index, { mtu, up: true });
    return changed.ok ? ok({ ...present, mtu, up: true }) : changed;
  };

  /** From now on packets from the workload meet the device; one that they met before goes. */
  const lead = async (link: Link, device: Link): Promise<Result<Redirect>> => {
    const redirect = { linkIndex: link.index, priority: redirectPriority, targetIndex: device.index };
    const before = await kernel.redirects.list(link.index);
    const [applied] = await kernel.redirects.apply([{ op: 'replace', redirect }]);
    if (applied !== undefined && !applied.ok) return applied;
    const former = before.ok ? before.value.find((one) => one.priority === redirectPriority) : undefined;
    const name = former === undefined ? undefined : links.nameOf(former.targetIndex);
    const isLeft =
      name !== device.name &&
      (name?.startsWith(pluginDevicePrefix) === true || name?.startsWith(limitDevicePrefix) === true);
    if (isLeft && former !== undefined) await kernel.links.delete([former.targetIndex]);
    return ok(redirect);
  };

  const remove = async (
    key: string,
    { device, bucket, redirect }: ActualBandwidth,
  ): Promise<Result<undefined>> => {
    if (!key.startsWith(limitDevicePrefix)) {
      if (device === undefined || bucket === undefined) return ok(undefined);
      const [removed] = await kernel.qdiscs.applyBuckets([{ op: 'delete', linkIndex: device.index }]);
      return removed === undefined || removed.ok ? ok(undefined) : removed;
    }
    if (redirect !== undefined) {
      const [removed] = await kernel.redirects.apply([{ op: 'delete', redirect }]);
      if (removed !== undefined && !removed.ok) return removed;
    }
    if (device?.kind !== 'ifb') return ok(undefined);
    const [gone] = await kernel.links.delete([device.index]);
    return gone === undefined || gone.ok ? ok(undefined) : gone;
  };

  return {
    name: 'bandwidth',
    keyOf: bandwidthKey,
    dump: () => read(),
    equal,
    blocked: (row) =>
      workload(row) === undefined ? `interface ${row.interfaceName} does not exist` : undefined,
    orphan: (_key, { device }) =>
      device === undefined || device.kind === 'ifb' || isWorkload(device.name) ? 'remove' : 'leave',

    async apply(changes) {
      const rows = changes.flatMap((change) => (change.op === 'put' ? [change.row.interfaceName] : []));
      const present = await read(new Set(rows));
      const results: Result<ActualBandwidth | undefined>[] = [];
      for (const change of changes) {
        if (change.op === 'remove') results.push(await remove(change.key, change.actual));
        else if (!present.ok) results.push(present);
        else {
          const { interfaceName, direction } = change.row;
          const placed = await put(change.row, present.value.get(change.key));
          results.push(
            placed.ok ? placed : about(`The ${direction} limit of ${interfaceName}`, placed.error),
          );
        }
      }
      return results;
    },
  };
}

/** An ifb that is down drops what is led to it. */
const isUsable = (device: Link, mtu: number): boolean =>
  device.kind === 'ifb' && device.up && device.mtu === mtu;

/** The key names a device beside the workload's own. */
const about = (what: string, { code, message, hint }: Failure): Result<never> =>
  err(failure(code, `${what}: ${message}`, hint));
