// The attribute sets in use, interned by their canonical bytes, with the fields that best path selection compares in
// columns filled once per set. The full decoded form is made when somebody asks for it.
import { addressFromBytes, type Address } from '../../lib/ip/mod.ts';
import {
  attributeCode as codes,
  decodeAttributes,
  wellKnownCommunity,
  type Attributes,
} from '../packet/mod.ts';
import { defaultLocalPref, type PolicyAttributes } from '../policy/mod.ts';
import { ByteSets, grown } from './byte-sets.ts';
import type { NextHops } from './next-hops.ts';

export const attributeFlags = { noExport: 1, noAdvertise: 2, llgrStale: 4, noLlgr: 8 } as const;

export class AttributeSets {
  readonly sets = new ByteSets();
  readonly #nextHops: NextHops;
  localPref = new Float64Array(64);
  med = new Float64Array(64);
  asPathLength = new Int32Array(64);
  /** First AS of the path, 0 when it is empty or begins with a set. Signed. */
  neighbourAs = new Int32Array(64);
  /** ORIGINATOR_ID as a signed number; 0 when absent. */
  originator = new Int32Array(64);
  clusterCount = new Int32Array(64);
  nextHop = new Int32Array(64);
  origin = new Int32Array(64);
  flags = new Int32Array(64);
  #lastId = 0;
  #last: Attributes | undefined;
  #lastPolicyId = 0;
  #lastPolicy: PolicyAttributes | undefined;

  constructor(nextHops: NextHops) {
    this.#nextHops = nextHops;
  }

  intern(bytes: Uint8Array): number {
    const found = this.sets.intern(bytes);
    if (found > 0) return found;
    const id = -found;
    if (id >= this.localPref.length) this.#grow();
    this.#scan(id, bytes);
    if (id === this.#lastId) this.#lastId = 0;
    if (id === this.#lastPolicyId) this.#lastPolicyId = 0;
    return id;
  }

  /** Decoded form; the last one asked for is kept. */
  decoded(id: number): Attributes {
    if (id === this.#lastId && this.#last !== undefined) return this.#last;
    this.#last = decodeAttributes(this.sets.bytes(id));
    this.#lastId = id;
    return this.#last;
  }

  /** What policies look at; the last one asked for is kept. */
  forPolicy(id: number): PolicyAttributes {
    if (id === this.#lastPolicyId && this.#lastPolicy !== undefined) return this.#lastPolicy;
    const attributes = this.decoded(id);
    this.#lastPolicy = policyAttributes(attributes);
    this.#lastPolicyId = id;
    return this.#lastPolicy;
  }

  /** How often the AS stands in the path. */
  countAs(id: number, as: number): number {
    let found = 0;
    this.#eachWordOf(id, codes.asPath, (word) => {
      if (word === (as | 0)) found++;
    });
    return found;
  }

  hasCluster(id: number, clusterId: number): boolean {
    let found = false;
    this.#eachWordOf(id, codes.clusterList, (word) => {
      if (word === (clusterId | 0)) found = true;
    });
    return found;
  }

