// errno → the codes callers act on, with the kernel's own words where it gives some (extended acknowledgements).
import { err, type Err } from '../lib/result.ts';
import type { KernelError, KernelErrorCode } from './types.ts';

export const errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  EROFS: 30,
  ERANGE: 34,
  ENOTEMPTY: 39,
  EMSGSIZE: 90,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ENOBUFS: 105,
  EHOSTUNREACH: 113,
} as const;

const codes: Readonly<Record<number, KernelErrorCode>> = {
  [errno.EEXIST]: 'AlreadyExists',
  [errno.EADDRINUSE]: 'AlreadyExists',
  // An interval that overlaps another.
  [errno.ENOTEMPTY]: 'AlreadyExists',
  [errno.ENOENT]: 'NoSuchObject',
  [errno.ESRCH]: 'NoSuchObject',
  [errno.ENODEV]: 'NoSuchObject',
  [errno.ENXIO]: 'NoSuchObject',
  [errno.EADDRNOTAVAIL]: 'NoSuchObject',
  [errno.EPERM]: 'NotPermitted',
  [errno.EACCES]: 'NotPermitted',
  [errno.EROFS]: 'NotPermitted',
  [errno.ENETUNREACH]: 'NetworkUnreachable',
  [errno.EHOSTUNREACH]: 'NetworkUnreachable',
  [errno.ENETDOWN]: 'NetworkDown',
  [errno.EBUSY]: 'Busy',
  [errno.EINVAL]: 'InvalidArgument',
  [errno.ERANGE]: 'InvalidArgument',
  [errno.EOPNOTSUPP]: 'NotSupported',
  [errno.EAFNOSUPPORT]: 'NotSupported',
  [errno.ENOBUFS]: 'NoBufferSpace',
  [errno.ENOMEM]: 'NoBufferSpace',
  // More than the send buffer holds.
  [errno.EMSGSIZE]: 'NoBufferSpace',
};

const phrases: Readonly<Record<KernelErrorCode, string>> = {
  AlreadyExists: 'it exists already',
  NoSuchObject: 'there is no such object',
  NotPermitted: 'it is not permitted',
  NetworkUnreachable: 'the network is unreachable',
  NetworkDown: 'the network is down',
  Busy: 'the object is in use',
  InvalidArgument: 'an argument is invalid',
  NotSupported: 'this kernel does not support it',
  NoBufferSpace: 'there is no buffer space',
  RootNamespaceRefused: 'this is the root network namespace of the machine',
  KernelError: 'it failed',
};

/** `what` is an action on an object: `add route 10.0.0.0/26`. `kernelText` is the kernel's explanation, if it gave one. */
export function kernelError(what: string, number: number, kernelText?: string): KernelError {
  const code = codes[number] ?? 'KernelError';
  const why = kernelText === undefined ? '' : ` (${kernelText.replace(/\.$/, '')})`;
  const hint = code === 'NotPermitted' ? { hint: 'CAP_NET_ADMIN in this namespace is needed.' } : {};
  return {
    code,
    message: `Cannot ${what}: ${phrases[code]}, errno ${number}${why}.`,
    errno: number,
    ...hint,
  };
}

/** A failure found before the kernel was asked. */
export const invalid = (message: string, hint?: string): Err<KernelError> =>
  err(hint === undefined ? { code: 'InvalidArgument', message } : { code: 'InvalidArgument', message, hint });

/** The failure of a Node system call (`fs`), which carries a negative errno. */
export function systemError(what: string, error: unknown): KernelError {
  const number = (error as { errno?: number } | null)?.errno;
  if (typeof number === 'number') return kernelError(what, Math.abs(number));
  throw error;
}

export const rootNamespaceRefused = (): KernelError => ({
  code: 'RootNamespaceRefused',
  message: 'Writing into the root network namespace of this machine is refused.',
  hint: 'Open the kernel with allowRootNamespace, or work in another namespace.',
});
