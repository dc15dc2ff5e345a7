// Connection tracking entries by address, over ctnetlink.
//
//   nfgenmsg      family u8 · version u8 · resource id u16 (network order)
//   CTA_TUPLE_*   { CTA_TUPLE_IP { V4_SRC 1, V4_DST 2, V6_SRC 3, V6_DST 4 },
//                   CTA_TUPLE_PROTO { NUM 1, SRC_PORT 2, DST_PORT 3, ICMP_TYPE 5, ICMP_CODE 6, ICMPV6_TYPE 8, ICMPV6_CODE 9 } }
import { familyOf, type Address, type Family } from '../../lib/ip/mod.ts';
import { err, ok, type Result } from '../../lib/result.ts';
import { errno, kernelError, rootNamespaceRefused } from '../errors.ts';
import { addressFamily, NETLINK_NETFILTER, NLM_F_REQUEST } from '../netlink/constants.ts';
import { addressAt, attributes, bytesAt, type MessageHeader } from '../netlink/message.ts';
import type { Connection, ConnectionSide, Conntrack, KernelError } from '../types.ts';
import type { KernelSession } from './session.ts';

const CT_GET = 0x101;
const CT_DELETE = 0x102;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_ID = 12;
const CTA_ZONE = 18;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const nfgenmsgLength = 4;

/** What names an entry when it is deleted: its original tuple, its id and zone as the kernel gave them. */
type Entry = {
  readonly addresses: readonly Address[];
  readonly connection: Connection | undefined;
  readonly key: readonly { readonly type: number; readonly payload: Uint8Array }[];
};

export function realConntrack(session: KernelSession): Conntrack {
  return {
    deleteByAddress: async (address, condition): Promise<Result<number, KernelError>> => {
      if (session.writesRefused) return err(rootNamespaceRefused());
      const addresses: readonly Address[] = typeof address === 'string' ? [address] : address;
      let deleted = 0;
      for (const family of [4, 6] as const) {
        const wanted = new Set(addresses.filter((a) => familyOf(a) === family));
        const done = wanted.size === 0 ? ok(0) : await deleteOfFamily(session, family, wanted, condition);
        if (!done.ok) return done;
        deleted += done.value;
      }
      return ok(deleted);
    },
  };
}

async function deleteOfFamily(
  session: KernelSession,
  ipFamily: Family,
  wanted: ReadonlySet<Address>,
  condition: ((connection: Connection) => boolean) | undefined,
): Promise<Result<number, KernelError>> {
  const family = addressFamily(ipFamily);
  const listed = await session.dump(
    'list connections',
    CT_GET,
    (w) => void w.u8(family).u8(0).u16be(0),
    (view, message) => {
      const entry = decodeEntry(view, message);
      if (!entry.addresses.some((a) => wanted.has(a))) return undefined;
      const isMeant =
        condition === undefined || (entry.connection !== undefined && condition(entry.connection));
      return isMeant ? entry : undefined;
    },
    { protocol: NETLINK_NETFILTER },
  );
  if (!listed.ok) return listed;
  let deleted = 0;
  let failed: KernelError | undefined;
  await session.socket(NETLINK_NETFILTER).batch(
    listed.value.length,
    (index, w, sequence) => {
      w.message(CT_DELETE, NLM_F_REQUEST, sequence).u8(family).u8(0).u16be(0);
      for (const { type, payload } of listed.value[index]?.key ?? []) {
        w.u16(4 + payload.length)
          .u16(type)
          .raw(payload)
          .pad();
      }
      w.end();
      return true;
    },
    (_, answer) => {
      if (answer.errno === 0) deleted++;
      // It ended by itself meanwhile.
      else if (answer.errno !== errno.ENOENT)
        failed ??= kernelError('delete connections', answer.errno, answer.text);
    },
  );
  return failed === undefined ? ok(deleted) : err(failed);
}

function decodeEntry(view: DataView, message: MessageHeader): Entry {
  const key: { type: number; payload: Uint8Array }[] = [];
  let original: Tuple = { addresses: [] };
  let reply: Tuple = { addresses: [] };
  attributes(view, message.start + nfgenmsgLength, message.end, (type, offset, length) => {
    if (type === CTA_TUPLE_ORIG) original = readTuple(view, offset, length);
    if (type === CTA_TUPLE_REPLY) reply = readTuple(view, offset, length);
    if (type === CTA_TUPLE_ORIG || type === CTA_ID || type === CTA_ZONE) {
      const nested = type === CTA_TUPLE_ORIG ? 0x8000 : 0;
      key.push({ type: type | nested, payload: bytesAt(view, offset, length).slice() });
    }
  });
  return {
    addresses: [...original.addresses, ...reply.addresses],
    key,
    connection: connectionOf(original, reply),
  };
}

type Tuple = {
  /** Source, destination. */
  readonly addresses: readonly Address[];
  readonly protocol?: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
};

const protoFields: Readonly<Record<number, readonly [name: keyof Omit<Tuple, 'addresses'>, bytes: 1 | 2]>> = {
  1: ['protocol', 1],
  2: ['sourcePort', 2],
  3: ['destinationPort', 2],
  5: ['icmpType', 1],
  6: ['icmpCode', 1],
  8: ['icmpType', 1],
  9: ['icmpCode', 1],
};

function readTuple(view: DataView, start: number, length: number): Tuple {
  const addresses: Address[] = [];
  const fields: { -readonly [K in keyof Omit<Tuple, 'addresses'>]: number } = {};
  attributes(view, start, start + length, (type, offset, size) => {
    if (type !== CTA_TUPLE_IP && type !== CTA_TUPLE_PROTO) return;
    attributes(view, offset, offset + size, (inner, at, n) => {
      if (type === CTA_TUPLE_IP) {
        const address = addressAt(view, at, n);
        if (address !== undefined) addresses.push(address);
        return;
      }
      const [name, bytes] = protoFields[inner] ?? [];
      if (name !== undefined) fields[name] = bytes === 1 ? view.getUint8(at) : view.getUint16(at);
    });
  });
  return { addresses, ...fields };
}

function connectionOf(original: Tuple, reply: Tuple): Connection | undefined {
  const [one, other] = [sideOf(original), sideOf(reply)];
  const { protocol, icmpType, icmpCode } = original;
  if (one === undefined || other === undefined || protocol === undefined) return undefined;
  return {
    protocol,
    original: one,
    reply: other,
    ...(icmpType === undefined ? {} : { icmpType }),
    ...(icmpCode === undefined ? {} : { icmpCode }),
  };
}

function sideOf({ addresses, sourcePort, destinationPort }: Tuple): ConnectionSide | undefined {
  const [source, destination] = addresses;
  if (source === undefined || destination === undefined) return undefined;
  return {
    source,
    destination,
    ...(sourcePort === undefined ? {} : { sourcePort }),
    ...(destinationPort === undefined ? {} : { destinationPort }),
  };
}
