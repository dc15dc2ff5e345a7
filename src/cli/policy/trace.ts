// `trace`: a real packet through a running lab, and what became of it on each node: devices, the rules that decided, where
// it ended. The kernel's own trace is read, beside it stands what policy means. Tables of this command live a few seconds.
import { err, failure, ok, type Result } from '../../lib/result.ts';
import { describeStep, verdictOf, type WorldPacket } from '../../policy/mod.ts';
import type { CliError, Flags } from '../calicoctl/program.ts';
import { judging, outputFlag, worldOf, type Judged } from './common.ts';
import type { End } from './find.ts';
import { labOf } from './hits.ts';
import { packetFlags, packetText, questionOf, type Question } from './packet.ts';
import { readTrace, type Hop } from './trace-reader.ts';

const spec = {
  name: 'trace',
  summary: 'Send a packet from a pod or node of a lab, and show each node, device and rule that it meets.',
  flags: [
    {
      flags: '-n, --namespace <namespace>',
      description: 'the namespace of names that say none',
      default: 'default',
    },
    ...packetFlags,
    outputFlag,
  ],
  examples: [
    'trace --from shop/web --to shop/db --port 5432',
    'trace --from node/worker1 --to 10.0.0.11 --protocol ICMP',
  ],
  notes:
    'KUBECONFIG is that of the lab. Exit code: 0 the packet arrived, 1 it did not, 2 it cannot be said.\nThe rules of nftables are traced; nodes whose rules are in iptables show their devices only.',
};

export const command = judging(spec, trace);

const cannot = (message: string, hint?: string): Result<never, CliError> =>
  err(failure('CannotTrace', message, hint));

/** Nodes listen no longer than this when nobody tells them to end. */
const listenSeconds = 60;

async function trace(flags: Flags): Promise<Result<Judged, CliError>> {
  const lab = labOf(process.env, undefined);
  if (lab === undefined)
    return cannot('A packet can be traced in a lab only.', 'Set KUBECONFIG to that of a running lab.');
  const world = await worldOf(flags);
  if (!world.ok) return world;
  const question = questionOf(world.value, flags);
  if (!question.ok) return question;
  const { packet, from, to } = question.value;
  const sender = senderOf(question.value);
  if (!sender.ok) return sender;
  const { labOutput, labOutputs } = await import('../../lab/mod.ts');
  const table = `margay-trace-${process.pid}`;
  const listening = await labOutputs(lab, ['sh', '-c', listener(table, packet)]);
  if (!listening.ok) return listening;
  const sent = await labOutput(lab, sender.value.machine, ['sh', '-c', sender.value.command]);
  const listings = await labOutputs(lab, ['sh', '-c', ending(table)]);
  if (!listings.ok) return listings;
  if (!sent.ok) return sent;
  const hops = inOrder(
    listings.value.flatMap(({ machine, out }) => readTrace(machine, out) ?? []),
    from,
  );
  if (hops.length === 0)
    return cannot(
      'No node saw the packet.',
      'Is nft installed, and does the sender have a route to the receiver?',
    );
  const predicted = verdictOf(world.value, packet);
  const why =
    predicted.decidedBy === undefined ? 'no policy is in the way' : describeStep(predicted.decidedBy);
  const arrived = hops.every(({ end }) => end.kind !== 'dropped');
  const agrees = arrived === (predicted.action === 'allow');
  return ok({
    action: arrived ? 'allow' : 'deny',
    data: {
      from: from.name,
      to: to.name,
      hops,
      arrived,
      answered: sent.value.code === 0,
      predicted: predicted.action,
      why,
      agrees,
    },
    lines: [
      `${packetText(packet, from, to)}: ${arrived ? 'arrived' : 'dropped'}`,
      ...hops.flatMap(hopLines),
      `answer: ${sent.value.code === 0 ? 'yes' : 'none'}`,
      `policy means: ${predicted.action === 'allow' ? 'allowed' : 'denied'}: ${why}`,
      ...(agrees ? [] : ['The kernel did something else.']),
    ],
  });
}

