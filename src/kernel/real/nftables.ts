// nftables of the real kernel: one kept socket, one batch per transaction.
import { err, ok, type Result } from '../../lib/result.ts';
import { errno, kernelError, rootNamespaceRefused } from '../errors.ts';
import { ffi } from '../ffi.ts';
import {
  NETLINK_NETFILTER,
  NLMSG_ERROR,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOL_SOCKET,
} from '../netlink/constants.ts';
import {
  decodeChain,
  decodeElementList,
  decodeRule,
  decodeSet,
  decodeTable,
  encodeSetName,
  encodeTable,
  nft,
  putFamily,
} from '../nftables/messages.ts';
import { decodeElements, shapeOf, type RawElement, type SetShape } from '../nftables/sets.ts';
import { encodeTransaction, foreignSets, type NftError } from '../nftables/transaction.ts';
import type {
  KernelError,
  NftCommand,
  NftElement,
  Nftables,
  NftRuleState,
  NftSet,
  NftTableName,
  NftTableState,
} from '../types.ts';
import type { KernelSession } from './session.ts';

const protocol = { protocol: NETLINK_NETFILTER };
/** A transaction is one message to the socket, so its buffer must hold it; in a user namespace the machine's limit rules. */
const sendBufferBytes = 64 * 1024 * 1024;

