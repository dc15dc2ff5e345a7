// What a change costs, and what classes look like, by example; properties.test.ts has the laws.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Family } from '../../../../lib/ip/mod.ts';
import type { Rule, SetId, SideMatch } from '../../../../policy/mod.ts';
import type { GroupProgram } from '../types.ts';
import { CompiledPrograms } from './compiled-programs.ts';
import { asMadeFirst, definition, PlayedTables, TellingChains } from './testing.ts';

const setId = (id: string): SetId => id as SetId;
const from = (fields: Readonly<Record<string, unknown>>): SideMatch => fields;
const allow = (source: SideMatch, ...ports: readonly number[]): Rule => ({
  action: 'allow',
  source,
  ...(ports.length === 0 ? {} : { protocol: 6 }),
  destination: ports.length === 0 ? {} : { ports: ports.map((port) => ({ first: port, last: port })) },
});
const group = (key: string, policies: readonly (readonly Rule[])[], family: Family = 4): GroupProgram => ({
  key,
  family,
  direction: 'ingress',
  own: [],
  program: {
    tiers: [
      {
        name: 'default',
        endAction: 'deny',
        policies: policies.map((rules, i) => ({
          id: { kind: 'GlobalNetworkPolicy', name: `policy-${i}` },
          rules,
        })),
      },
    ],
    profiles: [],
    otherwise: 'deny',
  },
});

const flushed = (compiled: CompiledPrograms): { put: string[]; drop: string[] } => {
  const { put, drop } = compiled.flush();
  return { put: [...put.keys()], drop: [...drop] };
};
function made() {
  const chains = new TellingChains();
  return { chains, compiled: new CompiledPrograms(chains), tables: new PlayedTables() };
}

test('a member of a set is one element; so is one that changes sets', () => {
  const { compiled } = made();
  for (const id of ['s:a', 's:b']) compiled.setSet(definition(setId(id)), ['10.0.0.1/32', '10.0.0.2/32']);
  compiled.setSet(definition(setId('s:c')), ['10.0.0.3/32']);
  compiled.setSet(definition(setId('s:unused')), ['10.0.0.9/32']);
  compiled.set(group('p', [[allow(from({ sets: ['s:a', 's:b'] }), 80)], [allow(from({ sets: ['s:c'] }))]]));
  compiled.flush();
  compiled.changeMembers(setId('s:c'), ['10.0.0.4/32'], []);
  compiled.changeMembers(setId('s:unused'), ['10.0.0.10/32'], []);
  assert.deepEqual(flushed(compiled), { put: ['ip element hosts 10.0.0.4'], drop: [] });
  for (const id of ['s:a', 's:b']) compiled.changeMembers(setId(id), [], ['10.0.0.2/32']);
  compiled.changeMembers(setId('s:c'), ['10.0.0.2/32'], []);
  assert.deepEqual(flushed(compiled), { put: ['ip element hosts 10.0.0.2'], drop: [] });
  compiled.changeMembers(setId('s:c'), [], ['10.0.0.4/32']);
  assert.deepEqual(flushed(compiled), { put: [], drop: ['ip element hosts 10.0.0.4'] });
});

test('networks in networks are disjoint intervals, and an inner one changes its neighbours only', () => {
  const { compiled, tables } = made();
  compiled.setSet(definition(setId('s:a')), ['10.0.0.0/8', '192.168.0.0/16']);
  compiled.setSet(definition(setId('s:b')), []);
  compiled.set(group('p', [[allow(from({ sets: ['s:a'] }), 80)], [allow(from({ sets: ['s:b'] }))]]));
  tables.apply(compiled.flush());
  compiled.changeMembers(setId('s:b'), ['10.1.0.0/16', '10.1.2.3/32'], []);
  const { put, drop } = compiled.flush();
  tables.apply({ put, drop });
  const ofNets = [...drop].filter((key) => key.startsWith('ip element nets '));
  assert.deepEqual(ofNets, ['ip element nets 10.0.0.0/8']);
  const intervals = [...tables.rows.keys()].filter((key) => key.startsWith('ip element nets '));
  assert.deepEqual(
    intervals.sort((a, b) => a.localeCompare(b)),
    [
      'ip element nets 10.0.0.0/16',
      'ip element nets 10.1.0.0/16',
      'ip element nets 10.2.0.0-10.255.255.255',
      'ip element nets 192.168.0.0/16',
    ],
  );
  const row = tables.rows.get('ip element hosts 10.1.2.3');
  const net = tables.rows.get('ip element nets 10.1.0.0/16');
  assert.ok(row?.kind === 'element' && net?.kind === 'element');
  assert.deepEqual(row.element.data, net.element.data, 'the host is in all that its network is in');
});

