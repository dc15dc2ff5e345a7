// One end of a benchmark of packets, in its own namespace: system calls in a row and nothing around them.
//   serve                           listens: port 80 takes connections and ends them, 81 swallows, 82 answers byte for byte
//   drive DESTINATION SOURCE        reads lines `connects|flows|stream|trips MILLISECONDS`, answers each with a number:
//                                   connections, packets sent (each of a new flow), bytes, round trips
import { createInterface } from 'node:readline';
import { addressToBytes, address } from '../../src/lib/ip/mod.ts';
import { packetBytes } from '../../test/support/policy-packets.ts';

const { default: koffi } = await import('koffi');
const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int, int, int)');
const bind = libc.func('int bind(int, const uint8_t*, uint32_t)');
const listen = libc.func('int listen(int, int)');
const accept = libc.func('int accept4(int, void*, void*, int)');
const connect = libc.func('int connect(int, const uint8_t*, uint32_t)');
const close = libc.func('int close(int)');
const send = libc.func('int64_t send(int, const uint8_t*, size_t, int)');
const sendTo = libc.func('int64_t sendto(int, const uint8_t*, size_t, int, const uint8_t*, uint32_t)');
const receive = libc.func('int64_t recv(int, uint8_t*, size_t, int)');
const setOption = libc.func('int setsockopt(int, int, int, const uint8_t*, uint32_t)');
const poll = libc.func('int poll(uint8_t*, uint64_t, int)');

const AF_INET = 2;
const SOCK_STREAM = 1;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const IPPROTO_TCP = 6;
const IPPROTO_RAW = 255;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_LINGER = 13;
const TCP_NODELAY = 1;
const POLLIN = 1;

const one = new Uint8Array(new Int32Array([1]).buffer);
/** Ends with a reset: no state stays. */
const lingerZero = new Uint8Array(new Int32Array([1, 0]).buffer);

function socketAddress(at: string, port: number): Uint8Array {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setUint16(0, AF_INET, true);
  new DataView(bytes.buffer).setUint16(2, port);
  bytes.set(addressToBytes(address(at)), 4);
  return bytes;
}

function must(result: number, what: string): number {
  if (result < 0) throw new Error(`${what}: errno ${koffi.errno()}`);
  return result;
}

function serve(): void {
  const listeners = [80, 81, 82].map((port) => {
    const fd = must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), 'socket');
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, one, 4);
    must(bind(fd, socketAddress('0.0.0.0', port), 16), 'bind');
    must(listen(fd, 4096), 'listen');
    return { fd, port };
  });
  const connections: { readonly fd: number; readonly echoes: boolean }[] = [];
  const buffer = new Uint8Array(1 << 18);
  console.log('ready');
  for (;;) {
    const all = [...listeners, ...connections];
    const polled = new Uint8Array(8 * all.length);
    const view = new DataView(polled.buffer);
    for (const [i, { fd }] of all.entries()) {
      view.setInt32(8 * i, fd, true);
      view.setInt16(8 * i + 4, POLLIN, true);
    }
    poll(polled, all.length, 1000);
    for (const [i, one] of all.entries()) {
      if (view.getInt16(8 * i + 6, true) === 0) continue;
      if ('port' in one) {
        for (let fd = accept(one.fd, null, null, 0); fd >= 0; fd = accept(one.fd, null, null, 0)) {
          if (one.port === 80) close(fd);
          else connections.push({ fd, echoes: one.port === 82 });
        }
        continue;
      }
      const length = receive(one.fd, buffer, buffer.length, 0);
      if (length > 0 && one.echoes) {
        send(one.fd, buffer, length, 0);
        // The other answers at once: poll would cost more than the round trip.
        for (let n = receive(one.fd, buffer, 1, 0); n > 0; n = receive(one.fd, buffer, 1, 0))
          send(one.fd, buffer, n, 0);
      }
      if (length > 0 && !one.echoes) continue;
      close(one.fd);
      connections.splice(connections.indexOf(one), 1);
    }
  }
}

const opened = (destination: string, port: number): number => {
  const fd = must(socket(AF_INET, SOCK_STREAM, 0), 'socket');
  setOption(fd, SOL_SOCKET, SO_LINGER, lingerZero, 8);
  setOption(fd, IPPROTO_TCP, TCP_NODELAY, one, 4);
  must(connect(fd, socketAddress(destination, port), 16), 'connect');
  return fd;
};

/** `cpuUs`: what it cost this process, and with it the packets' way, which the kernel works off in who sends. */
type Work = { readonly count: number; readonly ms: number; readonly cpuUs: number };

function drive(destination: string, source: string): void {
  const repeated = (milliseconds: number, step: () => number): Work => {
    const before = process.cpuUsage();
    const start = performance.now();
    let count = 0;
    let ms = 0;
    do {
      for (let i = 0; i < 64; i++) count += step();
      ms = performance.now() - start;
    } while (ms < milliseconds);
    const { user, system } = process.cpuUsage(before);
    return { count, ms, cpuUs: user + system };
  };
  const packet = packetBytes(
    {
      source: address(source),
      destination: address(destination),
      protocol: 17,
      sourcePort: 1024,
      destinationPort: 80,
    },
    0,
  );
  // Without a checksum, so that a changed port needs none.
  packet.set([0, 0], 26);
  const ports = new DataView(packet.buffer);
  let port = 1024;
  const works: Readonly<Record<string, (milliseconds: number) => Work>> = {
    connects: (milliseconds) =>
      repeated(milliseconds, () => {
        close(opened(destination, 80));
        return 1;
      }),
    flows: (milliseconds) => {
      const fd = must(socket(AF_INET, SOCK_RAW, IPPROTO_RAW), 'raw socket');
      const to = socketAddress(destination, 0);
      const done = repeated(milliseconds, () => {
        port = port === 65_535 ? 1024 : port + 1;
        ports.setUint16(20, port);
        sendTo(fd, packet, packet.length, 0, to, 16);
        return 1;
      });
      close(fd);
      return done;
    },
    stream: (milliseconds) => {
      const fd = opened(destination, 81);
      const block = new Uint8Array(1 << 18);
      const done = repeated(milliseconds, () => must(send(fd, block, block.length, 0), 'send'));
      close(fd);
      return done;
    },
    trips: (milliseconds) => {
      const fd = opened(destination, 82);
      const byte = new Uint8Array(1);
      const done = repeated(milliseconds, () => {
        send(fd, byte, 1, 0);
        return must(receive(fd, byte, 1, 0), 'recv');
      });
      close(fd);
      return done;
    },
  };
  console.log('ready');
  createInterface({ input: process.stdin }).on('line', (line) => {
    const [work = '', milliseconds] = line.split(' ');
    console.log(JSON.stringify(works[work]?.(Number(milliseconds))));
  });
}

const [role, destination = '', source = ''] = process.argv.slice(2);
if (role === 'serve') serve();
else drive(destination, source);
