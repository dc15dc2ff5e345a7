// The table of entries that lead to other nodes' ends of the VXLAN overlay: their tunnel address to their MAC (a permanent
// neighbour), their MAC to their node's address (the device's forwarding database). Nothing is learned from packets.
import { ok, type Result } from '../../../lib/result.ts';
import type { FdbEntry, Kernel, KernelEvent, Neighbour } from '../../../kernel/mod.ts';
import type { LinkMirror } from '../links.ts';
import type { Change, Observation, Operations } from '../types.ts';
import { type VtepRow, vxlanDevice, vxlanV6Device } from './types.ts';

const devices = [vxlanDevice, vxlanV6Device] as const;

export type ActualVtep =
  | { readonly type: 'neighbour'; readonly entry: Neighbour }
  | { readonly type: 'fdb'; readonly entry: FdbEntry };

export const vtepKey = (row: VtepRow): string =>
  row.type === 'neighbour' ? `neighbour ${row.device} ${row.address}` : `fdb ${row.device} ${row.mac}`;

export function vtepOperations(
  kernel: Kernel,
  links: LinkMirror,
): Operations<VtepRow, ActualVtep> & {
  /** What an event says about this table; undefined when nothing. */
  observation(event: KernelEvent, rows: ReadonlyMap<string, VtepRow>): Observation<ActualVtep> | undefined;
} {
  /** Other entries come and go with traffic. */
  const isCandidate = (actual: ActualVtep): boolean =>
    actual.type === 'neighbour'
      ? actual.entry.state === 'permanent' && actual.entry.proxy !== true
      : actual.entry.remote !== undefined;

  const keyOfActual = ({ type, entry }: ActualVtep): string | undefined => {
    const device = links.nameOf(entry.linkIndex);
    if (device === undefined || !(devices as readonly string[]).includes(device)) return undefined;
    return type === 'neighbour' ? `neighbour ${device} ${entry.address}` : `fdb ${device} ${entry.mac}`;
  };

  const entryOf = (row: VtepRow, linkIndex: number): ActualVtep =>
    row.type === 'neighbour'
      ? {
          type: 'neighbour',
          entry: { address: row.address, linkIndex, mac: row.mac, state: 'permanent' },
        }
      : { type: 'fdb', entry: { mac: row.mac, linkIndex, remote: row.remote, permanent: true } };

  const write = async (op: 'replace' | 'delete', { type, entry }: ActualVtep): Promise<Result<void>> => {
    const [outcome] =
      type === 'neighbour'
        ? await kernel.neighbours.apply([{ op, neighbour: entry }])
        : await kernel.fdb.apply([{ op, entry }]);
    return outcome ?? ok(undefined);
  };

  const applyOne = async (change: Change<VtepRow, ActualVtep>): Promise<Result<ActualVtep | undefined>> => {
    if (change.op === 'remove') {
      const removed = await write('delete', change.actual);
      return removed.ok ? ok(undefined) : removed;
    }
    const link = links.byName(change.row.device);
    if (link === undefined) return ok(undefined);
    const wanted = entryOf(change.row, link.index);
    const put = await write('replace', wanted);
    return put.ok ? ok(wanted) : put;
  };

  return {
    name: 'vteps',
    keyOf: vtepKey,

    async dump() {
      const found = new Map<string, ActualVtep>();
      for (const device of devices) {
        const link = links.byName(device);
        if (link === undefined) continue;
        const [neighbours, fdb] = await Promise.all([
          kernel.neighbours.list({ linkIndex: link.index, proxy: false }),
          kernel.fdb.list(link.index),
        ]);
        if (!neighbours.ok) return neighbours;
        if (!fdb.ok) return fdb;
        const all: ActualVtep[] = [
          ...neighbours.value.map((entry) => ({ type: 'neighbour' as const, entry })),
          ...fdb.value.map((entry) => ({ type: 'fdb' as const, entry })),
        ];
        for (const actual of all) {
          const key = keyOfActual(actual);
          if (key !== undefined && isCandidate(actual)) found.set(key, actual);
        }
      }
      return ok(found);
    },

    observation(event, rows) {
      let actual: ActualVtep;
      if (event.type === 'neighbour' || event.type === 'neighbour-deleted')
        actual = { type: 'neighbour', entry: event.neighbour };
      else if (event.type === 'fdb' || event.type === 'fdb-deleted')
        actual = { type: 'fdb', entry: event.entry };
      else return undefined;
      const key = keyOfActual(actual);
      if (key === undefined || !(rows.has(key) || isCandidate(actual))) return undefined;
      return { type: 'actual', key, actual: event.type.endsWith('-deleted') ? undefined : actual };
    },

    equal(row, { type, entry }) {
      const { device } = row;
      if (links.nameOf(entry.linkIndex) !== device) return false;
      if (type === 'neighbour')
        return row.type === 'neighbour' && entry.mac === row.mac && entry.state === 'permanent';
      return row.type === 'fdb' && entry.remote === row.remote && entry.permanent;
    },

    blocked({ device }) {
      const link = links.byName(device);
      if (link === undefined) return `interface ${device} does not exist`;
      return link.up ? undefined : `interface ${device} is down`;
    },

    orphan: () => 'remove',

    async apply(changes) {
      const results: Result<ActualVtep | undefined>[] = [];
      for (const change of changes) results.push(await applyOne(change));
      return results;
    },
  };
}
