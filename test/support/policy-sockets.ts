// Sockets in other network namespaces, all held by this one process: one that sends and sees whole frames at an interface,
// and those that stand for a host itself, behind its firewall.
import { type Family } from '../../src/lib/ip/mod.ts';
import { openNamespace, withNamespace, type Namespace } from '../../src/kernel/mod.ts';
import { idOfBody, idOfPacket } from './policy-packets.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const AF_PACKET = 17;
const SOCK_RAW = 3;
const NONBLOCK_CLOEXEC = 0o4000 | 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const IPPROTO_RAW = 255;
const MSG_DONTWAIT = 0x40;
const SOL_PACKET = 263;
const PACKET_IGNORE_OUTGOING = 23;
const receiveBuffer = 8 << 20;

type System = {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  send(fd: number, data: Uint8Array, length: number, flags: number): number;
  sendto(fd: number, data: Uint8Array, length: number, flags: number, to: Uint8Array, size: number): number;
  recv(fd: number, data: Uint8Array, length: number, flags: number): number;
  setsockopt(fd: number, level: number, option: number, value: Uint32Array, length: number): number;
  if_nametoindex(name: string): number;
  close(fd: number): number;
  errno(): number;
};

let loading: Promise<System> | undefined;
const load = (): Promise<System> =>
  (loading ??= import('koffi').then(({ default: koffi }) => {
    const libc = koffi.load(null);
    return {
      socket: libc.func('int socket(int, int, int)') as System['socket'],
      bind: libc.func('int bind(int, const void *, uint32_t)') as System['bind'],
      send: libc.func('int64_t send(int, const void *, size_t, int)') as System['send'],
      sendto: libc.func(
        'int64_t sendto(int, const void *, size_t, int, const void *, uint32_t)',
      ) as System['sendto'],
      recv: libc.func('int64_t recv(int, void *, size_t, int)') as System['recv'],
      setsockopt: libc.func('int setsockopt(int, int, int, const void *, uint32_t)') as System['setsockopt'],
      if_nametoindex: libc.func('uint32_t if_nametoindex(const char *)') as System['if_nametoindex'],
      close: libc.func('int close(int)') as System['close'],
      errno: () => koffi.errno(),
    };
  }));

/** An end of packets' ways. */
export interface PacketEnd {
  send(packet: Uint8Array): void;
  /** Numbers of the packets that arrived since it was asked last. */
  arrived(): readonly number[];
  close(): void;
}

const buffer = new Uint8Array(4096);

function* packetsAt(system: System, fd: number): Generator<Uint8Array> {
  for (;;) {
    const length = system.recv(fd, buffer, buffer.length, MSG_DONTWAIT);
    if (length < 0) return;
    yield buffer.subarray(0, length);
  }
}

function opened(system: System, fd: number, what: string): number {
  if (fd < 0) throw new Error(`${what}: errno ${system.errno()}`);
  system.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, new Uint32Array([receiveBuffer]), 4);
  return fd;
}

async function entered<T>(path: string, run: (namespace: Namespace) => T): Promise<T> {
  const namespace = await openNamespace(path);
  if (!namespace.ok) throw new Error(namespace.error.message);
  try {
    return withNamespace(namespace.value.fd, () => run(namespace.value));
  } finally {
    namespace.value.close();
  }
}

/** At an interface: what it sends goes out as it is, what comes in is seen before anything of the namespace looks at it. */
export async function wireEnd(
  path: string,
  interfaceName: string,
  own: string,
  next: string,
): Promise<PacketEnd> {
  const system = await load();
  const fd = await entered(path, () => {
    const socket = opened(
      system,
      system.socket(AF_PACKET, SOCK_RAW | NONBLOCK_CLOEXEC, 0x0300),
      'packet socket',
    );
    const address = new Uint8Array(20);
    const view = new DataView(address.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setUint16(2, 3);
    view.setInt32(4, system.if_nametoindex(interfaceName), true);
    if (system.bind(socket, address, 20) !== 0)
      throw new Error(`bind to ${interfaceName}: errno ${system.errno()}`);
    system.setsockopt(socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, new Uint32Array([1]), 4);
    return socket;
  });
  const header = Uint8Array.from([...macBytes(next), ...macBytes(own), 0, 0]);
  return {
    send(packet) {
      const frame = new Uint8Array(14 + packet.length);
      frame.set(header);
      new DataView(frame.buffer).setUint16(12, (packet[0] ?? 0) >> 4 === 4 ? 0x0800 : 0x86dd);
      frame.set(packet, 14);
      if (system.send(fd, frame, frame.length, 0) < 0)
        throw new Error(`send at ${interfaceName}: errno ${system.errno()}`);
    },
    arrived() {
      const ids: number[] = [];
      for (const frame of packetsAt(system, fd)) {
        const type = ((frame[12] ?? 0) << 8) | (frame[13] ?? 0);
        const id = type === 0x0800 || type === 0x86dd ? idOfPacket(frame.subarray(14)) : undefined;
        if (id !== undefined) ids.push(id);
      }
      return ids;
    },
    close: () => void system.close(fd),
  };
}

const macBytes = (text: string): readonly number[] =>
  text.split(':').map((byte) => Number.parseInt(byte, 16));

/** The host itself: what it sends goes through its output rules, what arrives has passed its input rules. */
export async function hostEnd(path: string, protocols: readonly number[]): Promise<PacketEnd> {
  const system = await load();
  const { senders, receivers } = await entered(path, () => {
    const socket = (domain: number, protocol: number): number =>
      opened(system, system.socket(domain, SOCK_RAW | NONBLOCK_CLOEXEC, protocol), `raw socket ${protocol}`);
    return {
      senders: { 4: socket(AF_INET, IPPROTO_RAW), 6: socket(AF_INET6, IPPROTO_RAW) },
      receivers: protocols.flatMap((protocol) => [
        ...(protocol === 58 ? [] : [{ family: 4 as const, protocol, fd: socket(AF_INET, protocol) }]),
        ...(protocol === 1 ? [] : [{ family: 6 as const, protocol, fd: socket(AF_INET6, protocol) }]),
      ]),
    };
  });
  return {
    send(packet) {
      const family: Family = (packet[0] ?? 0) >> 4 === 4 ? 4 : 6;
      const to = new Uint8Array(family === 4 ? 16 : 28);
      new DataView(to.buffer).setUint16(0, family === 4 ? AF_INET : AF_INET6, true);
      if (family === 4) to.set(packet.subarray(16, 20), 4);
      else to.set(packet.subarray(24, 40), 8);
      const sent = system.sendto(senders[family], packet, packet.length, 0, to, to.length);
      // EPERM: the host's rules refused it, which is an answer as good as silence.
      if (sent < 0 && system.errno() !== 1) throw new Error(`send from the host: errno ${system.errno()}`);
    },
    arrived: () =>
      receivers.flatMap(({ family, protocol, fd }) => {
        const ids: number[] = [];
        for (const packet of packetsAt(system, fd)) {
          const id = family === 4 ? idOfPacket(packet) : idOfBody(packet, protocol);
          if (id !== undefined) ids.push(id);
        }
        return ids;
      }),
    close() {
      for (const fd of [senders[4], senders[6], ...receivers.map((one) => one.fd)]) system.close(fd);
    },
  };
}
