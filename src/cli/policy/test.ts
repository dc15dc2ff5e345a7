// `policy test`: will A reach B on port P, and why. Exit code 0: allowed, 1: denied, 2: it cannot be said.
import { err, failure, ok, type Result } from '../../lib/result.ts';
import type { Address, Family } from '../../lib/ip/mod.ts';
import { protocolHasPorts, protocolNames, protocolNumber } from '../../model/mod.ts';
import {
  describeStep,
  explain,
  verdictOf,
  type PathVerdict,
  type World,
  type WorldPacket,
} from '../../policy/mod.ts';
import { textFlag, verb, type CliError, type Flags } from '../calicoctl/program.ts';
import type { Command } from '../types.ts';
import { answer, outputFlag, sourceFlags, worldOf } from './common.ts';
import { addressesFor, findEnd, type End } from './find.ts';

const spec = {
  name: 'policy test',
  summary:
    'Say whether a packet is allowed, and why: by files, by the cluster, or by the cluster with the files applied.',
  flags: [
    ...sourceFlags,
    { flags: '--from <end>', description: 'who sends: [NAMESPACE/]POD, an address, node/NAME' },
    { flags: '--to <end>', description: 'who receives' },
    { flags: '--port <port>', description: "the receiver's port: a number, or a name of one of its ports" },
    {
      flags: '--protocol <protocol>',
      description: 'TCP, UDP, SCTP, UDPLite, ICMP, ICMPv6 or a number',
      default: 'TCP',
    },
    { flags: '--source-port <port>', description: "the sender's port; one that clients use when absent" },
    { flags: '--icmp-type <type>', description: 'an echo request when absent' },
    { flags: '--icmp-code <code>', description: '0 when absent' },
    { flags: '--family <family>', description: '4 or 6; the first that both ends have when absent' },
    outputFlag,
  ],
  examples: [
    'policy test -f ./shop --from shop/web --to shop/db --port 5432',
    'policy test --from web-0 --to 203.0.113.9 --protocol ICMP',
    'policy test -f ./new-policy.yaml --cluster --from shop/web --to shop/db --port pg',
  ],
  notes:
    'Exit code: 0 allowed, 1 denied, 2 it cannot be said. Pods of files need no addresses, and namespaces need not be in them;\nDeployments and other objects with a template stand for one pod of their name.',
};

/** The verb with the verdict as its exit code. */
export const command: Command = {
  name: spec.name,
  summary: spec.summary,
  async run(argv) {
    let isAllowed = true;
    const asked = verb(spec, async ({ flags }) => {
      const verdict = await judge(flags);
      if (!verdict.ok) return verdict;
      isAllowed = verdict.value.action === 'allow';
      return answer(flags, verdict.value.data, () => verdict.value.lines);
    });
    const code = await asked.run(argv);
    return code === 0 ? (isAllowed ? 0 : 1) : 2;
  },
};

type Judged = {
  readonly action: 'allow' | 'deny';
  readonly data: unknown;
  readonly lines: readonly string[];
};

async function judge(flags: Flags): Promise<Result<Judged, CliError>> {
  const question = textFlag(flags, 'from') !== undefined && textFlag(flags, 'to') !== undefined;
  if (!question) return refused('Say who sends and who receives: --from and --to.');
  const world = await worldOf(flags);
  if (!world.ok) return world;
  const namespace = String(flags['namespace']);
  const from = findEnd(world.value, textFlag(flags, 'from') ?? '', namespace);
  if (!from.ok) return from;
  const to = findEnd(world.value, textFlag(flags, 'to') ?? '', namespace);
  if (!to.ok) return to;
  const packet = packetOf(flags, from.value, to.value);
  return packet.ok ? ok(verdict(world.value, packet.value, from.value, to.value)) : packet;
}

const refused = (message: string, hint?: string): Result<never, CliError> =>
  err(failure('BadArguments', message, hint));

function verdict(world: World, packet: WorldPacket, from: End, to: End): Judged {
  const found = verdictOf(world, packet);
  const { action, decidedBy } = found;
  const title = `${packetText(packet, from, to)}: ${action === 'allow' ? 'allowed' : 'denied'}`;
  const problems = world.problems.map(({ subject, problem }) => `problem: ${subject}: ${problem}`);
  const why = decidedBy === undefined ? 'no policy is in the way' : describeStep(decidedBy);
  const { from: _from, to: _to, ...shown } = packet;
  return {
    action,
    data: {
      action,
      why,
      packet: { from: from.name, to: to.name, ...shown },
      steps: steps(found),
      problems: world.problems,
    },
    lines: [title, ...explain(found), ...problems],
  };
}

