// What Node's sockets have no words for: TCP MD5 signatures (RFC 2385) and the least TTL of what may come in (GTSM,
// RFC 5082). System calls by koffi, loaded only when a session asks for one of them.
import { closeSync } from 'node:fs';
import { addressToBytes, familyOf, type Address, type Family } from '../../lib/ip/mod.ts';
import type { SessionSecurity } from './types.ts';

/** Each call gives 0 or the error number. */
export interface SocketOptions {
  /** A TCP socket that does not block, or a negative error number. */
  open(family: Family): number;
  bind(fd: number, address: Address, port: number): number;
  listen(fd: number, backlog: number): number;
  /** 115 (EINPROGRESS) while the connection is being made. */
  connect(fd: number, address: Address, port: number): number;
  /** How a connection attempt stands. */
  progress(fd: number): 'connecting' | 'connected' | { readonly errno: number };
  /** Everything between this socket and the peer is signed with the password; without one, no longer. */
  setPassword(fd: number, peer: Address, password: string | undefined): number;
  /** Sends with the greatest TTL; takes only what has come over at most so many hops. */
  setHops(fd: number, family: Family, hops: number): number;
  /** Sends with the greatest TTL: what a listener answers must pass the peer's own check. */
  setGreatestTtl(fd: number, family: Family): number;
  setReusable(fd: number, family: Family): number;
}

let loaded: SocketOptions | undefined;
let problem: string | undefined = 'its socket options are not loaded';

/** Makes sessions with a password or a TTL rule possible; says why not. */
export async function loadSocketOptions(): Promise<string | undefined> {
  if (loaded !== undefined) return undefined;
  try {
    const { default: koffi } = await import('koffi');
    loaded = build(koffi);
    problem = undefined;
  } catch (error) {
    problem = `koffi cannot be loaded: ${(error as Error).message}`;
  }
  return problem;
}

export const socketOptionsProblem = (): string | undefined => problem;

export function socketOptions(): SocketOptions {
  if (loaded === undefined) throw new Error('await loadSocketOptions() first');
  return loaded;
}

/** Passwords of TCP MD5 have at most 80 bytes. */
export const passwordProblem = ({ password }: SessionSecurity): string | undefined => {
  if (password === undefined) return undefined;
  const { length } = new TextEncoder().encode(password);
  if (length === 0) return 'the password is empty';
  return length > maxPasswordBytes ? `the password has ${length} bytes; TCP MD5 takes 80` : undefined;
};

const maxPasswordBytes = 80;
const inet: Readonly<Record<Family, number>> = { 4: 2, 6: 10 };
const streamNonBlockCloseOnExec = 1 | 0o4000 | 0o2000000;
const ip = { level: 0, ttl: 2, minTtl: 21 };
const ipv6 = { level: 41, hops: 16, minHops: 73, only: 26 };
const tcp = { level: 6, md5: 14 };
const sol = { level: 1, reuse: 2, error: 4 };
const notConnected = 107;

/** struct sockaddr_in or sockaddr_in6. */
function socketAddress(address: Address, port: number): Uint8Array {
  const family = familyOf(address);
  const bytes = new Uint8Array(family === 4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, inet[family], true);
  view.setUint16(2, port);
  bytes.set(addressToBytes(address), family === 4 ? 4 : 8);
  return bytes;
}

/** struct tcp_md5sig: 128 bytes of address, flags, prefix length, key length at 130, key at 136. */
function md5Signature(peer: Address, password: string | undefined): Uint8Array {
  const bytes = new Uint8Array(216);
  bytes.set(socketAddress(peer, 0));
  const key = new TextEncoder().encode(password ?? '');
  new DataView(bytes.buffer).setUint16(130, key.length, true);
  bytes.set(key, 136);
  return bytes;
}

function build(koffi: typeof import('koffi').default): SocketOptions {
  const libc = koffi.load(null);
  const socket = libc.func('int socket(int, int, int)') as (a: number, b: number, c: number) => number;
  const bind = libc.func('int bind(int, const void *, uint32_t)') as BufferCall;
  const connect = libc.func('int connect(int, const void *, uint32_t)') as BufferCall;
  const listen = libc.func('int listen(int, int)') as (fd: number, backlog: number) => number;
  const getpeername = libc.func('int getpeername(int, void *, void *)') as (
    fd: number,
    address: Uint8Array,
    length: Uint32Array,
  ) => number;
  const setsockopt = libc.func('int setsockopt(int, int, int, const void *, uint32_t)') as OptionCall<
    Uint8Array,
    number
  >;
  const getsockopt = libc.func('int getsockopt(int, int, int, void *, void *)') as OptionCall<
    Int32Array,
    Uint32Array
  >;
  const outcome = (result: number): number => (result < 0 ? koffi.errno() : 0);
  const set = (fd: number, level: number, option: number, value: Uint8Array): number =>
    outcome(setsockopt(fd, level, option, value, value.length));
  const setNumber = (fd: number, level: number, option: number, value: number): number =>
    set(fd, level, option, new Uint8Array(new Int32Array([value]).buffer));
  const setGreatestTtl = (fd: number, family: Family): number =>
    family === 4 ? setNumber(fd, ip.level, ip.ttl, 255) : setNumber(fd, ipv6.level, ipv6.hops, 255);
  return {
    open: (family) => {
      const fd = socket(inet[family], streamNonBlockCloseOnExec, 0);
      return fd < 0 ? -koffi.errno() : fd;
    },
    bind: (fd, address, port) => {
      const bytes = socketAddress(address, port);
      return outcome(bind(fd, bytes, bytes.length));
    },
    listen: (fd, backlog) => outcome(listen(fd, backlog)),
    connect: (fd, address, port) => {
      const bytes = socketAddress(address, port);
      return outcome(connect(fd, bytes, bytes.length));
    },
    progress: (fd) => {
      const error = new Int32Array(1);
      if (getsockopt(fd, sol.level, sol.error, error, new Uint32Array([4])) < 0)
        return { errno: koffi.errno() };
      if (error[0] !== undefined && error[0] !== 0) return { errno: error[0] };
      if (getpeername(fd, new Uint8Array(28), new Uint32Array([28])) === 0) return 'connected';
      const errno = koffi.errno();
      return errno === notConnected ? 'connecting' : { errno };
    },
    setPassword: (fd, peer, password) => set(fd, tcp.level, tcp.md5, md5Signature(peer, password)),
    setHops: (fd, family, hops) => {
      const least = 256 - Math.min(Math.max(hops, 1), 255);
      return (
        setGreatestTtl(fd, family) ||
        (family === 4
          ? setNumber(fd, ip.level, ip.minTtl, least)
          : setNumber(fd, ipv6.level, ipv6.minHops, least))
      );
    },
    setGreatestTtl,
    setReusable: (fd, family) =>
      setNumber(fd, sol.level, sol.reuse, 1) || (family === 6 ? setNumber(fd, ipv6.level, ipv6.only, 1) : 0),
  };
}

export const closeDescriptor = (fd: number): void => closeSync(fd);

type BufferCall = (fd: number, data: Uint8Array, length: number) => number;
type OptionCall<V, L> = (fd: number, level: number, option: number, value: V, length: L) => number;
