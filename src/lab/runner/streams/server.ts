// The runner's own HTTP server, which the API server talks to on behalf of kubectl, as it talks to a kubelet:
//
//   GET        /containerLogs/NAMESPACE/POD/CONTAINER
//   GET, POST  /exec/NAMESPACE/POD/CONTAINER?command=…&input=1&output=1&error=1&tty=1       upgraded
//   GET, POST  /attach/NAMESPACE/POD/CONTAINER?…                                            upgraded
//   GET, POST  /portForward/NAMESPACE/POD?ports=…                                           upgraded
//   GET        /usage                                    what the node and its containers use, as JSON
//
// With TLS only the API server is served: its client certificate is signed by the cluster's authority and has its name.
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { finished, type Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { failure, err, ok, type Result } from '../../../lib/result.ts';
import type { Logger } from '../../../lib/log.ts';
import { sleep } from '../../../lib/wait.ts';
import type { RunnerError } from '../types.ts';
import type { MeasureUsage } from '../usage.ts';
import type { Console } from './consoles.ts';
import { execute } from './execution.ts';
import { logFile, readLogOptions, sendLog } from './logs.ts';
import { dialPod, forwardPorts } from './port-forward.ts';
import { openRemoteSession, type RemoteSession, type Wanted } from './remote-session.ts';

/** A container of this node as a request finds it. */
export type ContainerPlace = {
  /** Where its logs are. */
  readonly logFolder: string;
  /** Process 1 of the container; undefined while it does not run. */
  readonly initPid: number | undefined;
  readonly isRunning: () => boolean;
  readonly console: Console | undefined;
};
export type PodPlace = {
  /** Absent for a pod in the node's own network. */
  readonly netns: string | undefined;
  readonly isAttached: boolean;
  container(name: string): ContainerPlace | undefined;
};
export type FindPod = (namespace: string, name: string) => PodPlace | undefined;

export type ServingCertificate = {
  readonly cert: string;
  readonly key: string;
  /** Who signs the API server's client certificate. */
  readonly ca: string;
  /** The name in that certificate. */
  readonly clientName: string;
};

export type StreamServerOptions = {
  /** Empty: every address of the node. */
  readonly host: string;
  readonly port: number;
  readonly findPod: FindPod;
  readonly usage: MeasureUsage;
  readonly logger: Logger;
  readonly tls?: ServingCertificate;
};

export interface StreamServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Output that a command's children still hold is not waited for longer than this. */
const drainMs = 2_000;

type Target = {
  readonly verb: string;
  readonly pod: PodPlace;
  readonly container: ContainerPlace | undefined;
};
type Refusal = { readonly code: number; readonly message: string };

export async function startStreamServer(
  options: StreamServerOptions,
): Promise<Result<StreamServer, RunnerError>> {
  const { tls } = options;
  const stopping = new AbortController();
  const onRequest: RequestListener = (request, response) =>
    void answer(options, request, response, stopping.signal);
  const server: Server =
    tls === undefined
      ? createServer(onRequest)
      : ((await import('node:https')).createServer(
          { cert: tls.cert, key: tls.key, ca: tls.ca, requestCert: true, rejectUnauthorized: true },
          onRequest,
        ) as unknown as Server);
  const sockets = new Set<Duplex>();
  server.on('connection', (socket: Duplex) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => undefined);
    void upgrade(options, request, socket, head).catch((error: unknown) => {
      options.logger.error('a stream failed', { error: (error as Error).stack });
      socket.destroy();
    });
  });
  server.on('clientError', (_error, socket) => socket.destroy());
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ ...(options.host === '' ? {} : { host: options.host }), port: options.port }, resolve);
    });
  } catch (error) {
    return err(
      failure(
        'ListenFailed',
        `Cannot listen on ${options.host}:${options.port}: ${(error as Error).message}.`,
      ),
    );
  }
  return ok({
    port: (server.address() as AddressInfo).port,
    close: async () => {
      stopping.abort();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  });
}

