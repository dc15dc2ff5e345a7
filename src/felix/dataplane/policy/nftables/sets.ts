// Named sets of the kernel that linear chains look at, counted by their users: members of policy's sets as they are told,
// and lists of ports and networks that rules hold, shared by all rules with the same list. Rules never have sets of their
// own: the kernel finds a name for each by walking over all others.
//
//   s-…  svcnoport-…      addresses: a hash, or `…-nets` with intervals while a network is among the members
//   n-…  svc-…            address . protocol . port
//   ports-…  nets-…       lists of rules, under a hash of what is in them
import { createHash } from 'node:crypto';
import {
  containsPrefix,
  familyOf,
  isSingleAddress,
  prefixFamily,
  type Family,
  type Prefix,
} from '../../../../lib/ip/mod.ts';
import { parseMember, type PortRange, type SetId } from '../../../../policy/mod.ts';
import type { NftSet } from '../../../../kernel/mod.ts';
import type { MemberChange, MirroredSet, PolicyMirror } from '../inputs/mod.ts';
import { addressType, elementText, nftFamily, type RowSink } from './rows.ts';

type Shape = 'addresses' | 'nets' | 'ports';
type Entry = {
  readonly name: string;
  readonly id: SetId;
  readonly family: Family;
  readonly shape: Shape;
  users: number;
};

export class MemberSetBook {
  readonly #rows: RowSink;
  readonly #mirror: PolicyMirror;
  readonly #entries = new Map<string, Entry>();
  readonly #byId = new Map<SetId, Set<Entry>>();
  /** How many members of a set are networks, by family and set. */
  readonly #wide = new Map<string, number>();

  constructor(rows: RowSink, mirror: PolicyMirror) {
    this.#rows = rows;
    this.#mirror = mirror;
  }

  /** The name by which rules refer to the set; undefined when nobody told of such a set. */
  use(id: SetId, family: Family): string | undefined {
    const set = this.#mirror.sets.get(id);
    if (set === undefined) return undefined;
    const shape = this.#shape(id, family);
    const name = setName(id, shape);
    const key = `${family} ${name}`;
    const known = this.#entries.get(key);
    if (known !== undefined) {
      known.users++;
      return name;
    }
    const entry: Entry = { name, id, family, shape, users: 1 };
    this.#entries.set(key, entry);
    const entries = this.#byId.get(id) ?? new Set();
    this.#byId.set(id, entries.add(entry));
    this.#rows.put({ kind: 'set', family: nftFamily(family), set: definition(entry) });
    for (const member of set.members) this.#element(entry, member, true);
    return name;
  }

  release(name: string, family: Family): void {
    const key = `${family} ${name}`;
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    entry.users--;
    if (entry.users > 0) return;
    this.#forget(entry, this.#mirror.sets.get(entry.id)?.members ?? []);
  }

  /** Takes changes of members; gives the sets that rules must name differently from now on. */
  take(changes: readonly MemberChange[], removedSets: ReadonlyMap<SetId, MirroredSet>): readonly SetId[] {
    const renamed: SetId[] = [];
    for (const change of changes) {
      this.#count(change);
      let isRenamed = false;
      for (const entry of this.#byId.get(change.id) ?? []) {
        for (const member of change.removed) this.#element(entry, member, false);
        // Rules are about to let go of it and name another one.
        if (this.#shape(change.id, entry.family) !== entry.shape) isRenamed = true;
        else for (const member of change.added) this.#element(entry, member, true);
      }
      if (isRenamed) renamed.push(change.id);
    }
    for (const [id, { members }] of removedSets) {
      for (const entry of this.#byId.get(id) ?? []) this.#forget(entry, members);
      for (const family of [4, 6]) this.#wide.delete(`${family} ${id}`);
    }
    return renamed;
  }

  #forget(entry: Entry, members: Iterable<string>): void {
    this.#entries.delete(`${entry.family} ${entry.name}`);
    const entries = this.#byId.get(entry.id);
    entries?.delete(entry);
    if (entries?.size === 0) this.#byId.delete(entry.id);
    for (const member of members) this.#element(entry, member, false);
    this.#rows.drop(`${nftFamily(entry.family)} set ${entry.name}`);
  }

  #count({ id, added, removed }: MemberChange): void {
    for (const [members, by] of [
      [added, 1],
      [removed, -1],
    ] as const)
      for (const member of members) {
        if (member.includes(',') || isSingleAddress(member as Prefix)) continue;
        const key = `${prefixFamily(member as Prefix)} ${id}`;
        this.#wide.set(key, (this.#wide.get(key) ?? 0) + by);
      }
  }

