// Request bodies in protobuf, which newer kubectl sends for the kinds it knows. They become the same JSON values that a
// JSON body would have given; answers are always JSON.
//
//   "k8s\0"  Unknown { 1: TypeMeta { 1: apiVersion, 2: kind }, 2: raw object, 3: content encoding, 4: content type }
//
// Protobuf sends zero values of fields that are not optional in Go; JSON leaves them out. Here zero values are left out
// too, except for the fields listed below where Kubernetes tells "zero" from "not given".
import { err, ok, type Result } from '../../lib/result.ts';
import { parseJson } from '../../lib/json.ts';
import type { JsonObject } from '../json.ts';
import { kindMessages, messages } from './fields.ts';

const magic = [0x6b, 0x38, 0x73, 0x00];
const maxDepth = 64;

const zeroCounts = new Set(
  (
    'replicas terminationGracePeriodSeconds activeDeadlineSeconds runAsUser runAsGroup fsGroup revisionHistoryLimit ' +
    'progressDeadlineSeconds parallelism completions backoffLimit ttlSecondsAfterFinished successfulJobsHistoryLimit ' +
    'failedJobsHistoryLimit startingDeadlineSeconds tolerationSeconds gracePeriodSeconds partition defaultMode mode value'
  ).split(' '),
);
const falseCounts = new Set(
  (
    'automountServiceAccountToken runAsNonRoot privileged readOnlyRootFilesystem allowPrivilegeEscalation optional ' +
    'enableServiceLinks shareProcessNamespace hostUsers immutable suspend orphanDependents controller blockOwnerDeletion ' +
    'allocateLoadBalancerNodePorts ready serving terminating'
  ).split(' '),
);

type Field = { readonly name: string; readonly type: string; readonly group: string };
const parsed = new Map<string, ReadonlyMap<number, Field>>();

function fieldsOf(message: string): ReadonlyMap<number, Field> {
  const known = parsed.get(message);
  if (known !== undefined) return known;
  const fields = new Map<number, Field>();
  const group = message.slice(0, message.indexOf('.'));
  for (const part of (messages[message] ?? '').split('; ')) {
    const [number, name, type] = part.split(' ');
    if (name !== undefined && type !== undefined) fields.set(Number(number), { name, type, group });
  }
  parsed.set(message, fields);
  return fields;
}

class Malformed extends Error {}

/** One field on the wire: a number, or a slice of bytes. */
type Wire = { readonly field: number; readonly value: bigint | Uint8Array };

function* wires(bytes: Uint8Array): Generator<Wire> {
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Malformed('it ends within a number');
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new Malformed('a number is too long');
  };
  const take = (length: number): Uint8Array => {
    if (length > bytes.length - at) throw new Malformed('it ends within a field');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const field = Math.floor(tag / 8);
    switch (tag % 8) {
      case 0:
        yield { field, value: varint() };
        break;
      case 1:
        yield { field, value: take(8) };
        break;
      case 2:
        yield { field, value: take(Number(varint())) };
        break;
      case 5:
        yield { field, value: take(4) };
        break;
      default:
        throw new Malformed('a field has an unknown wire type');
    }
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
function textOf(value: bigint | Uint8Array): string {
  if (typeof value === 'bigint') throw new Malformed('a number stands where text is expected');
  try {
    return utf8.decode(value);
  } catch {
    throw new Malformed('a text is not valid UTF-8');
  }
}
function numberOf(value: bigint | Uint8Array): number | bigint {
  if (typeof value !== 'bigint') throw new Malformed('bytes stand where a number is expected');
  const signed = BigInt.asIntN(64, value);
  const number = Number(signed);
  return Number.isSafeInteger(number) ? number : signed;
}
function bytesOf(value: bigint | Uint8Array): Uint8Array {
  if (typeof value === 'bigint') throw new Malformed('a number stands where a message is expected');
  return value;
}

const first = (value: Uint8Array, field: number): bigint | Uint8Array | undefined => {
  let found: bigint | Uint8Array | undefined;
  for (const wire of wires(value)) if (wire.field === field) found = wire.value;
  return found;
};

function timeOf(value: Uint8Array, micro: boolean): string | undefined {
  const seconds = Number(numberOf(first(value, 1) ?? 0n));
  const nanos = Number(numberOf(first(value, 2) ?? 0n));
  // The zero time of Go, or nothing: no time is given.
  if ((seconds === 0 && nanos === 0) || seconds < -62_000_000_000) return undefined;
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) throw new Malformed('a time is out of range');
  const whole = date.toISOString().slice(0, 19);
  return micro ? `${whole}.${String(Math.floor(nanos / 1000)).padStart(6, '0')}Z` : `${whole}Z`;
}

