// A process inside of a lab that tries out who reaches whom, with real packets in the pods' own network namespaces. Reads
// one JSON line per question, writes one per answer; policy-matrix.ts starts it and asks.
//
//   tcp         a connection from a socket in the sender's namespace to the program that runs there, on any node
//   udp, sctp   a first packet written to the sender's interface, looked for at the receiver's: nobody need listen, and the
//               kernel need not speak SCTP
import { createInterface } from 'node:readline';
import { address, addressToBytes, familyOf, type Address } from '../../src/lib/ip/mod.ts';
import { openNamespace, withNamespace, type Namespace } from '../../src/kernel/mod.ts';
import { expect } from '../../src/lib/result.ts';
import { packetBytes } from './policy-packets.ts';
import { wireEnd, type PacketEnd } from './policy-sockets.ts';

export type ProberPlace = { readonly name: string; readonly netns: string; readonly isPod: boolean };
export type ProberProbe = {
  readonly from: string;
  /** Receiver's place, for protocols that are seen there. */
  readonly to: string;
  /** The sender's address, where the packet is made by hand. */
  readonly source: string;
  readonly destination: string;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly port: number;
};
export type ProberRequest =
  | { readonly op: 'places'; readonly places: readonly ProberPlace[] }
  | { readonly op: 'probe'; readonly probes: readonly ProberProbe[] };
/** `refused`: an answer came, and it was no. */
export type ProberOutcome = 'reached' | 'refused' | 'silent';
export type ProberAnswer = { readonly outcomes?: readonly ProberOutcome[]; readonly error?: string };

const timeoutMs = 350;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const NONBLOCK_CLOEXEC = 0o4000 | 0o2000000;
const ECONNREFUSED = 111;
const POLLOUT = 4;

type Place = { readonly namespace: Namespace; readonly wire?: PacketEnd };
type System = {
  socket(domain: number, type: number, protocol: number): number;
  connect(fd: number, address: Uint8Array, length: number): number;
  poll(fds: Uint8Array, count: number, timeoutMs: number): number;
  getsockopt(fd: number, level: number, option: number, value: Uint32Array, length: Uint32Array): number;
  close(fd: number): number;
};

const { default: koffi } = await import('koffi');
const libc = koffi.load(null);
const system: System = {
  socket: libc.func('int socket(int, int, int)') as System['socket'],
  connect: libc.func('int connect(int, const void *, uint32_t)') as System['connect'],
  poll: libc.func('int poll(void *, uint64_t, int)') as unknown as System['poll'],
  getsockopt: libc.func('int getsockopt(int, int, int, void *, void *)') as System['getsockopt'],
  close: libc.func('int close(int)') as System['close'],
};

const places = new Map<string, Place>();
let lastId = 0x6000_0000;
let lastPort = 30_000;

async function open({ name, netns, isPod }: ProberPlace): Promise<void> {
  const namespace = expect(await openNamespace(netns), name);
  const wire = isPod ? await wireEnd(netns, 'eth0', '02:00:00:00:00:09', 'ee:ee:ee:ee:ee:ee') : undefined;
  const old = places.get(name);
  old?.wire?.close();
  old?.namespace.close();
  places.set(name, wire === undefined ? { namespace } : { namespace, wire });
}

function placeOf(name: string): Place {
  const place = places.get(name);
  if (place === undefined) throw new Error(`no place ${name}`);
  return place;
}

function connectFrom({ namespace }: Place, to: Address, port: number): number {
  const isFour = familyOf(to) === 4;
  return withNamespace(namespace.fd, () => {
    const fd = system.socket(isFour ? AF_INET : AF_INET6, SOCK_STREAM | NONBLOCK_CLOEXEC, 0);
    const name = new Uint8Array(isFour ? 16 : 28);
    const view = new DataView(name.buffer);
    view.setUint16(0, isFour ? AF_INET : AF_INET6, true);
    view.setUint16(2, port);
    name.set(addressToBytes(to), isFour ? 4 : 8);
    system.connect(fd, name, name.length);
    return fd;
  });
}

/** All at once: the silent ones cost the time-out only once. */
async function tryAll(probes: readonly ProberProbe[]): Promise<readonly ProberOutcome[]> {
  const outcomes = probes.map((): ProberOutcome => 'silent');
  const connections = new Map<number, number>();
  const packets = new Map<number, { readonly index: number; readonly to: string }>();
  for (const { wire } of places.values()) wire?.arrived();
  for (const [index, { from, to, source, destination, protocol, port }] of probes.entries()) {
    if (protocol === 'tcp') {
      connections.set(connectFrom(placeOf(from), address(destination), port), index);
      continue;
    }
    const id = ++lastId;
    lastPort = 30_000 + ((lastPort - 29_999) % 30_000);
    packets.set(id, { index, to });
    const ends = { source: address(source), destination: address(destination) };
    const fields = {
      ...ends,
      protocol: protocol === 'udp' ? 17 : 132,
      sourcePort: lastPort,
      destinationPort: port,
    };
    placeOf(from).wire?.send(packetBytes(fields, id));
  }
  const end = performance.now() + timeoutMs;
  while (connections.size + packets.size > 0 && performance.now() < end) {
    for (const [fd, outcome] of finished([...connections.keys()])) {
      outcomes[connections.get(fd) ?? 0] = outcome;
      connections.delete(fd);
      system.close(fd);
    }
    for (const [name, { wire }] of places)
      for (const id of wire?.arrived() ?? []) {
        const packet = packets.get(id);
        if (packet === undefined || packet.to !== name) continue;
        outcomes[packet.index] = 'reached';
        packets.delete(id);
      }
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
  for (const fd of connections.keys()) system.close(fd);
  return outcomes;
}

/** Connections that are made or refused. */
function* finished(fds: readonly number[]): Generator<readonly [number, ProberOutcome]> {
  const list = new Uint8Array(fds.length * 8);
  const view = new DataView(list.buffer);
  for (const [i, fd] of fds.entries()) {
    view.setInt32(i * 8, fd, true);
    view.setInt16(i * 8 + 4, POLLOUT, true);
  }
  if (fds.length === 0 || system.poll(list, fds.length, 0) <= 0) return;
  for (const [i, fd] of fds.entries()) {
    if (view.getInt16(i * 8 + 6, true) === 0) continue;
    const error = new Uint32Array(1);
    system.getsockopt(fd, 1, 4, error, new Uint32Array([4]));
    yield [fd, error[0] === 0 ? 'reached' : error[0] === ECONNREFUSED ? 'refused' : 'silent'];
  }
}

async function answerTo(request: ProberRequest): Promise<ProberAnswer> {
  if (request.op === 'probe') return { outcomes: await tryAll(request.probes) };
  for (const place of request.places) await open(place);
  return {};
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer: ProberAnswer;
  try {
    answer = await answerTo(JSON.parse(line) as ProberRequest);
  } catch (error) {
    answer = { error: (error as Error).message };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
