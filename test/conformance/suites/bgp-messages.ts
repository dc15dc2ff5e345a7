// Suites `bgp-messages` and `bgp-messages-bird`: a message in hexadecimal and what it says, in words that no decoder owns.
import { describeMessage, frameLength, type MessageDescription } from '../../../src/bgp/packet/mod.ts';
import { unsupported, type Case } from '../types.ts';

type Message = {
  readonly message: string;
  readonly context: {
    readonly asn4: boolean;
    readonly addPath?: readonly string[];
    readonly extendedNextHop?: readonly string[];
  };
  readonly session?: { readonly ebgp: boolean };
};

const bytesOf = (hex: string): Uint8Array =>
  Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));

/** IPv4 prefixes with an IPv6 next hop (RFC 8950): not offered, and an error where it was not agreed on. */
const needsExtendedNextHop = ({ extendedNextHop = [] }: Message['context']): boolean =>
  extendedNextHop.includes('(ipv4, unicast, ipv6)');

export function answer({ message, context, session }: Message): MessageDescription | typeof unsupported {
  if (needsExtendedNextHop(context)) return unsupported;
  const bytes = bytesOf(message);
  const length = frameLength(bytes, 0, bytes.length, 65535);
  if (length !== bytes.length) throw new Error(`the frame has ${length} of ${bytes.length} bytes`);
  return describeMessage(bytes, 0, length, {
    as4: context.asn4,
    // What the sender encoded is to be read, local preference included, whoever the sender says it is.
    ebgp: session?.ebgp ?? false,
    ipv4: true,
    ipv6: true,
    addPath4: context.addPath?.includes('ipv4 unicast') ?? false,
    addPath6: context.addPath?.includes('ipv6 unicast') ?? false,
  });
}

/** Where the cases have a neutral form it is compared; elsewhere (families that stay bytes) the message must not hurt. */
export function judgeMessage(item: Case, given: unknown): readonly string[] {
  const got = given as MessageDescription & { readonly error?: string };
  const want = item.input['neutral'];
  if (want === undefined)
    return got.kind === 'error' || got.error !== undefined
      ? [`the session would end: ${JSON.stringify(given)}`]
      : [];
  if (hasUnknownWellKnown(want)) {
    const isReset = got.kind === 'error' && got.notification.code === 3 && got.notification.subcode === 2;
    return isReset ? [] : [`want a reset with 3/2, got ${JSON.stringify(given)}`];
  }
  const [a, b] = [canonical(want), canonical(given)];
  return a === b ? [] : [`want ${a}, got ${b}`];
}

/** The decoder the cases come from shows an unknown attribute whose flags call it well-known (`attribute-0x99-0x70`). A
 *  speaker ends the session there (RFC 4271 section 6.3): the case is right about the bytes, not about what to do. */
function hasUnknownWellKnown(want: unknown): boolean {
  const { attributes } = want as { readonly attributes?: { readonly unknown?: readonly { key?: string }[] } };
  return (attributes?.unknown ?? []).some(({ key = '' }) => {
    const flags = /^attribute-0x[0-9a-f]+-(0x[0-9a-f]+)$/i.exec(key)?.[1];
    return flags !== undefined && (Number(flags) & 0x80) === 0;
  });
}

/** Lists of routes in one order, attributes that are not known by their code and value, notes left out. */
function canonical(value: unknown): string {
  const { problems: _, opaque: __, ...rest } = value as Record<string, unknown>;
  return JSON.stringify(rest, (key, v: unknown) => {
    if ((key === 'announce' || key === 'withdraw') && Array.isArray(v)) return v.map(ordered).sort();
    if (key === 'unknown' && Array.isArray(v)) return v.map(unknownAttribute).sort();
    return plainObject(v) ? sortKeys(v) : v;
  });
}

const plainObject = (v: unknown): v is Record<string, unknown> =>
  typeof v === 'object' && v !== null && !Array.isArray(v);
const sortKeys = (v: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(v).toSorted(([a], [b]) => (a < b ? -1 : 1)));
const ordered = (v: unknown): string => JSON.stringify(plainObject(v) ? sortKeys(v) : v);

/** `{code, flags, value}`, or `attribute-0x99-0x70` with a value in hexadecimal. */
function unknownAttribute(v: { code?: number; key?: string; value: string }): string {
  const code = v.code ?? Number(/^attribute-(0x[0-9a-f]+)/i.exec(v.key ?? '')?.[1]);
  return `${code} ${v.value.replace(/^0x/i, '').toLowerCase()}`;
}
