// BIRD's control protocol, the answering side: birdc and its parsers on a node whose engine is the native speaker. It shows;
// what changes things is refused, since the configuration comes from the datastore.
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { containsPrefix, prefixLength, type Prefix } from '../../lib/ip/mod.ts';
import type { Logger } from '../../lib/log.ts';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import type { PathView } from '../rib/mod.ts';
import type { Speaker } from '../speaker/mod.ts';
import {
  countLines,
  parseRouteQuestion,
  protocolLines,
  routeLines,
  statusLines,
  version,
  type Line,
  type RouteQuestion,
  type ShownRoute,
} from './control-format.ts';

export type ControlServerOptions = {
  readonly path: string;
  readonly logger: Logger;
  readonly speaker: () => Speaker | undefined;
};

const lineLimit = 4096;
const connectionLimit = 64;
const one = (code: number, text: string): Line[] => [{ code, text }];

/** The reply to one command. */
export function answerCommand(speaker: Speaker | undefined, command: string, now: Date): Line[] {
  const words = command.trim().split(/\s+/);
  const [verb = '', what = '', ...rest] = words;
  if (verb === 'restrict') return one(16, 'Access restricted');
  if (['configure', 'disable', 'enable', 'restart', 'reload', 'down', 'graceful', 'debug'].includes(verb))
    return one(8007, 'Access denied: the configuration comes from the datastore');
  if (verb !== 'show') return one(9001, `syntax error, unexpected ${verb === '' ? 'END' : verb}`);
  if (speaker === undefined) return one(8002, 'There is no configuration yet');
  const status = speaker.status();
  switch (what) {
    case 'status':
      return statusLines(status, hostname(), now);
    case 'protocols': {
      const all = rest[0] === 'all';
      return protocolLines(speaker.peers(), {
        all,
        name: all ? rest[1] : rest[0],
        startedAt: new Date(status.startedAt),
        now,
      });
    }
    case 'route': {
      const parsed = parseRouteQuestion(rest);
      if ('unexpected' in parsed) return one(9001, `syntax error, unexpected ${parsed.unexpected}`);
      const routes = routesFor(speaker, parsed.question, new Date(status.startedAt));
      if (routes === undefined) return one(9001, 'syntax error, unexpected CF_SYM_UNDEFINED');
      return parsed.question.count
        ? countLines(routes, status.rib.paths)
        : routeLines(routes, parsed.question, now);
    }
    case 'memory': {
      const kB = (bytes: number): string => `${(bytes / 1024).toFixed(1).padStart(8)} kB`;
      const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
      return [
        { code: 1018, text: 'BIRD memory usage' },
        { text: `Routing tables:   ${kB(arrayBuffers)}` },
        { text: `Protocols:        ${kB(heapUsed)}` },
        { text: `Total:            ${kB(rss)}` },
        { code: 0, text: '' },
      ];
    }
    default:
      return one(9001, `syntax error, unexpected ${what === '' ? 'END' : what}`);
  }
}

/** undefined: there is no such protocol. */
function routesFor(speaker: Speaker, question: RouteQuestion, startedAt: Date): ShownRoute[] | undefined {
  const peers = new Map(speaker.peers().map((p) => [p.name, p]));
  const sinceOf = (name: string): Date => new Date(peers.get(name)?.since ?? startedAt);
  if (question.export !== undefined) {
    const peer = peers.get(question.export);
    if (peer === undefined) return undefined;
    const told = [...speaker.announced(peer.name)].map(
      ({ prefix, attributes, nextHop }): ShownRoute => ({
        prefix,
        source: 'bgp',
        attributes,
        best: true,
        preference: 100,
        protocol: peer.name,
        since: sinceOf(peer.name),
        from: undefined,
        nextHop,
        interfaceName: undefined,
        localPref: attributes.localPref,
        metric: undefined,
        reachable: true,
      }),
    );
    return selected(told, question);
  }
  const { protocol } = question;
  const own: Readonly<Record<string, string>> = { static1: 'static', kernel1: 'kernel', direct1: 'direct' };
  if (protocol !== undefined && !peers.has(protocol) && own[protocol] === undefined) return undefined;
  const routes: ShownRoute[] = [];
  for (const path of speaker.routes({ bestOnly: question.primary })) {
    const shown = shownPath(path, sinceOf(path.peerName), peers.get(path.peerName)?.address);
    if (protocol === undefined || shown.protocol === protocol) routes.push(shown);
  }
  return selected(routes, question);
}

