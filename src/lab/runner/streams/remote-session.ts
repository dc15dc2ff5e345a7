// The streams of one exec or attach, whichever protocol carries them:
//
//   WebSocket   v5, v4.channel.k8s.io (and their base64 forms are not asked for by any client of today)
//               message = channel byte + bytes: 0 stdin · 1 stdout · 2 stderr · 3 error · 4 resize · 255 close of one
//   SPDY/3.1    v4.channel.k8s.io: a stream per channel, named by its header `streamtype`
//
// The error channel carries one Status at the end: success, or why not, with the exit code.
import type { IncomingMessage } from 'node:http';
import { Readable, Writable, type Duplex } from 'node:stream';
import { SpdySession, type SpdyStream } from './spdy.ts';
import { handshake, offeredProtocols, WebSocketConnection } from './websocket.ts';

export type Wanted = {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
};

export type TerminalSize = { readonly width: number; readonly height: number };

/** How the command ended, or why it never ran. */
export type Ending = { readonly exitCode: number } | { readonly problem: string };

export interface RemoteSession {
  /** Absent when the client does not want it. */
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  onResize(take: (size: TerminalSize) => void): void;
  /** Tells the client how it ended, and closes. */
  finish(ending: Ending): Promise<void>;
  /** Fulfilled when the client is gone, or all is said. */
  readonly closed: Promise<void>;
}

/** How long a client may take to open its streams. */
const openDeadlineMs = 30_000;
const longestResizeBytes = 4096;

export const endingStatus = (ending: Ending): string => {
  const metadata = {};
  if ('exitCode' in ending && ending.exitCode === 0) return JSON.stringify({ metadata, status: 'Success' });
  if ('exitCode' in ending)
    return JSON.stringify({
      metadata,
      status: 'Failure',
      message: `command terminated with non-zero exit code: exit status ${ending.exitCode}`,
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: String(ending.exitCode) }] },
    });
  return JSON.stringify({
    metadata,
    status: 'Failure',
    message: ending.problem,
    reason: 'InternalError',
    details: { causes: [{ message: ending.problem }] },
    code: 500,
  });
};

function readSize(text: string): TerminalSize | undefined {
  try {
    const { Width, Height } = JSON.parse(text) as { readonly Width?: unknown; readonly Height?: unknown };
    const fits = (n: unknown): n is number =>
      typeof n === 'number' && Number.isInteger(n) && n >= 0 && n < 65536;
    return fits(Width) && fits(Height) ? { width: Width, height: Height } : undefined;
  } catch {
    return undefined;
  }
}

const refuse = (socket: Duplex, why: string): undefined => {
  socket.end(
    `HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(why)}\r\n\r\n${why}`,
  );
  return undefined;
};

/** Answers the upgrade; undefined when it was refused. */
export function openRemoteSession(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  wanted: Wanted,
): Promise<RemoteSession | undefined> {
  const upgrade = (request.headers.upgrade ?? '').toLowerCase();
  if (upgrade === 'websocket') return Promise.resolve(openWebSocket(request, socket, head, wanted));
  if (upgrade === 'spdy/3.1') return openSpdy(request, socket, head, wanted);
  return Promise.resolve(refuse(socket, 'unable to upgrade: the protocols are websocket and SPDY/3.1'));
}

// ── WebSocket ────────────────────────────────────────────────────────────────────────────────────────────────────────
const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

function openWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  wanted: Wanted,
): RemoteSession | undefined {
  const offered = offeredProtocols(request);
  const protocol = ['v5.channel.k8s.io', 'v4.channel.k8s.io'].find((one) => offered.includes(one));
  const answer = protocol === undefined ? undefined : handshake(request, protocol);
  if (answer === undefined)
    return refuse(
      socket,
      `unable to upgrade: no protocol of [${offered.join(' ')}] is spoken here; v5.channel.k8s.io and v4.channel.k8s.io are`,
    );
  socket.write(answer);
  let connection: WebSocketConnection | undefined;
  let resize: (size: TerminalSize) => void = () => undefined;
  let lastSize: TerminalSize | undefined;
  let isClosed: () => void = () => undefined;
  const closed = new Promise<void>((resolve) => {
    isClosed = resolve;
  });
  const stdin = wanted.stdin ? new Readable({ read: () => connection?.resume() }) : undefined;
  const send = (to: number, chunk: Buffer, done?: () => void): void => {
    connection?.send(Buffer.concat([Buffer.from([to]), chunk]), done);
  };
  const output = (to: number): Writable =>
    new Writable({ write: (chunk: Buffer, _encoding, done: () => void) => send(to, chunk, done) });
  connection = new WebSocketConnection(socket, head, {
    onMessage: (message) => {
      const [to] = message;
      const payload = message.subarray(1);
      if (to === channel.stdin && payload.length > 0 && stdin?.push(payload) === false) connection?.pause();
      else if (to === channel.close && payload[0] === channel.stdin) stdin?.push(null);
      else if (to === channel.resize && payload.length <= longestResizeBytes) {
        lastSize = readSize(payload.toString()) ?? lastSize;
        if (lastSize !== undefined) resize(lastSize);
      }
    },
    onClose: () => {
      stdin?.push(null);
      isClosed();
    },
  });
  // An empty message tells the client that the connection stands.
  send(wanted.stdout ? channel.stdout : channel.error, Buffer.alloc(0));
  return {
    ...(stdin === undefined ? {} : { stdin }),
    ...(wanted.stdout ? { stdout: output(channel.stdout) } : {}),
    ...(wanted.stderr && !wanted.tty ? { stderr: output(channel.stderr) } : {}),
    onResize: (take) => {
      resize = take;
      if (lastSize !== undefined) take(lastSize);
    },
    finish: async (ending) => {
      await new Promise<void>((resolve) => {
        send(channel.error, Buffer.from(endingStatus(ending)), resolve);
      });
      connection?.close();
    },
    closed,
  };
}

// ── SPDY ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
async function openSpdy(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  wanted: Wanted,
): Promise<RemoteSession | undefined> {
  const header = request.headers['x-stream-protocol-version'];
  const offered = (Array.isArray(header) ? header.join(',') : (header ?? ''))
    .split(',')
    .map((one) => one.trim());
  const protocol = 'v4.channel.k8s.io';
  if (!offered.includes(protocol))
    return refuse(
      socket,
      `unable to upgrade: unable to negotiate protocol: client supports [${offered.join(' ')}], server supports [${protocol}]`,
    );
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n' +
      `X-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
  );
  const expected = new Set(['error']);
  if (wanted.stdin) expected.add('stdin');
  if (wanted.stdout) expected.add('stdout');
  if (wanted.stderr && !wanted.tty) expected.add('stderr');
  if (wanted.tty) expected.add('resize');
  const streams = new Map<string, SpdyStream>();
  let complete: (all: boolean) => void = () => undefined;
  const opened = new Promise<boolean>((resolve) => {
    complete = resolve;
  });
  const session = new SpdySession(socket, head, (stream) => {
    const name = stream.headers['streamtype'] ?? '';
    if (!expected.has(name) || streams.has(name)) {
      stream.destroy();
      return;
    }
    streams.set(name, stream);
    if (streams.size === expected.size) complete(true);
  });
  const deadline = setTimeout(() => complete(false), openDeadlineMs);
  void session.closed.then(() => complete(false));
  const all = await opened;
  clearTimeout(deadline);
  if (!all) {
    session.close();
    return undefined;
  }
  const take = (name: string): SpdyStream | undefined => streams.get(name);
  // Channels that only we write to: what a client sends on them is dropped.
  for (const name of ['error', 'stdout', 'stderr']) take(name)?.resume();
  const [stdin, stdout, stderr, error] = ['stdin', 'stdout', 'stderr', 'error'].map(take);
  return {
    ...(stdin === undefined ? {} : { stdin }),
    ...(stdout === undefined ? {} : { stdout }),
    ...(stderr === undefined ? {} : { stderr }),
    onResize: (onSize) => readResizes(take('resize'), onSize),
    finish: async (ending) => {
      // Data first: the client takes the Status for the end.
      await Promise.all([stdout, stderr].map((one) => ended(one)));
      error?.write(endingStatus(ending));
      await ended(error);
      session.close();
    },
    closed: session.closed,
  };
}

const ended = (stream: SpdyStream | undefined): Promise<void> =>
  new Promise((resolve) => {
    if (stream === undefined || stream.destroyed) resolve();
    else {
      stream.once('close', resolve);
      stream.end(resolve);
    }
  });

/** JSON objects, one after the other, each on a line. */
function readResizes(stream: SpdyStream | undefined, onSize: (size: TerminalSize) => void): void {
  let rest = '';
  stream?.on('data', (chunk: Buffer) => {
    rest += chunk.toString();
    const lines = rest.split('\n');
    rest = (lines.pop() ?? '').slice(-longestResizeBytes);
    for (const line of [...lines, rest]) {
      const size = readSize(line);
      if (size !== undefined) onSize(size);
    }
  });
}
