// What the tests of messages share: bytes as hex, UPDATEs put together by hand, and what they say.
import type { Family } from '../../lib/ip/mod.ts';
import {
  announcedParts,
  attributeBytes,
  decodeAttributes,
  forEachAnnounced,
  forEachWithdrawn,
  parseUpdate,
  prefixFromWords,
  type Attributes,
  type DecodeContext,
  type UpdateView,
} from './mod.ts';

export const hex = (text: string): Uint8Array =>
  Uint8Array.from(text.replaceAll(/\s/g, '').match(/../g) ?? [], (x) => Number.parseInt(x, 16));
export const toHex = (bytes: Uint8Array): string =>
  [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
export const marker = 'ff'.repeat(16);
export const message = (type: number, body: string): Uint8Array => {
  const bytes = hex(body);
  const length = 19 + bytes.length;
  return hex(
    `${marker}${length.toString(16).padStart(4, '0')}${type.toString(16).padStart(2, '0')}${toHex(bytes)}`,
  );
};

export const ibgp: DecodeContext = {
  as4: true,
  ebgp: false,
  ipv4: true,
  ipv6: true,
  addPath4: false,
  addPath6: false,
};
export const ebgp: DecodeContext = { ...ibgp, ebgp: true };
export const twoOctet: DecodeContext = { ...ibgp, as4: false };

export const length16 = (bytes: string): string =>
  (bytes.replaceAll(/\s/g, '').length / 2).toString(16).padStart(4, '0');
export const update = (withdrawn: string, attributes: string, nlri: string): Uint8Array =>
  message(2, `${length16(withdrawn)}${withdrawn}${length16(attributes)}${attributes}${nlri}`);
export const parse = (bytes: Uint8Array, context = ibgp): UpdateView =>
  parseUpdate(bytes, 0, bytes.length, context);

export type Reading = { announced: string[]; withdrawn: string[]; attributes: Attributes | undefined };
export function read(view: UpdateView): Reading {
  const reading: Reading = { announced: [], withdrawn: [], attributes: undefined };
  const text = (f: Family, a: number, b: number, c: number, d: number, length: number, id: number): string =>
    `${prefixFromWords(f, a, b, c, d, length)}${id === 0 ? '' : ` id ${id}`}`;
  forEachWithdrawn(view, (...n) => void reading.withdrawn.push(text(...n)));
  for (const part of announcedParts(view)) {
    reading.attributes = decodeAttributes(attributeBytes(view, part));
    forEachAnnounced(view, part, (...n) => void reading.announced.push(text(...n)));
  }
  return reading;
}

export const base = '40010100 40020602010000fde8 4003040a000001';
export const nlri24 = '18 0a3c01';
