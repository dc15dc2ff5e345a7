// Compiled and interpreted programs give the same answer for any program and route; a few meanings by hand.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressFromBigInt, prefix, prefixOf, type Address, type Prefix } from '../../lib/ip/mod.ts';
import {
  compilePolicy,
  explainPolicy,
  hashProgram,
  parseCommunity,
  subjectOf,
  subjectPrefix,
  type PolicyAction,
  type PolicyMatch,
  type PolicyProgram,
} from './mod.ts';

// Small value spaces, so that matches happen often.
const v4 = fc
  .tuple(fc.integer({ min: 0, max: 3 }), fc.constantFrom(0, 8, 16, 24, 26, 30, 32))
  .map(([n, length]) => prefixOf(addressFromBigInt(BigInt(0x0a000000 + n * 64), 4), length));
const v6 = fc
  .tuple(fc.bigInt(0n, 3n), fc.constantFrom(0, 32, 48, 64, 122, 128))
  .map(([n, length]) => prefixOf(addressFromBigInt((0xfd00n << 112n) + (n << 64n) + n, 6), length));
const anyPrefix: fc.Arbitrary<Prefix> = fc.oneof(v4, v6);
const pattern = fc
  .tuple(anyPrefix, fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 130 }))
  .map(([p, min, max]) => ({ prefix: p, min, max }));
const source = fc.constantFrom('static', 'direct', 'kernel', 'bgp' as const);
const interfaceName = fc.constantFrom('cali123', 'eth0', 'tunl0', 'vxlan.calico', 'bpfin.cali');
const community = fc.constantFrom('100:1', '100:2', '65000:1:2', '1:2:3', 'broken');
const as = fc.constantFrom(64512, 65000, 65001);
const hop = fc.constantFrom('10.0.0.1', '10.0.1.1', 'fd00::1').map((a) => a as Address);
const not = fc.constantFrom({}, { not: true as const });
const match: fc.Arbitrary<PolicyMatch> = fc.oneof(
  fc
    .tuple(fc.array(pattern, { maxLength: 12 }), not)
    .map(([any, n]) => ({ match: 'prefix' as const, any, ...n })),
  fc
    .tuple(fc.array(source, { minLength: 1, maxLength: 2 }), not)
    .map(([any, n]) => ({ match: 'source' as const, any, ...n })),
  fc
    .tuple(
      fc.array(fc.constantFrom('cali*', '*.cali', 'eth?', 'tunl0', '*'), { minLength: 1, maxLength: 2 }),
      not,
    )
    .map(([any, n]) => ({ match: 'interface' as const, any, ...n })),
  community.map((value) => ({ match: 'community' as const, value })),
  fc.array(as, { maxLength: 2 }).map((path) => ({ match: 'asPathPrefix' as const, path })),
  fc
    .tuple(fc.constantFrom('equal', 'below' as const), fc.constantFrom(512, 1024, 2147483547))
    .map(([is, value]) => ({ match: 'priority' as const, is, value })),
  fc.constantFrom('ibgp', 'ebgp' as const).map((is) => ({ match: 'peerType' as const, is })),
  fc
    .tuple(fc.array(anyPrefix, { maxLength: 2 }), not)
    .map(([any, n]) => ({ match: 'nextHop' as const, any, ...n })),
);
const action: fc.Arbitrary<PolicyAction> = fc.oneof(
  fc.constantFrom({ do: 'accept' as const }, { do: 'reject' as const }),
  fc.constantFrom(512, 1024).map((value) => ({ do: 'setPriority' as const, value })),
  community.map((value) => ({ do: 'addCommunity' as const, value })),
  fc.array(as, { minLength: 1, maxLength: 2 }).map((path) => ({ do: 'prepend' as const, path })),
  fc.constant({ do: 'setMed' as const, value: 7 }),
  fc.constant({ do: 'setPreference' as const, value: 200 }),
  fc.constant({ do: 'setTunnel' as const, device: 'tunl0' }),
);
const program: fc.Arbitrary<PolicyProgram> = fc
  .tuple(
    fc.array(fc.tuple(fc.array(match, { maxLength: 3 }), fc.array(action, { minLength: 1, maxLength: 3 })), {
      maxLength: 8,
    }),
    fc.constantFrom('accept', 'reject' as const),
  )
  .map(([rules, otherwise]) => ({
    name: 'p',
    rules: rules.map(([when, actions], i) => ({ name: `r${i}`, when, actions })),
    otherwise,
  }));
