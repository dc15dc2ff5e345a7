// The language and its encoding, without a kernel. That nft reads it back alike is shown in test/kernel.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { addressFromBytes } from '../../lib/ip/mod.ts';
import { messages, MessageWriter } from '../netlink/message.ts';
import type { NftCommand, NftElement, NftSet } from '../types.ts';
import { compileRule } from './compile.ts';
import { compareBytes, formatRange, knownType, parseRange, predecessor, successor } from './data-types.ts';
import { encodeExpression, type Expression } from './expressions.ts';
import { decodeElementList, encodeElements, nft } from './messages.ts';
import { parseRule, referencesOf } from './parser.ts';
import {
  canonicalElement,
  decodeElements,
  encodeElement,
  shapeOf,
  typeNumber,
  typesOfNumber,
} from './sets.ts';
import { encodeTransaction } from './transaction.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const packed = (text: string): string => text.replace(/\s/g, '');
const table = { family: 'ip', name: 't' } as const;

function compiled(text: string, sets: readonly NftSet[] = []): readonly Expression[] {
  const parsed = parseRule(text);
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.error.message);
  let id = 1;
  const result = compileRule(parsed.value, {
    family: 'ip',
    resolve: (name) => {
      const set = sets.find((one) => one.name === name);
      const shape = set && shapeOf(set);
      return shape?.ok === true ? shape.value : undefined;
    },
    nextSetId: () => id++,
  });
  assert.ok(result.ok, result.ok ? '' : result.error.message);
  return result.value.expressions;
}

function refusal(text: string, sets: readonly NftSet[] = []): string {
  const parsed = parseRule(text);
  if (!parsed.ok) return parsed.error.message;
  const result = compileRule(parsed.value, {
    family: 'ip',
    resolve: (name) => {
      const set = sets.find((one) => one.name === name);
      const shape = set && shapeOf(set);
      return shape?.ok === true ? shape.value : undefined;
    },
    nextSetId: () => 1,
  });
  return result.ok ? '' : result.error.message;
}

describe('what is not understood is refused by name', () => {
  for (const [rule, word] of [
    ['', 'empty'],
    ['flow add @f', '"flow" is not supported'],
    ['ip length 40 drop', '"ip length"'],
    ['tcp window 5 drop', '"tcp window"'],
    ['tcp flags nothing drop', '"nothing"'],
    ['ip dscp 5 drop', '"ip dscp"'],
    ['ip dscp set 64', '64'],
    ['ct count five drop', '"five"'],
    ['ip saddr map none vmap @p', '"none"'],
    ['ip saddr 10.0.0.300 drop', '"10.0.0.300"'],
    ['ip saddr 10.0.0.1/24 drop', '"10.0.0.1/24"'],
    ['ip saddr fd00::1 drop', '"fd00::1"'],
    ['ip6 saddr fd00::1 drop', '"ip6 saddr" does not exist'],
    ['tcp dport 99999 drop', '"99999"'],
    ['tcp dport 90-80 drop', '"90-80"'],
    ['tcp dport { } drop', 'empty'],
    ['tcp dport { 80 drop', '"}"'],
    ['tcp dport 1 udp dport 2 drop', '"udp dport" contradicts'],
    ['ip saddr @none drop', '"none"'],
    ['iifname "*" drop', '"*"'],
    ['iifname "a-name-of-16-byt" drop', '"a-name-of-16-byt"'],
    ['ct state established,nothing drop', '"nothing"'],
    ['ct state != established,related drop', 'list of flags'],
    ['meta mark set ip saddr', '"ip saddr"'],
    ['meta mark set meta mark and nothing', '"nothing"'],
    ['ip saddr and 0xff == 1 drop', 'bits of "ip saddr"'],
    ['meta mark 1-5 drop', '"meta mark"'],
    ['limit rate 10/fortnight accept', '"10/fortnight"'],
    ['limit rate 10 mbytes/second accept', '"10"'],
    ['reject with icmp type nothing', '"nothing"'],
    ['snat to fd00::1', '"fd00::1"'],
    ['dnat to 10.0.0.1:99999', '"99999"'],
    ['jump', 'the end of the rule'],
    ['accept accept accept %', '"%"'],
    ['udp dport vmap { 1-5 : drop, 3 : accept }', 'overlap'],
    ['ip saddr . tcp dport 5 drop', '"5"'],
    ['queue num 0', '"queue"'],
  ] as const)
    test(rule === '' ? '(empty)' : rule, () => {
      const message = refusal(rule);
      assert.ok(message.includes(word), `${message} should name ${word}`);
    });

  test('a set of the wrong type', () => {
    const ports: NftSet = { name: 'ports', key: ['inet_service'] };
    assert.match(refusal('ip saddr @ports drop', [ports]), /inet_service/);
    assert.match(refusal('tcp dport vmap @ports', [ports]), /not a map/);
    assert.match(refusal('tcp dport @ports drop', [{ ...ports, data: ['verdict'] }]), /not a set/);
  });
});

