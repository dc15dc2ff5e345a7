// Why a prefix goes where it goes: each path with what chose or stopped it, the kernel's row, and what each peer is told.
// Words are made here, from the table's explanation and what the speaker knows of its kernel and sessions. Pure.
import type { Prefix } from '../../lib/ip/mod.ts';
import { formatAsPath } from '../packet/mod.ts';
import type { PolicyTrace } from '../policy/mod.ts';
import type { ExportView, PathView, RibExplanation } from '../rib/mod.ts';
import type { PeerStatus } from './types.ts';

export type WhyPath = {
  readonly from: string;
  readonly nextHop?: string;
  readonly asPath: string;
  readonly localPref: number;
  readonly chosen: boolean;
  /** Packets take it: the chosen one and its equals. */
  readonly used: boolean;
  readonly why: string;
};
export type WhyAnswer = {
  readonly prefix: string;
  /** The longest prefix of the table around it, when it is not there itself. */
  readonly covering?: string;
  readonly paths: readonly WhyPath[];
  readonly kernel?: { readonly written: boolean; readonly why: string };
  readonly told: readonly { readonly peer: string; readonly announced: boolean; readonly why: string }[];
  /** Peers without a session, which may know more. */
  readonly down: readonly { readonly peer: string; readonly address: string; readonly why: string }[];
};

export type WhyFacts = {
  readonly explanation: RibExplanation;
  readonly covering?: Prefix;
  readonly as: number;
  /** Why a next hop cannot be reached; undefined when it can. */
  readonly unreachable: (nextHop: string) => string | undefined;
  /** The kernel's policy on the best path. */
  readonly kernelTrace?: PolicyTrace;
  /** What the kernel has; undefined without a kernel. */
  readonly kernel?: { readonly installed: boolean; readonly problem?: string };
  readonly installs: boolean;
  readonly peers: readonly PeerStatus[];
};

export function whyOf(facts: WhyFacts, onlyPeer?: string): WhyAnswer {
  const { explanation, covering } = facts;
  const best = explanation.paths.find((p) => p.best);
  const wanted = facts.peers.find((p) => p.name === onlyPeer || p.address === onlyPeer)?.name ?? onlyPeer;
  const isWanted = (name: string): boolean => wanted === undefined || name === wanted;
  const kernel = kernelWords(facts, best);
  return {
    prefix: explanation.prefix,
    ...(covering === undefined ? {} : { covering }),
    paths: explanation.paths
      .filter((p) => isWanted(p.peerName) || (wanted !== undefined && p.best))
      .map((path) => ({
        from: sourceName(path),
        ...(path.nextHop === undefined ? {} : { nextHop: path.nextHop }),
        asPath: formatAsPath(path.attributes.asPath),
        localPref: path.localPref,
        chosen: path.best,
        used: path.best || path.multipath,
        why: pathWords(path, best, facts),
      })),
    ...(kernel === undefined ? {} : { kernel }),
    told: explanation.exports
      .flatMap((view) =>
        view.peers.map((peer) => {
          const isSource = best?.peerName === peer;
          return {
            peer,
            announced: view.announced && !isSource,
            why: isSource ? 'it came from this peer' : exportWords(view),
          };
        }),
      )
      .filter((t) => isWanted(t.peer))
      .sort((a, b) => (a.peer < b.peer ? -1 : 1)),
    down: facts.peers
      .filter((p) => p.state !== 'Established' && isWanted(p.name))
      .map((p) => ({ peer: p.name, address: p.address, why: p.reasonText ?? p.state })),
  };
}

function sourceName(path: PathView): string {
  if (path.source === 'bgp') return path.peerName;
  if (path.source === 'static') return 'this node (its own)';
  return path.source === 'direct' ? 'this node (an interface)' : "this node (another program's route)";
}

type Explained = RibExplanation['paths'][number];

function pathWords(path: Explained, best: PathView | undefined, facts: WhyFacts): string {
  switch (path.ineligible) {
    case 'importPolicy':
      return `refused by ${ruleOf(path.importTrace)}`;
    case 'asLoop':
      return `its AS path (${formatAsPath(path.attributes.asPath)}) already holds our AS ${facts.as}`;
    case 'originatorLoop':
      return 'this node is its originator: a reflector sent it back';
    case 'clusterLoop':
      return 'its cluster list holds our cluster id: it has been reflected here before';
    case 'nextHopUnreachable':
      return `next hop ${path.nextHop ?? '?'} is not reachable: ${facts.unreachable(path.nextHop ?? '') ?? 'no route leads there'}`;
    default:
  }
  if (path.best)
    return facts.explanation.paths.length === 1 ? 'the only path' : 'the best of the usable paths';
  const lost = best === undefined ? 'not selected yet' : lossWords(path, best);
  return path.multipath ? `as good as the best for forwarding (${lost})` : lost;
}

function lossWords(path: PathView, best: PathView): string {
  const than = `; that of ${sourceName(best)} is chosen`;
  switch (path.lostAt) {
    case 'preference':
      return `routes of another source come first${than}`;
    case 'localPref':
      return `lower local preference, ${path.localPref} against ${best.localPref}${than}`;
    case 'asPathLength':
      return `longer AS path, (${formatAsPath(path.attributes.asPath)}) against (${formatAsPath(best.attributes.asPath)})${than}`;
    case 'origin':
      return `worse origin${than}`;
    case 'med':
      return `higher MED, ${path.attributes.med ?? 0} against ${best.attributes.med ?? 0}${than}`;
    case 'peerType':
      return `learned by iBGP, the other by eBGP${than}`;
    case 'nextHopMetric':
      return `its next hop is farther away${than}`;
    case 'routerId':
      return `higher router id${than}`;
    case 'clusterListLength':
      return `reflected more often${than}`;
    case 'peerAddress':
      return `higher peer address${than}`;
    default:
      return `a later path of the same peer${than}`;
  }
}

const ruleOf = (trace: PolicyTrace | undefined): string =>
  trace?.decidedBy === undefined
    ? 'the end of the rules: none of them accepted it'
    : `rule "${trace.decidedBy}"`;

function exportWords(view: ExportView): string {
  switch (view.reason) {
    case undefined:
      return view.trace?.decidedBy === undefined
        ? 'announced'
        : `announced by rule "${view.trace.decidedBy}"`;
    case 'noPath':
      return 'there is no usable path to announce';
    case 'ibgpToIbgp':
      return 'learned from a peer of our AS, and neither is a reflector client';
    case 'noAdvertise':
      return 'it has the community NO_ADVERTISE';
    case 'noExport':
      return 'it has the community NO_EXPORT';
    case 'longLivedStale':
      return 'its peer is long gone, and this one does not know long-lived graceful restart';
    case 'exportPolicy':
      return `refused by ${ruleOf(view.trace)}`;
    default:
      return 'its attributes do not fit into a message';
  }
}

function kernelWords(facts: WhyFacts, best: PathView | undefined): WhyAnswer['kernel'] {
  const { kernel, kernelTrace } = facts;
  if (kernel === undefined) return undefined;
  const written = kernel.installed;
  if (best === undefined)
    return {
      written,
      why: written ? 'kept from an earlier run, until the peers have been heard' : 'no usable path',
    };
  if (best.source !== 'bgp') return { written, why: "not BGP's to write: the route is this node's own" };
  if (!facts.installs) return { written, why: 'this speaker writes no routes' };
  if (kernelTrace?.verdict === 'reject') return { written, why: `refused by ${ruleOf(kernelTrace)}` };
  if (kernel.problem !== undefined) return { written, why: kernel.problem };
  return { written, why: written ? 'written' : 'about to be written' };
}
