// Work that walks a whole table for some peers of a group, a slice at a time.
import type { ExportGroup } from './export-group.ts';
import type { PeerId } from './types.ts';

export type Job = {
  readonly group: ExportGroup;
  /** `dump`: announce everything. `full`: announce everything and withdraw the rest. `difference`: from what another
   *  group had announced (`before`) to what this one announces. */
  readonly mode: 'dump' | 'full' | 'difference';
  readonly targets: Set<PeerId>;
  readonly before?: {
    readonly group: ExportGroup;
    readonly version: number;
    readonly out: Int32Array;
    readonly source: Int32Array;
  };
  /** Targets that get End-of-RIB at the end. */
  readonly endOfRib: Set<PeerId>;
  /** Destinations below have been done. */
  cursor: number;
};
