// The packet that a question is about: from flags to addresses, protocol and ports.
import { err, failure, ok, type Result } from '../../lib/result.ts';
import type { Address, Family } from '../../lib/ip/mod.ts';
import { protocolHasPorts, protocolNames, protocolNumber } from '../../model/mod.ts';
import type { World, WorldPacket } from '../../policy/mod.ts';
import { textFlag, type CliError, type FlagSpec, type Flags } from '../calicoctl/program.ts';
import { addressesFor, findEnd, type End } from './find.ts';

export const packetFlags: readonly FlagSpec[] = [
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
];

export type Question = { readonly packet: WorldPacket; readonly from: End; readonly to: End };

export function questionOf(world: World, flags: Flags): Result<Question, CliError> {
  const [sender, receiver] = [textFlag(flags, 'from'), textFlag(flags, 'to')];
  if (sender === undefined || receiver === undefined)
    return refused('Say who sends and who receives: --from and --to.');
  const namespace = String(flags['namespace']);
  const from = findEnd(world, sender, namespace);
  if (!from.ok) return from;
  const to = findEnd(world, receiver, namespace);
  if (!to.ok) return to;
  const packet = packetOf(flags, from.value, to.value);
  return packet.ok ? ok({ packet: packet.value, from: from.value, to: to.value }) : packet;
}

const refused = (message: string, hint?: string): Result<never, CliError> =>
  err(failure('BadArguments', message, hint));

export function packetText(
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
