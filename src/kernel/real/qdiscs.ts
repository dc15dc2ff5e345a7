// Token buckets of the real kernel.
import { err, ok } from '../../lib/result.ts';
import { errno, kernelError, rootNamespaceRefused } from '../errors.ts';
import * as c from '../netlink/constants.ts';
import { decodeQdisc, encodeBucket, encodeQdiscDump, encodeRootDelete } from '../netlink/qdiscs.ts';
import { type BucketChange, bucketHandle, type Outcome, type Qdiscs } from '../types.ts';
import { done, type KernelSession } from './session.ts';

/** No link, no root, or one that the kernel made itself. */
const nothingThere: readonly number[] = [errno.ENOENT, errno.ENODEV, errno.EINVAL, errno.ENXIO];

export function realQdiscs(session: KernelSession): Qdiscs {
  const list: Qdiscs['list'] = async (linkIndex) => {
    const listed = await session.dump('list queueing', c.RTM_GETQDISC, encodeQdiscDump, decodeQdisc);
    // A kernel without traffic control has none.
    if (!listed.ok && listed.error.code === 'NotSupported') return ok([]);
    if (!listed.ok || linkIndex === undefined) return listed;
    return ok(listed.value.filter((qdisc) => qdisc.linkIndex === linkIndex));
  };

  const replace = async ({ linkIndex, bucket }: BucketChange & { op: 'replace' }): Promise<Outcome> => {
    const put = () =>
      session.request(c.RTM_NEWQDISC, c.NLM_F_CREATE | c.NLM_F_REPLACE, (w) =>
        encodeBucket(w, linkIndex, bucketHandle, bucket),
      );
    let answer = put();
    // Something else has our handle: only then may the root go, because a refused change must not open the link.
    if (answer.errno === errno.EINVAL && (await isTaken(linkIndex))) {
      session.request(c.RTM_DELQDISC, 0, (w) => encodeRootDelete(w, linkIndex));
      answer = put();
    }
    return answer.errno === 0
      ? done
      : err(kernelError(`put a token bucket on link ${linkIndex}`, answer.errno, answer.text));
  };

  const isTaken = async (linkIndex: number): Promise<boolean> => {
    const listed = await list(linkIndex);
    return listed.ok && listed.value.some((q) => q.handle === bucketHandle && q.kind !== 'tbf');
  };

  const remove = (linkIndex: number): Outcome => {
    const answer = session.request(c.RTM_DELQDISC, 0, (w) => encodeRootDelete(w, linkIndex, bucketHandle));
    return answer.errno === 0 || nothingThere.includes(answer.errno)
      ? done
      : err(kernelError(`remove the token bucket of link ${linkIndex}`, answer.errno, answer.text));
  };

  return {
    list,
    async applyBuckets(changes) {
      if (session.writesRefused) return changes.map(() => err(rootNamespaceRefused()));
      const outcomes: Outcome[] = [];
      for (const change of changes)
        outcomes.push(change.op === 'replace' ? await replace(change) : remove(change.linkIndex));
      return outcomes;
    },
  };
}
