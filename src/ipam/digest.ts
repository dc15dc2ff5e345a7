// SHA3-256 (FIPS 202) and base32 without padding: what the hostname label of block affinities is made of. Pure and for
// short texts; the permutation works on 64-bit lanes as bigints, which is slow and easy to check.
const mask = (1n << 64n) - 1n;
const zeroLanes = (): bigint[] => Array.from({ length: 25 }, () => 0n);
const rate = 136;
const rotate = (lane: bigint, by: number): bigint =>
  ((lane << BigInt(by)) | (lane >> BigInt(64 - by))) & mask;

/** Round constants from the degree-8 LFSR of the standard. */
const roundConstants: readonly bigint[] = makeRoundConstants();
/** Rotation of each lane, by the walk (x, y) → (y, 2x + 3y). */
const rotations: readonly number[] = makeRotations();

/** 32 bytes. */
export function sha3(text: string): Uint8Array {
  const data = new TextEncoder().encode(text);
  const padded = new Uint8Array(Math.ceil((data.length + 1) / rate) * rate);
  padded.set(data);
  padded[data.length] = (padded[data.length] ?? 0) ^ 0x06;
  padded[padded.length - 1] = (padded[padded.length - 1] ?? 0) ^ 0x80;
  let state = zeroLanes();
  const view = new DataView(padded.buffer);
  for (let at = 0; at < padded.length; at += rate) {
    for (let lane = 0; lane < rate / 8; lane++)
      state[lane] = (state[lane] ?? 0n) ^ view.getBigUint64(at + lane * 8, true);
    for (const constant of roundConstants) state = round(state, constant);
  }
  const digest = new DataView(new ArrayBuffer(32));
  for (let lane = 0; lane < 4; lane++) digest.setBigUint64(lane * 8, state[lane] ?? 0n, true);
  return new Uint8Array(digest.buffer);
}

/** Lane (x, y) is state[x + 5 y]: θ, ρ and π, χ, ι. */
function round(state: readonly bigint[], constant: bigint): bigint[] {
  const lane = (x: number, y: number): bigint => state[(x % 5) + 5 * y] ?? 0n;
  const column = [0, 1, 2, 3, 4].map((x) => lane(x, 0) ^ lane(x, 1) ^ lane(x, 2) ^ lane(x, 3) ^ lane(x, 4));
  const moved = zeroLanes();
  for (let x = 0; x < 5; x++) {
    const parity = (column[(x + 4) % 5] ?? 0n) ^ rotate(column[(x + 1) % 5] ?? 0n, 1);
    for (let y = 0; y < 5; y++)
      moved[y + 5 * ((2 * x + 3 * y) % 5)] = rotate(lane(x, y) ^ parity, rotations[x + 5 * y] ?? 0);
  }
  return moved.map((value, i) => {
    const row = i - (i % 5);
    const next = moved[row + ((i + 1) % 5)] ?? 0n;
    const mixed = value ^ (~next & mask & (moved[row + ((i + 2) % 5)] ?? 0n));
    return i === 0 ? mixed ^ constant : mixed;
  });
}

function makeRoundConstants(): bigint[] {
  let lfsr = 1;
  const nextBit = (): number => {
    const bit = lfsr & 1;
    lfsr = (lfsr << 1) ^ (lfsr & 0x80 ? 0x171 : 0);
    return bit;
  };
  return Array.from({ length: 24 }, () => {
    let constant = 0n;
    for (let j = 0; j < 7; j++) if (nextBit() === 1) constant |= 1n << BigInt((1 << j) - 1);
    return constant;
  });
}

function makeRotations(): number[] {
  const table = Array.from({ length: 25 }, () => 0);
  let [x, y] = [1, 0];
  for (let t = 0; t < 24; t++) {
    table[x + 5 * y] = (((t + 1) * (t + 2)) / 2) % 64;
    [x, y] = [y, (2 * x + 3 * y) % 5];
  }
  return table;
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** RFC 4648 base32, upper case, without padding. */
export function base32(bytes: Uint8Array): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += alphabet[(value >>> (bits - 5)) & 31];
    value &= (1 << bits) - 1;
  }
  return bits > 0 ? text + alphabet[(value << (5 - bits)) & 31] : text;
}
