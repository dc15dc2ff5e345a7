// Keys of WireGuard: pairs of Curve25519, written as base64 by people and the kernel's tools, as hexadecimal by wireguard-go.
import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import type { WireGuardKey } from './types.ts';

const keyBytes = 32;
/** PKCS #8 around a private key of X25519 (RFC 8410). */
const pkcs8 = Buffer.from('302e020100300506032b656e04220420', 'hex');

export function newPrivateKey(): WireGuardKey {
  const bytes = randomBytes(keyBytes);
  // The bits that the curve fixes (RFC 7748): every program shows the same text then.
  bytes[0] = (bytes[0] ?? 0) & 248;
  bytes[31] = ((bytes[31] ?? 0) & 127) | 64;
  return bytes.toString('base64');
}

/** undefined when the text is no key. */
export function publicKeyOf(privateKey: WireGuardKey): WireGuardKey | undefined {
  const bytes = keyToBytes(privateKey);
  if (bytes === undefined) return undefined;
  const key = createPrivateKey({ key: Buffer.concat([pkcs8, bytes]), format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return keyFromBytes(spki.subarray(-keyBytes));
}

export function keyToBytes(key: WireGuardKey): Uint8Array | undefined {
  const bytes = Buffer.from(key, 'base64');
  return bytes.length === keyBytes && bytes.toString('base64') === key ? bytes : undefined;
}

export const keyFromBytes = (bytes: Uint8Array): WireGuardKey => Buffer.from(bytes).toString('base64');

export const keyToHex = (key: WireGuardKey): string => Buffer.from(key, 'base64').toString('hex');
export const keyFromHex = (text: string): WireGuardKey => Buffer.from(text, 'hex').toString('base64');

/** A device without a key says that it is all zeroes. */
export const isNoKey = (key: WireGuardKey): boolean => /^A{43}=$/.test(key);
