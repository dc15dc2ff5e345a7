// Digests that names and identifiers are made of: SHA-1, SHA-224, SHA-256 (FIPS 180-4) and FNV (32 and 64 bit). Pure and
// small, so that pure modules can use them; not meant for secrets or for large inputs.

const encoder = new TextEncoder();

const bytesOf = (data: string | Uint8Array): Uint8Array =>
  typeof data === 'string' ? encoder.encode(data) : data;

/** 20 bytes. */
export function sha1(data: string | Uint8Array): Uint8Array {
  const state = new Uint32Array([0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0]);
  const w = new Uint32Array(80);
  forEachBlock(bytesOf(data), (block, at) => {
    for (let i = 0; i < 16; i++) w[i] = block.getUint32(at + i * 4);
    for (let i = 16; i < 80; i++)
      w[i] = rotateLeft(word(w, i - 3) ^ word(w, i - 8) ^ word(w, i - 14) ^ word(w, i - 16), 1);
    sha1Rounds(state, w);
  });
  return bigEndian(state, 5);
}

function sha1Rounds(state: Uint32Array, w: Uint32Array): void {
  let [a = 0, b = 0, c = 0, d = 0, e = 0] = state;
  for (let i = 0; i < 80; i++) {
    const f = i < 20 ? (b & c) | (~b & d) : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
    const k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
    const next = (rotateLeft(a, 5) + f + e + k + word(w, i)) | 0;
    e = d;
    d = c;
    c = rotateLeft(b, 30);
    b = a;
    a = next;
  }
  [a, b, c, d, e].forEach((v, i) => {
    state[i] = word(state, i) + v;
  });
}

/** 28 bytes. */
export const sha224 = (data: string | Uint8Array): Uint8Array =>
  sha2(
    bytesOf(data),
    [0xc1059ed8, 0x367cd507, 0x3070dd17, 0xf70e5939, 0xffc00b31, 0x68581511, 0x64f98fa7, 0xbefa4fa4],
    7,
  );

/** 32 bytes. */
export const sha256 = (data: string | Uint8Array): Uint8Array =>
  sha2(
    bytesOf(data),
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19],
    8,
  );

/** Round constants: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
let roundConstants: Uint32Array | undefined;

function sha2(data: Uint8Array, initial: readonly number[], words: number): Uint8Array {
  roundConstants ??= cubeRootFractions();
  const k = roundConstants;
  const state = Uint32Array.from(initial);
  const w = new Uint32Array(64);
  forEachBlock(data, (block, at) => {
    for (let i = 0; i < 16; i++) w[i] = block.getUint32(at + i * 4);
    for (let i = 16; i < 64; i++) {
      const x = word(w, i - 15);
      const y = word(w, i - 2);
      const s0 = rotateRight(x, 7) ^ rotateRight(x, 18) ^ (x >>> 3);
      const s1 = rotateRight(y, 17) ^ rotateRight(y, 19) ^ (y >>> 10);
      w[i] = word(w, i - 16) + s0 + word(w, i - 7) + s1;
    }
    sha2Rounds(state, w, k);
  });
  return bigEndian(state, words);
}

function sha2Rounds(state: Uint32Array, w: Uint32Array, k: Uint32Array): void {
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
  for (let i = 0; i < 64; i++) {
    const s1 = rotateRight(e, 6) ^ rotateRight(e, 11) ^ rotateRight(e, 25);
    const choice = (e & f) ^ (~e & g);
    const t1 = (h + s1 + choice + word(k, i) + word(w, i)) | 0;
    const s0 = rotateRight(a, 2) ^ rotateRight(a, 13) ^ rotateRight(a, 22);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + s0 + majority) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((v, i) => {
    state[i] = word(state, i) + v;
  });
}

function cubeRootFractions(): Uint32Array {
  const primes: bigint[] = [];
  for (let n = 2n; primes.length < 64; n++) if (primes.every((p) => n % p !== 0n)) primes.push(n);
  // floor(cbrt(p) · 2^32) is the integer cube root of p · 2^96.
  return Uint32Array.from(primes, (p) => Number(BigInt.asUintN(32, integerCubeRoot(p << 96n))));
}

function integerCubeRoot(n: bigint): bigint {
  let low = 0n;
  let high = 1n << 40n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle * middle * middle <= n) low = middle;
    else high = middle;
  }
  return low;
}

/** Calls `use` for each 64-byte block of the message after padding: 0x80, zeros, length in bits (64-bit big endian). */
function forEachBlock(data: Uint8Array, use: (block: DataView, at: number) => void): void {
  const padded = new Uint8Array((((data.length + 8) >> 6) + 1) << 6);
  padded.set(data);
  padded[data.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(data.length) * 8n);
  for (let at = 0; at < padded.length; at += 64) use(view, at);
}

const word = (list: Uint32Array, i: number): number => list[i] ?? 0;
const rotateLeft = (x: number, n: number): number => (x << n) | (x >>> (32 - n));
const rotateRight = (x: number, n: number): number => (x >>> n) | (x << (32 - n));

function bigEndian(state: Uint32Array, words: number): Uint8Array {
  const bytes = new Uint8Array(words * 4);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < words; i++) view.setUint32(i * 4, word(state, i));
  return bytes;
}

/** FNV-1, 32 bit: multiply, then xor. */
export function fnv1(data: string | Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytesOf(data)) hash = Math.imul(hash, 0x01000193) ^ byte;
  return hash >>> 0;
}

/** FNV-1a, 32 bit: xor, then multiply. */
export function fnv1a(data: string | Uint8Array): number {
  let hash = 0x811c9dc5;
  for (const byte of bytesOf(data)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** FNV-1a, 64 bit. */
export function fnv1a64(data: string | Uint8Array): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytesOf(data)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}

export const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');

const base64UrlAlphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** RFC 4648 section 5, without padding. */
export function base64Url(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const group = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    const symbols = Math.min(4, bytes.length - i + 1);
    for (let s = 0; s < symbols; s++) text += base64UrlAlphabet[(group >>> (18 - 6 * s)) & 63];
  }
  return text;
}