describe('rules', () => {
  test('expressions and their bytes', () => {
    const expressions = compiled('tcp dport 80 accept');
    assert.deepEqual(expressions, [
      { op: 'load', from: 'meta', key: 16, register: 1 },
      { op: 'cmp', register: 1, comparison: 'eq', data: Uint8Array.of(6) },
      { op: 'payload', base: 'transport', offset: 2, length: 2, register: 1 },
      { op: 'cmp', register: 1, comparison: 'eq', data: Uint8Array.of(0, 80) },
      { op: 'verdict', verdict: { code: 'accept' } },
    ]);
    const w = new MessageWriter();
    for (const expression of expressions) encodeExpression(w, expression);
    assert.equal(
      hex(w.bytes),
      packed(`2400 0180  0900 0100 6d657461 00 000000  1400 0280  0800 0100 00000001  0800 0200 00000010
              2c00 0180  0800 0100 636d70 00  2000 0280  0800 0100 00000001  0800 0200 00000000
                0c00 0380  0500 0100 06 000000
              3400 0180  0c00 0100 7061796c6f616400  2400 0280  0800 0100 00000001  0800 0200 00000002
                0800 0300 00000002  0800 0400 00000002
              2c00 0180  0800 0100 636d70 00  2000 0280  0800 0100 00000001  0800 0200 00000000
                0c00 0380  0600 0100 0050 0000
              3000 0180  0e00 0100 696d6d65646961746500 0000  1c00 0280  0800 0100 00000000
                1000 0280  0c00 0280  0800 0100 00000001`),
    );
  });

  test('a transport protocol is matched once', () => {
    const loads = (text: string) => compiled(text).filter((e) => e.op === 'load' && e.key === 16).length;
    assert.equal(loads('tcp sport 1 tcp dport 2 accept'), 1);
    assert.equal(loads('meta l4proto tcp tcp dport 2 accept'), 1);
    assert.equal(loads('ip protocol tcp tcp dport 2 accept'), 0);
    assert.equal(loads('meta l4proto != tcp th dport 2 accept'), 1);
  });

  test('interval maps compare marks in network order', () => {
    const program: NftSet = { name: 'p', key: ['mark', 'inet_service'], data: ['verdict'], interval: true };
    const ops = (set: NftSet) => compiled('meta mark . th dport vmap @p', [set]).map((e) => e.op);
    assert.deepEqual(ops(program), ['load', 'to-network-order', 'payload', 'lookup']);
    assert.deepEqual(ops({ ...program, interval: false }), ['load', 'payload', 'lookup']);
  });

  test('bit operations fold from left to right', () => {
    fc.assert(
      fc.property(
        fc.nat(0xffffffff),
        fc.array(fc.tuple(fc.constantFrom('and', 'or', 'xor'), fc.nat(0xffffffff)), {
          minLength: 1,
          maxLength: 6,
        }),
        (start, steps) => {
          const text = steps.map(([op, n]) => `${op} ${n}`).join(' ');
          const bits = compiled(`meta mark set meta mark ${text}`).find((e) => e.op === 'bitwise');
          assert.ok(bits?.op === 'bitwise');
          const word = (bytes: Uint8Array) => new DataView(bytes.buffer).getUint32(0, true);
          const got = ((start & word(bits.mask)) ^ word(bits.flip)) >>> 0;
          const wanted = steps.reduce(
            (n, [op, v]) => (op === 'and' ? n & v : op === 'or' ? n | v : n ^ v) >>> 0,
            start,
          );
          assert.equal(got, wanted);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('the sets and chains a rule names', () => {
    const parsed = parseRule('ip saddr @a iifname vmap @b tcp dport vmap { 1 : jump c } goto d');
    assert.ok(parsed.ok);
    const { sets, chains } = referencesOf(parsed.value);
    assert.deepEqual(
      [[...sets], [...chains]],
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    );
  });

  test('random text is refused or understood, never a crash', () => {
    const words =
      'ip saddr daddr @s { } , : . != 10.0.0.0/8 tcp dport 80 1-5 vmap accept goto x ct state new meta mark set and 0x1 "a*" iifname map fib log prefix dnat to [fd00::1]:5'.split(
        ' ',
      );
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...words), { maxLength: 12 }), (list) => {
        refusal(list.join(' '));
      }),
      { numRuns: 500 },
    );
  });
});

describe('sets', () => {
  test('type numbers of concatenations', () => {
    const types = ['mark', 'inet_proto', 'inet_service'].map(knownType);
    assert.equal(typeNumber(types), (19 << 12) | (12 << 6) | 13);
    assert.deepEqual(typesOfNumber(typeNumber(types)), types);
    assert.equal(typesOfNumber(63), undefined);
  });

  const bytes = (n: number) => fc.uint8Array({ minLength: n, maxLength: n });
  test('ranges and their shortest text', () => {
    const type = knownType('ipv4_addr');
    for (const [text, canonical] of [
      ['10.0.0.0/8', '10.0.0.0/8'],
      ['10.0.0.0-10.255.255.255', '10.0.0.0/8'],
      ['10.0.0.1-10.0.0.1', '10.0.0.1'],
      ['10.0.0.1-10.0.0.2', '10.0.0.1-10.0.0.2'],
      ['0.0.0.0/0', '0.0.0.0/0'],
      ['10.0.0.1/32', '10.0.0.1'],
    ] as const) {
      const range = parseRange(type, text);
      assert.ok(range);
      assert.equal(formatRange(type, range), canonical);
    }
    fc.assert(
      fc.property(bytes(4), bytes(4), (x, y) => {
        const [from, to] = compareBytes(x, y) <= 0 ? [x, y] : [y, x];
        const text = formatRange(type, { from, to });
        assert.deepEqual(parseRange(type, text), { from, to });
      }),
      { numRuns: 200 },
    );
  });

  test('successor and predecessor', () => {
    fc.assert(
      fc.property(bytes(4), (x) => {
        const next = successor(x);
        if (next === undefined) assert.ok(x.every((byte) => byte === 255));
        else assert.deepEqual(predecessor(next), x);
      }),
    );
    assert.equal(successor(Uint8Array.of(255, 255)), undefined);
  });

  test('elements of an interval set come back from the kernel’s form in order', () => {
    const pools: NftSet = { name: 'p', key: ['ipv4_addr'], data: ['mark'], interval: true };
    const shape = shapeOf(pools);
    assert.ok(shape.ok);
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(0xffffff), { minLength: 1, maxLength: 20 }), (numbers) => {
        const sorted = numbers.sort((a, b) => a - b);
        const elements: NftElement[] = [];
        for (let i = 0; i + 1 < sorted.length; i += 2) {
          const at = (n: number) => addressFromBytes(Uint8Array.of(10, n >> 16, (n >> 8) & 255, n & 255));
          const range = `${at(sorted[i] ?? 0)}-${at(sorted[i + 1] ?? 0)}`;
          const one = canonicalElement(pools, { key: range, data: '0x00000005', comment: 'c' });
          assert.ok(one.ok);
          elements.push(one.value);
        }
        const raw = elements.flatMap((element) => {
          const encoded = encodeElement(shape.value, element);
          assert.ok(encoded.ok);
          return encoded.value;
        });
        assert.deepEqual(decodeElements(shape.value, raw.toReversed()), elements);
      }),
      { numRuns: 100 },
    );
  });

  test('element messages, in both directions', () => {
    const set: NftSet = { name: 'p', key: ['mark', 'inet_service'], data: ['verdict'], interval: true };
    const shape = shapeOf(set);
    assert.ok(shape.ok);
    const element = { key: ['1', '80-90'], data: 'goto x', comment: 'hi' };
    const raw = encodeElement(shape.value, element);
    assert.ok(raw.ok);
    const w = new MessageWriter().message(nft.NEWSETELEM, 0, 1);
    assert.equal(encodeElements(w, table, { name: 'p' }, raw.value, 0), 1);
    const all = w.end().bytes.slice();
    assert.equal(
      hex(all.subarray(16)),
      packed(`02 00 0000  0600 0100 7400 0000  0600 0200 7000 0000
              4c00 0380  4800 0180
                1000 0180  0c00 0100 00000001 00500000
                1000 0a80  0c00 0100 00000001 005a0000
                1800 0280  1400 0280  0800 0100 fffffffc  0600 0200 7800 0000
                0900 0600 00 03 6869 00 000000`),
    );
    const view = new DataView(all.buffer);
    const [message] = [...messages(view, all.length)];
    assert.ok(message);
    const decoded = decodeElementList(view, message);
    assert.deepEqual(decodeElements(shape.value, decoded ?? []), [
      { key: ['0x00000001', '80-90'], data: 'goto x', comment: 'hi' },
    ]);
  });

  test('what does not fit is refused', () => {
    const hosts: NftSet = { name: 'h', key: ['ipv4_addr'] };
    const bad: readonly (readonly [NftSet, NftElement])[] = [
      [hosts, { key: '10.0.0.0/8' }],
      [hosts, { key: '10.0.0.1', data: 'accept' }],
      [hosts, { key: ['10.0.0.1', '80'] }],
      [{ ...hosts, data: ['verdict'] }, { key: '10.0.0.1' }],
      [
        { ...hosts, data: ['verdict'] },
        { key: '10.0.0.1', data: 'fly x' },
      ],
      [
        { ...hosts, data: ['mark'] },
        { key: '10.0.0.1', data: 'x' },
      ],
      [{ ...hosts, key: ['nothing'] }, { key: '10.0.0.1' }],
    ];
    for (const [set, element] of bad) {
      const result = canonicalElement(set, element);
      assert.equal(result.ok ? '' : result.error.code, 'InvalidArgument', JSON.stringify(element));
    }
  });
});

