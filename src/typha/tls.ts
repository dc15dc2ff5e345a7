// Sockets in clear or by TLS. The other side has to hold a certificate of the cluster's authority, and to be who is expected:
// by its common name or a URI among its names, not by its host name, because addresses of pods come and go.
import { connect, createServer, type Server, type Socket } from 'node:net';
import {
  connect as connectTls,
  createServer as createTlsServer,
  TLSSocket,
  type PeerCertificate,
} from 'node:tls';
import type { TlsSettings } from './types.ts';

type Names = Pick<PeerCertificate, 'subject' | 'subjectaltname'>;

/** Why the certificate is not of the one expected; undefined when it is. */
export function peerProblem(certificate: Names, expected: TlsSettings): string | undefined {
  const { peerCommonName = '', peerUri = '' } = expected;
  if (peerCommonName === '' && peerUri === '') return undefined;
  const name = String(certificate.subject?.CN ?? '');
  const uris = (certificate.subjectaltname ?? '')
    .split(', ')
    .filter((one) => one.startsWith('URI:'))
    .map((one) => one.slice('URI:'.length));
  if (peerCommonName !== '' && name === peerCommonName) return undefined;
  if (peerUri !== '' && uris.includes(peerUri)) return undefined;
  const wanted = [
    ...(peerCommonName === '' ? [] : [`the common name "${peerCommonName}"`]),
    ...(peerUri === '' ? [] : [`the URI "${peerUri}"`]),
  ].join(' or ');
  return `The certificate of the other side has the common name "${name}" and the URIs [${uris.join()}], not ${wanted}.`;
}

/** `onRefused` hears of those whose certificate is not accepted. */
export function listenFor(
  tls: TlsSettings | undefined,
  onSocket: (socket: Socket) => void,
  onRefused: (why: string) => void,
): Server {
  if (tls === undefined) return createServer(onSocket);
  const server = createTlsServer(
    { ...contextOf(tls), requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.2' },
    (socket) => {
      const problem = peerProblem(socket.getPeerCertificate(), tls);
      if (problem === undefined) return onSocket(socket);
      onRefused(problem);
      socket.destroy();
    },
  );
  server.on('tlsClientError', (error) => onRefused(error.message));
  return server;
}

/** Rejects with the reason. */
export function dial(address: string, tls: TlsSettings | undefined, timeoutMs: number): Promise<Socket> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  const port = Number(address.slice(colon + 1));
  return new Promise((resolve, reject) => {
    const socket =
      tls === undefined
        ? connect({ host, port })
        : connectTls({
            host,
            port,
            ...contextOf(tls),
            minVersion: 'TLSv1.2',
            checkServerIdentity: (_name, certificate) => {
              const problem = peerProblem(certificate, tls);
              return problem === undefined ? undefined : new Error(problem);
            },
          });
    const fail = (error: Error): void => {
      socket.destroy();
      reject(error);
    };
    socket.setTimeout(timeoutMs, () => fail(new Error(`no connection within ${timeoutMs} ms`)));
    socket.once('error', fail);
    socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', () => {
      socket.setTimeout(0);
      socket.off('error', fail);
      resolve(socket);
    });
  });
}

const contextOf = ({ ca, cert, key }: TlsSettings) => ({ ca, cert, key });
