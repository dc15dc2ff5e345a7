// Faces of the compiled form: what the caller gives and gets.
import type { NftRow } from '../../nftables.ts';

/** Why a program cannot be compiled. It depends on the program alone, never on what is in sets. */
export type LinearReason =
  /** A rule asks for the source's port, or for something else that is not in the keys of the lookups. */
  | 'source-ports'
  | 'http'
  /** Packets that nothing decided about go on to what comes next. */
  | 'undecided'
  /** Rules ask for the endpoint's own address, and it has none or several. */
  | 'own-addresses';

export type CompiledOutcome =
  /** The chain to `goto`. */
  | { readonly compiled: true; readonly chain: string }
  | { readonly compiled: false; readonly reason: LinearReason };

/** What became different since the last flush. A row put replaces the one with its key. */
export type RowChanges = {
  /** By their keys (`nftKey`). */
  readonly put: ReadonlyMap<string, NftRow>;
  readonly drop: ReadonlySet<string>;
};

export type CompiledStats = {
  readonly programs: number;
  /** Classes of addresses that are in use. */
  readonly classes: number;
  readonly hosts: number;
  readonly nets: number;
  /** Tables of decisions; classes between which a program makes no difference share one. */
  readonly planes: number;
  readonly atoms: number;
  /** Sets of atoms in memory; equal ones are one. */
  readonly atomSets: number;
};
