// Streams of pods: the server checks who asks for what, and then only carries bytes between the client and the node. What
// is inside (WebSocket, SPDY) concerns those two.
import { type ClientRequest, type IncomingMessage, request as httpRequest, STATUS_CODES } from 'node:http';
import type { RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { err, ok, type Result } from '../../lib/result.ts';
import type { Api } from '../api.ts';
import type { Call } from '../http/call.ts';
import { refuse, statusBody, type StatusError } from '../status.ts';
import type { StreamTarget } from './target.ts';

const connectDeadlineMs = 10_000;
const longestRefusalBytes = 64 * 1024;
const longestAnswerBytes = 4 * 1024 * 1024;

async function open(
  api: Api,
  target: StreamTarget,
  options: Pick<RequestOptions, 'method' | 'headers'>,
): Promise<ClientRequest> {
  const { host, port, path } = target;
  const all: RequestOptions = { ...options, host, port, path, agent: false };
  if (api.nodeClient === undefined) return httpRequest(all);
  const { request } = await import('node:https');
  return request({ ...all, ...api.nodeClient });
}

/** The node's answer to a question, as JSON. */
export async function askNode(api: Api, target: StreamTarget): Promise<Result<unknown, StatusError>> {
  const outgoing = await open(api, target, { method: 'GET' });
  const end = (): void => void outgoing.destroy(new Error('the server stops'));
  const deadline = setTimeout(() => outgoing.destroy(new Error('no answer')), connectDeadlineMs);
  api.stopping.addEventListener('abort', end, { once: true });
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.on('error', reject);
      outgoing.on('response', resolve);
      outgoing.end();
    });
    if (response.statusCode !== 200) return err(await refusalFrom(response));
    let text = '';
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) {
      text += chunk;
      if (text.length > longestAnswerBytes) return err(unreachable(target, 'its answer is too long'));
    }
    return ok(JSON.parse(text) as unknown);
  } catch (error) {
    return err(unreachable(target, (error as Error).message));
  } finally {
    clearTimeout(deadline);
    api.stopping.removeEventListener('abort', end);
    outgoing.destroy();
  }
}

const unreachable = (target: StreamTarget, why: string): StatusError =>
  refuse(
    'InternalError',
    `error dialing backend: ${target.host}:${target.port}: ${why}. Is the node's runner up?`,
  ).error;

async function refusalFrom(response: IncomingMessage): Promise<StatusError> {
  const code = response.statusCode ?? 500;
  let text = '';
  try {
    for await (const chunk of response.setEncoding('utf8') as AsyncIterable<string>) {
      text += chunk;
      if (text.length > longestRefusalBytes) break;
    }
  } catch {
    // The reason is lost with the connection.
  }
  const message = text === '' ? `the node answered with ${code}` : text;
  const reason =
    code === 404 ? 'NotFound' : code === 409 ? 'Conflict' : code < 500 ? 'BadRequest' : 'InternalError';
  return { ...refuse(reason, message).error, code };
}

/** A log: the node's answer, passed on as it comes. */
export async function proxyLog(
  api: Api,
  target: StreamTarget,
  { response }: Call,
): Promise<StatusError | 'streaming'> {
  const outgoing = await open(api, target, { method: 'GET' });
  const end = (): void => void outgoing.destroy();
  api.stopping.addEventListener('abort', end, { once: true });
  response.once('close', () => {
    api.stopping.removeEventListener('abort', end);
    end();
  });
  return new Promise((resolve) => {
    const deadline = setTimeout(() => outgoing.destroy(new Error('no answer')), connectDeadlineMs);
    outgoing.on('error', (error) => {
      clearTimeout(deadline);
      if (response.headersSent) response.destroy();
      resolve(unreachable(target, error.message));
    });
    outgoing.on('response', (incoming) => {
      clearTimeout(deadline);
      if (incoming.statusCode !== 200) {
        void refusalFrom(incoming).then(resolve);
        return;
      }
      response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-cache, private' });
      response.flushHeaders();
      incoming.on('error', () => response.destroy());
      incoming.pipe(response);
      resolve('streaming');
    });
    outgoing.end();
  });
}

/** Headers that say what the client and the node agree on. */
const passed = (name: string): boolean =>
  ['upgrade', 'connection', 'x-stream-protocol-version'].includes(name) || name.startsWith('sec-websocket-');

export function refuseUpgrade(socket: Duplex, error: StatusError): void {
  const body = JSON.stringify(statusBody(error));
  socket.end(
    `HTTP/1.1 ${error.code} ${STATUS_CODES[error.code] ?? 'Refused'}\r\ncontent-type: application/json\r\n` +
      `connection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

/** Passes the upgrade on, and then everything both sides say. */
export async function proxyUpgrade(
  api: Api,
  target: StreamTarget,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const headers = Object.fromEntries(
    Object.entries(request.headers).filter(([name, value]) => passed(name) && value !== undefined),
  );
  const outgoing = await open(api, target, { method: request.method ?? 'GET', headers });
  const deadline = setTimeout(() => outgoing.destroy(new Error('no answer')), connectDeadlineMs);
  const gone = (): void => void outgoing.destroy();
  socket.once('close', gone);
  outgoing.on('error', (error) => {
    clearTimeout(deadline);
    refuseUpgrade(socket, unreachable(target, error.message));
  });
  outgoing.on('response', (response) => {
    clearTimeout(deadline);
    void refusalFrom(response).then((error) => refuseUpgrade(socket, error));
  });
  outgoing.on('upgrade', (response, upstream, upstreamHead) => {
    clearTimeout(deadline);
    socket.removeListener('close', gone);
    const lines = [`HTTP/1.1 101 ${response.statusMessage ?? 'Switching Protocols'}`];
    for (let i = 0; i + 1 < response.rawHeaders.length; i += 2)
      lines.push(`${response.rawHeaders[i]}: ${response.rawHeaders[i + 1]}`);
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    join(api, socket, upstream, head, upstreamHead);
  });
  outgoing.end();
}

function join(api: Api, client: Duplex, node: Duplex, head: Buffer, nodeHead: Buffer): void {
  if (nodeHead.length > 0) client.write(nodeHead);
  if (head.length > 0) node.write(head);
  const end = (): void => {
    client.destroy();
    node.destroy();
  };
  api.stopping.addEventListener('abort', end, { once: true });
  client.on('error', end);
  node.on('error', end);
  const over = (): void => {
    api.stopping.removeEventListener('abort', end);
    end();
  };
  client.once('close', over);
  node.once('close', () => {
    // What the node said last is still on its way to the client.
    if (client.writableLength > 0) client.once('drain', over);
    else over();
  });
  // A half-closed side ends the other's reading only: a command may still be answering.
  client.pipe(node);
  node.pipe(client);
}
