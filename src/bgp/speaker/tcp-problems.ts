// Errors of sockets in words.
import type { Address } from '../../lib/ip/mod.ts';
import { failure } from '../../lib/result.ts';
import type { DownReason } from '../fsm/mod.ts';

/** Worth another attempt. */
export const isTransient = ({ code }: NodeJS.ErrnoException): boolean =>
  code === 'EADDRNOTAVAIL' || code === 'EADDRINUSE';

export function dialProblem(error: NodeJS.ErrnoException, source: Address | undefined): DownReason {
  switch (error.code) {
    case 'ECONNREFUSED':
      return { kind: 'refused' };
    case 'ETIMEDOUT':
      return { kind: 'connect-timeout' };
    case 'EHOSTUNREACH':
      return { kind: 'unreachable', detail: 'the host does not answer' };
    case 'ENETUNREACH':
      return { kind: 'unreachable', detail: 'there is no route to the peer' };
    case 'EADDRNOTAVAIL':
      return { kind: 'unreachable', detail: `the source address ${source ?? ''} is not on this host` };
    default:
      return { kind: 'unreachable', detail: error.message };
  }
}

export function listenProblem(error: NodeJS.ErrnoException, address: Address, port: number) {
  const where = `${address} port ${port}`;
  if (error.code === 'EADDRINUSE')
    return failure(
      'CannotListen' as const,
      `Another program listens on ${where}.`,
      'Stop it (ss -ltnp shows it) or choose another port.',
    );
  if (error.code === 'EACCES')
    return failure('CannotListen' as const, `No permission to listen on ${where}.`, 'Run as root.');
  if (error.code === 'EADDRNOTAVAIL')
    return failure('CannotListen' as const, `The address ${address} is not on this host (yet).`);
  return failure('CannotListen' as const, `Cannot listen on ${where}: ${error.message}.`);
}