/** A certificate of the cluster is not enough: every pod's owner could have one. */
function refusalOf(options: StreamServerOptions, request: IncomingMessage): Refusal | undefined {
  if (options.tls === undefined) return undefined;
  const name = (request.socket as TLSSocket).getPeerCertificate().subject?.CN;
  return name === options.tls.clientName ? undefined : { code: 403, message: 'Forbidden' };
}

function find(options: StreamServerOptions, request: IncomingMessage): Target | Refusal {
  const refused = refusalOf(options, request);
  if (refused !== undefined) return refused;
  let steps: string[];
  try {
    steps =
      (request.url ?? '/')
        .split('?')[0]
        ?.split('/')
        .filter((step) => step !== '')
        .map(decodeURIComponent) ?? [];
  } catch {
    return { code: 400, message: 'the path is not well-formed' };
  }
  const [verb = '', namespace = '', name = '', container, ...more] = steps;
  const wanted = verb === 'portForward' ? 3 : 4;
  if (
    !['containerLogs', 'exec', 'attach', 'portForward'].includes(verb) ||
    steps.length !== wanted ||
    more.length > 0
  )
    return { code: 404, message: 'not found' };
  const pod = options.findPod(namespace, name);
  if (pod === undefined) return { code: 404, message: `pod "${namespace}/${name}" is not on this node` };
  const place = container === undefined ? undefined : pod.container(container);
  if (container !== undefined && place === undefined)
    return { code: 400, message: `container ${container} is not valid for pod ${name}` };
  return { verb, pod, container: place };
}

const isRefusal = (found: Target | Refusal): found is Refusal => 'code' in found;
const queryOf = (request: IncomingMessage): URLSearchParams =>
  new URL(request.url ?? '/', 'http://runner').searchParams;

// ── logs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
async function answer(
  options: StreamServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
  stopping: AbortSignal,
): Promise<void> {
  const refuse = ({ code, message }: Refusal): void => {
    response.writeHead(code, { 'content-type': 'text/plain' });
    response.end(message);
  };
  if (request.method === 'GET' && request.url === '/usage') {
    const refused = refusalOf(options, request);
    if (refused !== undefined) return refuse(refused);
    return tellUsage(options, response);
  }
  const found = find(options, request);
  if (isRefusal(found)) return refuse(found);
  if (found.verb !== 'containerLogs' || found.container === undefined)
    return refuse({ code: 400, message: 'Upgrade request required' });
  const log = readLogOptions(queryOf(request), Date.now());
  if (typeof log === 'string') return refuse({ code: 400, message: log });
  const path = await logFile(found.container.logFolder, log.previous);
  if (path === undefined)
    return refuse({
      code: 400,
      message: log.previous
        ? 'previous terminated container not found'
        : 'the container has not been started yet',
    });
  const gone = new AbortController();
  finished(response, () => gone.abort());
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.flushHeaders();
  const { isRunning } = found.container;
  try {
    await sendLog(
      path,
      log,
      response,
      () => !log.previous && isRunning(),
      AbortSignal.any([gone.signal, stopping]),
    );
    response.end();
  } catch (error) {
    options.logger.warn('a log could not be read', { path, error: (error as Error).message });
    response.destroy();
  }
}

async function tellUsage(options: StreamServerOptions, response: ServerResponse): Promise<void> {
  try {
    const text = JSON.stringify(await options.usage());
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(text);
  } catch (error) {
    options.logger.warn('what is used could not be read', { error: (error as Error).message });
    response.writeHead(500, { 'content-type': 'text/plain' });
    response.end((error as Error).message);
  }
}

