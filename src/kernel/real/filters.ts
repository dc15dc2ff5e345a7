// Traffic filters of the real kernel: the program is loaded by bpf(2), the filter that holds it is set by rtnetlink, and
// the descriptor is given back at once; the program lives as long as the filter.
import { err, ok, type Result } from '../../lib/result.ts';
import { errno, kernelError, rootNamespaceRefused } from '../errors.ts';
import { ffi } from '../ffi.ts';
import * as c from '../netlink/constants.ts';
import { decodeFilter, encodeFilter, encodeFilterDelete, encodeFilterDump } from '../netlink/filters.ts';
import { encodeAnchor } from '../netlink/tc.ts';
import type { KernelError, Outcome, TrafficFilter, TrafficFilterChange, TrafficFilters } from '../types.ts';
import { done, type KernelSession } from './session.ts';

const nothingThere: readonly number[] = [errno.ENOENT, errno.ENODEV, errno.EINVAL, errno.ENXIO];

export function realFilters(session: KernelSession): TrafficFilters {
  return {
    list: async (linkIndex) => {
      const all: TrafficFilter[] = [];
      for (const direction of ['ingress', 'egress'] as const) {
        const listed = await session.dump(
          'list traffic filters',
          c.RTM_GETTFILTER,
          (w) => encodeFilterDump(w, linkIndex, direction),
          decodeFilter,
        );
        if (listed.ok) all.push(...listed.value);
        // A device without an anchor has no filters.
        else if (!nothingThere.includes(listed.error.errno ?? 0)) return listed;
      }
      return ok(all);
    },
    apply: async (changes) => changes.map((change) => apply(session, change)),
  };
}

function apply(session: KernelSession, change: TrafficFilterChange): Outcome {
  if (session.writesRefused) return err(rootNamespaceRefused());
  const { filter } = change;
  const what = `${change.op} ${filter.direction} filter ${filter.name} on link ${filter.linkIndex}`;
  if (change.op === 'delete') {
    const answer = session.request(c.RTM_DELTFILTER, 0, (w) => encodeFilterDelete(w, filter));
    return answer.errno === 0 || nothingThere.includes(answer.errno)
      ? done
      : err(kernelError(what, answer.errno, answer.text));
  }
  const anchored = session.request(c.RTM_NEWQDISC, c.NLM_F_CREATE | c.NLM_F_EXCL, (w) =>
    encodeAnchor(w, filter.linkIndex),
  );
  if (anchored.errno !== 0 && anchored.errno !== errno.EEXIST)
    return err(kernelError(`anchor filters on link ${filter.linkIndex}`, anchored.errno, anchored.text));
  const loaded = loadProgram(change.program);
  if (!loaded.ok) return loaded;
  try {
    const answer = session.request(c.RTM_NEWTFILTER, c.NLM_F_CREATE | c.NLM_F_REPLACE, (w) =>
      encodeFilter(w, filter, loaded.value),
    );
    return answer.errno === 0 ? done : err(kernelError(what, answer.errno, answer.text));
  } finally {
    ffi().close(loaded.value);
  }
}

/** A descriptor of the program, checked by the kernel. A refusal tells the end of the verifier's words. */
function loadProgram(program: {
  readonly code: Uint8Array;
  readonly licence: string;
}): Result<number, KernelError> {
  const system = ffi();
  const SCHED_CLS = 3;
  const load = (log: Uint8Array | undefined): number =>
    system.loadProgram(SCHED_CLS, program.code, program.licence, log);
  const fd = load(undefined);
  if (fd >= 0) return ok(fd);
  const number = system.errno();
  const log = new Uint8Array(64 * 1024);
  const second = load(log);
  if (second >= 0) return ok(second);
  const words = new TextDecoder()
    .decode(log.subarray(0, log.indexOf(0)))
    .trim()
    .split('\n')
    .slice(-4);
  return err(kernelError('load an eBPF program', number, words.join(' | ') || undefined));
}
