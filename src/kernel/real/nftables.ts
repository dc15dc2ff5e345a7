// nftables of the real kernel.
import { err } from '../../lib/result.ts';
import type { KernelError, Nftables } from '../types.ts';
import type { KernelSession } from './session.ts';

export function realNftables(_session: KernelSession): Nftables {
  const missing = err<KernelError>({ code: 'NotSupported', message: 'nftables is not built yet.' });
  return {
    apply: async () => missing,
    tables: async () => missing,
    read: async () => missing,
    elements: async () => missing,
  };
}
