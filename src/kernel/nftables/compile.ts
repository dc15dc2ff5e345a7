// Statements into the kernel's expressions, in the order and form that nft itself uses, so that `nft list` reads them back
// as they were written. What a field needs (a transport protocol, a network protocol) is matched before it, once.
import { addressToBytes, familyOf, parseAddress, type Address } from '../../lib/ip/mod.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import type { KernelError } from '../types.ts';
import {
  compareBytes,
  knownType,
  numberToBytes,
  prefixLengthOf,
  prefixMask,
  toHostOrder,
  type Range,
} from './data-types.ts';
import type { Comparison, Expression } from './expressions.ts';
import { anonymousElements } from './anonymous-sets.ts';
import { NftSyntaxError } from './lexer.ts';
import { FieldLoader, keyRegister, MissingSetError, type RuleContext } from './loads.ts';
import { fibPresent, type Selector } from './selectors.ts';
import type { RawElement, SetShape } from './sets.ts';
import type { InlineSet, Key, NatTarget, Operand, Relation, Statement, ValueSource } from './syntax.ts';

/** An unnamed set of one rule, known to it by its number in the transaction. */
export type AnonymousSet = {
  readonly id: number;
  readonly shape: SetShape;
  readonly elements: readonly RawElement[];
};
export type CompiledRule = {
  readonly sets: readonly AnonymousSet[];
  readonly expressions: readonly Expression[];
};

export type CompileContext = RuleContext & { nextSetId(): number };

export function compileRule(
  statements: readonly Statement[],
  context: CompileContext,
): Result<CompiledRule, KernelError> {
  try {
    const compiler = new RuleCompiler(context);
    for (const statement of statements) compiler.add(statement);
    return ok({ sets: compiler.sets, expressions: compiler.expressions });
  } catch (error) {
    if (error instanceof MissingSetError)
      return err({
        code: 'NoSuchObject',
        message: `Cannot encode nft rule: there is no set "${error.message}".`,
      });
    if (!(error instanceof NftSyntaxError)) throw error;
    return err({ code: 'InvalidArgument', message: `Cannot encode nft rule: ${error.message}.` });
  }
}

const NF_NAT_RANGE_PROTO_SPECIFIED = 2;
const NF_NAT_RANGE_PROTO_RANDOM = 4;
const NF_NAT_RANGE_PERSISTENT = 8;
const NF_NAT_RANGE_PROTO_RANDOM_FULLY = 16;
const tcp = 6;

class RuleCompiler {
  readonly expressions: Expression[] = [];
  readonly sets: AnonymousSet[] = [];
  readonly #context: CompileContext;
  readonly #loader: FieldLoader;

  constructor(context: CompileContext) {
    this.#context = context;
    if (context.family !== 'ip' && context.family !== 'ip6' && context.family !== 'inet')
      throw new NftSyntaxError(`rules of family ${context.family} cannot be encoded`);
    this.#loader = new FieldLoader(context, (expression) => this.#emit(expression));
  }

  add(statement: Statement): void {
    switch (statement.kind) {
      case 'match':
        return this.#match(statement.key, statement.relation, statement.operand);
      case 'connections':
        return this.#emit({ op: 'connlimit', count: statement.count, over: statement.over });
      case 'set-dscp':
        return this.#setDscp(statement.family, statement.value);
      case 'verdict-map': {
        const { shape, reference } = this.#setFor(statement.key, statement.map, 'verdict');
        this.#loader.loadKey(statement.key, shape.interval);
        return this.#emit({ op: 'lookup', ...reference, register: keyRegister(statement.key), into: 0 });
      }
      case 'present': {
        const source = statement.selector.source;
        if (source.from !== 'fib') throw new NftSyntaxError('only fib results can be missing');
        this.#emit({ op: 'fib', result: source.result, flags: source.flags | fibPresent, register: 1 });
        return this.#compare(1, 'eq', Uint8Array.of(statement.exists ? 1 : 0, 0, 0, 0));
      }
      case 'set-mark':
        this.#value(statement.value);
        return this.#emit({ op: 'store', to: statement.target, key: 3, register: 1 });
      case 'verdict':
        return this.#emit({ op: 'verdict', verdict: statement.verdict });
      case 'counter':
      case 'notrack':
        return this.#emit({ op: statement.kind });
      case 'log':
      case 'limit': {
        const { kind, ...rest } = statement;
        return this.#emit({ op: kind, ...rest } as Expression);
      }
      case 'masquerade':
      case 'redirect':
        return this.#port(statement.kind === 'masquerade' ? 'masq' : 'redir', statement.target);
      case 'snat':
      case 'dnat':
        return this.#nat(statement.kind, statement.family, statement.target);
      case 'reject':
        return this.#reject(statement.how, statement.code);
    }
  }

