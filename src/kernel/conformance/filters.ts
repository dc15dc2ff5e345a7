// Traffic filters as every Kernel has them, and what it tells of the tables an overlay lives in; part of the conformance
// suite.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { address } from '../../lib/ip/mod.ts';
import { until } from '../../lib/wait.ts';
import { Assembler } from '../bpf/assembler.ts';
import type { KernelEvent, TrafficFilter } from '../types.ts';
import { codes, type Host, value, wired } from './support.ts';

/** On to the next filter. */
const program = {
  code: new Assembler().compute('mov', 0, -1).exit().assemble(),
  licence: 'Dual MIT/GPL',
};

export function filterTests(host: Host): void {
  describe('traffic filters', () => {
    test('one per direction and priority, replaced in its place, told by name', async () => {
      const { a } = host();
      const link = await wired(host());
      assert.deepEqual(value(await a.filters.list(link.index)), [], 'no anchor, no filters');
      const inbound: TrafficFilter = {
        linkIndex: link.index,
        direction: 'ingress',
        priority: 4096,
        name: 'in-1',
      };
      const outbound: TrafficFilter = { ...inbound, direction: 'egress', priority: 7, name: 'out-1' };
      const outcomes = await a.filters.apply([
        { op: 'replace', filter: inbound, program },
        { op: 'replace', filter: outbound, program },
        { op: 'replace', filter: { ...inbound, name: 'in-2' }, program },
        { op: 'replace', filter: { ...inbound, linkIndex: 4711 }, program },
      ]);
      assert.deepEqual(codes(outcomes), ['ok', 'ok', 'ok', 'NoSuchObject']);
      const byDirection = async (): Promise<string[]> =>
        value(await a.filters.list(link.index))
          .map((f) => `${f.direction} ${f.priority} ${f.name}`)
          .sort();
      assert.deepEqual(await byDirection(), ['egress 7 out-1', 'ingress 4096 in-2']);
      const gone = await a.filters.apply([
        { op: 'delete', filter: inbound },
        { op: 'delete', filter: inbound },
        { op: 'delete', filter: { ...inbound, linkIndex: 4711 } },
      ]);
      assert.deepEqual(codes(gone), ['ok', 'ok', 'ok']);
      assert.deepEqual(await byDirection(), ['egress 7 out-1']);
    });

    test('changes of them, and of forwarding entries, are told', async () => {
      const { a } = host();
      const link = await wired(host());
      const events: KernelEvent[] = [];
      const subscription = a.subscribe(['neighbours', 'filters'], (event) => events.push(event));
      const seen = async (wanted: (event: KernelEvent) => boolean): Promise<void> => {
        const found = await until(() => (events.some(wanted) ? true : undefined), { timeoutMs: 5000 });
        assert.ok(found, JSON.stringify(events));
      };
      const filter = { linkIndex: link.index, direction: 'ingress', priority: 1, name: 'x' } as const;
      await a.filters.apply([{ op: 'replace', filter, program }]);
      await seen((event) => event.type === 'filters' && event.linkIndex === link.index);
      const spec = { vni: 7, port: 4789, learning: false };
      const made = await a.links.create({ kind: 'vxlan', name: 'vxlan.calico', up: true, vxlan: spec });
      const vxlan = value(made);
      const entry = {
        mac: '66:00:00:00:00:02',
        linkIndex: vxlan.index,
        remote: address('10.0.0.2'),
        permanent: true,
      };
      await a.fdb.apply([
        { op: 'replace', entry },
        { op: 'delete', entry },
      ]);
      await seen((event) => event.type === 'fdb' && event.entry.remote === '10.0.0.2');
      await seen((event) => event.type === 'fdb-deleted' && event.entry.mac === entry.mac);
      subscription.close();
    });
  });
}