export function realNftables(session: KernelSession): Nftables {
  let prepared = false;
  const socket = () => {
    const kept = session.socket(NETLINK_NETFILTER);
    if (!prepared && ffi().setOption(kept.fd, SOL_SOCKET, SO_SNDBUFFORCE, sendBufferBytes) < 0)
      ffi().setOption(kept.fd, SOL_SOCKET, SO_SNDBUF, sendBufferBytes);
    prepared = true;
    return kept;
  };

  const readSet = (table: NftTableName, name: string): Result<NftSet | undefined, KernelError> => {
    let set: NftSet | undefined;
    const answer = socket().request(
      nft.GETSET,
      0,
      (w) => encodeSetName(w, table, name),
      (view, message) => {
        set ??= decodeSet(view, message)?.set;
      },
    );
    if (answer.errno !== 0 && answer.errno !== errno.ENOENT)
      return err(kernelError(`read set ${name}`, answer.errno, answer.text));
    return ok(set);
  };

  // Definitions of sets that transactions refer to. Someone else may have replaced one meanwhile: a refused transaction
  // is tried once more with what the kernel says now.
  const knownShapes = new Map<string, SetShape>();
  const shapesFor = (
    commands: readonly NftCommand[],
  ): Result<{ shapes: Map<string, SetShape>; remembered: boolean }, KernelError> => {
    const shapes = new Map<string, SetShape>();
    let remembered = false;
    for (const [key, { table, set }] of foreignSets(commands)) {
      const known = knownShapes.get(key);
      if (known !== undefined) {
        remembered = true;
        shapes.set(key, known);
        continue;
      }
      const found = readSet(table, set);
      if (!found.ok) return found;
      const shape = found.value === undefined ? undefined : shapeOf(found.value);
      if (shape?.ok !== true) continue;
      shapes.set(key, shape.value);
      knownShapes.set(key, shape.value);
    }
    return ok({ shapes, remembered });
  };

  const apply = (commands: readonly NftCommand[]): Result<void, NftError> => {
    if (session.writesRefused) return err(rootNamespaceRefused());
    if (commands.length === 0) return ok(undefined);
    const known = shapesFor(commands);
    if (!known.ok) return known;
    const applied = commit(commands, known.value.shapes);
    if (applied.ok) {
      if (commands.some(({ op }) => op === 'delete-set' || op === 'delete-table')) knownShapes.clear();
      return applied;
    }
    knownShapes.clear();
    // Only what was refused for sure: what was done must not be done twice.
    if (!known.value.remembered || applied.error.commandIndex === undefined) return applied;
    const fresh = shapesFor(commands);
    return fresh.ok ? commit(commands, fresh.value.shapes) : fresh;
  };

  const commit = (
    commands: readonly NftCommand[],
    shapes: ReadonlyMap<string, SetShape>,
  ): Result<void, NftError> => {
    const first = socket().reserveSequences();
    const transaction = encodeTransaction(commands, first, shapes);
    if (!transaction.ok) return transaction;
    let failed: { sequence: number; errno: number } | undefined;
    let acknowledged = false;
    const sent = socket().exchange(transaction.value.bytes, (view, message) => {
      if (message.type !== NLMSG_ERROR) return;
      const number = -view.getInt32(message.start, true);
      if (number === 0) acknowledged ||= message.sequence === first;
      else if (failed === undefined || message.sequence < failed.sequence)
        failed = { sequence: message.sequence, errno: number };
    });
    const refused = failed as { sequence: number; errno: number } | undefined;
    if (refused === undefined && sent.errno === 0 && acknowledged) return ok(undefined);
    if (refused === undefined) {
      const number = sent.errno === 0 ? errno.ENOBUFS : sent.errno;
      return err(kernelError(`apply ${commands.length} nftables commands`, number, sent.text));
    }
    const commandIndex = transaction.value.commandOf(refused.sequence);
    const command = commandIndex === undefined ? undefined : commands[commandIndex];
    const error = kernelError(`apply nftables command${describe(command)}`, refused.errno);
    return err(commandIndex === undefined ? error : { ...error, commandIndex });
  };

  const read = async (table: NftTableName): Promise<Result<NftTableState | undefined, KernelError>> => {
    const probe = socket().request(nft.GETTABLE, 0, (w) => encodeTable(w, table));
    if (probe.errno === errno.ENOENT) return ok(undefined);
    if (probe.errno !== 0) return err(kernelError(`read table ${table.name}`, probe.errno, probe.text));
    const chains = await session.dump(
      'list chains',
      nft.GETCHAIN,
      (w) => putFamily(w, table.family),
      decodeChain,
      protocol,
    );
    if (!chains.ok) return chains;
    const rules = await session.dump(
      'list rules',
      nft.GETRULE,
      (w) => encodeTable(w, table),
      decodeRule,
      protocol,
    );
    if (!rules.ok) return rules;
    const sets = await session.dump(
      'list sets',
      nft.GETSET,
      (w) => encodeTable(w, table),
      decodeSet,
      protocol,
    );
    if (!sets.ok) return sets;
    const byChain = Map.groupBy(rules.value, ({ chain }) => chain);
    return ok({
      chains: chains.value
        .filter((entry) => entry.table === table.name)
        .map(({ chain }) => ({
          chain,
          rules: (byChain.get(chain.name) ?? []).map(({ rule }): NftRuleState => rule),
        })),
      sets: sets.value.map(({ set }) => set),
    });
  };

  const elements = async (table: NftTableName, set: string): Promise<Result<NftElement[], KernelError>> => {
    const found = readSet(table, set);
    if (!found.ok) return found;
    if (found.value === undefined) return err(kernelError(`list set ${set}`, errno.ENOENT));
    const shape = shapeOf(found.value);
    if (!shape.ok) return shape;
    const listed = await session.dump(
      `list set ${set}`,
      nft.GETSETELEM,
      (w) => encodeSetName(w, table, set),
      decodeElementList,
      protocol,
    );
    if (!listed.ok) return listed;
    const raw: RawElement[] = [];
    for (const chunk of listed.value) for (const element of chunk) raw.push(element);
    return ok(decodeElements(shape.value, raw));
  };

  return {
    apply: async (commands) => apply(commands),
    tables: () =>
      session.dump('list tables', nft.GETTABLE, (w) => putFamily(w, 'unspec'), decodeTable, protocol),
    read,
    elements,
  };
}

function describe(command: NftCommand | undefined): string {
  if (command === undefined) return '';
  const { op, table } = command;
  const subject =
    op === 'add-chain'
      ? ` ${command.chain.name}`
      : op === 'add-set'
        ? ` ${command.set.name}`
        : op === 'add-rule'
          ? ` to chain ${command.chain}: "${command.rule.expression}"`
          : 'chain' in command
            ? ` ${command.chain}`
            : 'set' in command
              ? ` ${command.set}`
              : '';
  return ` ${op} in ${table.family} ${table.name}${subject}`;
}
