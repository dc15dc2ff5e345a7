// `margay bgp routes`: the table of a node's speaker.
import type { RouteView } from '../../bgp/speaker/mod.ts';
import { comparePrefixes, type Prefix } from '../../lib/ip/mod.ts';
import { isSet, textFlag, verb } from '../calicoctl/program.ts';
import { askFlags, type NodeAnswer } from './ask.ts';
import { askAndPrint, columns, problems } from './run.ts';

export const command = verb(
  {
    name: 'bgp routes',
    summary: 'Show the routes that the BGP speaker of a node knows; without a node, of this one, or of all.',
    arguments: '[node]',
    flags: [
      ...askFlags,
      {
        flags: '--peer <name>',
        description: 'only what came from this peer, by name as in -o json of peers',
      },
      { flags: '--prefix <cidr>', description: 'only routes to exactly this prefix' },
      { flags: '--best', description: 'only chosen routes' },
    ],
    examples: ['bgp routes worker1', 'bgp routes worker1 --prefix 192.168.1.0/26'],
    notes: 'Flags: * chosen, = used beside the chosen one, s kept for a peer that restarts.',
  },
  ({ flags, args }) => {
    const [node] = args;
    const [peer, prefix] = [textFlag(flags, 'peer'), textFlag(flags, 'prefix')];
    return askAndPrint<readonly RouteView[]>(flags, {
      question: {
        op: 'routes',
        bestOnly: isSet(flags, 'best'),
        limit: routeLimit,
        ...(peer === undefined ? {} : { peer }),
        ...(prefix === undefined ? {} : { prefix }),
      },
      ...(node === undefined ? {} : { node }),
      prefersLocal: true,
      text: routesText,
    });
  },
);

const routeLimit = 5000;

const words: Readonly<Record<string, string>> = {
  importPolicy: 'import filter',
  asLoop: 'our AS is in its path',
  originatorLoop: 'it is our own, reflected',
  clusterLoop: 'our cluster id is in its list',
  nextHopUnreachable: 'next hop not reachable',
  preference: 'another source comes first',
  localPref: 'lower preference',
  asPathLength: 'longer AS path',
  origin: 'worse origin',
  med: 'higher MED',
  peerType: 'iBGP after eBGP',
  nextHopMetric: 'next hop farther away',
  routerId: 'higher router id',
  clusterListLength: 'reflected more often',
  peerAddress: 'higher peer address',
  pathId: 'later path',
};

/** In the order of addresses, the chosen route of a prefix first. */
const byPrefix = (a: RouteView, b: RouteView): number =>
  comparePrefixes(a.prefix as Prefix, b.prefix as Prefix) || Number(b.best) - Number(a.best);

export function routesText(answers: readonly NodeAnswer<readonly RouteView[]>[]): string {
  const rows = answers.flatMap(rowsOf);
  const head = ['NODE', '', 'PREFIX', 'NEXT HOP', 'FROM', 'PREF', 'AS PATH', 'WHY NOT'];
  return `${columns([head, ...rows])}${problems(answers)}`;
}

function rowsOf({ node, answer, status }: NodeAnswer<readonly RouteView[]>): string[][] {
  if (answer.ok)
    return answer.value
      .toSorted(byPrefix)
      .map((route) => [
        node,
        `${route.best ? '*' : route.multipath ? '=' : ''}${route.stale ? 's' : ''}`,
        route.prefix,
        route.nextHop ?? (route.source === 'bgp' ? '' : `(${route.source})`),
        route.learnedFrom,
        String(route.localPref),
        route.asPath,
        route.best ? '' : (words[route.reason ?? ''] ?? route.reason ?? ''),
      ]);
  const { routes } = status ?? {};
  return [...(routes?.routesV4 ?? []), ...(routes?.routesV6 ?? [])].map((route) => [
    node,
    route.type === 'FIB' ? '*' : '',
    route.destination ?? '',
    route.gateway ?? '',
    `${route.learnedFrom?.sourceType ?? ''} ${route.learnedFrom?.peerIP ?? ''}`.trim(),
    '',
    '',
    '',
  ]);
}
