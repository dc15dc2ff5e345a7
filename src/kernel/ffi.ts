// System calls that Node does not offer: the only file that knows koffi. A wrong prototype is a crash, so everything here
// is thin and typed; loading is lazy because most commands never touch the kernel.
import { closeSync } from 'node:fs';

/** Results are those of the C functions: -1 means failure and `errno()` tells why. */
export interface Ffi {
  errno(): number;
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array): number;
  connect(fd: number, address: Uint8Array): number;
  getsockname(fd: number, address: Uint8Array): number;
  send(fd: number, data: Uint8Array, length: number, flags: number): number;
  /** `send` on a thread of libuv's pool, for the calls in which the kernel sleeps. */
  sendAsync(fd: number, data: Uint8Array, length: number, flags: number): Promise<SystemCallResult>;
  recv(fd: number, data: Uint8Array, flags: number): number;
  setOption(fd: number, level: number, option: number, value: number): number;
  /** The option's value as an unsigned number; undefined when the kernel does not know it. */
  getOption(fd: number, level: number, option: number, size: 4 | 8): bigint | undefined;
  setns(fd: number, type: number): number;
  unshare(flags: number): number;
  /** `dup3` that closes on exec, as Node's own descriptors do. */
  replaceDescriptor(from: number, to: number): number;
  /** Two connected Unix stream sockets. */
  socketPair(): readonly [number, number] | undefined;
  mount(source: string, target: string, type: string | null, flags: number): number;
  unmount(target: string, flags: number): number;
  ioctl(fd: number, request: number, argument: Uint8Array | number): number;
  /** bpf(BPF_PROG_LOAD): a descriptor of the program, or -1; with `log` the verifier's words go there. */
  loadProgram(type: number, code: Uint8Array, licence: string, log: Uint8Array | undefined): number;
  close(fd: number): void;
}

export type SystemCallResult = { readonly value: number; readonly errno: number };

const closeOnExec = 0o2000000;

let loaded: Ffi | undefined;
let loading: Promise<Ffi> | undefined;

/** Loads koffi once. */
export async function loadFfi(): Promise<Ffi> {
  loading ??= import('koffi').then(({ default: koffi }) => {
    loaded = build(koffi);
    return loaded;
  });
  return loading;
}

/** For synchronous code that runs after `loadFfi`, e.g. whatever holds a descriptor made by it. */
export function ffi(): Ffi {
  if (loaded === undefined) throw new Error('koffi is not loaded: await loadFfi() first');
  return loaded;
}

type Koffi = typeof import('koffi').default;

