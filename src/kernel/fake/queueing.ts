// Token buckets and redirects of a fake namespace.
import { errno } from '../errors.ts';
import { type BucketChange, bucketHandle, type Qdisc, type Redirect } from '../types.ts';
import type { FakeNamespace, Fault } from './namespace.ts';

/** As the kernel lists them: what it makes by itself is there too. */
export function qdiscsOf(ns: FakeNamespace, linkIndex: number | undefined): Qdisc[] {
  const listed: Qdisc[] = [];
  for (const { index, kind } of ns.links.values()) {
    if (linkIndex !== undefined && index !== linkIndex) continue;
    const bucket = ns.buckets.get(index);
    if (bucket !== undefined)
      listed.push({ linkIndex: index, kind: 'tbf', handle: bucketHandle, isRoot: true, bucket });
    else
      listed.push({
        linkIndex: index,
        kind: kind === 'ifb' || kind === 'physical' ? 'pfifo_fast' : 'noqueue',
        handle: 0,
        isRoot: true,
      });
    if (ns.anchors.has(index))
      listed.push({ linkIndex: index, kind: 'clsact', handle: 0xffff0000, isRoot: false });
  }
  return listed;
}

export function changeBucket(ns: FakeNamespace, change: BucketChange): Fault {
  const { linkIndex } = change;
  if (change.op === 'delete') {
    if (ns.buckets.delete(linkIndex)) ns.emit({ type: 'filters', linkIndex });
    return undefined;
  }
  const { bucket } = change;
  if (!ns.links.has(linkIndex)) return { errno: errno.ENODEV };
  if (bucket.burstBytes <= 0) return { errno: errno.EINVAL };
  if (bucket.peak !== undefined && bucket.peak.rateBytesPerSecond <= bucket.rateBytesPerSecond)
    return { errno: errno.EINVAL, text: 'peakrate is lower than or equals to rate' };
  ns.buckets.set(linkIndex, bucket);
  ns.emit({ type: 'filters', linkIndex });
  return undefined;
}

export function changeRedirect(ns: FakeNamespace, op: 'replace' | 'delete', redirect: Redirect): Fault {
  const { linkIndex, priority, targetIndex } = redirect;
  const rest = ns.redirects.filter((one) => one.linkIndex !== linkIndex || one.priority !== priority);
  if (op === 'replace') {
    if (!ns.links.has(linkIndex) || !ns.links.has(targetIndex)) return { errno: errno.ENODEV };
    ns.anchors.add(linkIndex);
    ns.redirects = [...rest, redirect];
    ns.emit({ type: 'filters', linkIndex });
  } else if (rest.length < ns.redirects.length) {
    ns.redirects = rest;
    ns.emit({ type: 'filters', linkIndex });
  }
  return undefined;
}