/** Marks the packet where it enters a node, and is passed where it leaves it for a device or for the node itself. Ends when the
 *  kernel knows of the listener: its socket has joined the group of traces (9) of netfilter (12). */
function listener(table: string, packet: WorldPacket): string {
  const { source, destination, protocol, destinationPort } = packet;
  const family = source.includes(':') ? 'ip6' : 'ip';
  const port = destinationPort === undefined ? '' : `th dport ${destinationPort}`;
  const match = `${family} saddr ${source} ${family} daddr ${destination} meta l4proto ${protocol} ${port}`;
  const chain = (name: string, hook: string, priority: number, rule: string): string =>
    `chain ${name} {\ntype filter hook ${hook} priority ${priority}\n${rule}\n}`;
  return `export PATH="$PATH:/usr/sbin:/sbin"
nft -f - <<END || exit 0
table inet ${table} {
${chain('from-device', 'prerouting', -400, `${match} meta nftrace set 1`)}
${chain('from-node', 'output', -400, `${match} meta nftrace set 1`)}
${chain('to-node', 'input', 350, '')}
${chain('to-device', 'postrouting', 350, '')}
}
END
{ timeout ${listenSeconds} nft monitor trace >/run/${table} 2>/dev/null & echo $! >/run/${table}.pid
  wait; nft delete table inet ${table}; } >/dev/null 2>&1 &
for i in $(seq 200); do
  [ -s /run/${table}.pid ] && grep -Eq '^[0-9a-f]+ 12 +[0-9]+ +0*100 ' /proc/net/netlink && break
  sleep 0.02
done`;
}

/** What was heard, once no line has come for a moment; nothing is left of the listener. */
const ending = (table: string): string => `cd /run || exit
[ -s ${table}.pid ] || exit 0
before=-1; while now=$(wc -c <${table}); [ "$now" != "$before" ]; do before=$now; sleep 0.2; done
kill $(cat ${table}.pid); cat ${table}; rm ${table} ${table}.pid
for i in $(seq 200); do PATH=$PATH:/usr/sbin:/sbin nft list table inet ${table} >/dev/null 2>&1 || break; sleep 0.02; done`;

type Sender = { readonly machine: string; readonly command: string };

function senderOf({ packet, from, to }: Question): Result<Sender, CliError> {
  const { place } = from;
  if (place.kind !== 'workload' && place.kind !== 'host')
    return cannot(`${from.name} is neither a pod nor a node of the lab.`);
  const machine =
    place.kind === 'host'
      ? place.node
      : `pod/${place.endpoint.namespace ?? ''}/${place.endpoint.pod ?? place.endpoint.name}`;
  const { destination, protocol, destinationPort } = packet;
  if (protocol === 1 || protocol === 58)
    return ok({ machine, command: `ping -n -c 1 -W 2 ${destination} >/dev/null` });
  const name = protocol === 6 ? 'tcp' : protocol === 17 ? 'udp' : undefined;
  if (name === undefined)
    return cannot(
      `Packets of protocol ${protocol} to ${to.name} cannot be sent from here.`,
      'Use TCP, UDP or ICMP.',
    );
  return ok({
    machine,
    command: `timeout 2 bash -c 'echo > /dev/${name}/${destination}/${destinationPort}' 2>/dev/null`,
  });
}

/** The sender's node first, where it ends last. */
function inOrder(hops: readonly Hop[], from: End): readonly Hop[] {
  const first =
    from.place.kind === 'workload'
      ? from.place.endpoint.node
      : from.place.kind === 'host'
        ? from.place.node
        : '';
  return hops.toSorted((a, b) => Number(b.node === first) - Number(a.node === first));
}

const hopLines = ({ node, device, rules, end }: Hop): readonly string[] => [
  node,
  `  ${device === undefined ? 'made here' : `in by ${device}`}`,
  ...rules.map((rule) => `  ${rule}`),
  `  ${end.kind === 'dropped' ? `dropped by ${end.by}` : end.kind === 'device' ? `out by ${end.device}` : 'for the node itself'}`,
];