function build(koffi: Koffi): Ffi {
  // The process itself: libc is linked in, whichever it is.
  const libc = koffi.load(null);
  const socket = libc.func('int socket(int, int, int)') as (a: number, b: number, c: number) => number;
  const bind = libc.func('int bind(int, const void *, uint32_t)') as BufferCall;
  const connect = libc.func('int connect(int, const void *, uint32_t)') as BufferCall;
  const getsockname = libc.func('int getsockname(int, void *, void *)') as (
    fd: number,
    address: Uint8Array,
    length: Uint32Array,
  ) => number;
  const sendFunction = libc.func('int64_t send(int, const void *, size_t, int)');
  const send = sendFunction as unknown as (fd: number, data: Uint8Array, n: number, flags: number) => number;
  const recv = libc.func('int64_t recv(int, void *, size_t, int)') as unknown as typeof send;
  const setsockopt = libc.func('int setsockopt(int, int, int, const void *, uint32_t)') as OptionCall<
    Uint32Array,
    number
  >;
  const getsockopt = libc.func('int getsockopt(int, int, int, void *, void *)') as OptionCall<
    Uint8Array,
    Uint32Array
  >;
  const setns = libc.func('int setns(int, int)') as (fd: number, type: number) => number;
  const unshare = libc.func('int unshare(int)') as (flags: number) => number;
  const dup3 = libc.func('int dup3(int, int, int)') as (from: number, to: number, flags: number) => number;
  const socketpair = libc.func('int socketpair(int, int, int, void *)') as (
    domain: number,
    type: number,
    protocol: number,
    pair: Int32Array,
  ) => number;
  const mount = libc.func('int mount(const char *, const char *, const char *, uint64_t, void *)') as (
    source: string,
    target: string,
    type: string | null,
    flags: number,
    data: null,
  ) => number;
  const umount2 = libc.func('int umount2(const char *, int)') as (target: string, flags: number) => number;
  const ioctlPointer = libc.func('ioctl', 'int', ['int', 'uint64_t', 'void *']) as IoctlCall<Uint8Array>;
  const ioctlNumber = libc.func('ioctl', 'int', ['int', 'uint64_t', 'int64_t']) as IoctlCall<number>;
  const loadProgram = bpfProgramLoader(koffi, libc);
  const errno = (): number => koffi.errno();

  return {
    errno,
    socket,
    bind: (fd, address) => bind(fd, address, address.length),
    connect: (fd, address) => connect(fd, address, address.length),
    getsockname: (fd, address) => getsockname(fd, address, new Uint32Array([address.length])),
    send,
    sendAsync: (fd, data, length, flags) =>
      new Promise((resolve, reject) => {
        sendFunction.async(fd, data, length, flags, (error: unknown, value: number) => {
          if (error) reject(error instanceof Error ? error : new Error('send failed in the thread pool'));
          else resolve({ value, errno: value < 0 ? errno() : 0 });
        });
      }),
    recv: (fd, data, flags) => recv(fd, data, data.length, flags),
    setOption: (fd, level, option, value) => setsockopt(fd, level, option, new Uint32Array([value]), 4),
    getOption: (fd, level, option, size) => {
      const value = new Uint8Array(8);
      const ok = getsockopt(fd, level, option, value, new Uint32Array([size])) === 0;
      return ok ? new DataView(value.buffer).getBigUint64(0, true) : undefined;
    },
    setns,
    unshare,
    replaceDescriptor: (from, to) => dup3(from, to, closeOnExec),
    socketPair: () => {
      const pair = new Int32Array(2);
      return socketpair(1, 1 | closeOnExec, 0, pair) === 0 ? [pair[0] ?? -1, pair[1] ?? -1] : undefined;
    },
    mount: (source, target, type, flags) => mount(source, target, type, flags, null),
    unmount: umount2,
    ioctl: (fd, request, argument) =>
      typeof argument === 'number' ? ioctlNumber(fd, request, argument) : ioctlPointer(fd, request, argument),
    loadProgram,
    close: (fd) => closeSync(fd),
  };
}

/** libc has no function for bpf(2). The structure is the beginning of union bpf_attr up to the fields used here. */
function bpfProgramLoader(koffi: Koffi, libc: ReturnType<Koffi['load']>): Ffi['loadProgram'] {
  const attribute = koffi.struct('MargayProgramLoad', {
    type: 'uint32_t',
    instructionCount: 'uint32_t',
    instructions: 'const uint8_t *',
    licence: 'const char *',
    logLevel: 'uint32_t',
    logSize: 'uint32_t',
    log: 'uint8_t *',
    kernelVersion: 'uint32_t',
    flags: 'uint32_t',
  });
  const syscall = libc.func('syscall', 'int64_t', [
    'int64_t',
    'int64_t',
    koffi.pointer(attribute),
    'int64_t',
  ]) as (number: number, command: number, attribute: object, size: number) => number;
  const bpfSystemCall = process.arch === 'x64' ? 321 : 280;
  const BPF_PROG_LOAD = 5;
  return (type, code, licence, log) =>
    syscall(
      bpfSystemCall,
      BPF_PROG_LOAD,
      {
        type,
        instructionCount: code.length / 8,
        instructions: code,
        licence,
        logLevel: log === undefined ? 0 : 1,
        logSize: log?.length ?? 0,
        log: log ?? null,
        kernelVersion: 0,
        flags: 0,
      },
      koffi.sizeof(attribute),
    );
}

type BufferCall = (fd: number, data: Uint8Array, length: number) => number;
type OptionCall<V, L> = (fd: number, level: number, option: number, value: V, length: L) => number;
type IoctlCall<A> = (fd: number, request: number, argument: A) => number;
