// The functions that Kubernetes adds to CEL, as far as they are here: lists, regular expressions, addresses, ranges
// and URLs. An expression that uses another one is refused when its definition is written.
import { Environment } from '@marcbachmann/cel-js';
import {
  type Address,
  containsAddress,
  containsPrefix,
  familyOf,
  parseAddress,
  parseInterfaceAddress,
  type Prefix,
  prefixAddress,
  prefixFamily,
  prefixLength,
  prefixOf,
} from '../../lib/ip/mod.ts';
import { patternOf } from '../schema/structural.ts';

class IpValue {
  readonly address: Address;
  constructor(address: Address) {
    this.address = address;
  }
}
/** A range as it is written: bits beyond its length may be set. */
class CidrValue {
  readonly address: Address;
  readonly prefix: Prefix;
  constructor(address: Address, length: number) {
    this.address = address;
    this.prefix = prefixOf(address, length);
  }
}
class UrlValue {
  readonly url: URL;
  constructor(url: URL) {
    this.url = url;
  }
}

/** Expressions may be this large. */
const limits = { maxAstNodes: 10_000, maxDepth: 100 };

/** A fresh environment with the whole library and no variables. */
export function rulesEnvironment(): Environment {
  const env = new Environment({ enableOptionalTypes: true, homogeneousAggregateLiterals: false, limits });
  addLists(env);
  addTexts(env);
  addAddresses(env);
  addUrls(env);
  return env;
}

type Ordered = bigint | number | string;

function addLists(env: Environment): void {
  const pick =
    (isBetter: (a: Ordered, b: Ordered) => boolean) =>
    (list: readonly Ordered[]): Ordered => {
      const [first, ...rest] = list;
      if (first === undefined) throw new Error('min or max called on an empty list');
      return rest.reduce((best, one) => (isBetter(one, best) ? one : best), first);
    };
  const isSorted = (list: readonly Ordered[]): boolean =>
    list.every((one, i) => i === 0 || (list[i - 1] as Ordered) <= one);
  for (const type of ['int', 'double', 'string']) {
    env.registerFunction(
      `list<${type}>.min(): ${type}`,
      pick((a, b) => a < b),
    );
    env.registerFunction(
      `list<${type}>.max(): ${type}`,
      pick((a, b) => a > b),
    );
    env.registerFunction(`list<${type}>.isSorted(): bool`, isSorted);
    env.registerFunction(`list<${type}>.indexOf(${type}): int`, (list: readonly Ordered[], one: Ordered) =>
      BigInt(list.indexOf(one)),
    );
    env.registerFunction(
      `list<${type}>.lastIndexOf(${type}): int`,
      (list: readonly Ordered[], one: Ordered) => BigInt(list.lastIndexOf(one)),
    );
  }
  env.registerFunction('list<int>.sum(): int', (list: readonly bigint[]) => list.reduce((a, b) => a + b, 0n));
  env.registerFunction('list<double>.sum(): double', (list: readonly number[]) =>
    list.reduce((a, b) => a + b, 0),
  );
}

function addTexts(env: Environment): void {
  const expression = (text: string, flags = ''): RegExp => {
    const found = patternOf(text);
    if (found === undefined) throw new Error(`not a regular expression: ${text}`);
    return new RegExp(found.source, `${found.flags}${flags}`);
  };
  const all = (text: string, pattern: string): readonly string[] =>
    [...text.matchAll(expression(pattern, 'g'))].map(([whole]) => whole);
  env.registerFunction(
    'string.find(string): string',
    (text: string, pattern: string) => expression(pattern).exec(text)?.[0] ?? '',
  );
  env.registerFunction('string.findAll(string): list<string>', all);
  env.registerFunction(
    'string.findAll(string, int): list<string>',
    (text: string, pattern: string, n: bigint) =>
      n < 0n ? all(text, pattern) : all(text, pattern).slice(0, Number(n)),
  );
  env.registerFunction('string.charAt(int): string', (text: string, i: bigint) => {
    const letters = Array.from(text);
    if (i < 0n || i > BigInt(letters.length)) throw new Error(`index out of range: ${i}`);
    return letters[Number(i)] ?? '';
  });
  env.registerFunction('string.replace(string, string): string', (text: string, from: string, to: string) =>
    text.replaceAll(from, () => to),
  );
  env.registerFunction(
    'string.replace(string, string, int): string',
    (text: string, from: string, to: string, n: bigint) => {
      if (n < 0n) return text.replaceAll(from, () => to);
      let left = n;
      return text.replaceAll(from, (found) => (left-- > 0n ? to : found));
    },
  );
}