describe('transactions', () => {
  test('begin, messages and end, each with its number', () => {
    const commands: NftCommand[] = [
      { op: 'add-table', table },
      { op: 'add-chain', table, chain: { name: 'x' } },
      {
        op: 'add-rule',
        table,
        chain: 'x',
        rule: { expression: 'tcp dport { 80, 443 } accept', comment: 'hi' },
      },
    ];
    const transaction = encodeTransaction(commands, 100, new Map());
    assert.ok(transaction.ok);
    const bytes = transaction.value.bytes.slice();
    const list = [...messages(new DataView(bytes.buffer), bytes.length)].map((m) => [m.type, m.sequence]);
    assert.deepEqual(list, [
      [0x10, 99],
      [nft.NEWTABLE, 100],
      [nft.NEWCHAIN, 101],
      [nft.NEWSET, 102],
      [nft.NEWSETELEM, 103],
      [nft.NEWRULE, 104],
      [0x11, 105],
    ]);
    const owners = [99, 100, 101, 102, 103, 104, 105].map((n) => transaction.value.commandOf(n));
    assert.deepEqual(owners, [undefined, 0, 1, 2, 2, 2, undefined]);
  });

  test('long element lists are divided', () => {
    const set: NftSet = { name: 's', key: ['ipv4_addr'] };
    const elements = Array.from({ length: 5000 }, (_, n) => ({ key: `10.0.${n >> 8}.${n & 255}` }));
    const transaction = encodeTransaction(
      [
        { op: 'add-set', table, set },
        { op: 'add-elements', table, set: 's', elements },
      ],
      1,
      new Map(),
    );
    assert.ok(transaction.ok);
    const bytes = transaction.value.bytes.slice();
    const view = new DataView(bytes.buffer);
    let count = 0;
    for (const message of messages(view, bytes.length)) {
      assert.ok(message.end - message.start < 65_536);
      count += decodeElementList(view, message)?.length ?? 0;
    }
    assert.equal(count, 5000);
  });
});
