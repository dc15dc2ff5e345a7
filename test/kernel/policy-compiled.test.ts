// Compiled programs in the kernel: packets meet the rule that src/policy names. Chains of rules count and drop, so each
// packet shows where it ended; what comes after the decision is another test's.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { nftOperations, nftTableName, type NftRow } from '../../src/felix/dataplane/mod.ts';
import { nftKey } from '../../src/felix/dataplane/nftables.ts';
import { CompiledPrograms } from '../../src/felix/dataplane/policy/compiled/mod.ts';
import {
  addressSets,
  arbitraryGroup,
  arbitraryMembers,
  arbitraryPacket,
  decisionText,
  definition,
  meantDecision,
  memorySets,
  portSets,
  TellingChains,
} from '../../src/felix/dataplane/policy/compiled/testing.ts';
import type { GroupProgram, ProgramDecision, RuleChains } from '../../src/felix/dataplane/policy/types.ts';
import { Reconciler } from '../../src/felix/dataplane/reconciler.ts';
import { Table } from '../../src/felix/dataplane/table.ts';
import { createNamedNamespace, deleteNamedNamespace, openKernel, type Kernel } from '../../src/kernel/mod.ts';
import type { Family } from '../../src/lib/ip/mod.ts';
import { expect } from '../../src/lib/result.ts';
import type { Packet, SetId } from '../../src/policy/mod.ts';
import { packetBytes } from '../support/policy-packets.ts';
import { wireEnd, type PacketEnd } from '../support/policy-sockets.ts';

const withNft = spawnSync('nft', ['--version']).status === 0;
const skip = withNft ? false : 'the command nft is not installed';
const macs = { node: '02:00:00:00:00:01', wire: '02:00:00:00:00:02' };
const nft = (family: Family): 'ip' | 'ip6' => (family === 4 ? 'ip' : 'ip6');

/** Rule chains that count and drop. */
class CountingChains implements RuleChains {
  readonly telling = new TellingChains();
  readonly #put: (row: NftRow) => void;
  readonly #drop: (key: string) => void;

  constructor(put: (row: NftRow) => void, drop: (key: string) => void) {
    this.#put = put;
    this.#drop = drop;
  }

  use(family: Family, decision: ProgramDecision): string {
    const name = this.telling.use(family, decision);
    this.#put({ kind: 'chain', family: nft(family), chain: { name }, rules: ['counter drop'] });
    return name;
  }

  release(family: Family, decision: ProgramDecision): void {
    const name = this.telling.use(family, decision);
    this.telling.release(family, decision);
    this.telling.release(family, decision);
    if (this.telling.text(name) === undefined) this.#drop(`${nft(family)} chain ${name}`);
  }
}

type Counters = { readonly nftables: readonly { readonly rule?: CountedRule }[] };
type CountedRule = {
  readonly chain: string;
  readonly expr: readonly { readonly counter?: { readonly packets: number } }[];
};

