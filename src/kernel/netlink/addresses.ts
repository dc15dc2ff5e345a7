// Interface addresses: RTM_*ADDR messages from and to `LinkAddress`. Pure.
//
//   ifaddrmsg  family u8 · prefix length u8 · flags u8 · scope u8 · index u32
import { familyOf, type Address, type Family } from '../../lib/ip/mod.ts';
import type { LinkAddress } from '../types.ts';
import * as c from './constants.ts';
import { addressAt, attributes, type MessageHeader, type MessageWriter } from './message.ts';

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const IFA_F_NODAD = 2;
const scopes = { global: 0, link: 253, host: 254 } as const;

export function encodeAddressDump(w: MessageWriter, family: Family): void {
  w.u8(c.addressFamily(family)).u8(0).u8(0).u8(0).u32(0);
}

export function encodeAddress(w: MessageWriter, a: LinkAddress): void {
  const family = familyOf(a.address);
  const flags = a.noDad === true && family === 6 ? IFA_F_NODAD : 0;
  w.u8(c.addressFamily(family))
    .u8(a.length)
    .u8(flags)
    .u8(scopes[a.scope ?? 'global'])
    .u32(a.linkIndex)
    .attributeAddress(IFA_LOCAL, a.address)
    .attributeAddress(IFA_ADDRESS, a.address);
  if (flags !== 0) w.attributeU32(IFA_FLAGS, flags);
}

export function decodeAddress(view: DataView, message: MessageHeader): LinkAddress | undefined {
  if (message.type !== c.RTM_NEWADDR && message.type !== c.RTM_DELADDR) return undefined;
  let address: Address | undefined;
  let local: Address | undefined;
  let flags = view.getUint8(message.start + 2);
  attributes(view, message.start + 8, message.end, (type, offset, length) => {
    if (type === IFA_ADDRESS) address = addressAt(view, offset, length);
    else if (type === IFA_LOCAL) local = addressAt(view, offset, length);
    else if (type === IFA_FLAGS) flags = view.getUint32(offset, true);
  });
  // With a point-to-point peer IFA_ADDRESS is the peer's; IFA_LOCAL is always ours when present.
  const own = local ?? address;
  if (own === undefined) return undefined;
  const scope = view.getUint8(message.start + 3);
  return {
    address: own,
    length: view.getUint8(message.start + 1),
    linkIndex: view.getUint32(message.start + 4, true),
    scope: scope === scopes.link ? 'link' : scope === scopes.host ? 'host' : 'global',
    ...(familyOf(own) === 6 && (flags & IFA_F_NODAD) !== 0 ? { noDad: true } : {}),
  };
}
