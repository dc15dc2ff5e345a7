// The speaker's socket for people and tools: one JSON object per line asks, one per line answers.
//
//   {"op":"status"}                       {"op":"peers"}
//   {"op":"routes","peer":"Mesh_10_0_0_21","bestOnly":true,"limit":1000}
//   {"op":"announced","peer":"…"}         {"op":"explain","prefix":"10.244.0.0/26"}
//   {"op":"why","prefix":"10.244.0.0/26","peer":"10.0.0.254"}
//   → {"ok":true,"result":…}              → {"ok":false,"error":{"code":"…","message":"…"}}
import { mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { parsePrefix, v4FromNumber, type Prefix } from '../../lib/ip/mod.ts';
import type { Logger } from '../../lib/log.ts';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import { formatAsPath, type Attributes } from '../packet/mod.ts';
import { formatCommunity } from '../policy/mod.ts';
import type { PathView } from '../rib/mod.ts';
import type { PeerStatus, SpeakerStatus } from './types.ts';
import type { Speaker } from './speaker.ts';

export type IntrospectionError = Failure<'BadRequest' | 'UnknownOperation' | 'NotReady'>;

/** A route as the socket shows it. */
export type RouteView = {
  readonly prefix: string;
  readonly nextHop?: string;
  readonly learnedFrom: string;
  readonly source: string;
  readonly best: boolean;
  readonly multipath: boolean;
  readonly stale: boolean;
  readonly interfaceName?: string;
  readonly localPref: number;
  readonly asPath: string;
  readonly origin: 'igp' | 'egp' | 'incomplete';
  readonly med?: number;
  readonly communities?: readonly string[];
  readonly largeCommunities?: readonly string[];
  readonly originatorId?: string;
  /** Nearest cluster first. */
  readonly clusterList?: readonly string[];
  /** The second next hop of an IPv6 route (RFC 2545). */
  readonly nextHopLinkLocal?: string;
  /** Why it takes no part in selection, or the step at which it lost. */
  readonly reason?: string;
};

export type IntrospectionAnswer =
  | { readonly op: 'status'; readonly result: SpeakerStatus }
  | { readonly op: 'peers'; readonly result: readonly PeerStatus[] }
  | { readonly op: 'routes' | 'announced'; readonly result: readonly RouteView[] };

const lineLimit = 64 * 1024;
/** Requests of one connection that wait for their answers. */
const requestLimit = 1000;
const routeLimit = 10_000;
const connectionLimit = 64;

export type IntrospectionRequest = { readonly [key: string]: unknown };
type Request = IntrospectionRequest;

/** Who answers: the native speaker at once, an engine that has to ask another process later. */
export type Answerer = (
  request: IntrospectionRequest,
) => Result<unknown, Failure> | Promise<Result<unknown, Failure>>;

/** Answers one request. `speaker` is undefined while there is no plan yet. */
export function answer(speaker: Speaker | undefined, request: Request): Result<unknown, IntrospectionError> {
  if (speaker === undefined)
    return err(failure('NotReady', 'The speaker has no configuration yet: it waits for the datastore.'));
  const peer = typeof request['peer'] === 'string' ? request['peer'] : undefined;
  const limit = typeof request['limit'] === 'number' ? request['limit'] : routeLimit;
  switch (request['op']) {
    case 'status':
      return ok(speaker.status());
    case 'peers':
      return ok(speaker.peers());
    case 'routes': {
      const prefix = prefixOf(request);
      if (!prefix.ok) return prefix;
      const filter = {
        ...(peer === undefined ? {} : { peer }),
        ...(prefix.value === undefined ? {} : { prefix: prefix.value }),
        bestOnly: request['bestOnly'] === true,
      };
      return ok(take(speaker.routes(filter), limit, routeView));
    }
    case 'announced':
      if (peer === undefined) return err(failure('BadRequest', 'The operation "announced" needs a peer.'));
      return ok(
        take(speaker.announced(peer), limit, ({ prefix, attributes, nextHop }) => ({
          prefix,
          ...(nextHop === undefined ? {} : { nextHop }),
          ...attributeView(attributes),
        })),
      );
    case 'why':
    case 'explain': {
      const prefix = prefixOf(request);
      if (!prefix.ok) return prefix;
      if (prefix.value === undefined)
        return err(failure('BadRequest', `The operation "${request['op']}" needs a prefix.`));
      return ok(request['op'] === 'why' ? speaker.why(prefix.value, peer) : speaker.explain(prefix.value));
    }
    default:
      return err(
        failure(
          'UnknownOperation',
          `There is no operation ${JSON.stringify(request['op'])}.`,
          'There are: status, peers, routes, announced, explain, why.',
        ),
      );
  }
}

function prefixOf(request: Request): Result<Prefix | undefined, IntrospectionError> {
  const text = request['prefix'];
  if (text === undefined) return ok(undefined);
  const parsed = parsePrefix(typeof text === 'string' ? text : '');
  return parsed.ok ? parsed : err(failure('BadRequest', parsed.error.message));
}

function take<T, U>(from: Iterable<T>, limit: number, view: (item: T) => U): U[] {
  const list: U[] = [];
  for (const item of from) {
    if (list.length >= limit) break;
    list.push(view(item));
  }
  return list;
}

function routeView(path: PathView): RouteView {
  const reason = path.ineligible ?? path.lostAt;
  return {
    prefix: path.prefix,
    ...(path.nextHop === undefined ? {} : { nextHop: path.nextHop }),
    ...(path.nextHopLinkLocal === undefined ? {} : { nextHopLinkLocal: path.nextHopLinkLocal }),
    learnedFrom: path.peerName,
    source: path.source,
    best: path.best,
    multipath: path.multipath,
    stale: path.stale,
    ...(path.interfaceName === undefined ? {} : { interfaceName: path.interfaceName }),
    localPref: path.localPref,
    ...attributeView(path.attributes),
    ...(reason === undefined ? {} : { reason }),
  };
}

function attributeView(a: Attributes) {
  return {
    asPath: formatAsPath(a.asPath),
    origin: (['igp', 'egp', 'incomplete'] as const)[a.origin],
    ...(a.med === undefined ? {} : { med: a.med }),
    ...(a.communities === undefined ? {} : { communities: a.communities.map(formatCommunity) }),
    ...(a.largeCommunities === undefined
      ? {}
      : { largeCommunities: a.largeCommunities.map((c) => c.join(':')) }),
    ...(a.originatorId === undefined ? {} : { originatorId: v4FromNumber(a.originatorId) }),
    ...(a.clusterList === undefined ? {} : { clusterList: a.clusterList.map((id) => v4FromNumber(id)) }),
  };
}

/** Listens on a unix socket; an old socket file is replaced. */
export class IntrospectionServer {
  readonly #path: string;
  readonly #logger: Logger;
  readonly #answerer: Answerer;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  constructor(options: { path: string; logger: Logger; answer: Answerer }) {
    this.#path = options.path;
    this.#logger = options.logger;
    this.#answerer = options.answer;
  }

  async start(): Promise<Result<void, Failure<'CannotListen'>>> {
    try {
      mkdirSync(dirname(this.#path), { recursive: true });
      rmSync(this.#path, { force: true });
    } catch (error) {
      return err(failure('CannotListen', `Cannot make ${this.#path}: ${(error as Error).message}.`));
    }
    // A client may close its side after the question and still wait for the answer.
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#serve(socket));
    server.maxConnections = connectionLimit;
    this.#server = server;
    return new Promise((resolve) => {
      server.once('error', (error) =>
        resolve(err(failure('CannotListen', `Cannot listen on ${this.#path}: ${error.message}.`))),
      );
      server.listen(this.#path, () => resolve(ok(undefined)));
    });
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      if (this.#server === undefined) resolve();
      else this.#server.close(() => resolve());
    });
    rmSync(this.#path, { force: true });
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setEncoding('utf8');
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', (error) => this.#logger.debug('introspection client', { reason: error.message }));
    let pending = '';
    // Answers leave in the order of the requests.
    let answered: Promise<void> = Promise.resolve();
    let waiting = 0;
    socket.on('end', () => void answered.then(() => socket.end()));
    socket.on('data', (text: string) => {
      pending += text;
      for (let end = pending.indexOf('\n'); end >= 0; end = pending.indexOf('\n')) {
        const line = pending.slice(0, end);
        waiting++;
        answered = answered.then(async () => {
          if (!socket.destroyed) socket.write(`${await this.#answer(line)}\n`);
          waiting--;
        });
        pending = pending.slice(end + 1);
      }
      if (pending.length > lineLimit || waiting > requestLimit) socket.destroy();
    });
  }

  async #answer(line: string): Promise<string> {
    let request: unknown;
    try {
      request = JSON.parse(line);
    } catch {
      request = undefined;
    }
    const result =
      typeof request === 'object' && request !== null
        ? await this.#answerer(request as Request)
        : err(failure('BadRequest', 'A request is one JSON object on one line.'));
    return JSON.stringify(
      result.ok ? { ok: true, result: result.value } : { ok: false, error: result.error },
      plainBytes,
    );
  }
}

/** Bytes as hexadecimal text. */
export const plainBytes = (_key: string, value: unknown): unknown =>
  value instanceof Uint8Array ? [...value].map((b) => b.toString(16).padStart(2, '0')).join('') : value;
