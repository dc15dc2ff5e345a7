// Echo requests that must not be cut (DF, and for IPv6 as always), of any size: what a way carries, found out by trying. The
// path MTUs that the kernel remembers do not count for them.
//
//   ICMP echo   type u8 (8, 128) · code u8 · checksum u16 · identifier u16 · sequence u16 · data
import { randomInt } from 'node:crypto';
import { addressToBytes, familyOf, type Address } from '../../lib/ip/mod.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import { sleep } from '../../lib/wait.ts';
import { errno, invalid, kernelError } from '../errors.ts';
import { ffi } from '../ffi.ts';
import { withNamespace } from '../namespace.ts';
import { addressFamily, MSG_DONTWAIT, SOCK_RAW_CLOEXEC } from '../netlink/constants.ts';
import type { KernelError, PathAnswer, Paths } from '../types.ts';
import type { KernelSession } from './session.ts';

const usualTimeoutMs = 1_000;
const lookEveryMs = 5;
const echoHeaderBytes = 8;
const families = {
  4: { protocol: 1, headerBytes: 20, request: 8, reply: 0, level: 0, discoverOption: 10 },
  6: { protocol: 58, headerBytes: 40, request: 128, reply: 129, level: 41, discoverOption: 23 },
} as const;
/** IP_PMTUDISC_PROBE, the same for IPv6: DF is set, and what is known of the way is ignored. */
const PROBE = 3;
const IPV6_DONTFRAG = 62;
/** Without it what a router says of a probe is not told. IPv4 does so anyway. */
const IPV6_RECVERR = 25;

export function realPaths(session: KernelSession): Paths {
  return {
    probe: async (destination, bytes, { timeoutMs = usualTimeoutMs } = {}) => {
      const { protocol, headerBytes, level, discoverOption } = families[familyOf(destination)];
      if (bytes < headerBytes + echoHeaderBytes || bytes > 65_535)
        return invalid(`An echo request of ${bytes} bytes cannot be.`);
      const what = `probe the way to ${destination}`;
      const system = ffi();
      const fd = withNamespace(session.namespace.fd, () =>
        system.socket(addressFamily(familyOf(destination)), SOCK_RAW_CLOEXEC, protocol),
      );
      if (fd < 0) return err(kernelError(what, system.errno()));
      try {
        system.setOption(fd, level, discoverOption, PROBE);
        if (familyOf(destination) === 6)
          for (const option of [IPV6_DONTFRAG, IPV6_RECVERR]) system.setOption(fd, level, option, 1);
        // From nobody else anything is received.
        if (system.connect(fd, socketAddress(destination)) < 0) return err(kernelError(what, system.errno()));
        return await exchange(fd, destination, bytes - headerBytes, timeoutMs);
      } finally {
        system.close(fd);
      }
    },
  };
}

async function exchange(
  fd: number,
  destination: Address,
  size: number,
  timeoutMs: number,
): Promise<Result<PathAnswer, KernelError>> {
  const system = ffi();
  const what = `probe the way to ${destination}`;
  const { request, reply } = families[familyOf(destination)];
  const packet = echoRequest(request, size);
  if (system.send(fd, packet, packet.length, 0) < 0) {
    const number = system.errno();
    return number === errno.EMSGSIZE ? ok('too-big') : err(kernelError(what, number));
  }
  const answer = new Uint8Array(65_536);
  for (const end = performance.now() + timeoutMs; ; ) {
    const length = system.recv(fd, answer, MSG_DONTWAIT);
    if (length >= 0) {
      if (isReply(answer.subarray(0, length), destination, reply, packet)) return ok('arrived');
      continue;
    }
    const number = system.errno();
    if (number === errno.EMSGSIZE) return ok('too-big');
    if (number !== errno.EAGAIN && number !== errno.EINTR) return err(kernelError(what, number));
    if (performance.now() >= end) return ok('silent');
    await sleep(lookEveryMs);
  }
}

/** The checksum of ICMPv6 is the kernel's to fill in, as it covers the addresses. */
function echoRequest(type: number, size: number): Uint8Array {
  const packet = new Uint8Array(size);
  const view = new DataView(packet.buffer);
  view.setUint8(0, type);
  view.setUint16(4, randomInt(65_536));
  view.setUint16(6, randomInt(65_536));
  if (type !== families[4].request) return packet;
  // Everything behind the header is zero.
  let sum = view.getUint16(0) + view.getUint16(4) + view.getUint16(6);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(2, ~sum & 0xffff);
  return packet;
}

/** Raw IPv4 sockets see the IP header, those of IPv6 do not. */
function isReply(received: Uint8Array, destination: Address, reply: number, request: Uint8Array): boolean {
  const start = familyOf(destination) === 4 ? ((received[0] ?? 0) & 15) * 4 : 0;
  const message = received.subarray(start);
  return (
    message[0] === reply &&
    message.length === request.length &&
    [4, 5, 6, 7].every((i) => message[i] === request[i])
  );
}

/** sockaddr_in: family · port · address · 8 zeroes. sockaddr_in6: family · port · flow u32 · address · scope u32. */
function socketAddress(address: Address): Uint8Array {
  const isV4 = familyOf(address) === 4;
  const bytes = new Uint8Array(isV4 ? 16 : 28);
  new DataView(bytes.buffer).setUint16(0, addressFamily(familyOf(address)), true);
  bytes.set(addressToBytes(address), isV4 ? 4 : 8);
  return bytes;
}
