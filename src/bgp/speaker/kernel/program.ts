// From the table's best paths to rows of the kernel: which routes are written, with what metric, through what device. Only
// paths learned by BGP are; what we originate or learned from the kernel is in the kernel already.
import type { Family } from '../../../lib/ip/mod.ts';
import { prefixFamily } from '../../../lib/ip/mod.ts';
import {
  compilePolicy,
  explainPolicy,
  priorityOf,
  setSubjectPrefix,
  subjectOf,
  type CompiledPolicy,
  type PolicyProgram,
  type PolicySubject,
  type PolicyTrace,
} from '../../policy/mod.ts';
import type { BestChange, PathView } from '../../rib/mod.ts';
import type { DesiredNextHop, DesiredRoute } from './rows.ts';

/** As Calico's filter for the kernel has it: 2147483647 - local preference, whatever the preference was made of, with
 *  BIRD's unsigned arithmetic. So a route without a preference of its own (100) has metric 2147483547 and yields to every
 *  other route of its destination. Metric 0 would mean 1024 in IPv6. */
const metricOf = (localPref: number): number => Math.max(1, priorityOf(localPref) >>> 0);

export class KernelProgram {
  readonly #policies: Readonly<Record<Family, CompiledPolicy>>;

  constructor(policies: Readonly<Record<Family, PolicyProgram>>) {
    this.#policies = { 4: compilePolicy(policies[4]), 6: compilePolicy(policies[6]) };
  }

  /** The row for a destination; undefined when nothing is to be written. */
  row(change: BestChange): DesiredRoute | undefined {
    const { best, prefix } = change;
    if (best === undefined || best.source !== 'bgp') return undefined;
    const nextHops: DesiredNextHop[] = [];
    let localPref = best.localPref;
    for (const path of change.paths) {
      if (path.source !== 'bgp' || path.nextHop === undefined) continue;
      const outcome = this.#run(path);
      if (outcome.verdict === 'reject') {
        if (path === best || path.best) return undefined;
        continue;
      }
      if (path.best) localPref = outcome.changes.localPref ?? path.localPref;
      const { tunnel } = outcome.changes;
      // A program says "no tunnel" by a device without a name.
      nextHops.push(tunnel ? { address: path.nextHop, tunnel } : { address: path.nextHop });
    }
    if (nextHops.length === 0) return undefined;
    return { prefix, metric: metricOf(localPref), nextHops };
  }

  #run(path: PathView): ReturnType<CompiledPolicy['run']> {
    return this.#policies[prefixFamily(path.prefix)].run(subjectFor(path));
  }

  /** What the policy says of a path, rule by rule. */
  explain(path: PathView): PolicyTrace {
    return explainPolicy(this.#policies[prefixFamily(path.prefix)].program, subjectFor(path));
  }
}

function subjectFor(path: PathView): PolicySubject {
  const subject = subjectOf({
    prefix: path.prefix,
    source: path.source,
    interfaceName: path.interfaceName,
    nextHop: path.nextHop,
    peerType: path.peerType,
    attributes: {
      localPref: path.localPref,
      asPath: path.attributes.asPath.flatMap((s) => s.asns),
      communities: path.attributes.communities ?? [],
      largeCommunities: (path.attributes.largeCommunities ?? []).map((c) => c.join(':')),
    },
  });
  setSubjectPrefix(subject, path.prefix);
  return subject;
}