// ── upgraded ─────────────────────────────────────────────────────────────────────────────────────────────────────────
async function upgrade(
  options: StreamServerOptions,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const refuse = ({ code, message }: Refusal): void => {
    socket.end(
      `HTTP/1.1 ${code} Refused\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(message)}\r\n\r\n${message}`,
    );
  };
  const found = find(options, request);
  if (isRefusal(found)) return refuse(found);
  const { pod, container, verb } = found;
  if (verb === 'portForward') {
    if (!pod.isAttached) return refuse({ code: 409, message: 'the pod has no network yet' });
    return forwardPorts(request, socket, head, (port) => dialPod(pod.netns, port));
  }
  if (container === undefined || verb === 'containerLogs')
    return refuse({ code: 400, message: 'this is not a stream to upgrade' });
  const query = queryOf(request);
  const flag = (name: string): boolean => ['1', 'true'].includes(query.get(name) ?? '');
  const wanted: Wanted = {
    stdin: flag('input'),
    stdout: flag('output'),
    stderr: flag('error'),
    tty: flag('tty'),
  };
  if (!wanted.stdin && !wanted.stdout && !wanted.stderr)
    return refuse({ code: 400, message: 'you must specify at least 1 of stdin, stdout, stderr' });
  if (container.initPid === undefined) return refuse({ code: 409, message: 'the container is not running' });
  const session = await openRemoteSession(request, socket, head, wanted);
  if (session === undefined) return;
  if (verb === 'attach') await attach(session, container);
  else await exec(session, container.initPid, query.getAll('command'), wanted.tty);
}

async function exec(
  session: RemoteSession,
  initPid: number,
  command: readonly string[],
  tty: boolean,
): Promise<void> {
  if (command.length === 0) return session.finish({ problem: 'you must specify a command' });
  const started = await execute(initPid, command, tty);
  if (!started.ok) return session.finish({ problem: started.error.message });
  const execution = started.value;
  session.onResize((size) => execution.resize(size));
  session.stdin?.on('error', () => undefined);
  if (session.stdin === undefined) {
    if (!tty) execution.stdin.end();
    // End of transmission on a terminal is a character, and nobody typed it.
  } else session.stdin.pipe(execution.stdin, { end: !tty });
  const outputs = [forward(execution.stdout, session.stdout)];
  if (execution.stderr !== undefined) outputs.push(forward(execution.stderr, session.stderr));
  const code = await Promise.race([execution.exitCode, session.closed.then(() => undefined)]);
  if (code === undefined) {
    execution.hangUp();
    return;
  }
  const waited = new AbortController();
  await Promise.race([Promise.all(outputs), sleep(drainMs, waited.signal), session.closed]);
  waited.abort();
  await session.finish({ exitCode: code });
  execution.stdout.destroy();
  execution.stderr?.destroy();
}

/** Resolves when everything has been handed over. */
function forward(from: NodeJS.ReadableStream, to: import('node:stream').Writable | undefined): Promise<void> {
  return new Promise((resolve) => {
    from.on('end', resolve);
    from.on('close', resolve);
    from.on('error', () => resolve());
    if (to === undefined) from.resume();
    else {
      to.on('error', () => from.resume());
      from.pipe(to, { end: false });
    }
  });
}

/** The console of a container that has one; else what the container prints from now on. */
async function attach(session: RemoteSession, container: ContainerPlace): Promise<void> {
  const { console } = container;
  if (console !== undefined) {
    const { stdin, stdout, stderr } = session;
    const detach = console.attach(
      { ...(stdout === undefined ? {} : { stdout }), ...(stderr === undefined ? {} : { stderr }) },
      stdin,
    );
    session.onResize((size) => console.resize(size));
    const code = await Promise.race([console.exitCode, session.closed.then(() => undefined)]);
    detach();
    if (code !== undefined) await session.finish({ exitCode: code });
    return;
  }
  const { stdout } = session;
  const path = await logFile(container.logFolder, false);
  if (stdout === undefined || path === undefined) return session.finish({ exitCode: 0 });
  const gone = new AbortController();
  void session.closed.then(() => gone.abort());
  const options = { follow: true, previous: false, timestamps: false, tailLines: 0 };
  await sendLog(path, options, stdout, container.isRunning, gone.signal);
  await session.finish({ exitCode: 0 });
}
