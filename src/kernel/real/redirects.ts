// Redirects of the real kernel.
import { err, ok, type Result } from '../../lib/result.ts';
import { errno, kernelError, rootNamespaceRefused } from '../errors.ts';
import * as c from '../netlink/constants.ts';
import {
  decodeRedirect,
  encodeRedirect,
  encodeRedirectDelete,
  encodeRedirectDump,
} from '../netlink/redirects.ts';
import { encodeAnchor } from '../netlink/tc.ts';
import type { KernelError, Outcome, Redirect, Redirects } from '../types.ts';
import { done, type KernelSession } from './session.ts';

const nothingThere: readonly number[] = [
  errno.ENOENT,
  errno.ENODEV,
  errno.EINVAL,
  errno.ENXIO,
  errno.EOPNOTSUPP,
];
type Listed = Redirect & { readonly handle: number };

export function realRedirects(session: KernelSession): Redirects {
  const read = async (linkIndex: number): Promise<Result<Listed[], KernelError>> => {
    const listed = await session.dump(
      'list redirects',
      c.RTM_GETTFILTER,
      (w) => encodeRedirectDump(w, linkIndex),
      decodeRedirect,
    );
    // A link without an anchor has none.
    return listed.ok || !nothingThere.includes(listed.error.errno ?? 0) ? listed : ok([]);
  };

  const replace = async (redirect: Redirect): Promise<Outcome> => {
    const { linkIndex, priority, targetIndex } = redirect;
    const anchored = session.request(c.RTM_NEWQDISC, c.NLM_F_CREATE | c.NLM_F_EXCL, (w) =>
      encodeAnchor(w, linkIndex),
    );
    // `ingress`, the anchor of older times, has the same handle and does as well.
    if (anchored.errno !== 0 && anchored.errno !== errno.EEXIST)
      return err(kernelError(`anchor a redirect on link ${linkIndex}`, anchored.errno, anchored.text));
    const present = await read(linkIndex);
    if (!present.ok) return present;
    const before = present.value.find((one) => one.priority === priority);
    const answer = session.request(c.RTM_NEWTFILTER, c.NLM_F_CREATE | c.NLM_F_REPLACE, (w) =>
      encodeRedirect(w, redirect, before?.handle ?? 0),
    );
    return answer.errno === 0
      ? done
      : err(kernelError(`redirect link ${linkIndex} to ${targetIndex}`, answer.errno, answer.text));
  };

  const remove = ({ linkIndex, priority }: Redirect): Outcome => {
    const answer = session.request(c.RTM_DELTFILTER, 0, (w) => encodeRedirectDelete(w, linkIndex, priority));
    return answer.errno === 0 || nothingThere.includes(answer.errno)
      ? done
      : err(kernelError(`remove the redirect of link ${linkIndex}`, answer.errno, answer.text));
  };

  return {
    list: async (linkIndex) => {
      const listed = await read(linkIndex);
      return listed.ok ? ok(listed.value.map(withoutHandle)) : listed;
    },
    async apply(changes) {
      if (session.writesRefused) return changes.map(() => err(rootNamespaceRefused()));
      const outcomes: Outcome[] = [];
      for (const { op, redirect } of changes)
        outcomes.push(op === 'replace' ? await replace(redirect) : remove(redirect));
      return outcomes;
    },
  };
}

const withoutHandle = ({ linkIndex, priority, targetIndex }: Listed): Redirect => ({
  linkIndex,
  priority,
  targetIndex,
});
