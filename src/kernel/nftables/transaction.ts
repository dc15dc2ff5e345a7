// A list of commands into the bytes of one nfnetlink batch, which the kernel takes whole or not at all. Pure; whatever
// cannot be encoded is refused before the kernel sees anything.
//
//   BATCH_BEGIN · message … message · BATCH_END      (every message has its own sequence number, which leads to its command)
import { err, ok, type Result } from '../../lib/result.ts';
import { NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST } from '../netlink/constants.ts';
import { MessageWriter } from '../netlink/message.ts';
import { invalid } from '../errors.ts';
import type { KernelError, NftCommand, NftElement, NftRule, NftTableName } from '../types.ts';
import { compileRule } from './compile.ts';
import {
  encodeChain,
  encodeChainName,
  encodeElements,
  encodeRule,
  encodeSet,
  encodeSetName,
  encodeTable,
  maxCommentBytes,
  nft,
  NFNL_MSG_BATCH_BEGIN,
  NFNL_MSG_BATCH_END,
  NFNL_SUBSYS_NFTABLES,
  putFamily,
} from './messages.ts';
import { parseRule, referencesOf } from './parser.ts';
import { encodeElement, encodeElementKey, shapeOf, type RawElement, type SetShape } from './sets.ts';
import type { Statement } from './syntax.ts';

export type NftError = KernelError & { readonly commandIndex?: number };
export type Transaction = {
  readonly bytes: Uint8Array;
  /** Sequence number of the first message behind BATCH_BEGIN; the kernel acknowledges it when all went well. */
  readonly firstSequence: number;
  /** The command a message belongs to. */
  commandOf(sequence: number): number | undefined;
};

/** A rule is read twice, for the sets it names and for its code. */
const parsedRules = new WeakMap<NftRule, ReturnType<typeof parseRule>>();
function parsedRule(rule: NftRule): ReturnType<typeof parseRule> {
  const known = parsedRules.get(rule);
  if (known !== undefined) return known;
  const parsed = parsedText(rule.expression);
  parsedRules.set(rule, parsed);
  return parsed;
}

/** A thousand rules are `counter return`. */
const parsedTexts = new Map<string, ReturnType<typeof parseRule>>();
const shortText = 40;
const textsKept = 256;
function parsedText(text: string): ReturnType<typeof parseRule> {
  if (text.length > shortText) return parseRule(text);
  let parsed = parsedTexts.get(text);
  if (parsed === undefined) {
    parsed = parseRule(text);
    if (parsedTexts.size >= textsKept) parsedTexts.clear();
    parsedTexts.set(text, parsed);
  }
  return parsed;
}

export const setKey = (table: NftTableName, set: string): string => `${table.family} ${table.name} ${set}`;

/** Sets that the commands use but do not define, as keys; their shapes must be known before encoding. */
export function foreignSets(
  commands: readonly NftCommand[],
): Map<string, { table: NftTableName; set: string }> {
  const foreign = new Map<string, { table: NftTableName; set: string }>();
  const defined = new Set<string>();
  const note = (table: NftTableName, set: string): void => {
    const key = setKey(table, set);
    if (!defined.has(key)) foreign.set(key, { table, set });
  };
  for (const command of commands) {
    if (command.op === 'add-set') defined.add(setKey(command.table, command.set.name));
    else if (command.op === 'add-elements' || command.op === 'delete-elements')
      note(command.table, command.set);
    else if (command.op === 'add-rule' && command.rule.expression.includes('@')) {
      const parsed = parsedRule(command.rule);
      if (parsed.ok) for (const set of referencesOf(parsed.value).sets) note(command.table, set);
    }
  }
  return foreign;
}

export function encodeTransaction(
  commands: readonly NftCommand[],
  firstSequence: number,
  known: ReadonlyMap<string, SetShape>,
): Result<Transaction, NftError> {
  const encoder = new TransactionEncoder(firstSequence, known);
  for (const [index, command] of commands.entries()) {
    const failed = encoder.add(command, index);
    if (failed !== undefined) return err({ ...failed, commandIndex: index });
  }
  return ok(encoder.finish());
}

class TransactionEncoder {
  readonly #w = new MessageWriter(16 * 1024);
  readonly #commands: number[] = [];
  readonly #firstSequence: number;
  readonly #shapes: Map<string, SetShape>;
  #nextSetId = 1;