const subject = fc
  .record({
    prefix: anyPrefix,
    source,
    interfaceName: fc.option(interfaceName, { nil: undefined }),
    nextHop: fc.option(hop, { nil: undefined }),
    peerType: fc.constantFrom('ibgp', 'ebgp', undefined),
    attributes: fc.record({
      localPref: fc.constantFrom(undefined, 100, 2147483647 - 1024, 2147483647 - 512),
      asPath: fc.array(as, { maxLength: 3 }),
      communities: fc.uniqueArray(fc.constantFrom((100 << 16) | 1, (100 << 16) | 2)),
      largeCommunities: fc.uniqueArray(fc.constantFrom('65000:1:2', '1:2:3')),
    }),
  })
  .map(subjectOf);

test('compiled and interpreted programs agree', () => {
  fc.assert(
    fc.property(program, fc.array(subject, { minLength: 1, maxLength: 6 }), (p, subjects) => {
      const compiled = compilePolicy(p);
      for (const s of subjects) {
        const { verdict, changes } = compiled.run(s);
        const trace = explainPolicy(p, s);
        assert.equal(verdict, trace.verdict);
        assert.deepEqual({ ...changes, id: 0 }, { ...trace.changes, id: 0 });
        assert.equal(compiled.run(s).changes, changes, 'the same path gives the same object');
      }
    }),
    { numRuns: 1500 },
  );
});

test('the subject carries the prefix through words and back', () => {
  fc.assert(
    fc.property(anyPrefix, (p) => assert.equal(subjectPrefix(subjectOf({ prefix: p, source: 'bgp' })), p)),
  );
});

test('later rules see what earlier ones changed', () => {
  const p: PolicyProgram = {
    name: 'tag',
    rules: [
      {
        name: 'tag',
        when: [],
        actions: [
          { do: 'addCommunity', value: '100:7' },
          { do: 'setPriority', value: 100 },
        ],
      },
      {
        name: 'tagged',
        when: [
          { match: 'community', value: '100:7' },
          { match: 'priority', is: 'equal', value: 100 },
        ],
        actions: [{ do: 'accept' }],
      },
    ],
    otherwise: 'reject',
  };
  const trace = explainPolicy(p, subjectOf({ prefix: prefix('10.0.0.0/8'), source: 'bgp' }));
  assert.equal(trace.decidedBy, 'tagged');
  assert.equal(trace.changes.localPref, 2147483547);
});

test('hashes depend on what a program does, not on its names', () => {
  const rule = { name: 'a', when: [], actions: [{ do: 'accept' as const }] };
  const p: PolicyProgram = { name: 'p', rules: [rule], otherwise: 'reject' };
  assert.equal(hashProgram(p), hashProgram({ ...p, name: 'q', rules: [{ ...rule, name: 'b' }] }));
  assert.notEqual(hashProgram(p), hashProgram({ ...p, otherwise: 'accept' }));
});

test('communities', () => {
  assert.deepEqual(parseCommunity('65000:100'), { kind: 'standard', value: 65000 * 65536 + 100 });
  assert.deepEqual(parseCommunity('4294967295:1:02'), { kind: 'large', value: '4294967295:1:2' });
  for (const bad of ['65536:1', '1', '1:2:3:4', 'a:b', ':1'])
    assert.equal(parseCommunity(bad), undefined, bad);
});
