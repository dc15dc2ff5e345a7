// Ports of a pod for a client far away: connections to the pod's own loopback address, carried by
//
//   SPDY/3.1            two streams per connection, `error` and `data`, tied by their header `requestid`
//   WebSocket           the same SPDY inside of binary messages (SPDY/3.1+portforward.k8s.io, kubectl from 1.31 on),
//                       or one connection per port asked for, on channels 2n and 2n+1 (v4.channel.k8s.io)
import type { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { pipeline, type Duplex } from 'node:stream';
import { openNamespace, withNamespace } from '../../../kernel/mod.ts';
import { sleep } from '../../../lib/wait.ts';
import { SpdySession, type SpdyStream } from './spdy.ts';
import { loadSystemCalls } from './system-calls.ts';
import { handshake, offeredProtocols, WebSocketConnection, webSocketBytes } from './websocket.ts';

const connectDeadlineMs = 10_000;
const tunnelProtocol = 'SPDY/3.1+portforward.k8s.io';
const channelProtocol = 'v4.channel.k8s.io';
const mostPorts = 100;

/** Connects to a port of the pod, IPv4 first; says why when it cannot. Without a namespace: of this node. */
export async function dialPod(netns: string | undefined, port: number): Promise<Socket | string> {
  const calls = await loadSystemCalls();
  const namespace = netns === undefined ? undefined : await openNamespace(netns);
  if (namespace?.ok === false) return namespace.error.message;
  let problem = '';
  try {
    for (const family of [4, 6] as const) {
      const connect = (): number => calls.connectLoopback(family, port);
      const fd = namespace === undefined ? connect() : withNamespace(namespace.value.fd, connect);
      if (fd < 0) {
        problem ||= `error ${-fd}`;
        continue;
      }
      const outcome = await settled(() => calls.progress(fd));
      const socket = new Socket({ fd, readable: outcome === undefined, writable: outcome === undefined });
      if (outcome === undefined) return socket;
      socket.destroy();
      problem ||= outcome;
    }
  } finally {
    namespace?.value.close();
  }
  return `failed to connect to localhost:${port} inside of the pod: ${problem}`;
}

/** undefined when connected. */
async function settled(
  progress: () => 'connecting' | 'connected' | { readonly errno: number },
): Promise<string | undefined> {
  const end = performance.now() + connectDeadlineMs;
  for (;;) {
    const now = progress();
    if (now === 'connected') return undefined;
    if (now !== 'connecting') return now.errno === 111 ? 'connection refused' : `error ${now.errno}`;
    if (performance.now() > end) return 'no answer';
    await sleep(2);
  }
}

export type Dial = (port: number) => Promise<Socket | string>;

const refuse = (socket: Duplex, why: string): void => {
  socket.end(
    `HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(why)}\r\n\r\n${why}`,
  );
};

/** Answers the upgrade and forwards until the client is done. */
export function forwardPorts(request: IncomingMessage, socket: Duplex, head: Buffer, dial: Dial): void {
  if ((request.headers.upgrade ?? '').toLowerCase() === 'spdy/3.1') {
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n' +
        'X-Stream-Protocol-Version: portforward.k8s.io\r\n\r\n',
    );
    serveSpdy(socket, head, dial);
    return;
  }
  const offered = offeredProtocols(request);
  const protocol = [tunnelProtocol, channelProtocol].find((one) => offered.includes(one));
  const answer = protocol === undefined ? undefined : handshake(request, protocol);
  if (answer === undefined) {
    refuse(socket, `unable to upgrade: no protocol of [${offered.join(' ')}] is spoken here`);
    return;
  }
  if (protocol === tunnelProtocol) {
    socket.write(answer);
    serveSpdy(webSocketBytes(socket, head), Buffer.alloc(0), dial);
    return;
  }
  const ports = new URL(request.url ?? '/', 'http://runner').searchParams
    .getAll('ports')
    .flatMap((one) => one.split(','))
    .map(Number);
  if (ports.length === 0 || ports.length > mostPorts || !ports.every(isPort)) {
    refuse(socket, 'query parameter "port" is required');
    return;
  }
  socket.write(answer);
  serveChannels(socket, head, ports, dial);
}

const isPort = (port: number): boolean => Number.isInteger(port) && port > 0 && port < 65536;

// ── SPDY ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
function serveSpdy(transport: Duplex, head: Buffer, dial: Dial): void {
  const pairs = new Map<string, { data?: SpdyStream; error?: SpdyStream }>();
  const session = new SpdySession(transport, head, (stream) => {
    const { streamtype = '', requestid = '', port = '' } = stream.headers;
    if ((streamtype !== 'data' && streamtype !== 'error') || !isPort(Number(port))) {
      stream.destroy();
      return;
    }
    const key = requestid === '' ? String(stream.id - (streamtype === 'data' ? 2 : 0)) : requestid;
    const pair = pairs.get(key) ?? {};
    pair[streamtype] = stream;
    pairs.set(key, pair);
    if (pair.data === undefined || pair.error === undefined) return;
    pairs.delete(key);
    pair.error.resume();
    void connectStreams(pair.data, pair.error, Number(port), dial);
  });
  void session.closed.then(() => pairs.clear());
}

async function connectStreams(data: SpdyStream, error: SpdyStream, port: number, dial: Dial): Promise<void> {
  const target = await dial(port);
  if (typeof target === 'string') {
    error.end(target);
    data.end();
    return;
  }
  target.on('error', () => undefined);
  pipeline(data, target, () => undefined);
  pipeline(target, data, () => {
    error.end();
    target.destroy();
  });
}

// ── channels ─────────────────────────────────────────────────────────────────────────────────────────────────────────
function serveChannels(socket: Duplex, head: Buffer, ports: readonly number[], dial: Dial): void {
  const targets: (Promise<Socket | string> | undefined)[] = [];
  const connection: WebSocketConnection = new WebSocketConnection(socket, head, {
    onMessage: (message) => {
      const to = message[0] ?? 0;
      if (to % 2 !== 0) return;
      connection.pause();
      void targets[to / 2]?.then((target) => {
        if (typeof target === 'string' || target.destroyed || target.write(message.subarray(1)))
          connection.resume();
        else target.once('drain', () => connection.resume());
      });
    },
    onClose: () => {
      for (const target of targets) void target?.then((one) => typeof one !== 'string' && one.destroy());
    },
  });
  const send = (to: number, bytes: Uint8Array, done?: () => void): void =>
    connection.send(Buffer.concat([Buffer.from([to]), bytes]), done);
  let open = ports.length;
  for (const [index, port] of ports.entries()) {
    const number = Buffer.alloc(2);
    number.writeUInt16LE(port);
    send(index * 2, number);
    send(index * 2 + 1, number);
    const over = (): void => {
      if (--open === 0) connection.close();
    };
    const target = dial(port);
    targets[index] = target;
    void target.then((one) => {
      if (typeof one === 'string') {
        send(index * 2 + 1, Buffer.from(one), over);
        return;
      }
      one.on('error', () => undefined);
      one.on('data', (chunk: Buffer) => {
        one.pause();
        send(index * 2, chunk, () => one.resume());
      });
      one.on('close', over);
    });
  }
}