  #shape(id: SetId, family: Family): Shape {
    const definition = this.#mirror.sets.get(id)?.definition;
    if (definition?.kind === 'named-port' || (definition?.kind === 'service' && definition.withPorts))
      return 'ports';
    return (this.#wide.get(`${family} ${id}`) ?? 0) > 0 ? 'nets' : 'addresses';
  }

  #element(entry: Entry, text: string, isMember: boolean): void {
    const key = elementKey(entry, text);
    if (key === undefined) return;
    const family = nftFamily(entry.family);
    if (isMember) this.#rows.put({ kind: 'element', family, set: entry.name, element: { key } });
    else
      this.#rows.drop(`${family} element ${entry.name} ${typeof key === 'string' ? key : key.join(' . ')}`);
  }
}

const setName = (id: SetId, shape: Shape): string =>
  `${id.replace(/[^\w.-]/g, '-')}${shape === 'nets' ? '-nets' : ''}`;

const definition = ({ name, family, shape }: Entry): NftSet =>
  shape === 'ports'
    ? { name, key: [addressType(family), 'inet_proto', 'inet_service'] }
    : { name, key: [addressType(family)], ...(shape === 'nets' ? { interval: true } : {}) };

/** Undefined for a member of the other family. */
function elementKey({ family, shape }: Entry, text: string): string | readonly string[] | undefined {
  if (shape !== 'ports') {
    const net = text as Prefix;
    return prefixFamily(net) === family ? elementText(net) : undefined;
  }
  const parsed = parseMember(text);
  if (!parsed.ok || typeof parsed.value === 'string') return undefined;
  const { address, protocol, port } = parsed.value;
  return familyOf(address) === family ? [address, protocolWord(protocol), String(port)] : undefined;
}

const protocolWords: Readonly<Record<number, string>> = { 6: 'tcp', 17: 'udp', 132: 'sctp', 136: 'udplite' };
/** As the kernel module reads elements back. */
export const protocolWord = (protocol: number): string => protocolWords[protocol] ?? String(protocol);

/** Lists of ports and of networks, by what is in them. */
export class ListSetBook {
  readonly #rows: RowSink;
  readonly #entries = new Map<string, { readonly keys: readonly string[]; users: number }>();

  constructor(rows: RowSink) {
    this.#rows = rows;
  }

  usePorts(ranges: readonly PortRange[], family: Family): string {
    const merged = mergedRanges(ranges).map(rangeText);
    return this.#use('ports', 'inet_service', merged, family);
  }

  useNets(nets: readonly Prefix[], family: Family): string {
    return this.#use('nets', addressType(family), nets.map(elementText), family);
  }

  release(name: string, family: Family): void {
    const key = `${family} ${name}`;
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    entry.users--;
    if (entry.users > 0) return;
    this.#entries.delete(key);
    for (const row of entry.keys.toReversed()) this.#rows.drop(row);
  }

  #use(kind: string, type: string, elements: readonly string[], family: Family): string {
    const hash = createHash('sha256').update(elements.join(' ')).digest('hex').slice(0, 16);
    const name = `${kind}-${hash}`;
    const key = `${family} ${name}`;
    const entry = this.#entries.get(key);
    if (entry !== undefined) {
      entry.users++;
      return name;
    }
    const set = { name, key: [type], interval: true };
    const table = nftFamily(family);
    const keys = [
      this.#rows.put({ kind: 'set', family: table, set }),
      ...elements.map((element) =>
        this.#rows.put({ kind: 'element', family: table, set: name, element: { key: element } }),
      ),
    ];
    this.#entries.set(key, { keys, users: 1 });
    return name;
  }
}

/** Sorted, without overlap, neighbours joined. */
export function mergedRanges(ranges: readonly PortRange[]): readonly PortRange[] {
  const out: { first: number; last: number }[] = [];
  for (const { first, last } of ranges.toSorted((a, b) => a.first - b.first)) {
    const before = out.at(-1);
    if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last);
    else out.push({ first, last });
  }
  return out;
}

export const rangeText = ({ first, last }: PortRange): string =>
  first === last ? String(first) : `${first}-${last}`;

/** Sorted, and none inside of another: sets of intervals cannot overlap. */
export function outermost(nets: readonly Prefix[]): readonly Prefix[] {
  const unique = [...new Set(nets)].toSorted();
  return unique.filter((net) => !unique.some((other) => other !== net && containsPrefix(other, net)));
}
