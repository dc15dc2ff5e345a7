// What a rule looks at, on its way into registers: what a field needs (a transport protocol, a network protocol) is matched
// before it, once; the fields of a key lie one behind the other.
import type { NftFamily } from '../types.ts';
import { bytesToNumber, knownType, numberToBytes, toHostOrder, type NftDataType } from './data-types.ts';
import type { Expression } from './expressions.ts';
import { NftSyntaxError } from './lexer.ts';
import { fitsFamily, type Selector } from './selectors.ts';
import type { SetShape } from './sets.ts';
import type { BitOperation, Key, SetReference } from './syntax.ts';

export class MissingSetError extends Error {}

/** Four registers that no key with a hash in it reaches. */
const scratchRegister = 4;
/** Where a key begins that went through a map. */
const throughRegister = 9;
/** The register where the key of a lookup begins. */
export const keyRegister = (key: Key): number => (key.through === undefined ? 1 : throughRegister);

export type RuleContext = {
  readonly family: NftFamily;
  /** undefined when the table has no such set. */
  resolve(set: string): SetShape | undefined;
};

export class FieldLoader {
  readonly #context: RuleContext;
  readonly #emit: (expression: Expression) => void;
  #transport: number | undefined;
  #network: 'ip' | 'ip6' | undefined;

  constructor(context: RuleContext, emit: (expression: Expression) => void) {
    this.#context = context;
    this.#emit = emit;
    if (context.family === 'ip' || context.family === 'ip6') this.#network = context.family;
  }

  /** The network protocol of the packets that get this far, if it is known. */
  get network(): 'ip' | 'ip6' | undefined {
    return this.#network;
  }

  require(selector: Selector): void {
    if (!fitsFamily(selector, this.#context.family))
      throw new NftSyntaxError(
        `"${selector.text}" does not exist in a table of family ${this.#context.family}`,
      );
    if (selector.network !== undefined && this.#network !== selector.network) {
      if (this.#network !== undefined)
        throw new NftSyntaxError(`"${selector.text}" contradicts the network protocol before it`);
      this.requireNetwork(selector.network);
    }
    if (selector.transport !== undefined) this.requireTransport(selector.transport, selector.text);
  }

  requireNetwork(network: 'ip' | 'ip6'): void {
    this.#emit({ op: 'load', from: 'meta', key: 15, register: 1 });
    this.#emit({
      op: 'cmp',
      register: 1,
      comparison: 'eq',
      data: Uint8Array.of(network === 'ip' ? 2 : 10),
    });
    this.#network = network;
  }

  requireTransport(protocol: number, what: string): void {
    if (this.#transport === protocol) return;
    if (this.#transport !== undefined)
      throw new NftSyntaxError(`"${what}" contradicts the transport protocol before it`);
    this.#emit({ op: 'load', from: 'meta', key: 16, register: 1 });
    this.#emit({ op: 'cmp', register: 1, comparison: 'eq', data: Uint8Array.of(protocol) });
    this.#transport = protocol;
  }

  /** What a successful comparison says about all that follows. */
  learn(selector: Selector, value: Uint8Array): void {
    const number = bytesToNumber(value);
    if (selector.tells === 'transport') this.#transport = number;
    if (selector.tells === 'network') this.#network = number === 2 ? 'ip' : 'ip6';
  }

  load(selector: Selector, register: number, length = selector.type.length): void {
    const source = selector.source;
    if (source.from === 'payload') {
      this.#emit({ op: 'payload', base: source.base, offset: source.offset, length, register });
    } else if (source.from === 'fib') {
      this.#emit({ op: 'fib', result: source.result, flags: source.flags, register });
    } else if (source.from === 'random') {
      this.#emit({ op: 'numgen', modulus: source.modulus, register });
    } else if (source.from === 'hash') {
      const { of, modulus, seed } = source;
      const from = scratchRegister;
      this.load(of, from);
      this.#emit({ op: 'hash', from, length: of.type.length, modulus, seed, register });
    } else this.#emit({ op: 'load', from: source.from, key: source.key, register });
  }

  /** A key for a lookup, from `keyRegister` on; interval sets compare in network order. */
  loadKey(key: Key, interval: boolean): void {
    for (const selector of key.selectors) this.require(selector);
    const types = this.typesOf(key);
    let slot = key.through === undefined ? 0 : throughRegister - 8;
    for (const [i, selector] of key.selectors.entries()) {
      const register = slot === 0 ? 1 : 8 + slot;
      if (i === 0 && key.through !== undefined) this.#loadThrough(selector, key.through);
      else this.load(selector, register);
      if (key.bits !== undefined) this.bits(key.bits);
      const type = types[i] ?? selector.type;
      if (interval && type.order === 'host')
        this.#emit({ op: 'to-network-order', register, length: type.length });
      slot += (type.length + 3) >> 2;
    }
  }

  /** The second field of the map's data into register 9. nft takes what a map gives for a value without length and aborts
   *  where that stands in a key. What it believes to be in a register is what the last instruction that names the
   *  register puts there; the address does so before the map's data covers it, and nft lists the key with the address. */
  #loadThrough(selector: Selector, map: SetReference): void {
    this.load(selector, throughRegister, 4);
    this.load(selector, 1);
    this.#emit({ op: 'lookup', set: map.name, register: 1, into: 1 });
  }

  /** Types of the fields of a key, once its first one went through a map. */
  typesOf({ selectors, through }: Key): readonly NftDataType[] {
    const types = selectors.map((selector) => selector.type);
    const [first, ...rest] = types;
    if (first === undefined || through === undefined) return types;
    const shape = this.#context.resolve(through.name);
    if (shape === undefined) throw new MissingSetError(through.name);
    const [hidden, field, ...more] = Array.isArray(shape.data) ? (shape.data as readonly NftDataType[]) : [];
    if (shape.key.length !== 1 || shape.key[0]?.name !== first.name || field === undefined || more.length > 0)
      throw new NftSyntaxError(`@${through.name} is not a map from one ${first.name} to two values`);
    if (hidden?.length !== 4 || field.length !== 4 || first.order !== 'network' || first.length < 4)
      throw new NftSyntaxError(`values of @${through.name} cannot stand in a key`);
    return [field, ...rest];
  }

  bits({ mask, flip }: BitOperation): void {
    const mark = knownType('mark');
    const bytes = (value: number) => toHostOrder(mark, numberToBytes(value, 4));
    this.#emit({ op: 'bitwise', register: 1, mask: bytes(mask), flip: bytes(flip) });
  }
}
