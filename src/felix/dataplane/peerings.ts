// Addresses of the node at interfaces of workloads that peer by BGP with it (BG-021): the workload's neighbour, whatever node it
// runs on. Workloads' interfaces have no other address of a single host, so one that nobody wants is an earlier one of ours.
// An interface that loses its last address loses its routes as well; the table of routes puts them back.
import { familyOf, type Address } from '../../lib/ip/mod.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import type { Kernel, LinkAddress } from '../../kernel/mod.ts';
import { rowKeys, type CalcDelta, type PeeringRow } from '../calc/mod.ts';
import { InterfaceIndex, type LinkMirror } from './links.ts';
import { Reconciler } from './reconciler.ts';
import { setIfOther, Table } from './table.ts';
import type { Operations } from './types.ts';

export type PeeringsOptions = {
  readonly kernel: Kernel;
  readonly links: LinkMirror;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly isWorkload: (interfaceName: string) => boolean;
};

const keyOf = rowKeys.peerings;
const hostLength = (address: Address): number => (familyOf(address) === 4 ? 32 : 128);

export class Peerings {
  readonly #options: PeeringsOptions;
  readonly #index = new InterfaceIndex();
  readonly reconciler: Reconciler<PeeringRow, LinkAddress>;

  constructor(options: PeeringsOptions) {
    this.#options = options;
    const { clock, logger } = options;
    const table = new Table<PeeringRow>('peerings', keyOf, clock);
    this.reconciler = new Reconciler(table, peeringOperations(options), { clock, logger });
  }

  apply({ config, tables }: CalcDelta): void {
    if (config !== undefined) this.reconciler.setAuditInterval(config.number('InterfaceRefreshInterval'));
    const { table } = this.reconciler;
    for (const key of tables.peerings.deleted) {
      table.delete(key);
      this.#index.delete(key);
    }
    for (const row of tables.peerings.set) {
      this.#index.set(keyOf(row), row.interfaceName);
      setIfOther(table, keyOf(row), row);
    }
  }

  observeAddress(address: LinkAddress, isDeleted: boolean): void {
    const interfaceName = this.#options.links.nameOf(address.linkIndex);
    if (interfaceName === undefined || !this.#options.isWorkload(interfaceName) || !isOne(address)) return;
    const key = keyOf({ interfaceName, address: address.address });
    this.reconciler.observe({ type: 'actual', key, actual: isDeleted ? undefined : address });
  }

  /** The link of this name came, went, or changed in a way that takes its addresses. */
  observeLink(name: string): void {
    this.reconciler.observe({ type: 'forget', keys: this.#index.on(name) });
  }
}

/** Of a single host, and given by somebody: an interface makes link-local ones by itself. */
const isOne = ({ address, length }: LinkAddress): boolean =>
  length === hostLength(address) && !address.startsWith('fe80:');

function peeringOperations({
  kernel,
  links,
  isWorkload,
}: PeeringsOptions): Operations<PeeringRow, LinkAddress> {
  return {
    name: 'peerings',
    keyOf,

    async dump() {
      const listed = await kernel.addresses.list();
      if (!listed.ok) return listed;
      const found = new Map<string, LinkAddress>();
      for (const one of listed.value) {
        const interfaceName = links.nameOf(one.linkIndex);
        if (interfaceName !== undefined && isWorkload(interfaceName) && isOne(one))
          found.set(keyOf({ interfaceName, address: one.address }), one);
      }
      return ok(found);
    },

    equal: (row, actual) => links.nameOf(actual.linkIndex) === row.interfaceName,

    blocked: ({ interfaceName }) =>
      links.byName(interfaceName) === undefined ? `interface ${interfaceName} does not exist` : undefined,

    orphan: () => 'remove',

    async apply(changes) {
      const results: Result<LinkAddress | undefined>[] = [];
      for (const change of changes) {
        if (change.op === 'remove') {
          const [removed] = await kernel.addresses.apply([{ op: 'delete', address: change.actual }]);
          results.push(removed === undefined || removed.ok ? ok(undefined) : removed);
          continue;
        }
        const { address, interfaceName } = change.row;
        const link = links.byName(interfaceName);
        if (link === undefined) {
          results.push(ok(undefined));
          continue;
        }
        const wanted: LinkAddress = {
          address,
          length: hostLength(address),
          linkIndex: link.index,
          scope: 'link',
          // The same at every such interface, none of which another host shares.
          noDad: true,
        };
        const [put] = await kernel.addresses.apply([{ op: 'add', address: wanted }]);
        results.push(put?.ok === false ? err(put.error) : ok(wanted));
      }
      return results;
    },
  };
}
