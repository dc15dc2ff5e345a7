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
export function labOf(env: NodeJS.ProcessEnv, config: string | undefined): string | undefined {
  const path = config === undefined ? env['KUBECONFIG'] : undefined;
  const isOne = path !== undefined && ['kubeconfig', 'kubeconfig-inside'].includes(basename(path));
  return env['MARGAY_LAB'] ?? (isOne ? basename(dirname(path)) : undefined);
}

async function hitsOfLab(name: string): Promise<FoundHits> {
  const { labOutputs } = await import('../../lab/mod.ts');
  const listings = await labOutputs(name, [
    'sh',
    '-c',
    listingsOfNode.map((argv) => argv.join(' ')).join('; '),
  ]);
  if (!listings.ok) return hitsHere();
  const nodes = listings.value.filter(({ out }) => hasPolicy(out));
  if (nodes.length === 0) return { reason: 'not available: no node of the lab has policy in the kernel' };
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
  const outputs = await Promise.all(listingsOfNode.map(outputOf));
  if (!outputs.some(hasPolicy)) return { reason: 'not available: this node has no policy in the kernel' };
  return { counts: countsOf([readFileSync(nodeNameFile, 'utf8').trim()], outputs), reason: '' };
}

/** Both back ends; the one that is not in use has nothing to list. nft is asked to be terse: without the members of sets, of
 *  which there may be many. */
const listingsOfNode: readonly (readonly string[])[] = [
  ...families.map((family) => ['nft', '-j', '-t', 'list', 'table', family, table]),
  ...['nft', 'legacy'].flatMap((variant) =>
    ['iptables', 'ip6tables'].map((program) => [`${program}-${variant}-save`, '-c']),
  ),
];

const hasPolicy = (text: string): boolean => text.includes('"rule-') || / -A cali-p[io]-/.test(text);

const outputOf = ([program = '', ...argv]: readonly string[]): Promise<string> =>
  new Promise((resolve) => {
    execFile(program, argv, { maxBuffer: 1 << 28 }, (error, stdout) => resolve(error === null ? stdout : ''));
  });

/** Counters of listings of `nft -j`, one or several JSON documents a line apart, and of `iptables-save -c`; equal rules are
 *  added up. */
export function countsOf(nodes: readonly string[], listings: readonly string[]): HitCounts {
  const hits = new Map<string, Hits>();
  for (const line of listings.flatMap((text) => text.split('\n')))
    for (const { comment, packets, bytes } of countersOf(line)) {
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

const countersOf = (line: string): readonly Counter[] =>
  line.startsWith('{') ? countersIn(parseJson(line)) : countersInSave(line);

/** `[12:720] -A cali-pi-… --comment "cali:…" … --comment "default np:shop/web ingress[1] allow" …`. */
function countersInSave(line: string): readonly Counter[] {
  const [, packets, bytes] = /^\[(\d+):(\d+)\] -A cali-/.exec(line) ?? [];
  const comments = [...line.matchAll(/--comment "([^"]*)"/g)].map(([, text]) => text ?? '');
  if (packets === undefined || comments.length < 2) return [];
  return [{ comment: comments.join(' '), packets: Number(packets), bytes: Number(bytes) }];
}

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