/** Without the programs, which are long, and named by the trace. */
const steps = ({ steps: all }: PathVerdict): readonly unknown[] =>
  all.map((step) => ({
    step: describeStep(step),
    action: step.action,
    ...(step.kind === 'program' && step.verdict !== undefined
      ? {
          decision: step.verdict.decision,
          tiers: step.verdict.trace.tiers,
          profiles: step.verdict.trace.profiles,
        }
      : {}),
  }));

function packetText(
  { source, destination, protocol, destinationPort, icmpType }: WorldPacket,
  from: End,
  to: End,
): string {
  const name = protocolNames.find((one) => protocolNumber(one) === protocol) ?? `protocol ${protocol}`;
  const what =
    destinationPort === undefined
      ? icmpType === undefined
        ? ''
        : ` type ${icmpType}`
      : ` port ${destinationPort}`;
  const end = ({ name: given }: End, address: Address): string =>
    given === address ? given : `${given} (${address})`;
  return `${end(from, source)} to ${end(to, destination)}, ${name}${what}`;
}

const ephemeralPort = 49_152;

function packetOf(flags: Flags, from: End, to: End): Result<WorldPacket, CliError> {
  const family = familyFlag(flags);
  if (!family.ok) return family;
  const addresses = addressesFor(from, to, family.value);
  if (!addresses.ok) return addresses;
  const { source, destination } = addresses.value;
  const isSix = source.includes(':');
  const word = textFlag(flags, 'protocol') ?? 'TCP';
  // Who asks about a ping means that of the family.
  const named = /^icmp$/i.test(word) && isSix ? 'ICMPv6' : word;
  const protocol = protocolNumber(/^\d+$/.test(named) ? Number(named) : named);
  if (protocol === undefined)
    return refused(`There is no protocol ${word}.`, `Use ${protocolNames.join(', ')} or a number.`);
  const places = { from: from.place, to: to.place };
  const base = { source, destination, protocol, ...(isForced(from, to) ? places : {}) };
  if (protocol === 1 || protocol === 58) {
    const type = numberFlag(flags, 'icmpType', 255, protocol === 1 ? 8 : 128);
    const code = numberFlag(flags, 'icmpCode', 255, 0);
    if (!type.ok) return type;
    return code.ok ? ok({ ...base, icmpType: type.value, icmpCode: code.value }) : code;
  }
  if (!hasPortNumber(protocol)) return ok(base);
  const destinationPort = portOf(flags, to, protocol);
  if (!destinationPort.ok) return destinationPort;
  const sourcePort = numberFlag(flags, 'sourcePort', 65_535, ephemeralPort);
  return sourcePort.ok
    ? ok({ ...base, sourcePort: sourcePort.value, destinationPort: destinationPort.value })
    : sourcePort;
}

/** An endpoint named by its name is meant even where another one has its address. */
const isForced = (from: End, to: End): boolean =>
  from.place.kind === 'workload' || to.place.kind === 'workload';

const hasPortNumber = (protocol: number): boolean => protocolHasPorts(protocol) || protocol === 136;

function familyFlag(flags: Flags): Result<Family | undefined, CliError> {
  const word = textFlag(flags, 'family');
  if (word === undefined) return ok(undefined);
  return word === '4' ? ok(4) : word === '6' ? ok(6) : refused(`--family is 4 or 6, not ${word}.`);
}

function numberFlag(flags: Flags, name: string, most: number, absent: number): Result<number, CliError> {
  const word = textFlag(flags, name);
  if (word === undefined) return ok(absent);
  const number = Number(word);
  return /^\d+$/.test(word) && number <= most
    ? ok(number)
    : refused(`"${word}" is no number from 0 to ${most}.`);
}

function portOf(flags: Flags, { place, name }: End, protocol: number): Result<number, CliError> {
  const word = textFlag(flags, 'port');
  if (word === undefined) return refused('Say the port: --port.');
  if (/^\d+$/.test(word)) return numberFlag(flags, 'port', 65_535, 0);
  const ports = place.kind === 'workload' ? place.endpoint.ports : [];
  const found = ports.find((one) => one.name === word && one.protocol === protocol);
  if (found !== undefined) return ok(found.port);
  const known = ports.map((one) => one.name).join(', ');
  return refused(
    `${name} has no port named ${word} of that protocol.`,
    known === '' ? undefined : `It has ${known}.`,
  );
}