test('lookups that would be empty are left out; wide ranges of ports are intervals', () => {
  const { compiled, tables } = made();
  compiled.setSet(definition(setId('s:a')), ['10.0.0.1/32']);
  const rules = (): readonly string[] => {
    tables.apply(compiled.flush());
    const row = tables.rows.get('ip chain program-p');
    assert.ok(row?.kind === 'chain');
    return row.rules.map(String).map((rule) => asMadeFirst(rule).replace(/rule-\d+-\d+/, 'rule'));
  };
  compiled.set(group('p', [[allow(from({ sets: ['s:a'] }))]]));
  assert.deepEqual(rules(), ['ip saddr map @hosts vmap @p-p-class', 'goto rule']);
  compiled.set(group('p', [[allow(from({ sets: ['s:a'] }), 80)], [allow({}, 22)]]));
  assert.deepEqual(rules(), [
    'ip saddr map @hosts . meta l4proto . th dport vmap @p-p-port',
    'meta l4proto . th dport vmap @p-p-any-port',
    'goto rule',
  ]);
  // Behind a lookup of networks the class must say it all.
  compiled.changeMembers(setId('s:a'), ['10.1.0.0/16'], []);
  assert.deepEqual(rules(), [
    ...['hosts', 'nets'].flatMap((map) => [
      `ip saddr map @${map} . meta l4proto . th dport vmap @p-p-port`,
      `ip saddr map @${map} vmap @p-p-class`,
    ]),
    'meta l4proto . th dport vmap @p-p-any-port',
    'goto rule',
  ]);
  compiled.changeMembers(setId('s:a'), [], ['10.1.0.0/16']);
  compiled.set(
    group('p', [
      [
        {
          action: 'allow',
          protocol: 17,
          source: from({ sets: ['s:a'] }),
          destination: { ports: [{ first: 1000, last: 2000 }] },
        },
        { action: 'allow', protocol: 1, icmp: { type: 8 }, source: {}, destination: {} },
      ],
    ]),
  );
  assert.deepEqual(rules(), [
    'ip saddr map @hosts . meta l4proto . th dport vmap @p-p-range',
    'meta l4proto 1 meta l4proto . th sport vmap @p-p-any-icmp',
    'goto rule',
  ]);
});

test('what holds for strangers only is taken back for a class that keeps its own rules', () => {
  const { compiled, tables } = made();
  compiled.setSet(definition(setId('s:a')), ['10.0.0.1/32']);
  const own = [allow(from({ sets: ['s:a'] }), 80)];
  const elements = (port: number): readonly string[] => {
    const program = group('p', [own, [allow(from({ notSets: ['s:a'] }), port)]]);
    compiled.set(program);
    tables.apply(compiled.flush());
    return [...tables.rows.keys()]
      .filter((key) => key.startsWith('ip element p-p-'))
      .map((key) => asMadeFirst(key).replace(/0x\w+/, 'class'))
      .sort((a, b) => a.localeCompare(b));
  };
  for (const port of [22, 23])
    assert.deepEqual(elements(port), [
      `ip element p-p-any-port tcp . ${port}`,
      `ip element p-p-port class . tcp . ${port}`,
      'ip element p-p-port class . tcp . 80',
    ]);
});

test('what the lookups cannot say is told with its reason, and leaves nothing behind', () => {
  const { compiled, tables } = made();
  const reason = (rule: Partial<Rule>, more: Partial<GroupProgram> = {}): string => {
    compiled.set(group('p', [[allow({})]]));
    tables.apply(compiled.flush());
    const full: Rule = { action: 'deny', source: {}, destination: {}, ...rule };
    const outcome = compiled.set({ ...group('p', [[full]]), ...more });
    tables.apply(compiled.flush());
    assert.equal(tables.rows.size, 0);
    return outcome.compiled ? 'compiled' : outcome.reason;
  };
  assert.equal(reason({ source: { ports: [{ first: 1, last: 2 }] } }), 'source-ports');
  assert.equal(reason({ http: { methods: ['GET'] } }), 'http');
  assert.equal(reason({ destination: from({ nets: ['10.0.0.0/8'] }) }), 'own-addresses');
  const { program } = group('p', []);
  assert.equal(reason({}, { program: { ...program, otherwise: 'none' } }), 'undecided');
});

test('nothing is left when 10,000 programs came and went', () => {
  const { compiled, tables, chains } = made();
  for (let i = 0; i < 50; i++)
    compiled.setSet(definition(setId(`s:${i}`)), [`10.0.0.${i}/32`, `10.1.${i}.0/24`, '10.9.9.9/32']);
  const before = compiled.stats();
  for (let i = 0; i < 10_000; i++) {
    const sets = [`s:${i % 50}`, `s:${(i * 7) % 50}`];
    const family: Family = i % 10 === 0 ? 6 : 4;
    compiled.set(
      group(
        `g${i}`,
        [[allow(from({ sets: sets.slice(0, 1) }), 80 + (i % 9))], [allow(from({ sets }))]],
        family,
      ),
    );
    if (i >= 20) for (const one of [4, 6] as const) compiled.delete(one, `g${i - 20}`);
    if (i % 40 === 0) tables.apply(compiled.flush());
  }
  for (let i = 9_980; i < 10_000; i++) for (const one of [4, 6] as const) compiled.delete(one, `g${i}`);
  tables.apply(compiled.flush());
  assert.equal(tables.rows.size, 0);
  assert.equal(chains.inUse, 0);
  assert.deepEqual(compiled.stats(), before);
});
