// How many transactions a change takes; what packets meet in between is in policy/compiled/transitions.test.ts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nftKey, type NftRow } from './nftables.ts';
import { type NftChange, transactionsOf } from './transactions.ts';

const element = (set: string, key: string, rank?: number): NftRow => ({
  kind: 'element',
  family: 'ip',
  set,
  element: { key, data: 'goto rule-a' },
  ...(rank === undefined ? {} : { rank }),
});
const put = (row: NftRow): NftChange => ({ op: 'put', key: nftKey(row), row, actual: undefined });
const remove = (row: NftRow): NftChange => ({ op: 'remove', key: nftKey(row), actual: '[null]' });
const chain: NftRow = { kind: 'chain', family: 'ip', chain: { name: 'rule-a' }, rules: ['counter return'] };

const transactions = (changes: readonly NftChange[], intervals: readonly string[] = []): string[][] =>
  transactionsOf(changes, new Set(intervals)).map((stage) => stage.map(({ op, key }) => `${op} ${key}`));

test('elements that make way for others of one lookup go with them', () => {
  const edit = [put(element('port', '6 . 81', 1)), remove(element('port', '6 . 80', 1))];
  assert.deepEqual(transactions(edit), [['put ip element port 6 . 81', 'remove ip element port 6 . 80']]);
  const ofTwoPrograms = [...edit, put(element('other-port', '6 . 81', 1))];
  assert.equal(transactions(ofTwoPrograms).length, 1);
});

test('of several lookups, and where more than elements changes, what goes goes last', () => {
  const come = put(element('port', '6 . 81', 1));
  const go = remove(element('port', '6 . 80', 1));
  for (const more of [
    put(element('proto', '6', 2)),
    put(element('hosts', '10.0.0.1')),
    remove(element('class', '0x1', 5)),
    remove(chain),
    put(chain),
  ]) {
    const stages = transactions([come, more, go]);
    assert.ok(stages.length > 1, more.key);
    assert.ok(stages.at(-1)?.includes(`remove ${go.key}`), more.key);
  }
  // The intervals that come need the room of those that go.
  assert.deepEqual(transactions([come, go], ['ip port']), [[`put ${come.key}`, `remove ${go.key}`]]);
});