function addAddresses(env: Environment): void {
  env.registerType('net.IP', { ctor: IpValue, fields: {} });
  env.registerType('net.CIDR', { ctor: CidrValue, fields: {} });
  const ip = (text: string): IpValue => {
    const parsed = parseAddress(text);
    if (!parsed.ok) throw new Error(parsed.error.message);
    return new IpValue(parsed.value);
  };
  const cidr = (text: string): CidrValue => {
    const parsed = parseInterfaceAddress(text);
    if (!parsed.ok) throw new Error(parsed.error.message);
    return new CidrValue(parsed.value.address, parsed.value.length);
  };
  env.registerFunction('isIP(string): bool', (text: string) => parseAddress(text).ok);
  env.registerFunction('ip(string): net.IP', ip);
  env.registerFunction('net.IP.family(): int', ({ address }: IpValue) => BigInt(familyOf(address)));
  env.registerFunction('string(net.IP): string', ({ address }: IpValue) => address);
  env.registerOperator('net.IP == net.IP', (a: IpValue, b: IpValue) => a.address === b.address);
  env.registerFunction('isCIDR(string): bool', (text: string) => parseInterfaceAddress(text).ok);
  env.registerFunction('cidr(string): net.CIDR', cidr);
  env.registerFunction('net.CIDR.prefixLength(): int', ({ prefix }: CidrValue) =>
    BigInt(prefixLength(prefix)),
  );
  env.registerFunction('net.CIDR.ip(): net.IP', ({ address }: CidrValue) => new IpValue(address));
  env.registerFunction(
    'net.CIDR.masked(): net.CIDR',
    ({ prefix }: CidrValue) => new CidrValue(prefixAddress(prefix), prefixLength(prefix)),
  );
  const textOf = ({ address, prefix }: CidrValue): string => `${address}/${prefixLength(prefix)}`;
  env.registerFunction('string(net.CIDR): string', textOf);
  env.registerOperator('net.CIDR == net.CIDR', (a: CidrValue, b: CidrValue) => textOf(a) === textOf(b));
  const holdsIp = ({ prefix }: CidrValue, { address }: IpValue): boolean =>
    prefixFamily(prefix) === familyOf(address) && containsAddress(prefix, address);
  const holdsCidr = (outer: CidrValue, inner: CidrValue): boolean =>
    prefixFamily(outer.prefix) === prefixFamily(inner.prefix) && containsPrefix(outer.prefix, inner.prefix);
  env.registerFunction('net.CIDR.containsIP(net.IP): bool', holdsIp);
  env.registerFunction('net.CIDR.containsIP(string): bool', (range: CidrValue, text: string) =>
    holdsIp(range, ip(text)),
  );
  env.registerFunction('net.CIDR.containsCIDR(net.CIDR): bool', holdsCidr);
  env.registerFunction('net.CIDR.containsCIDR(string): bool', (range: CidrValue, text: string) =>
    holdsCidr(range, cidr(text)),
  );
}

function addUrls(env: Environment): void {
  env.registerType('net.URL', { ctor: UrlValue, fields: {} });
  const url = (text: string): UrlValue => {
    if (!URL.canParse(text)) throw new Error(`not an absolute URL: ${text}`);
    return new UrlValue(new URL(text));
  };
  env.registerFunction('isURL(string): bool', (text: string) => URL.canParse(text));
  env.registerFunction('url(string): net.URL', url);
  env.registerFunction('net.URL.getScheme(): string', (one: UrlValue) => one.url.protocol.slice(0, -1));
  env.registerFunction('net.URL.getHost(): string', (one: UrlValue) => one.url.host);
  env.registerFunction('net.URL.getHostname(): string', (one: UrlValue) =>
    one.url.hostname.replace(/^\[|\]$/g, ''),
  );
  env.registerFunction('net.URL.getPort(): string', (one: UrlValue) => one.url.port);
  env.registerFunction('net.URL.getEscapedPath(): string', (one: UrlValue) => one.url.pathname);
}
