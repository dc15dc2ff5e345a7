// Prefix patterns compiled to word comparisons. Short lists are tried one by one; long ones (own blocks, service
// addresses) are grouped by prefix length and looked up.
import { prefixFamily, prefixLength, type Family } from '../../lib/ip/mod.ts';
import { prefixWords } from './values.ts';
import type { PolicySubject, PrefixPattern } from './types.ts';

type Inside = (s: PolicySubject) => boolean;
const longList = 8;

export function compilePatterns(patterns: readonly PrefixPattern[]): Inside {
  const four = patterns.filter((p) => prefixFamily(p.prefix) === 4);
  const six = patterns.filter((p) => prefixFamily(p.prefix) === 6);
  const inFour = familyTest(four, 4);
  const inSix = familyTest(six, 6);
  return (s) => (s.family === 4 ? inFour(s) : inSix(s));
}

function familyTest(patterns: readonly PrefixPattern[], family: Family): Inside {
  if (patterns.length === 0) return () => false;
  if (patterns.length > longList) return lookupTest(patterns, family);
  const tests = patterns.map((p) => (family === 4 ? oneV4(p) : oneV6(p)));
  const [only] = tests;
  if (tests.length === 1 && only !== undefined) return only;
  return (s) => {
    for (const test of tests) if (test(s)) return true;
    return false;
  };
}

/** The mask of word `index` of a prefix `length` bits long. */
function maskWord(length: number, index: number): number {
  const bits = length - index * 32;
  if (bits >= 32) return 0xffffffff;
  return bits <= 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
}

function oneV4(pattern: PrefixPattern): Inside {
  const length = prefixLength(pattern.prefix);
  const mask = maskWord(length, 0);
  const base = (prefixWords(pattern.prefix)[0] ?? 0) & mask;
  const min = Math.max(pattern.min, length);
  const { max } = pattern;
  return (s) => s.length >= min && s.length <= max && (s.w0 & mask) === base;
}

function oneV6(pattern: PrefixPattern): Inside {
  const length = prefixLength(pattern.prefix);
  const [m0, m1, m2, m3] = [0, 1, 2, 3].map((i) => maskWord(length, i)) as [number, number, number, number];
  const [b0, b1, b2, b3] = prefixWords(pattern.prefix).map((w, i) => w & maskWord(length, i)) as [
    number,
    number,
    number,
    number,
  ];
  const min = Math.max(pattern.min, length);
  const { max } = pattern;
  return (s) =>
    s.length >= min &&
    s.length <= max &&
    (s.w0 & m0) === b0 &&
    (s.w1 & m1) === b1 &&
    (s.w2 & m2) === b2 &&
    (s.w3 & m3) === b3;
}

function lookupTest(patterns: readonly PrefixPattern[], family: Family): Inside {
  const byLength = new Map<number, Map<number | string, PrefixPattern[]>>();
  for (const pattern of patterns) {
    const length = prefixLength(pattern.prefix);
    const group = byLength.get(length) ?? new Map<number | string, PrefixPattern[]>();
    byLength.set(length, group);
    const words = prefixWords(pattern.prefix);
    const key = family === 4 ? (words[0] ?? 0) & maskWord(length, 0) : words.join(',');
    group.set(key, [...(group.get(key) ?? []), pattern]);
  }
  const groups = [...byLength].map(([length, group]) => ({ length, group }));
  return (s) => {
    for (const { length, group } of groups) {
      if (s.length < length) continue;
      const found = group.get(family === 4 ? s.w0 & maskWord(length, 0) : maskedKey(s, length));
      if (found?.some((p) => s.length >= p.min && s.length <= p.max)) return true;
    }
    return false;
  };
}

const maskedKey = (s: PolicySubject, length: number): string =>
  [s.w0, s.w1, s.w2, s.w3].map((w, i) => (w & maskWord(length, i)) >>> 0).join(',');
