// The CNI executable as a static Linux program of about a kilobyte, made here instead of by a compiler: a container
// runtime starts it for every pod, and starting Node would cost more than all the work behind it (docs/cni.md has the
// numbers). It sends its arguments, environment and standard input to the agent's Unix socket and prints what comes back.
//
//   request   "MCNI"  u32 argc  u32 length   argv[0]\0 … env[0]\0 … (length bytes)   standard input to its end
//   response  u8 exit code   bytes for standard output to the end
//
// Nobody there, no answer within the time limit, or an answer cut off before its first byte: CNI error 11 ("try again
// later") with a sentence; only VERSION is answered without the agent.
import { Assembler } from './assembler.ts';

export type ForwarderText = {
  /** Path of the agent's Unix socket: at most 107 bytes. */
  readonly socketPath: string;
  /** What to print when the agent cannot be asked. */
  readonly unavailable: string;
  /** What to print for CNI_COMMAND=VERSION when the agent cannot be asked. */
  readonly version: string;
  readonly timeoutSeconds: number;
};

const calls = {
  read: 0,
  write: 1,
  socket: 41,
  connect: 42,
  sendto: 44,
  shutdown: 48,
  setsockopt: 54,
  exit: 231,
} as const;
const bufferSize = 65536;
const codeAddress = 0x400000;
const bufferAddress = 0x600000;
const headerSize = 64 + 3 * 56;

/** The ELF file for Linux on x86-64. */
export function forwarderElf(text: ForwarderText): Uint8Array {
  const code = forwarderCode(text);
  const file = new Uint8Array(headerSize + code.length);
  file.set(elfHeader(code.length), 0);
  file.set(code, headerSize);
  return file;
}

/** Registers kept through: r12 argc, r13 &argv[0], r14 &env[0], r15 socket, rbx start of the block, rbp its end. */
function forwarderCode(text: ForwarderText): Uint8Array {
  const a = new Assembler();
  const encoder = new TextEncoder();
  const path = encoder.encode(text.socketPath);
  if (path.length > 107) throw new Error(`a Unix socket path has at most 107 bytes: ${text.socketPath}`);

  a.load('r12', 'rsp', 0);
  a.address('r13', 'rsp', 8);
  a.addressOfElement('r14', 'r13', 'r12', 8);
  measureBlock(a);
  openSocket(a, path.length);
  sendRequest(a);
  printResponse(a);

  // send: rsi = bytes, rdx = count (not zero) → the socket, all of it
  a.label('send');
  a.copy('rdi', 'r15');
  a.setNumber('r10', 0x4000); // MSG_NOSIGNAL
  a.setNumber('r8', 0);
  a.setNumber('r9', 0);
  invoke(a, calls.sendto);
  a.jumpIf('notPositive', 'fail');
  a.add('rsi', 'rax');
  a.subtract('rdx', 'rax');
  a.jumpIf('notZero', 'send');
  a.return();

  // print: rsi = bytes, rdx = count (not zero) → standard output, all of it
  a.label('print');
  a.setNumber('rdi', 1);
  invoke(a, calls.write);
  a.jumpIf('notPositive', 'exit');
  a.add('rsi', 'rax');
  a.subtract('rdx', 'rax');
  a.jumpIf('notZero', 'print');
  a.return();

  answerWithoutAgent(a, text);

  a.label('exit');
  a.copy('rdi', 'rbx');
  invoke(a, calls.exit);

  const timeout = new Uint8Array(16);
  new DataView(timeout.buffer).setBigUint64(0, BigInt(text.timeoutSeconds), true);
  a.data('timeout', timeout);
  a.data('address', Uint8Array.from([1, 0, ...path, 0]));
  a.data('unavailable', encoder.encode(text.unavailable));
  a.data('version', encoder.encode(text.version));
  a.data('askVersion', encoder.encode('CNI_COMMAND=VERSION\0'));
  return a.finish();
}

function invoke(a: Assembler, number: number): void {
  a.setNumber('rax', number);
  a.syscall();
  a.test('rax');
}

/** Arguments and environment stand behind one another in memory: the block is from argv[0] to the end of the last one. */
function measureBlock(a: Assembler): void {
  a.load('rbx', 'r13', 0);
  a.load('rbp', 'r14', -16);
  a.copy('rdi', 'r14');
  a.label('nextVariable');
  a.load('rax', 'rdi', 0);
  a.test('rax');
  a.jumpIf('zero', 'lastVariable');
  a.copy('rbp', 'rax');
  a.addNumber('rdi', 8);
  a.jump('nextVariable');
  a.label('lastVariable');
  a.testByteAt('rbp');
  a.jumpIf('zero', 'measured');
  a.addNumber('rbp', 1);
  a.jump('lastVariable');
  a.label('measured');
  a.addNumber('rbp', 1);
}