function shownPath(path: PathView, since: Date, from: string | undefined): ShownRoute {
  const { prefix, source, attributes, best, preference, localPref, metric, interfaceName, nextHop } = path;
  const names: Readonly<Record<string, string>> = { static: 'static1', kernel: 'kernel1', direct: 'direct1' };
  return {
    prefix,
    source,
    attributes,
    best,
    preference,
    protocol: names[source] ?? path.peerName,
    since,
    from,
    nextHop,
    interfaceName,
    localPref,
    metric,
    reachable: path.ineligible !== 'nextHopUnreachable',
  };
}

/** Those asked for; of a destination the best first. */
function selected(routes: readonly ShownRoute[], question: RouteQuestion): ShownRoute[] {
  const { prefix, for: target } = question;
  const longest = target === undefined ? undefined : longestMatch(routes, target);
  return routes
    .filter((r) => prefix === undefined || r.prefix === prefix)
    .filter((r) => target === undefined || r.prefix === longest)
    .sort((a, b) => (a.prefix === b.prefix ? Number(b.best) - Number(a.best) : a.prefix < b.prefix ? -1 : 1));
}

function longestMatch(routes: readonly ShownRoute[], target: Prefix): Prefix | undefined {
  let found: Prefix | undefined;
  for (const { prefix } of routes) {
    if (!containsPrefix(prefix, target)) continue;
    if (found === undefined || prefixLength(prefix) > prefixLength(found)) found = prefix;
  }
  return found;
}

/** Lines with their codes: `-` while more follow, a space instead of the code where it stays the same. */
export function encodeReply(lines: readonly Line[]): string {
  let text = '';
  lines.forEach(({ code, text: line }, i) => {
    const isLast = i === lines.length - 1;
    text +=
      code === undefined ? ` ${line}\n` : `${String(code).padStart(4, '0')}${isLast ? ' ' : '-'}${line}\n`;
  });
  return text;
}

export class ControlServer {
  readonly #options: ControlServerOptions;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  constructor(options: ControlServerOptions) {
    this.#options = options;
  }

  get #second(): string {
    return join(dirname(this.#options.path), 'bird6.ctl');
  }

  async start(): Promise<Result<void, Failure<'CannotListen'>>> {
    const { path } = this.#options;
    const failed = (why: string): Result<void, Failure<'CannotListen'>> =>
      err(failure('CannotListen', `Cannot listen on ${path}: ${why}.`));
    try {
      mkdirSync(dirname(path), { recursive: true });
      for (const old of [path, this.#second]) rmSync(old, { force: true });
    } catch (error) {
      return failed((error as Error).message);
    }
    const server = createServer((socket) => this.#serve(socket));
    server.maxConnections = connectionLimit;
    this.#server = server;
    return new Promise((resolve) => {
      server.once('error', (error) => resolve(failed(error.message)));
      server.listen(path, () => {
        // Calico's second BIRD is the one for IPv6; both families are here.
        symlinkSync(path, this.#second);
        resolve(ok(undefined));
      });
    });
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      if (this.#server === undefined) resolve();
      else this.#server.close(() => resolve());
    });
    for (const path of [this.#options.path, this.#second]) rmSync(path, { force: true });
  }

  #serve(socket: Socket): void {
    const { logger, speaker } = this.#options;
    this.#sockets.add(socket);
    socket.setEncoding('utf8');
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', (error) => logger.debug('birdc client', { reason: error.message }));
    socket.write(`0001 ${version} ready.\n`);
    let pending = '';
    socket.on('data', (text: string) => {
      pending += text;
      for (let end = pending.indexOf('\n'); end >= 0; end = pending.indexOf('\n')) {
        const command = pending.slice(0, end);
        pending = pending.slice(end + 1);
        socket.write(encodeReply(answerCommand(speaker(), command, new Date())));
      }
      if (pending.length > lineLimit) socket.destroy();
    });
  }
}