describe('compiled programs', { skip }, () => {
  const node = `mpc${process.pid}-node`;
  const wire = `mpc${process.pid}-wire`;
  let kernel: Kernel;
  let end: PacketEnd;

  before(async () => {
    for (const name of [node, wire]) expect(await createNamedNamespace(name), name);
    const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
    ip(
      '-n',
      node,
      'link',
      'add',
      'w0',
      'address',
      macs.node,
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      wire,
    );
    // Nobody speaks unasked.
    ip('-n', wire, 'link', 'set', 'eth0', 'address', macs.wire, 'addrgenmode', 'none');
    ip('-n', node, 'link', 'set', 'w0', 'addrgenmode', 'none');
    ip('-n', wire, 'link', 'set', 'eth0', 'up');
    ip('-n', node, 'link', 'set', 'w0', 'up');
    kernel = expect(await openKernel({ netns: `/run/netns/${node}` }), 'open the node');
    end = await wireEnd(`/run/netns/${wire}`, 'eth0', macs.wire, macs.node);
  });
  after(async () => {
    end.close();
    await kernel.close();
    for (const name of [node, wire]) await deleteNamedNamespace(name);
  });

  const list = (family: Family): Counters =>
    JSON.parse(
      execFileSync('ip', ['netns', 'exec', node, 'nft', '-j', 'list', 'table', nft(family), nftTableName], {
        encoding: 'utf8',
        maxBuffer: 1 << 26,
      }),
    ) as Counters;

  /** Packets in each chain of a rule. */
  const counts = (family: Family): Map<string, number> => {
    const found = new Map<string, number>();
    for (const { rule } of list(family).nftables)
      if (rule?.chain.startsWith('rule-') === true)
        found.set(rule.chain, rule.expr[0]?.counter?.packets ?? 0);
    return found;
  };

  class Node {
    readonly table = new Table<NftRow>('nftables', nftKey);
    readonly chains = new CountingChains(
      (row) => this.table.set(row),
      (key) => this.table.delete(key),
    );
    readonly compiled = new CompiledPrograms(this.chains);
    readonly reconciler = new Reconciler(this.table, nftOperations(kernel), {
      batchSize: Number.POSITIVE_INFINITY,
    });
    readonly members = new Map<SetId, readonly string[]>();

    setSet(id: SetId, members: readonly string[] | undefined): void {
      if (members === undefined) {
        this.members.delete(id);
        this.compiled.removeSet(id);
      } else {
        this.members.set(id, members);
        this.compiled.setSet(definition(id), members);
      }
    }

    /** All rows in the kernel, and found there when it is read anew. */
    async flush(group: GroupProgram, chain: string): Promise<void> {
      const { put, drop } = this.compiled.flush();
      for (const key of drop) this.table.delete(key);
      for (const [key, row] of put) this.table.set(row, key);
      const family = nft(group.family);
      this.table.set({ kind: 'table', family });
      this.table.set({
        kind: 'chain',
        family,
        chain: { name: 'probe', base: { type: 'filter', hook: 'prerouting', priority: 0 } },
        rules: [`goto ${chain}`],
      });
      await this.reconciler.idle();
      assert.deepEqual([...this.table.unfinished()], []);
      this.reconciler.observe({ type: 'resync', reason: 'test' });
      await this.reconciler.idle();
      assert.equal(this.reconciler.counters.drifted, 0, 'rows read back as they were written');
    }
  }

  const check = async (group: GroupProgram, node: Node, packets: readonly Packet[]): Promise<void> => {
    const sets = memorySets(node.members);
    const meant = new Map<string, number>();
    const before = counts(group.family);
    for (const [id, packet] of packets.entries()) {
      const text = decisionText(meantDecision(group, sets, packet));
      meant.set(text, (meant.get(text) ?? 0) + 1);
      end.send(packetBytes(packet, id));
    }
    const met = new Map<string, number>();
    for (const [chain, packets] of counts(group.family)) {
      const count = packets - (before.get(chain) ?? 0);
      if (count > 0) met.set(node.chains.telling.text(chain) ?? chain, count);
    }
    assert.deepEqual(Object.fromEntries(met), Object.fromEntries(meant));
  };

  const allSets = [...addressSets, ...portSets];
  const arbitraryWorld = arbitraryGroup('a').chain((group) =>
    fc.record({
      group: fc.constant(group),
      sets: fc.tuple(...allSets.map((id) => fc.option(arbitraryMembers(id), { freq: 8, nil: undefined }))),
      later: fc.tuple(...allSets.map((id) => fc.option(arbitraryMembers(id), { freq: 2, nil: undefined }))),
      packets: fc.array(arbitraryPacket(group), { minLength: 60, maxLength: 60 }),
    }),
  );

  for (const [i, world] of fc.sample(arbitraryWorld, { numRuns: 25, seed: 7 }).entries())
    test(`RS-092 FX-049: packets meet the rule that policy names, world ${i}`, async (t) => {
      const { group, sets, later, packets } = world;
      const node = new Node();
      t.after(async () => {
        await node.reconciler.stop();
        const table = { family: nft(group.family), name: nftTableName } as const;
        expect(await kernel.nftables.apply([{ op: 'delete-table', table }]), 'delete the table');
      });
      node.reconciler.start();
      for (const [at, id] of allSets.entries()) node.setSet(id, sets[at]);
      const outcome = node.compiled.set(group);
      assert.ok(outcome.compiled);
      await node.flush(group, outcome.chain);
      await check(group, node, packets);
      for (const [at, id] of allSets.entries()) if (later[at] !== undefined) node.setSet(id, later[at]);
      await node.flush(group, outcome.chain);
      await check(group, node, packets);
    });
});