function openSocket(a: Assembler, pathLength: number): void {
  a.setNumber('rdi', 1); // AF_UNIX
  a.setNumber('rsi', 0x80001); // SOCK_STREAM | SOCK_CLOEXEC
  a.setNumber('rdx', 0);
  invoke(a, calls.socket);
  a.jumpIf('negative', 'fail');
  a.copy('r15', 'rax');
  a.copy('rdi', 'r15');
  a.setNumber('rsi', 1); // SOL_SOCKET
  a.setNumber('rdx', 20); // SO_RCVTIMEO
  a.addressOf('r10', 'timeout');
  a.setNumber('r8', 16);
  invoke(a, calls.setsockopt);
  a.copy('rdi', 'r15');
  a.addressOf('rsi', 'address');
  a.setNumber('rdx', 3 + pathLength);
  invoke(a, calls.connect);
  a.jumpIf('notZero', 'fail');
}

function sendRequest(a: Assembler): void {
  a.subtractNumber('rsp', 16);
  a.setNumber('rax', 0x494e434d); // "MCNI"
  a.store32('rsp', 0, 'rax');
  a.store32('rsp', 4, 'r12');
  a.copy('rax', 'rbp');
  a.subtract('rax', 'rbx');
  a.store32('rsp', 8, 'rax');
  a.copy('rsi', 'rsp');
  a.setNumber('rdx', 12);
  a.call('send');
  a.copy('rsi', 'rbx');
  a.copy('rdx', 'rbp');
  a.subtract('rdx', 'rbx');
  a.call('send');
  // With arguments (-v) there is no request on standard input, which may be a terminal.
  a.compareNumber('r12', 1);
  a.jumpIf('notZero', 'sent');
  a.label('forwardInput');
  a.setNumber('rdi', 0);
  a.setNumber('rsi', bufferAddress);
  a.setNumber('rdx', bufferSize);
  invoke(a, calls.read);
  a.jumpIf('negative', 'fail');
  a.jumpIf('zero', 'sent');
  a.setNumber('rsi', bufferAddress);
  a.copy('rdx', 'rax');
  a.call('send');
  a.jump('forwardInput');
  a.label('sent');
  a.copy('rdi', 'r15');
  a.setNumber('rsi', 1); // SHUT_WR
  invoke(a, calls.shutdown);
}

function printResponse(a: Assembler): void {
  a.copy('rdi', 'r15');
  a.setNumber('rsi', bufferAddress);
  a.setNumber('rdx', 1);
  invoke(a, calls.read);
  a.jumpIf('notPositive', 'fail');
  a.setNumber('rsi', bufferAddress);
  a.loadByte('rbx', 'rsi');
  a.label('forwardOutput');
  a.copy('rdi', 'r15');
  a.setNumber('rsi', bufferAddress);
  a.setNumber('rdx', bufferSize);
  invoke(a, calls.read);
  a.jumpIf('notPositive', 'exit');
  a.setNumber('rsi', bufferAddress);
  a.copy('rdx', 'rax');
  a.call('print');
  a.jump('forwardOutput');
}

function answerWithoutAgent(a: Assembler, text: ForwarderText): void {
  const bytes = (s: string) => new TextEncoder().encode(s).length;
  a.label('fail');
  a.copy('rbp', 'r14');
  a.label('tryVariable');
  a.load('rdi', 'rbp', 0);
  a.test('rdi');
  a.jumpIf('zero', 'unreachable');
  a.addressOf('rsi', 'askVersion');
  a.setNumber('rcx', 20);
  a.compareBytes();
  a.jumpIf('zero', 'sayVersion');
  a.addNumber('rbp', 8);
  a.jump('tryVariable');
  a.label('sayVersion');
  a.setNumber('rbx', 0);
  a.addressOf('rsi', 'version');
  a.setNumber('rdx', bytes(text.version));
  a.call('print');
  a.jump('exit');
  a.label('unreachable');
  a.setNumber('rbx', 1);
  a.addressOf('rsi', 'unavailable');
  a.setNumber('rdx', bytes(text.unavailable));
  a.call('print');
  a.jump('exit');
}

/** ELF64, static: one read-execute segment from the file, one zeroed read-write segment for the buffer, no executable stack. */
function elfHeader(codeLength: number): Uint8Array {
  const bytes = new Uint8Array(headerSize);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]);
  view.setUint16(16, 2, true); // ET_EXEC
  view.setUint16(18, 62, true); // EM_X86_64
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(codeAddress + headerSize), true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 3, true);
  const fileSize = headerSize + codeLength;
  segment(view, 64, { type: 1, flags: 5, address: codeAddress, fileSize, memorySize: fileSize });
  segment(view, 120, { type: 1, flags: 6, address: bufferAddress, fileSize: 0, memorySize: bufferSize });
  segment(view, 176, { type: 0x6474e551, flags: 6, address: 0, fileSize: 0, memorySize: 0 });
  return bytes;
}

function segment(
  view: DataView,
  at: number,
  s: { type: number; flags: number; address: number; fileSize: number; memorySize: number },
): void {
  view.setUint32(at, s.type, true);
  view.setUint32(at + 4, s.flags, true);
  view.setBigUint64(at + 8, 0n, true);
  view.setBigUint64(at + 16, BigInt(s.address), true);
  view.setBigUint64(at + 24, BigInt(s.address), true);
  view.setBigUint64(at + 32, BigInt(s.fileSize), true);
  view.setBigUint64(at + 40, BigInt(s.memorySize), true);
  view.setBigUint64(at + 48, 0x1000n, true);
}
