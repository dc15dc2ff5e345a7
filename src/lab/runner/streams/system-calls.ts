// What streams need of the kernel and Node has no words for: pseudo-terminals, and connections made from inside of a pod's
// network. koffi is loaded with the first of them.
import { closeSync } from 'node:fs';
import { constants } from 'node:os';

export interface SystemCalls {
  /** Both ends of a new terminal, and the path of the slave's; or a negative error number. */
  openTerminal(): { readonly master: number; readonly slave: number } | number;
  resizeTerminal(master: number, width: number, height: number): void;
  /** Starts connecting a TCP socket to a port of the loopback address: the descriptor, or a negative error number. */
  connectLoopback(family: 4 | 6, port: number): number;
  /** How that stands. */
  progress(fd: number): 'connecting' | 'connected' | { readonly errno: number };
}

const flags = {
  readWrite: 2,
  noControllingTerminal: 0o400,
  closeOnExec: 0o2000000,
  nonBlock: 0o4000,
} as const;
const ioctl = { setSize: 0x5414 } as const;
const inet = { 4: 2, 6: 10 } as const;
const stream = 1;
const socketLevel = { level: 1, error: 4 } as const;

let loading: Promise<SystemCalls> | undefined;

export function loadSystemCalls(): Promise<SystemCalls> {
  loading ??= import('koffi').then(({ default: koffi }) => build(koffi));
  return loading;
}

function build(koffi: typeof import('koffi').default): SystemCalls {
  const libc = koffi.load(null);
  const posixOpenpt = libc.func('int posix_openpt(int)') as (flags: number) => number;
  const grantpt = libc.func('int grantpt(int)') as (fd: number) => number;
  const unlockpt = libc.func('int unlockpt(int)') as (fd: number) => number;
  const ptsname = libc.func('int ptsname_r(int, void *, size_t)') as (
    fd: number,
    name: Uint8Array,
    length: number,
  ) => number;
  const open = libc.func('int open(const char *, int)') as (path: string, flags: number) => number;
  const ioctlPointer = libc.func('ioctl', 'int', ['int', 'uint64_t', 'void *']) as (
    fd: number,
    request: number,
    argument: Uint8Array,
  ) => number;
  const socket = libc.func('int socket(int, int, int)') as (a: number, b: number, c: number) => number;
  const connect = libc.func('int connect(int, const void *, uint32_t)') as (
    fd: number,
    address: Uint8Array,
    length: number,
  ) => number;
  const getpeername = libc.func('int getpeername(int, void *, void *)') as (
    fd: number,
    address: Uint8Array,
    length: Uint32Array,
  ) => number;
  const getsockopt = libc.func('int getsockopt(int, int, int, void *, void *)') as (
    fd: number,
    level: number,
    option: number,
    value: Int32Array,
    length: Uint32Array,
  ) => number;
  return {
    openTerminal: () => {
      const master = posixOpenpt(flags.readWrite | flags.noControllingTerminal | flags.closeOnExec);
      if (master < 0) return -koffi.errno();
      const name = new Uint8Array(128);
      if (grantpt(master) === 0 && unlockpt(master) === 0 && ptsname(master, name, name.length) === 0) {
        const path = Buffer.from(name).toString().split('\0')[0] ?? '';
        const slave = open(path, flags.readWrite | flags.noControllingTerminal | flags.closeOnExec);
        if (slave >= 0) return { master, slave };
      }
      const errno = koffi.errno();
      closeSync(master);
      return -errno;
    },
    resizeTerminal: (master, width, height) => {
      // struct winsize: rows, columns, two in pixels.
      ioctlPointer(master, ioctl.setSize, new Uint8Array(new Uint16Array([height, width, 0, 0]).buffer));
    },
    connectLoopback: (family, port) => {
      const fd = socket(inet[family], stream | flags.nonBlock | flags.closeOnExec, 0);
      if (fd < 0) return -koffi.errno();
      const address = new Uint8Array(family === 4 ? 16 : 28);
      const view = new DataView(address.buffer);
      view.setUint16(0, inet[family], true);
      view.setUint16(2, port);
      if (family === 4) address.set([127, 0, 0, 1], 4);
      else address[23] = 1;
      const errno = connect(fd, address, address.length) === 0 ? 0 : koffi.errno();
      if (errno === 0 || errno === constants.errno.EINPROGRESS) return fd;
      closeSync(fd);
      return -errno;
    },
    progress: (fd) => {
      const error = new Int32Array(1);
      if (getsockopt(fd, socketLevel.level, socketLevel.error, error, new Uint32Array([4])) < 0)
        return { errno: koffi.errno() };
      if (error[0] !== undefined && error[0] !== 0) return { errno: error[0] };
      if (getpeername(fd, new Uint8Array(28), new Uint32Array([28])) === 0) return 'connected';
      const errno = koffi.errno();
      return errno === constants.errno.ENOTCONN ? 'connecting' : { errno };
    },
  };
}
