// The actions of nft rules: verdicts, marks, counters, logs, limits, address translation, reject, notrack.
import { dscpNames, icmpCodes, icmpv6Codes, icmpxCodes } from './data-types.ts';
import { NftSyntaxError } from './lexer.ts';
import { parseKey, readVerdict } from './keys.ts';
import type { RuleReader } from './reader.ts';
import { selectorOf, type Selector } from './selectors.ts';
import type { Key, NatTarget, Statement, ValueSource } from './syntax.ts';

/** The action that begins here; undefined when something is matched instead. */
export function parseAction(reader: RuleReader): Statement | undefined {
  const token = reader.peek();
  if (token.kind !== 'word') reader.refuse();
  switch (token.text) {
    case 'accept':
    case 'drop':
    case 'continue':
    case 'return':
    case 'jump':
    case 'goto':
      return { kind: 'verdict', verdict: readVerdict(reader) };
    case 'counter':
      return parseCounter(reader);
    case 'log':
      return parseLog(reader);
    case 'limit':
      return parseLimit(reader);
    case 'masquerade':
    case 'redirect': {
      reader.next();
      const to = reader.take('to');
      return { kind: token.text, target: parseNatTarget(reader, to ? 'port' : 'none') };
    }
    case 'snat':
    case 'dnat':
      return parseNat(reader, token.text);
    case 'reject':
      return parseReject(reader);
    case 'notrack':
      reader.next();
      return { kind: 'notrack' };
    case 'ip':
    case 'ip6':
      return reader.peek(1).text === 'dscp' ? parseSetDscp(reader, token.text) : undefined;
    case 'meta':
    case 'ct':
      if (token.text === 'ct' && reader.peek(1).text === 'count') return parseConnections(reader);
      return reader.peek(1).text === 'mark' && reader.peek(2).text === 'set'
        ? parseSetMark(reader, token.text)
        : undefined;
    case 'mark':
      return reader.peek(1).text === 'set' ? parseSetMark(reader, 'meta') : undefined;
    default:
      return undefined;
  }
}

function parseCounter(reader: RuleReader): Statement {
  reader.need('counter');
  // What nft lists is accepted; a new counter starts at zero anyway.
  if (reader.take('packets')) {
    reader.number();
    reader.need('bytes');
    reader.number();
  }
  return { kind: 'counter' };
}

const logLevels = ['emerg', 'alert', 'crit', 'err', 'warn', 'notice', 'info', 'debug'];

function parseLog(reader: RuleReader): Statement {
  reader.need('log');
  let prefix: string | undefined;
  let level: number | undefined;
  let group: number | undefined;
  for (;;) {
    if (reader.take('prefix')) prefix = reader.word();
    else if (reader.take('level')) {
      const word = reader.word();
      level = logLevels.indexOf(word);
      if (level < 0) throw new NftSyntaxError(`"${word}" is not a log level`);
    } else if (reader.take('group')) group = reader.number();
    else break;
  }
  if (prefix !== undefined && prefix.length > 127)
    throw new NftSyntaxError('a log prefix has at most 127 bytes');
  return {
    kind: 'log',
    ...(prefix === undefined ? {} : { prefix }),
    ...(level === undefined ? {} : { level }),
    ...(group === undefined ? {} : { group }),
  };
}

const units: Readonly<Record<string, number>> = {
  second: 1,
  minute: 60,
  hour: 3600,
  day: 86400,
  week: 604800,
};
const defaultBurst = 5;

function parseLimit(reader: RuleReader): Statement {
  reader.need('limit');
  reader.need('rate');
  const over = reader.take('over');
  const word = reader.word();
  const match = /^([0-9]{1,10})\/([a-z]+)$/.exec(word);
  const unitSeconds = units[match?.[2] ?? ''];
  if (match === null || unitSeconds === undefined)
    throw new NftSyntaxError(`"${word}" is not a rate in packets, such as 10/second`);
  let burst = defaultBurst;
  if (reader.take('burst')) {
    burst = reader.number();
    reader.need('packets');
  }
  return { kind: 'limit', over, rate: Number(match[1]), unitSeconds, burst };
}

function parseConnections(reader: RuleReader): Statement {
  reader.need('ct');
  reader.need('count');
  return { kind: 'connections', over: reader.take('over'), count: reader.number() };
}

function parseSetDscp(reader: RuleReader, family: 'ip' | 'ip6'): Statement {
  reader.next();
  reader.need('dscp');
  if (!reader.take('set')) throw new NftSyntaxError(`"${family} dscp" can be set, not compared`);
  const named = dscpNames[reader.peek().text];
  if (named !== undefined) reader.next();
  const value = named ?? reader.number();
  if (value > 63) throw new NftSyntaxError(`${value} is not a value of "${family} dscp"`);
  return { kind: 'set-dscp', family, value };
}

function parseSetMark(reader: RuleReader, target: 'meta' | 'ct'): Statement {
  while (!reader.take('set')) reader.next();
  return { kind: 'set-mark', target, value: parseMarkValue(reader) };
}