  #emit(expression: Expression): void {
    this.expressions.push(expression);
  }

  #compare(register: number, comparison: Comparison, data: Uint8Array): void {
    this.#emit({ op: 'cmp', register, comparison, data });
  }

  // ── sets ───────────────────────────────────────────────────────────────────────────────────────────────────────────
  #setFor(
    key: Key,
    operand: Extract<Operand, { kind: 'named' | 'inline' }>,
    data: 'none' | 'verdict' | readonly string[],
  ): { shape: SetShape; reference: { set: string; setId?: number } } {
    if (operand.kind === 'inline') return this.#anonymous(key, operand, data === 'verdict');
    const shape = this.#context.resolve(operand.name);
    if (shape === undefined) throw new MissingSetError(operand.name);
    const wanted = this.#loader
      .typesOf(key)
      .map((type) => type.name)
      .join(' . ');
    const is = shape.key.map((type) => type.name).join(' . ');
    if (wanted !== is) throw new NftSyntaxError(`@${operand.name} has keys of type ${is}, not ${wanted}`);
    const values =
      shape.data === undefined
        ? 'none'
        : shape.data === 'verdict'
          ? 'verdict'
          : shape.data.map((t) => t.name);
    const fits = typeof data === 'string' ? values === data : String(values) === String(data);
    if (!fits)
      throw new NftSyntaxError(
        `@${operand.name} is not ${data === 'none' ? 'a set' : `a map to ${String(data)}`}`,
      );
    return { shape, reference: { set: operand.name } };
  }

  #anonymous(
    key: Key,
    inline: InlineSet,
    isMap: boolean,
  ): { shape: SetShape; reference: { set: string; setId: number } } {
    const id = this.#context.nextSetId();
    if (key.through !== undefined)
      throw new NftSyntaxError('a key through a map is looked up in a named set');
    const types = key.selectors.map((selector) => selector.type);
    const interval = inline.elements.some((e) =>
      e.key.some((range) => compareBytes(range.from, range.to) !== 0),
    );
    const shape: SetShape = {
      name: isMap ? '__map%d' : '__set%d',
      key: types,
      data: isMap ? 'verdict' : undefined,
      interval,
    };
    this.sets.push({ id, shape, elements: anonymousElements(shape, inline) });
    return { shape, reference: { set: shape.name, setId: id } };
  }

  // ── matches ────────────────────────────────────────────────────────────────────────────────────────────────────────
  #match(key: Key, relation: Relation, operand: Operand): void {
    if (operand.kind === 'named' || (operand.kind === 'inline' && !isSingle(key, operand))) {
      const { shape, reference } = this.#setFor(key, operand, 'none');
      this.#loader.loadKey(key, shape.interval);
      const invert = relation === '!=';
      return this.#emit({
        op: 'lookup',
        ...reference,
        register: keyRegister(key),
        ...(invert ? { invert } : {}),
      });
    }
    if (key.through !== undefined)
      throw new NftSyntaxError('a key through a map is looked up in a named set');
    const selector = key.selectors[0] as Selector;
    this.#loader.require(selector);
    const comparison = comparisonOf(relation);
    if (operand.kind === 'masked') {
      this.#loader.load(selector, 1);
      const bytes = (bits: number) => numberToBytes(bits, selector.type.length);
      this.#emit({ op: 'bitwise', register: 1, mask: bytes(operand.mask), flip: bytes(0) });
      return this.#compare(1, comparison, bytes(operand.bits));
    }
    if (operand.kind === 'flags') {
      this.#loader.load(selector, 1);
      const bits = toHostOrder(selector.type, numberToBytes(operand.bits, selector.type.length));
      this.#emit({ op: 'bitwise', register: 1, mask: bits, flip: new Uint8Array(bits.length) });
      return this.#compare(1, 'neq', new Uint8Array(bits.length));
    }
    if (operand.kind === 'wildcard') {
      this.#loader.load(selector, 1);
      return this.#compare(1, comparison, new TextEncoder().encode(operand.prefix));
    }
    const range = operand.kind === 'range' ? operand.range : (operand.elements[0]?.key[0] as Range);
    this.#matchRange(key, selector, comparison, range);
  }

  #matchRange(key: Key, selector: Selector, comparison: Comparison, range: Range): void {
    const type = selector.type;
    if (compareBytes(range.from, range.to) === 0) {
      this.#loader.load(selector, 1);
      if (key.bits !== undefined) this.#loader.bits(key.bits);
      if (comparison !== 'eq' && comparison !== 'neq' && type.order === 'host') refuseOrder(selector);
      this.#compare(1, comparison, toHostOrder(type, range.from));
      if (comparison === 'eq') this.#loader.learn(selector, range.from);
      return;
    }
    if (comparison !== 'eq' && comparison !== 'neq')
      throw new NftSyntaxError(`"${selector.text}" is compared with one value`);
    const prefixBits =
      type.name === 'ipv4_addr' || type.name === 'ipv6_addr' ? prefixLengthOf(range) : undefined;
    if (prefixBits !== undefined) return this.#matchPrefix(selector, comparison, range.from, prefixBits);
    if (type.order !== 'network' || key.bits !== undefined) refuseOrder(selector);
    this.#loader.load(selector, 1);
    if (comparison === 'neq')
      return this.#emit({ op: 'range', register: 1, outside: true, from: range.from, to: range.to });
    this.#compare(1, 'gte', range.from);
    this.#compare(1, 'lte', range.to);
  }

  /** Whole bytes of an address are loaded as such; other prefixes are masked. */
  #matchPrefix(selector: Selector, comparison: Comparison, network: Uint8Array, bits: number): void {
    if (bits > 0 && bits % 8 === 0) {
      this.#loader.load(selector, 1, bits / 8);
      return this.#compare(1, comparison, network.slice(0, bits / 8));
    }
    this.#loader.load(selector, 1);
    const length = selector.type.length;
    this.#emit({ op: 'bitwise', register: 1, mask: prefixMask(length, bits), flip: new Uint8Array(length) });
    this.#compare(1, comparison, network);
  }

  // ── actions ────────────────────────────────────────────────────────────────────────────────────────────────────────
  #value(value: ValueSource): void {
    if (value.kind === 'constant') {
      const type = knownType('mark');
      const bytes = type.parse(value.text);
      if (bytes === undefined) throw new NftSyntaxError(`"${value.text}" is not a mark`);
      return this.#emit({ op: 'immediate', register: 1, data: toHostOrder(type, bytes) });
    }
    if (value.kind === 'selector') return this.#loader.loadKey(value.key, false);
    const { shape, reference } = this.#setFor(value.key, value.map, ['mark']);
    this.#loader.loadKey(value.key, shape.interval);
    this.#emit({ op: 'lookup', ...reference, register: 1, into: 1 });
  }

  /** The field lies across two bytes, of which the rest stays as it is. */
  #setDscp(family: 'ip' | 'ip6', value: number): void {
    if (this.#context.family !== 'inet' && this.#context.family !== family)
      throw new NftSyntaxError(
        `"${family} dscp" does not exist in a table of family ${this.#context.family}`,
      );
    if (this.#loader.network !== family)
      throw new NftSyntaxError(`"${family} dscp" needs a rule for ${family} only`);
    const field = { base: 'network', offset: 0, length: 2, register: 1 } as const;
    const [mask, shift] = family === 'ip' ? [0xff03, 2] : [0xf03f, 6];
    this.#emit({ op: 'payload', ...field });
    this.#emit({
      op: 'bitwise',
      register: 1,
      mask: numberToBytes(mask, 2),
      flip: numberToBytes(value << shift, 2),
    });
    this.#emit({
      op: 'write',
      offset: 0,
      length: 2,
      register: 1,
      ...(family === 'ip' ? { checksumAt: 10 } : {}),
    });
  }

  #port(op: 'masq' | 'redir', target: NatTarget): void {
    if (target.port === undefined) return this.#emit({ op, flags: natFlags(target) });
    this.#emit({ op: 'immediate', register: 1, data: numberToBytes(target.port[0], 2) });
    const several = target.port[0] !== target.port[1];
    if (several) this.#emit({ op: 'immediate', register: 2, data: numberToBytes(target.port[1], 2) });
    this.#emit({ op, flags: natFlags(target), portMin: 1, ...(several ? { portMax: 2 } : {}) });
  }

  #nat(direction: 'snat' | 'dnat', named: 'ip' | 'ip6' | undefined, target: NatTarget): void {
    const table = this.#context.family === 'inet' ? undefined : this.#context.family;
    const family = named ?? table ?? this.#loader.network ?? familyOfTarget(target);
    if ((family !== 'ip' && family !== 'ip6') || (table !== undefined && table !== family))
      throw new NftSyntaxError(`"${direction}" needs "ip" or "ip6" that fits the table`);
    const number = family === 'ip' ? 4 : 6;
    if (target.map !== undefined) return this.#natByMap(direction, number, target);
    let register = 1;
    const put = (data: Uint8Array): number => {
      this.#emit({ op: 'immediate', register, data });
      return register++;
    };
    const [from, to] = target.address ?? [];
    const places = {
      ...(from === undefined ? {} : { addressMin: put(natAddress(from, number)) }),
      ...(to === undefined || to === from ? {} : { addressMax: put(natAddress(to, number)) }),
      ...(target.port === undefined ? {} : { portMin: put(numberToBytes(target.port[0], 2)) }),
      ...(target.port === undefined || target.port[0] === target.port[1]
        ? {}
        : { portMax: put(numberToBytes(target.port[1], 2)) }),
    };
    this.#emit({ op: 'nat', direction, family: number, flags: natFlags(target), ...places });
  }

  #natByMap(direction: 'snat' | 'dnat', family: 4 | 6, target: NatTarget): void {
    const { key, map } = target.map as NonNullable<NatTarget['map']>;
    const addressType = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
    const shape = this.#context.resolve(map.name);
    const withPort = Array.isArray(shape?.data) && shape.data.length === 2;
    const { reference, shape: found } = this.#setFor(
      key,
      map,
      withPort ? [addressType, 'inet_service'] : [addressType],
    );
    this.#loader.loadKey(key, found.interval);
    this.#emit({ op: 'lookup', ...reference, register: 1, into: 1 });
    // The port lies in the register behind the address.
    const port = withPort ? { portMin: family === 4 ? 9 : 2 } : {};
    this.#emit({ op: 'nat', direction, family, flags: natFlags(target), addressMin: 1, ...port });
  }

  #reject(how: Extract<Statement, { kind: 'reject' }>['how'], code: number): void {
    const NFT_REJECT_ICMP_UNREACH = 0;
    const NFT_REJECT_TCP_RST = 1;
    const NFT_REJECT_ICMPX_UNREACH = 2;
    const family = this.#context.family;
    if (how === 'tcp-reset') {
      this.#loader.requireTransport(tcp, 'reject with tcp reset');
      return this.#emit({ op: 'reject', type: NFT_REJECT_TCP_RST, code: 0 });
    }
    if (how === 'icmpx' || (how === 'default' && family === 'inet')) {
      if (family !== 'inet')
        throw new NftSyntaxError('"reject with icmpx" belongs into tables of family inet');
      return this.#emit({ op: 'reject', type: NFT_REJECT_ICMPX_UNREACH, code: how === 'default' ? 1 : code });
    }
    const network = how === 'icmpv6' ? 'ip6' : how === 'icmp' ? 'ip' : family;
    if (family !== 'inet' && family !== network)
      throw new NftSyntaxError(`"reject with ${how}" does not fit a table of family ${family}`);
    if (family === 'inet' && this.#loader.network !== network) {
      this.#loader.requireNetwork(network as 'ip' | 'ip6');
    }
    const portUnreachable = network === 'ip' ? 3 : 4;
    this.#emit({
      op: 'reject',
      type: NFT_REJECT_ICMP_UNREACH,
      code: how === 'default' ? portUnreachable : code,
    });
  }
}

