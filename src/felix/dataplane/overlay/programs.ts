// The table of eBPF programs at devices' ingress and egress. A program's name carries a digest of its code, so a read-back of
// names tells whether the right programs run.
import { ok, type Result } from '../../../lib/result.ts';
import type { Kernel, TrafficFilter } from '../../../kernel/mod.ts';
import type { LinkMirror } from '../links.ts';
import type { Operations } from '../types.ts';
import { programLicence } from './program-parts.ts';
import { programPrefix } from './program-rows.ts';
import type { ProgramRow } from './types.ts';

/** Of our filters on a link: others may have theirs before and behind. */
const priority = 4096;

export const programKey = (row: ProgramRow): string => `${row.interfaceName} ${row.direction}`;

export function programOperations(
  kernel: Kernel,
  links: LinkMirror,
  /** Workloads' interfaces: never have such a program, and may be many. */
  isEndpoint: (interfaceName: string) => boolean,
): Operations<ProgramRow, TrafficFilter> {
  return {
    name: 'programs',
    keyOf: programKey,

    async dump() {
      const found = new Map<string, TrafficFilter>();
      for (const link of links.all()) {
        if (isEndpoint(link.name)) continue;
        const listed = await kernel.filters.list(link.index);
        if (!listed.ok) return listed;
        for (const filter of listed.value)
          if (filter.name.startsWith(programPrefix) && filter.priority === priority)
            found.set(`${link.name} ${filter.direction}`, filter);
      }
      return ok(found);
    },

    equal: (row, filter) =>
      filter.name === row.name && filter.linkIndex === links.byName(row.interfaceName)?.index,

    blocked(row) {
      const link = links.byName(row.interfaceName);
      if (link === undefined) return `interface ${row.interfaceName} does not exist`;
      // The program looks behind an Ethernet header.
      return link.mac === undefined ? `interface ${row.interfaceName} has no Ethernet header` : undefined;
    },

    orphan: () => 'remove',

    async apply(changes) {
      const results: Result<TrafficFilter | undefined>[] = [];
      for (const change of changes) {
        if (change.op === 'remove') {
          const [removed] = await kernel.filters.apply([{ op: 'delete', filter: change.actual }]);
          results.push(removed === undefined || removed.ok ? ok(undefined) : removed);
          continue;
        }
        const { row } = change;
        const link = links.byName(row.interfaceName);
        if (link === undefined) {
          results.push(ok(undefined));
          continue;
        }
        const filter = { linkIndex: link.index, direction: row.direction, priority, name: row.name };
        const program = { code: row.code, licence: programLicence };
        const [put] = await kernel.filters.apply([{ op: 'replace', filter, program }]);
        results.push(put === undefined || put.ok ? ok(filter) : put);
      }
      return results;
    },
  };
}