  constructor(firstSequence: number, known: ReadonlyMap<string, SetShape>) {
    this.#firstSequence = firstSequence;
    this.#shapes = new Map(known);
    this.#w.message(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, firstSequence - 1);
    putFamily(this.#w, 'unspec', NFNL_SUBSYS_NFTABLES);
    this.#w.end();
  }

  finish(): Transaction {
    this.#w.message(NFNL_MSG_BATCH_END, NLM_F_REQUEST, this.#firstSequence + this.#commands.length);
    putFamily(this.#w, 'unspec', NFNL_SUBSYS_NFTABLES);
    this.#w.end();
    const commands = this.#commands;
    const first = this.#firstSequence;
    return {
      bytes: this.#w.bytes,
      firstSequence: first,
      commandOf: (sequence) => commands[sequence - first],
    };
  }

  #message(command: number, type: number, flags: number, body: (w: MessageWriter) => void): void {
    const isFirst = this.#commands.length === 0;
    const sequence = this.#firstSequence + this.#commands.length;
    this.#w.message(type, NLM_F_REQUEST | flags | (isFirst ? NLM_F_ACK : 0), sequence);
    body(this.#w);
    this.#w.end();
    this.#commands.push(command);
  }

  add(command: NftCommand, index: number): KernelError | undefined {
    const { table } = command;
    switch (command.op) {
      case 'add-table':
        this.#message(index, nft.NEWTABLE, NLM_F_CREATE, (w) => encodeTable(w, table));
        return undefined;
      case 'delete-table':
        this.#message(index, nft.DELTABLE, 0, (w) => encodeTable(w, table));
        return undefined;
      case 'flush-table':
        this.#message(index, nft.DELRULE, 0, (w) => encodeTable(w, table));
        return undefined;
      case 'add-chain':
        if (command.chain.base?.hook === 'ingress')
          return invalid(
            `Chain ${command.chain.name}: a chain at ingress needs a device, which cannot be given.`,
          ).error;
        this.#message(index, nft.NEWCHAIN, NLM_F_CREATE, (w) => encodeChain(w, table, command.chain));
        return undefined;
      case 'delete-chain':
        this.#message(index, nft.DELCHAIN, 0, (w) => encodeChainName(w, table, command.chain, 3));
        return undefined;
      case 'flush-chain':
        this.#message(index, nft.DELRULE, 0, (w) => encodeChainName(w, table, command.chain, 2));
        return undefined;
      case 'add-rule':
        return this.#addRule(index, table, command.chain, command.rule);
      case 'add-set': {
        const shape = shapeOf(command.set);
        if (!shape.ok) return shape.error;
        this.#shapes.set(setKey(table, command.set.name), shape.value);
        this.#message(index, nft.NEWSET, NLM_F_CREATE, (w) =>
          encodeSet(w, table, shape.value, this.#nextSetId++),
        );
        return undefined;
      }
      case 'delete-set':
        this.#message(index, nft.DELSET, 0, (w) => encodeSetName(w, table, command.set));
        return undefined;
      case 'flush-set':
        this.#message(index, nft.DELSETELEM, 0, (w) => encodeSetName(w, table, command.set));
        return undefined;
      case 'add-elements':
      case 'delete-elements':
      default:
        return this.#elements(index, command.op, table, command.set, command.elements);
    }
  }

  #addRule(index: number, table: NftTableName, chain: string, rule: NftRule): KernelError | undefined {
    if (rule.comment !== undefined && new TextEncoder().encode(rule.comment).length > maxCommentBytes)
      return invalid(`A rule's comment has at most ${maxCommentBytes} bytes: "${rule.comment}".`).error;
    const parsed = parsedRule(rule);
    if (!parsed.ok) return parsed.error;
    return this.#compiled(index, table, chain, parsed.value, rule);
  }

  #compiled(
    index: number,
    table: NftTableName,
    chain: string,
    statements: readonly Statement[],
    rule: NftRule,
  ): KernelError | undefined {
    const compiled = compileRule(statements, {
      family: table.family,
      resolve: (set) => this.#shapes.get(setKey(table, set)),
      nextSetId: () => this.#nextSetId++,
    });
    if (!compiled.ok)
      return { ...compiled.error, message: `${compiled.error.message.slice(0, -1)}: "${rule.expression}".` };
    for (const { id, shape, elements } of compiled.value.sets) {
      this.#message(index, nft.NEWSET, NLM_F_CREATE, (w) => encodeSet(w, table, shape, id, elements.length));
      this.#elementMessages(index, nft.NEWSETELEM, table, { name: shape.name, id }, elements);
    }
    this.#message(index, nft.NEWRULE, NLM_F_CREATE | NLM_F_APPEND, (w) =>
      encodeRule(w, table, chain, compiled.value.expressions, rule.comment),
    );
    return undefined;
  }

  #elements(
    index: number,
    op: 'add-elements' | 'delete-elements',
    table: NftTableName,
    set: string,
    elements: readonly NftElement[],
  ): KernelError | undefined {
    const shape = this.#shapes.get(setKey(table, set));
    if (shape === undefined)
      return { code: 'NoSuchObject', message: `There is no set ${set} in table ${table.name}.` };
    const raw: RawElement[] = [];
    for (const element of elements) {
      const encoded =
        op === 'add-elements' ? encodeElement(shape, element) : encodeElementKey(shape, element);
      if (!encoded.ok) return encoded.error;
      for (const one of encoded.value) raw.push(one);
    }
    const type = op === 'add-elements' ? nft.NEWSETELEM : nft.DELSETELEM;
    if (raw.length > 0) this.#elementMessages(index, type, table, { name: set }, raw);
    return undefined;
  }

  #elementMessages(
    index: number,
    type: number,
    table: NftTableName,
    set: { readonly name: string; readonly id?: number },
    elements: readonly RawElement[],
  ): void {
    for (let at = 0; at < elements.length; )
      this.#message(index, type, type === nft.NEWSETELEM ? NLM_F_CREATE : 0, (w) => {
        at = encodeElements(w, table, set, elements, at);
      });
  }
}
