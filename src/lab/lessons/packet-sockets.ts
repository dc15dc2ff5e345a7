// Packet sockets (AF_PACKET): every frame of every device of a network namespace, with its direction and the kernel's time.
// System calls by koffi, loaded only for a lesson.
import { closeSync } from 'node:fs';
import { ok, err, failure, type Failure, type Result } from '../../lib/result.ts';
import { openNamespace, withNamespace } from '../../kernel/mod.ts';

export type Frame = {
  readonly linkIndex: number;
  readonly direction: 'in' | 'out';
  readonly at: bigint;
  readonly ethernet: boolean;
  readonly bytes: Uint8Array;
};
export interface PacketSocket {
  /** The next frame that waits; undefined when there is none. */
  next(): Frame | undefined;
  close(): void;
}

const AF_PACKET = 17;
const rawNonBlockCloseOnExec = 3 | 0o4000 | 0o2000000;
/** ETH_P_ALL in network order. */
const everyProtocol = 0x0300;
/** SIOCGSTAMPNS: the time of the frame read last; the first call makes the kernel keep times. */
const timeOfLast = 0x8907n;
const outgoing = 4;
const kinds = { ethernet: 1, loopback: 772 };
/** Room for headers and the beginning of a ping. */
const snapLength = 256;

/** Opens a socket in the namespace of a file. */
export async function openPacketSocket(namespacePath: string): Promise<Result<PacketSocket, Failure>> {
  const { default: koffi } = await import('koffi');
  const calls = load(koffi);
  const namespace = await openNamespace(namespacePath);
  if (!namespace.ok) return namespace;
  const fd = withNamespace(namespace.value.fd, () =>
    calls.socket(AF_PACKET, rawNonBlockCloseOnExec, everyProtocol),
  );
  const errno = koffi.errno();
  namespace.value.close();
  if (fd < 0)
    return err(
      failure('NoPacketSocket', `Cannot listen to ${namespacePath}: error ${errno}.`, 'Run as root.'),
    );
  calls.ioctl(fd, timeOfLast, new Uint8Array(16));
  const buffer = new Uint8Array(snapLength);
  const from = new Uint8Array(20);
  const length = new Uint32Array(1);
  const time = new Uint8Array(16);
  const view = new DataView(from.buffer);
  return ok({
    next: () => {
      length[0] = from.length;
      const size = calls.recvfrom(fd, buffer, buffer.length, 0, from, length);
      if (size <= 0) return undefined;
      calls.ioctl(fd, timeOfLast, time);
      const clock = new DataView(time.buffer);
      const hardware = view.getUint16(8, true);
      return {
        linkIndex: view.getInt32(4, true),
        direction: from[10] === outgoing ? 'out' : 'in',
        at: clock.getBigInt64(0, true) * 1_000_000_000n + clock.getBigInt64(8, true),
        ethernet: hardware === kinds.ethernet || hardware === kinds.loopback,
        bytes: buffer.slice(0, size),
      };
    },
    close: () => closeSync(fd),
  });
}

type Calls = {
  socket(domain: number, type: number, protocol: number): number;
  recvfrom(
    fd: number,
    data: Uint8Array,
    size: number,
    flags: number,
    from: Uint8Array,
    length: Uint32Array,
  ): number;
  ioctl(fd: number, request: bigint, argument: Uint8Array): number;
};

let loaded: Calls | undefined;

function load(koffi: typeof import('koffi').default): Calls {
  if (loaded !== undefined) return loaded;
  const libc = koffi.load(null);
  loaded = {
    socket: libc.func('int socket(int, int, int)') as unknown as Calls['socket'],
    recvfrom: libc.func(
      'int64_t recvfrom(int, void *, size_t, int, void *, void *)',
    ) as unknown as Calls['recvfrom'],
    ioctl: libc.func('int ioctl(int, uint64_t, void *)') as unknown as Calls['ioctl'],
  };
  return loaded;
}