function embeddedJson(value: Uint8Array): unknown {
  const raw = first(value, 1);
  return raw === undefined ? undefined : parseJson(textOf(raw));
}

/** A value of a simple or message type; undefined when it says nothing. */
function valueOf(type: string, group: string, value: bigint | Uint8Array, depth: number): unknown {
  switch (type) {
    case 's':
      return textOf(value);
    case 'i':
      return numberOf(value);
    case 'b':
      return numberOf(value) !== 0;
    case 'f':
      return new DataView(new Uint8Array(bytesOf(value)).buffer).getFloat64(0, true);
    case 'y':
      return Buffer.from(bytesOf(value)).toString('base64');
    case 't':
    case 'u':
      return timeOf(bytesOf(value), type === 'u');
    case 'q':
      return textOf(first(bytesOf(value), 1) ?? new Uint8Array());
    case 'n': {
      const message = bytesOf(value);
      return numberOf(first(message, 1) ?? 0n) === 1
        ? textOf(first(message, 3) ?? new Uint8Array())
        : numberOf(first(message, 2) ?? 0n);
    }
    case 'd':
      return `${Number(numberOf(first(bytesOf(value), 1) ?? 0n)) / 1e9}s`;
    case 'j':
      return embeddedJson(bytesOf(value));
    default:
      break;
  }
  if (type.startsWith('&')) {
    return [...wires(bytesOf(value))].map((wire) => valueOf(type.slice(1), group, wire.value, depth + 1));
  }
  return messageOf(type.includes('.') ? type : `${group}.${type}`, bytesOf(value), depth + 1);
}

function saysNothing({ name, type }: Field, value: unknown): boolean {
  if (value === undefined) return true;
  if (type === 's') return value === '';
  if (type === 'i') return value === 0 && !zeroCounts.has(name);
  return type === 'b' && value === false && !falseCounts.has(name);
}

function messageOf(message: string, bytes: Uint8Array, depth: number): JsonObject {
  if (depth > maxDepth) throw new Malformed('it nests too deeply');
  const fields = fieldsOf(message);
  const result: Record<string, unknown> = {};
  for (const { field: number, value } of wires(bytes)) {
    const field = fields.get(number);
    // Fields of newer releases are not known here.
    if (field === undefined) continue;
    const { name, type, group } = field;
    if (type.startsWith('*')) {
      const list = (result[name] ??= []) as unknown[];
      list.push(valueOf(type.slice(1), group, value, depth));
    } else if (type.startsWith('%')) {
      const entry = bytesOf(value);
      const key = textOf(first(entry, 1) ?? new Uint8Array());
      const item = valueOf(type.slice(1), group, first(entry, 2) ?? new Uint8Array(), depth);
      result[name] = { ...((result[name] ?? {}) as JsonObject), [key]: item };
    } else {
      const item = valueOf(type, group, value, depth);
      if (name === '.') Object.assign(result, item);
      else if (!saysNothing(field, item)) result[name] = item;
    }
  }
  return result;
}

/** The object in a protobuf body, with apiVersion and kind; an error says what is wrong with the bytes. */
export function decodeProtobuf(bytes: Uint8Array): Result<JsonObject, string> {
  if (magic.some((byte, i) => bytes[i] !== byte))
    return err('it does not begin with the mark of a Kubernetes object');
  try {
    const envelope = bytes.subarray(magic.length);
    const type = first(envelope, 1);
    const typed = type === undefined ? new Uint8Array() : bytesOf(type);
    const apiVersion = textOf(first(typed, 1) ?? new Uint8Array());
    const kind = textOf(first(typed, 2) ?? new Uint8Array());
    // Options of a request are sent under the group they are used with.
    const message = kind === 'DeleteOptions' ? 'meta.DeleteOptions' : kindMessages[`${apiVersion} ${kind}`];
    if (message === undefined) return err(`the kind ${kind} of ${apiVersion} is only read as JSON`);
    const raw = first(envelope, 2);
    return ok({ apiVersion, kind, ...(raw === undefined ? {} : messageOf(message, bytesOf(raw), 0)) });
  } catch (cause) {
    if (cause instanceof Malformed || cause instanceof SyntaxError) return err(cause.message);
    throw cause;
  }
}