const comparisonOf = (relation: Relation): Comparison =>
  (({ implicit: 'eq', '==': 'eq', '!=': 'neq', '<': 'lt', '<=': 'lte', '>': 'gt', '>=': 'gte' }) as const)[
    relation
  ];

function refuseOrder(selector: Selector): never {
  throw new NftSyntaxError(`"${selector.text}" can be compared with single values only`);
}

/** nft writes a set of one value as the value itself. */
const isSingle = (key: Key, inline: InlineSet): boolean =>
  key.selectors.length === 1 && inline.elements.length === 1;

const natFlags = (target: NatTarget): number =>
  (target.port === undefined ? 0 : NF_NAT_RANGE_PROTO_SPECIFIED) |
  (target.random ? NF_NAT_RANGE_PROTO_RANDOM : 0) |
  (target.persistent ? NF_NAT_RANGE_PERSISTENT : 0) |
  (target.fullyRandom ? NF_NAT_RANGE_PROTO_RANDOM_FULLY : 0);

const familyOfTarget = (target: NatTarget): 'ip' | 'ip6' | undefined =>
  target.address === undefined ? undefined : familyOf(target.address[0]) === 4 ? 'ip' : 'ip6';

function natAddress(text: string, family: 4 | 6): Uint8Array {
  const parsed = parseAddress(text);
  if (!parsed.ok || familyOf(parsed.value) !== family)
    throw new NftSyntaxError(`"${text}" is not an IPv${family} address to translate to`);
  return addressToBytes(parsed.value as Address);
}
