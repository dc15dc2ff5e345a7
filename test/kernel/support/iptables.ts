// What tests of the iptables back end need of the machine.
import { execFileSync } from 'node:child_process';
import { unable } from './felix-node.ts';

export type Variant = 'legacy' | 'nft';
export const variants: readonly Variant[] = ['legacy', 'nft'];

/** Felix's parameters that choose the variant. */
export const choosing = (variant: Variant): Readonly<Record<string, string>> => ({
  NFTablesMode: 'Disabled',
  IptablesBackend: variant,
});

/** Why the variant cannot be tested here, or undefined. Kernels are built without tables for the legacy one. */
export function unableIptables(variant: Variant): string | undefined {
  const missing = unable('ipset', `iptables-${variant}-restore`, `ip6tables-${variant}-restore`);
  if (missing !== undefined) return missing;
  try {
    execFileSync(`iptables-${variant}`, ['-t', 'filter', '-S'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return `needs a kernel with tables for iptables-${variant}`;
  }
}
