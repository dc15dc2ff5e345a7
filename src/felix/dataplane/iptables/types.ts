// What the iptables back end wants in the kernel, as rows of one table: sets, their members, chains, and the rules that hook
// chains into those of the kernel. One reconciler brings the kernel there (operations.ts).
import type { Family } from '../../../lib/ip/mod.ts';
import type { TableName } from './rules.ts';

export type SetType = 'hash:net' | 'hash:ip,port';

export type Row =
  | {
      readonly kind: 'set';
      readonly family: Family;
      readonly name: string;
      readonly type: SetType;
      readonly maxSize: number;
    }
  /** `member` is written as `ipset save` shows it. */
  | { readonly kind: 'member'; readonly family: Family; readonly set: string; readonly member: string }
  | {
      readonly kind: 'chain';
      readonly family: Family;
      readonly table: TableName;
      readonly name: string;
      readonly rules: readonly string[];
    }
  /** Ours among the rules of a chain of the kernel. */
  | {
      readonly kind: 'hook';
      readonly family: Family;
      readonly table: TableName;
      readonly chain: string;
      /** Where `first` stand: before the rules of others, or after them. */
      readonly place: 'insert' | 'append';
      readonly first: readonly string[];
      /** Stand at the end, whatever the place. */
      readonly last: readonly string[];
    };

/** What the kernel holds under a row's key. */
export type Actual =
  | { readonly kind: 'set'; readonly type: string; readonly maxSize: number }
  | { readonly kind: 'member' }
  /** Hashes of its rules, empty for rules without one. */
  | { readonly kind: 'chain'; readonly hashes: readonly string[] }
  /** Our rules as listings show them; undefined for those of others. */
  | { readonly kind: 'hook'; readonly rules: readonly (string | undefined)[] };

export function rowKey(row: Row): string {
  const { family } = row;
  if (row.kind === 'set') return `${family} set ${row.name}`;
  if (row.kind === 'member') return `${family} member ${row.set} ${row.member}`;
  return `${family} ${row.table} ${row.kind} ${row.kind === 'chain' ? row.name : row.chain}`;
}
