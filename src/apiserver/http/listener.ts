// The sockets: HTTP servers on any number of addresses and on an inherited one, with bounds on what clients may do.
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import type { Limits, Security, ServerError } from '../types.ts';

export interface Listener {
  readonly address: string;
  close(): Promise<void>;
}

export type UpgradeListener = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

type Where = { readonly host: string; readonly port: number } | { readonly fd: number };

export function readAddress(text: string): Result<Where, ServerError> {
  const match = /^(?:\[([0-9A-Fa-f:.%a-z]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65535) {
    return err(
      failure(
        'AddressInvalid',
        `"${text}" is not an address to listen on.`,
        'Write HOST:PORT, e.g. 127.0.0.1:6443 or [::1]:6443.',
      ),
    );
  }
  return ok({ host: match[1] ?? match[2] ?? '', port });
}

function listenFailure(where: string, cause: NodeJS.ErrnoException): ServerError {
  switch (cause.code) {
    case 'EADDRINUSE':
      return failure(
        'AddressInUse',
        `The address ${where} is in use by another process.`,
        'Stop it, or choose another port with --listen.',
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return failure(
        'AddressInvalid',
        `This machine has no address ${where}.`,
        'Choose one of its own with --listen; `ip address` lists them.',
      );
    case 'EACCES':
      return failure(
        'PermissionDenied',
        `Listening on ${where} is not permitted.`,
        'Choose a port above 1023, or run as root.',
      );
    default:
      return failure('ListenFailed', `Listening on ${where} failed: ${cause.message}.`);
  }
}

const clientErrors: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

export async function listen(
  where: Where,
  limits: Limits,
  handler: RequestListener,
  onUpgrade: UpgradeListener,
  security?: Security,
): Promise<Result<Listener, ServerError>> {
  const options = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: Math.min(10_000, limits.requestTimeoutMs),
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: 75_000,
    connectionsCheckingInterval: 2_000,
    noDelay: true,
  };
  const server: Server =
    security === undefined
      ? createServer(options)
      : ((await import('node:https')).createServer({
          ...options,
          cert: security.cert,
          key: security.key,
          ca: security.clientCa,
          minVersion: 'TLSv1.2',
          handshakeTimeout: Math.min(10_000, limits.requestTimeoutMs),
          // Clients may also show a token, or nothing: who they are is judged per request.
          requestCert: true,
          rejectUnauthorized: false,
        }) as unknown as Server);
  server.on('tlsClientError', (_error, socket: Duplex) => socket.destroy());
  server.maxConnections = limits.connections;
  server.on('request', handler);
  // Upgraded sockets are no longer the server's: it would not close them.
  const upgraded = new Set<Duplex>();
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    upgraded.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => upgraded.delete(socket));
    onUpgrade(request, socket, head);
  });
  server.on('clientError', (cause: NodeJS.ErrnoException, socket) => {
    if (!socket.writable) socket.destroy();
    else
      socket.end(
        `HTTP/1.1 ${clientErrors[cause.code ?? ''] ?? '400 Bad Request'}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`,
      );
  });
  const name = 'fd' in where ? `file descriptor ${where.fd}` : `${where.host}:${where.port}`;
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(
        'fd' in where
          ? { fd: where.fd }
          : { host: where.host === '' ? undefined : where.host, port: where.port },
        resolve,
      );
    });
  } catch (cause) {
    return err(listenFailure(name, cause as NodeJS.ErrnoException));
  }
  return ok({
    address: urlOf(server, security === undefined ? 'http' : 'https'),
    close: () => closeServer(server, upgraded),
  });
}

function urlOf(server: Server, scheme: string): string {
  const { address, port, family } = server.address() as AddressInfo;
  const any = address === '::' || address === '0.0.0.0';
  const host = any ? '127.0.0.1' : family === 'IPv6' ? `[${address}]` : address;
  return `${scheme}://${host}:${port}`;
}

/** Requests under way get a moment to end, then every connection is closed. */
async function closeServer(server: Server, upgraded: ReadonlySet<Duplex>): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  for (const socket of upgraded) socket.destroy();
  const force = setTimeout(() => server.closeAllConnections(), 1_000);
  await closed;
  clearTimeout(force);
}
