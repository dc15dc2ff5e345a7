import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  addressAt,
  addressBits,
  addressFromBigInt,
  addToAddress,
  type Address,
  address,
  comparePrefixes,
  containsAddress,
  containsPrefix,
  familyOf,
  ordinalOf,
  parseAddress,
  parseNetwork,
  parsePrefix,
  type Prefix,
  prefix,
  prefixesOverlap,
  PrefixTrie,
  prefixLength,
  prefixOf,
  subPrefixAt,
} from './mod.ts';

const addresses = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }).map((n) => addressFromBigInt(n, 4)),
  fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((n) => addressFromBigInt(n, 6)),
);
const prefixes = fc
  .tuple(addresses, fc.nat(128))
  .map(([a, n]) => prefixOf(a, n % (addressBits(familyOf(a)) + 1)));

describe('addresses', () => {
  it('canonicalises as RFC 5952 says', () => {
    const cases: [string, string | undefined][] = [
      ['10.0.0.1', '10.0.0.1'],
      ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
      ['0:0:0:0:0:0:0:0', '::'],
      ['::1', '::1'],
      ['1::', '1::'],
      ['::ffff:10.1.2.3', '::ffff:10.1.2.3'],
      ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
      ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
      ['1:2:3:4:5:6:0:8', '1:2:3:4:5:6:0:8'],
      ['010.0.0.1', undefined],
      ['10.0.0', undefined],
      ['10.0.0.256', undefined],
      ['1::2::3', undefined],
      ['1:2:3:4:5:6:7', undefined],
      ['fe80::1%eth0', undefined],
      ['', undefined],
      [':', undefined],
      ['1:2:3:4:5:6:7:8::', undefined],
    ];
    for (const [text, expected] of cases) {
      const parsed = parseAddress(text);
      assert.equal(parsed.ok ? parsed.value : undefined, expected, text);
    }
  });

  it('prints what it parses', () => {
    fc.assert(
      fc.property(addresses, (a) => {
        const again = parseAddress(a);
        assert.deepEqual(again, { ok: true, value: a });
      }),
    );
  });

  it('adds within the address space only', () => {
    assert.equal(addToAddress(address('10.0.0.255'), 1), '10.0.1.0');
    assert.equal(addToAddress(address('255.255.255.255'), 1), undefined);
    assert.equal(addToAddress(address('::'), -1), undefined);
    assert.equal(addToAddress(address('ffff::ffff'), 1), 'ffff::1:0');
  });
});

describe('prefixes', () => {
  it('refuses host bits and says what was meant', () => {
    const parsed = parsePrefix('10.0.0.1/24');
    assert.equal(parsed.ok, false);
    if (!parsed.ok) assert.match(parsed.error.hint ?? '', /10\.0\.0\.0\/24/);
    assert.deepEqual(parseNetwork('10.0.0.1/24'), { ok: true, value: '10.0.0.0/24' });
    assert.deepEqual(parseNetwork('fd00::1'), { ok: true, value: 'fd00::1/128' });
    for (const text of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/-1', '::/129', '10.0.0.0/ 8', '/8'])
      assert.equal(parsePrefix(text).ok, false, text);
  });

  it('containment, overlap and ordinals agree with arithmetic', () => {
    fc.assert(
      fc.property(prefixes, addresses, prefixes, (p, a, q) => {
        const inside = familyOf(p) === familyOf(a) && prefixOf(a, prefixLength(p)) === p;
        assert.equal(containsAddress(p, a), inside);
        assert.equal(ordinalOf(p, a) !== undefined, inside);
        if (inside) assert.equal(addressAt(p, ordinalOf(p, a) ?? 0n), a);
        assert.equal(prefixesOverlap(p, q), containsPrefix(p, q) || containsPrefix(q, p));
      }),
    );
  });

  it('enumerates sub-prefixes', () => {
    assert.equal(subPrefixAt(prefix('10.0.0.0/24'), 26, 3), '10.0.0.192/26');
    assert.throws(() => subPrefixAt(prefix('10.0.0.0/24'), 26, 4));
    assert.throws(() => addressAt(prefix('10.0.0.0/31'), 2));
  });
});

describe('PrefixTrie', () => {
  it('agrees with a list of prefixes', () => {
    const operations = fc.array(fc.tuple(prefixes, fc.boolean()), { maxLength: 40 });
    fc.assert(
      fc.property(operations, addresses, prefixes, (ops, a, q) => {
        const trie = new PrefixTrie<Prefix>();
        const model = new Set<Prefix>();
        for (const [p, add] of ops) {
          if (add) {
            trie.set(p, p);
            model.add(p);
          } else assert.equal(trie.delete(p), model.delete(p));
        }
        const list = [...model].sort(comparePrefixes);
        assert.deepEqual(
          [...trie.entries()].map(([p]) => p),
          list,
        );
        assert.equal(trie.size, list.length);
        const longest = (target: Address) =>
          list.filter((p) => containsAddress(p, target)).sort((x, y) => prefixLength(y) - prefixLength(x))[0];
        assert.equal(trie.lookup(a)?.[0], longest(a));
        assert.deepEqual(
          trie.covering(q).map(([p]) => p),
          list.filter((p) => containsPrefix(p, q)).sort((x, y) => prefixLength(x) - prefixLength(y)),
        );
        assert.deepEqual(
          [...trie.within(q)].map(([p]) => p),
          list.filter((p) => containsPrefix(q, p)),
        );
      }),
    );
  });
});
