// The table of proxy entries: addresses for which the kernel answers ARP or NDP on an interface of the host. Ours bear Felix's
// protocol number. The kernel tells of none, and forgets them when the interface goes down.
import { err, ok, type Result } from '../../../lib/result.ts';
import { type Kernel, type Neighbour, routeProtocols } from '../../../kernel/mod.ts';
import type { LinkMirror } from '../links.ts';
import type { Operations } from '../types.ts';
import { neighbourKey, type NeighbourRow } from './plan.ts';

export function neighbourOperations(
  kernel: Kernel,
  links: LinkMirror,
  /** Told of rows that have just come into the kernel. */
  onPut: (row: NeighbourRow) => Promise<void>,
): Operations<NeighbourRow, Neighbour> {
  return {
    name: 'neighbours',
    keyOf: neighbourKey,

    async dump(rows) {
      const listed = await kernel.neighbours.list({ proxy: true });
      if (!listed.ok) return listed;
      const found = new Map<string, Neighbour>();
      for (const neighbour of listed.value) {
        const interfaceName = links.nameOf(neighbour.linkIndex);
        if (interfaceName === undefined) continue;
        const key = neighbourKey({ interfaceName, address: neighbour.address });
        if (neighbour.protocol === routeProtocols.felix || rows.has(key)) found.set(key, neighbour);
      }
      return ok(found);
    },

    equal: (row, actual) => links.nameOf(actual.linkIndex) === row.interfaceName,

    blocked({ interfaceName }) {
      const link = links.byName(interfaceName);
      if (link === undefined) return `interface ${interfaceName} does not exist`;
      return link.up ? undefined : `interface ${interfaceName} is down`;
    },

    orphan: () => 'remove',

    async apply(changes) {
      const results: Result<Neighbour | undefined>[] = [];
      for (const change of changes) {
        if (change.op === 'remove') {
          // Somebody's from before ours was wanted: it is theirs again.
          const isOurs = change.actual.protocol === routeProtocols.felix;
          const [removed] = isOurs
            ? await kernel.neighbours.apply([{ op: 'delete', neighbour: change.actual }])
            : [];
          results.push(removed === undefined || removed.ok ? ok(undefined) : removed);
          continue;
        }
        const link = links.byName(change.row.interfaceName);
        if (link === undefined) {
          results.push(ok(undefined));
          continue;
        }
        const neighbour: Neighbour = {
          address: change.row.address,
          linkIndex: link.index,
          state: 'permanent',
          proxy: true,
          protocol: routeProtocols.felix,
        };
        const [put] = await kernel.neighbours.apply([{ op: 'replace', neighbour }]);
        if (put?.ok === false) {
          results.push(err(put.error));
          continue;
        }
        await onPut(change.row);
        results.push(ok(neighbour));
      }
      return results;
    },
  };
}
