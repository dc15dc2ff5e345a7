// How often rules were met: the counters of the nodes' rule chains, read where that is possible: on all nodes of a lab, and
// on the node itself.
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { parseJson } from '../../lib/json.ts';
import { policyText } from '../../policy/mod.ts';
import { listFlag, textFlag, type Flags } from '../calicoctl/program.ts';
import type { HitCounts, Hits, RulePlace } from './report.ts';

/** Counts, or why there are none. */
export type FoundHits = { readonly counts?: HitCounts; readonly reason: string };

const families = ['ip', 'ip6'] as const;
const table = 'calico';

export async function hitsOf(flags: Flags): Promise<FoundHits> {
  if (listFlag(flags, 'filename').length > 0) return { reason: 'not available for files' };
  const name = labOf(process.env, textFlag(flags, 'config'));
  return name === undefined ? hitsHere() : hitsOfLab(name);
}

/** The lab whose kubeconfig is in use: `…/<name>/kubeconfig`. */
function labOf(env: NodeJS.ProcessEnv, config: string | undefined): string | undefined {
  const path = config === undefined ? env['KUBECONFIG'] : undefined;
  const isOne = path !== undefined && ['kubeconfig', 'kubeconfig-inside'].includes(basename(path));
  return env['MARGAY_LAB'] ?? (isOne ? basename(dirname(path)) : undefined);
}

async function hitsOfLab(name: string): Promise<FoundHits> {
  const { labOutputs } = await import('../../lab/mod.ts');
  const listings = await labOutputs(name, [
    'sh',
    '-c',
    families.map((family) => listing(family).join(' ')).join('; '),
  ]);
  if (!listings.ok) return hitsHere();
  // Where iptables does the work, the table has no rules of policy.
  const nodes = listings.value.filter(({ out }) => out.includes('"rule-'));
  if (nodes.length === 0) return { reason: 'not available: no node of the lab has policy in nftables' };
  return {
    counts: countsOf(
      nodes.map(({ machine }) => machine),
      nodes.map(({ out }) => out),
    ),
    reason: '',
  };
}

const nodeNameFile = '/var/lib/calico/nodename';

/** On a node: this node's. */
async function hitsHere(): Promise<FoundHits> {
  if (!existsSync(nodeNameFile) || process.getuid?.() !== 0)
    return {
      reason: 'not available from here: they are counted on the nodes; ask as root on a node, or in a lab',
    };
  const outputs = await Promise.all(families.map((family) => outputOf(listing(family))));
  if (!outputs.some((text) => text.includes('"rule-')))
    return { reason: 'not available: this node has no policy in nftables' };
  return { counts: countsOf([readFileSync(nodeNameFile, 'utf8').trim()], outputs), reason: '' };
}

/** Terse: without the members of sets, of which there may be many. */
const listing = (family: string): readonly string[] => ['nft', '-j', '-t', 'list', 'table', family, table];

const outputOf = ([program = '', ...argv]: readonly string[]): Promise<string> =>
  new Promise((resolve) => {
    execFile(program, argv, { maxBuffer: 1 << 28 }, (error, stdout) => resolve(error === null ? stdout : ''));
  });

/** Counters of listings of `nft -j`, one or several JSON documents a line apart; equal rules are added up. */
export function countsOf(nodes: readonly string[], listings: readonly string[]): HitCounts {
  const hits = new Map<string, Hits>();
  for (const line of listings.flatMap((text) => text.split('\n')).filter((text) => text.startsWith('{')))
    for (const { comment, packets, bytes } of countersIn(parseJson(line))) {
      const key = ruleNamed(comment);
      if (key === undefined) continue;
      const before = hits.get(key) ?? { packets: 0, bytes: 0 };
      hits.set(key, { packets: before.packets + packets, bytes: before.bytes + bytes });
    }
  return { nodes, of: (place) => hits.get(keyOf(place)) };
}

type Counter = { readonly comment: string; readonly packets: number; readonly bytes: number };
type Listing = {
  readonly nftables?: readonly {
    readonly rule?: {
      readonly comment?: string;
      readonly expr?: readonly { readonly counter?: { readonly packets: number; readonly bytes: number } }[];
    };
  }[];
};

function countersIn(document: unknown): readonly Counter[] {
  return ((document as Listing).nftables ?? []).flatMap(({ rule }): readonly Counter[] => {
    const counter = rule?.expr?.find((one) => one.counter !== undefined)?.counter;
    if (rule?.comment === undefined || counter === undefined) return [];
    return [{ comment: rule.comment, packets: counter.packets, bytes: counter.bytes }];
  });
}

/** `cali:… default np:shop/web ingress[1] allow` counts the rule `default np:shop/web ingress[1]`. */
const ruleNamed = (comment: string): string | undefined =>
  /^cali:\S+ (.+ (?:in|e)gress\[\d+\]) (?:allow|deny|pass|log)$/.exec(comment)?.[1];

const keyOf = ({ tier, policy, profile, direction, index }: RulePlace): string =>
  policy === undefined
    ? `profile ${profile ?? ''} ${direction}[${index}]`
    : `${tier ?? ''} ${policyText(policy)} ${direction}[${index}]`;
