// ASN.1 in DER, writing only, as much of it as certificates take (X.690): every value is tag, length, content.

const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  utf8: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

function tagged(tag: number, content: Uint8Array): Buffer {
  const { length } = content;
  const size: number[] = [];
  if (length < 0x80) size.push(length);
  else {
    const digits: number[] = [];
    for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256);
    size.push(0x80 | digits.length, ...digits);
  }
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

export const sequence = (...items: readonly Uint8Array[]): Buffer =>
  tagged(tags.sequence, Buffer.concat(items));
export const setOf = (...items: readonly Uint8Array[]): Buffer => tagged(tags.set, Buffer.concat(items));
export const utf8 = (text: string): Buffer => tagged(tags.utf8, Buffer.from(text));
export const octets = (content: Uint8Array): Buffer => tagged(tags.octetString, content);
export const boolean = (value: boolean): Buffer => tagged(tags.boolean, Buffer.from([value ? 0xff : 0]));
/** Context-specific: `explicit` wraps a value, `implicit` replaces its tag. */
export const explicit = (number: number, ...items: readonly Uint8Array[]): Buffer =>
  tagged(0xa0 | number, Buffer.concat(items));
export const implicit = (number: number, content: Uint8Array): Buffer => tagged(0x80 | number, content);

/** A number of any size, most significant byte first. */
export function integer(value: number | Uint8Array): Buffer {
  let bytes = typeof value === 'number' ? Buffer.from([value]) : Buffer.from(value);
  while (bytes.length > 1 && bytes[0] === 0 && (bytes[1] ?? 0) < 0x80) bytes = bytes.subarray(1);
  if ((bytes[0] ?? 0) >= 0x80) bytes = Buffer.concat([Buffer.from([0]), bytes]);
  return tagged(tags.integer, bytes);
}

export const bits = (content: Uint8Array, unused = 0): Buffer =>
  tagged(tags.bitString, Buffer.concat([Buffer.from([unused]), content]));

export function objectId(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const digits = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) digits.unshift(0x80 | (left & 0x7f));
    bytes.push(...digits);
  }
  return tagged(tags.objectId, Buffer.from(bytes));
}

/** Whole seconds; two-digit years up to 2049, as X.509 demands. */
export function time(ms: number): Buffer {
  const digits = `${new Date(ms).toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}Z`;
  return new Date(ms).getUTCFullYear() < 2050
    ? tagged(tags.utcTime, Buffer.from(digits.slice(2)))
    : tagged(tags.generalizedTime, Buffer.from(digits));
}