function parseMarkValue(reader: RuleReader): ValueSource {
  const token = reader.peek();
  if (/^[0-9]/.test(token.text)) {
    const bits = reader.number();
    return { kind: 'constant', text: String(bits) };
  }
  const key = parseKey(reader);
  if (reader.take('map')) return { kind: 'map', key, map: namedMap(reader) };
  const [selector] = key.selectors;
  if (key.selectors.length !== 1 || selector?.type.name !== 'mark')
    throw new NftSyntaxError(`a mark cannot be set from "${selector?.text ?? token.text}"`);
  return { kind: 'selector', key };
}

function namedMap(reader: RuleReader): { readonly kind: 'named'; readonly name: string } {
  const token = reader.next();
  if (token.kind !== 'set') throw new NftSyntaxError(`"map" takes a named map, not "${token.text}"`);
  return { kind: 'named', name: token.text };
}

function parseNat(reader: RuleReader, kind: 'snat' | 'dnat'): Statement {
  reader.next();
  const family = reader.take('ip') ? 'ip' : reader.take('ip6') ? 'ip6' : undefined;
  // `dnat ip addr . port to`: the older way to say that a map gives both.
  if (reader.take('addr')) {
    reader.need('.');
    reader.need('port');
  }
  reader.need('to');
  const target = parseNatTarget(reader, 'address');
  return family === undefined ? { kind, target } : { kind, family, target };
}

function parseNatTarget(reader: RuleReader, what: 'address' | 'port' | 'none'): NatTarget {
  let place: Pick<NatTarget, 'address' | 'port' | 'map'> = {};
  if (what === 'address') {
    const key = mapKey(reader);
    place = key === undefined ? parseEndpoint(reader.word()) : { map: key };
  } else if (what === 'port') place = parseEndpoint(reader.word());
  if (what === 'port' && (place.address !== undefined || place.port === undefined))
    throw new NftSyntaxError('":port" is expected after "to"');
  let random = false;
  let fullyRandom = false;
  let persistent = false;
  do {
    if (reader.take('random')) random = true;
    else if (reader.take('fully-random')) fullyRandom = true;
    else if (reader.take('persistent')) persistent = true;
    else break;
  } while (reader.take(','));
  return { ...place, random, fullyRandom, persistent };
}

function mapKey(reader: RuleReader): { key: Key; map: { kind: 'named'; name: string } } | undefined {
  const isSelector: Selector | undefined = selectorOf(reader.peek().text, reader.peek(1).text);
  if (isSelector === undefined) return undefined;
  const key = parseKey(reader);
  reader.need('map');
  return { key, map: namedMap(reader) };
}

/** `10.0.0.1`, `10.0.0.1-10.0.0.9`, `10.0.0.1:80`, `[fd00::1]:80-90`, `:80`. */
function parseEndpoint(word: string): Pick<NatTarget, 'address' | 'port'> {
  const bracketed = /^\[([^\]]+)\](?::(.+))?$/.exec(word);
  const v4 = /^([0-9.]+(?:-[0-9.]+)?)?(?::([0-9-]+))?$/.exec(word);
  const v6 = !word.includes('[') && word.split(':').length > 2 ? word : undefined;
  const addressText = bracketed?.[1] ?? v6 ?? v4?.[1];
  const portText = bracketed?.[2] ?? (v6 === undefined ? v4?.[2] : undefined);
  if (addressText === undefined && portText === undefined)
    throw new NftSyntaxError(`"${word}" is not an address or port to translate to`);
  return {
    ...(addressText === undefined ? {} : { address: pairOf(addressText) }),
    ...(portText === undefined ? {} : { port: portRange(portText) }),
  };
}

function pairOf(text: string): readonly [string, string] {
  const dash = text.indexOf('-');
  return dash < 0 ? [text, text] : [text.slice(0, dash), text.slice(dash + 1)];
}

function portRange(text: string): readonly [number, number] {
  const [from, to] = pairOf(text).map(Number) as [number, number];
  if (!(from >= 0 && to <= 65535 && from <= to))
    throw new NftSyntaxError(`"${text}" is not a port or range of ports`);
  return [from, to];
}

function parseReject(reader: RuleReader): Statement {
  reader.need('reject');
  if (!reader.take('with')) return { kind: 'reject', how: 'default', code: 0 };
  if (reader.take('tcp')) {
    reader.need('reset');
    return { kind: 'reject', how: 'tcp-reset', code: 0 };
  }
  const how = reader.word();
  const names =
    how === 'icmp' ? icmpCodes : how === 'icmpv6' ? icmpv6Codes : how === 'icmpx' ? icmpxCodes : undefined;
  if (names === undefined || (how !== 'icmp' && how !== 'icmpv6' && how !== 'icmpx'))
    throw new NftSyntaxError(`"reject with ${how}" is not supported`);
  reader.take('type');
  const word = reader.word();
  const code = names[word];
  if (code === undefined) throw new NftSyntaxError(`"${word}" is not a reason of ${how}`);
  return { kind: 'reject', how, code };
}