  /** The AS numbers of an AS_PATH, or the words of another attribute, signed. */
  #eachWordOf(id: number, wanted: number, visit: (word: number) => void): void {
    const bytes = this.sets.bytes(id);
    for (let at = 0; at + 3 <= bytes.length; ) {
      const extended = (bytes[at]! & 0x10) !== 0;
      const value = at + (extended ? 4 : 3);
      const length = extended ? (bytes[at + 2]! << 8) | bytes[at + 3]! : bytes[at + 2]!;
      if (bytes[at + 1] === wanted) {
        const isPath = wanted === codes.asPath;
        for (let i = value; i + 2 <= value + length; ) {
          const count = isPath ? bytes[i + 1]! : length >> 2;
          if (isPath) i += 2;
          for (let k = 0; k < count; k++, i += 4) visit(word(bytes, i));
        }
        return;
      }
      at = value + length;
    }
  }

  /** Forgets sets without users. */
  sweep(): void {
    this.sets.sweep((id) => {
      const hop = this.nextHop[id]!;
      if (hop !== 0) this.#nextHops.release(hop);
      if (id === this.#lastId) this.#lastId = 0;
      if (id === this.#lastPolicyId) this.#lastPolicyId = 0;
    });
  }

  /** Fills the columns from canonical bytes, without making objects. */
  #scan(id: number, bytes: Uint8Array): void {
    this.localPref[id] = defaultLocalPref;
    this.med[id] = 0;
    this.asPathLength[id] = 0;
    this.neighbourAs[id] = 0;
    this.originator[id] = 0;
    this.clusterCount[id] = 0;
    this.nextHop[id] = 0;
    this.origin[id] = 2;
    this.flags[id] = 0;
    for (let at = 0; at + 3 <= bytes.length; ) {
      const extended = (bytes[at]! & 0x10) !== 0;
      const value = at + (extended ? 4 : 3);
      const length = extended ? (bytes[at + 2]! << 8) | bytes[at + 3]! : bytes[at + 2]!;
      this.#scanOne(id, bytes, bytes[at + 1]!, value, length);
      at = value + length;
    }
  }

  #scanOne(id: number, bytes: Uint8Array, code: number, at: number, length: number): void {
    switch (code) {
      case codes.origin:
        this.origin[id] = bytes[at]!;
        break;
      case codes.asPath:
        this.#scanAsPath(id, bytes, at, at + length);
        break;
      case codes.nextHop:
        this.nextHop[id] = this.#nextHops.acquire(addressOf(bytes, at, 4));
        break;
      case codes.mpReach:
        this.nextHop[id] = this.#nextHops.acquire(mpNextHop(bytes, at + 3));
        break;
      case codes.med:
        this.med[id] = word(bytes, at) >>> 0;
        break;
      case codes.localPref:
        this.localPref[id] = word(bytes, at) >>> 0;
        break;
      case codes.originatorId:
        this.originator[id] = word(bytes, at);
        break;
      case codes.clusterList:
        this.clusterCount[id] = length >> 2;
        break;
      case codes.communities:
        for (let i = 0; i + 4 <= length; i += 4) this.flags[id]! |= communityFlag(word(bytes, at + i) >>> 0);
        break;
      default:
        break;
    }
  }

  #scanAsPath(id: number, bytes: Uint8Array, start: number, end: number): void {
    let total = 0;
    for (let at = start; at + 2 <= end; ) {
      const type = bytes[at]!;
      const count = bytes[at + 1]!;
      if (type === 2) {
        if (at === start && count > 0) this.neighbourAs[id] = word(bytes, at + 2);
        total += count;
      } else if (type === 1) total += 1;
      at += 2 + 4 * count;
    }
    this.asPathLength[id] = total;
  }

  #grow(): void {
    const size = this.localPref.length * 2;
    for (const name of ['localPref', 'med'] as const) {
      const next = new Float64Array(size);
      next.set(this[name]);
      this[name] = next;
    }
    for (const name of [
      'asPathLength',
      'neighbourAs',
      'originator',
      'clusterCount',
      'nextHop',
      'origin',
      'flags',
    ] as const) {
      this[name] = grown(this[name], size);
    }
  }
}

export function policyAttributes(attributes: Attributes): PolicyAttributes {
  return {
    localPref: attributes.localPref,
    asPath: attributes.asPath.flatMap((segment) => segment.asns),
    communities: attributes.communities ?? [],
    largeCommunities: (attributes.largeCommunities ?? []).map((c) => c.join(':')),
  };
}

const word = (bytes: Uint8Array, at: number): number =>
  (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;

function communityFlag(community: number): number {
  if (community === wellKnownCommunity.noAdvertise) return attributeFlags.noAdvertise;
  if (community === wellKnownCommunity.noExport || community === wellKnownCommunity.noExportSubconfed)
    return attributeFlags.noExport;
  if (community === wellKnownCommunity.llgrStale) return attributeFlags.llgrStale;
  if (community === wellKnownCommunity.noLlgr) return attributeFlags.noLlgr;
  return 0;
}

const addressOf = (bytes: Uint8Array, at: number, length: number): Address =>
  addressFromBytes(bytes.subarray(at, at + length));

/** The global next hop of an MP_REACH_NLRI value, from its length octet; the link-local one when the global is absent. */
function mpNextHop(bytes: Uint8Array, at: number): Address {
  const length = bytes[at]!;
  if (length === 4) return addressOf(bytes, at + 1, 4);
  const global = addressOf(bytes, at + 1, 16);
  return global === '::' && length === 32 ? addressOf(bytes, at + 17, 16) : global;
}
