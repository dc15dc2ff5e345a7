// Packets that are under way while programs change: they keep to the rules of the generation in which they began, and look
// into maps as they are by then. Whatever they meet of either side, they end as they would have before or after.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Family } from '../../../../lib/ip/mod.ts';
import type { Packet, Rule, SetId } from '../../../../policy/mod.ts';
import type { NftRow } from '../../nftables.ts';
import { type NftChange, transactionsOf } from '../../transactions.ts';
import { CompiledPrograms } from './compiled-programs.ts';
import { programChain } from './program.ts';
import {
  addressSets,
  arbitraryGroup,
  arbitraryMembers,
  arbitraryPacket,
  arbitraryRule,
  definition,
  PlayedTables,
  portSets,
  TellingChains,
} from './testing.ts';

type Rows = ReadonlyMap<string, NftRow>;

/** What the kernel holds after each transaction that leads from the one to the other. */
function generations(before: Rows, after: Rows): readonly Rows[] {
  const changes: NftChange[] = [];
  for (const [key, row] of after) {
    const actual = before.get(key);
    if (actual === undefined) changes.push({ op: 'put', key, row, actual: undefined });
    else if (JSON.stringify(actual) !== JSON.stringify(row))
      changes.push({ op: 'put', key, row, actual: '[null]' });
  }
  for (const key of before.keys()) if (!after.has(key)) changes.push({ op: 'remove', key, actual: '[null]' });
  const intervals = new Set<string>();
  for (const row of [...before.values(), ...after.values()])
    if (row.kind === 'set' && row.set.interval === true) intervals.add(`${row.family} ${row.set.name}`);
  const states: Rows[] = [before];
  for (const transaction of transactionsOf(changes, intervals)) {
    const state = new Map(states.at(-1));
    for (const change of transaction)
      if (change.op === 'remove') state.delete(change.key);
      else state.set(change.key, change.row);
    states.push(state);
  }
  return states;
}

/** Tables of which a packet sees rules of one generation, and maps of the next from some lookup on; maps with concatenated
 *  intervals become others only when the transaction is over, which is later still. */
class TablesInChange extends PlayedTables {
  readonly #maps: readonly [Rows, Rows];
  #hashesLeft: number;
  #intervalsLeft: number;

  constructor(rules: Rows, maps: readonly [Rows, Rows], hashesAt: number, intervalsAt: number) {
    super();
    for (const [key, row] of rules) if (row.kind === 'chain') this.rows.set(key, row);
    this.#maps = maps;
    this.#hashesLeft = hashesAt;
    this.#intervalsLeft = intervalsAt;
  }

  protected override mapsFor(nft: string, name: string): Rows {
    const [old, young] = this.#maps;
    const set = old.get(`${nft} set ${name}`) ?? young.get(`${nft} set ${name}`);
    const isLate = set?.kind === 'set' && set.set.interval === true && set.set.key.length > 1;
    this.#hashesLeft--;
    this.#intervalsLeft--;
    const isYoung = isLate ? this.#intervalsLeft < 0 : this.#hashesLeft < 0;
    return isYoung ? young : old;
  }
}

const lookupsAtMost = 12;

function* verdictsUnderWay(
  states: readonly Rows[],
  family: Family,
  packet: Packet,
): Generator<{ readonly verdict: string; readonly how: string }> {
  for (let i = 0; i + 1 < states.length; i++) {
    const maps = [states[i], states[i + 1]] as [Rows, Rows];
    for (let at = 0; at < lookupsAtMost; at++) {
      // Begun before the transaction; begun in it.
      for (const [rules, hashesAt] of [
        [maps[0], at],
        [maps[1], 0],
      ] as const) {
        const tables = new TablesInChange(rules, maps, hashesAt, at);
        const how = `generation ${i} of ${states.length}, rules ${rules === maps[0] ? 'old' : 'new'}, maps from lookup ${at}`;
        yield { verdict: tables.decide(family, programChain('a'), packet), how };
      }
    }
  }
}

const allSets = [...addressSets, ...portSets];

test('packets under way while a program changes end as before or as after', () => {
  fc.assert(
    fc.property(
      arbitraryGroup('a').chain((group) =>
        fc.record({
          group: fc.constant(group),
          sets: fc.record(Object.fromEntries(allSets.map((id) => [id, arbitraryMembers(id)]))),
          // Whom rules ask about stays; what they say of them does not.
          rules: fc.array(arbitraryRule(group.direction), { minLength: 1, maxLength: 4 }),
          at: fc.record({ tier: fc.nat(2), policy: fc.nat(2) }),
          packets: fc.array(arbitraryPacket(group), { minLength: 4, maxLength: 4 }),
        }),
      ),
      ({ group, sets, rules, at, packets }) => {
        const chains = new TellingChains();
        const compiled = new CompiledPrograms(chains);
        for (const [id, members] of Object.entries(sets)) compiled.setSet(definition(id as SetId), members);
        // Another program that asks for all, so that classes stay what they are.
        const witness = {
          ...group,
          key: 'w',
          program: { ...group.program, tiers: [witnessTier(rules), ...group.program.tiers] },
        };
        compiled.set(witness);
        compiled.set(group);
        const tables = new PlayedTables();
        tables.apply(compiled.flush());
        const before: Rows = new Map(tables.rows);
        const tiers = group.program.tiers.map((tier, t) =>
          t === at.tier
            ? { ...tier, policies: tier.policies.map((p, i) => (i === at.policy ? { ...p, rules } : p)) }
            : tier,
        );
        const old = packets.map((packet) => tables.decide(group.family, programChain('a'), packet));
        compiled.set({ ...group, program: { ...group.program, tiers } });
        tables.apply(compiled.flush());
        const states = generations(before, tables.rows);
        for (const [i, packet] of packets.entries()) {
          const allowed = [old[i], tables.decide(group.family, programChain('a'), packet)];
          for (const { verdict, how } of verdictsUnderWay(states, group.family, packet))
            assert.ok(allowed.includes(verdict), `${verdict} is none of ${allowed.join(', ')}: ${how}`);
        }
      },
    ),
    { numRuns: Number(process.env['RUNS'] ?? 60) },
  );
});

const witnessTier = (rules: readonly Rule[]) => ({
  name: 'witness',
  endAction: 'deny' as const,
  policies: [
    {
      id: { kind: 'GlobalNetworkPolicy', name: 'witness' } as const,
      rules: [
        ...rules,
        ...allSets
          .filter((id) => id.startsWith('s:'))
          .map((id): Rule => ({ action: 'allow', source: { sets: [id] }, destination: {} })),
      ],
    },
  ],
});
