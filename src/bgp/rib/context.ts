// What all parts of one routing table share.
import type { Family } from '../../lib/ip/mod.ts';
import { AttributeSets } from './attribute-sets.ts';
import { ByteSets } from './byte-sets.ts';
import { FamilyTable } from './family-table.ts';
import { NextHops } from './next-hops.ts';
import { PolicyRunner } from './policy-runner.ts';
import { routerIdNumber, type Peer } from './peers.ts';
import type { RibOptions } from './types.ts';

export class RibContext {
  readonly options: RibOptions;
  readonly nextHops: NextHops;
  readonly attributes: AttributeSets;
  /** Attribute sets as they are sent, encoded. */
  readonly outgoing = new ByteSets();
  readonly peers: (Peer | undefined)[] = [];
  readonly tables: { readonly 4: FamilyTable; readonly 6: FamilyTable } = {
    4: new FamilyTable(4),
    6: new FamilyTable(6),
  };
  readonly policies: PolicyRunner;
  /** A peer may lag behind (be paused, or still miss something). False spares asking all of them. */
  mayLag = false;
  /** Unsigned numbers. */
  readonly routerId: number;
  readonly clusterId: number;

  constructor(options: RibOptions) {
    this.options = options;
    this.nextHops = new NextHops(options.resolveNextHop);
    this.attributes = new AttributeSets(this.nextHops);
    this.routerId = routerIdNumber(options.routerId) >>> 0;
    this.clusterId =
      options.clusterId === undefined ? this.routerId : routerIdNumber(options.clusterId) >>> 0;
    this.policies = new PolicyRunner(this);
  }

  table(family: Family): FamilyTable {
    return this.tables[family];
  }
}
