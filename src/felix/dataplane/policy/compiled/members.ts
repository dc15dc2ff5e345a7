// Members of the sets that the node knows, for both families: what an address is in, and all members for whoever begins to
// ask about a set.
import {
  addressBits,
  familyOf,
  prefixFamily,
  prefixLength,
  prefixOf,
  type Address,
  type Family,
  type Prefix,
} from '../../../../lib/ip/mod.ts';
import { parseMember, type PortMember, type SetId } from '../../../../policy/mod.ts';

export type Port = { readonly protocol: number; readonly number: number };

class KnownSet {
  readonly nets = new Set<Prefix>();
  /** How many networks have this length. */
  readonly lengths = new Map<number, number>();
  readonly ports = new Map<Address, Map<string, PortMember>>();
}

const portKey = ({ protocol, port }: PortMember): string => `${protocol}:${port}`;

/** Told of each member that comes and goes in a known set. */
export type MemberListener = {
  net(id: SetId, net: Prefix, added: boolean): void;
  port(id: SetId, member: PortMember, added: boolean): void;
};

export class Members {
  readonly #sets = new Map<SetId, KnownSet>();
  readonly #listener: MemberListener;

  constructor(listener: MemberListener) {
    this.#listener = listener;
  }

  has(id: SetId): boolean {
    return this.#sets.has(id);
  }

  /** Makes the set known; what was in it and is not given goes. */
  set(id: SetId, members: readonly string[]): void {
    const set = this.#sets.get(id);
    if (set === undefined) this.#sets.set(id, new KnownSet());
    else {
      const kept = new Set(members.map((text) => memberKey(text)));
      for (const net of set.nets) if (!kept.has(net)) this.#net(id, set, net, false);
      for (const ports of set.ports.values())
        for (const member of ports.values())
          if (!kept.has(`${member.address} ${portKey(member)}`)) this.#port(id, set, member, false);
    }
    this.change(id, members, []);
  }

  change(id: SetId, added: readonly string[], removed: readonly string[]): void {
    const set = this.#sets.get(id);
    if (set === undefined) return;
    for (const text of removed) this.#member(id, set, text, false);
    for (const text of added) this.#member(id, set, text, true);
  }

  delete(id: SetId): void {
    const set = this.#sets.get(id);
    if (set === undefined) return;
    for (const net of set.nets) this.#net(id, set, net, false);
    for (const ports of set.ports.values())
      for (const member of ports.values()) this.#port(id, set, member, false);
    this.#sets.delete(id);
  }

  *netsOf(id: SetId, family: Family): Generator<Prefix> {
    for (const net of this.#sets.get(id)?.nets ?? []) if (prefixFamily(net) === family) yield net;
  }

  *portsOf(id: SetId, family: Family): Generator<PortMember> {
    for (const [address, ports] of this.#sets.get(id)?.ports ?? [])
      if (familyOf(address) === family) yield* ports.values();
  }

  /** undefined: nobody knows the set. */
  hasAddress(id: SetId, address: Address): boolean | undefined {
    const set = this.#sets.get(id);
    if (set === undefined) return undefined;
    const family = familyOf(address);
    for (const length of set.lengths.keys())
      if (length <= addressBits(family) && set.nets.has(prefixOf(address, length))) return true;
    return false;
  }

  portsOfAddress(id: SetId, address: Address): readonly Port[] | undefined {
    const set = this.#sets.get(id);
    if (set === undefined) return undefined;
    const ports = [...(set.ports.get(address)?.values() ?? [])];
    return ports.map(({ protocol, port }) => ({ protocol, number: port }));
  }

  #member(id: SetId, set: KnownSet, text: string, added: boolean): void {
    if (!text.includes(',') && text.includes('/')) return this.#net(id, set, text as Prefix, added);
    const parsed = parseMember(text);
    // Whoever calculated the members wrote them; what cannot be read is in no set.
    if (!parsed.ok) return;
    if (typeof parsed.value === 'string') this.#net(id, set, parsed.value, added);
    else this.#port(id, set, parsed.value, added);
  }

  #net(id: SetId, set: KnownSet, net: Prefix, added: boolean): void {
    if (set.nets.has(net) === added) return;
    if (added) set.nets.add(net);
    else set.nets.delete(net);
    const length = prefixLength(net);
    const count = (set.lengths.get(length) ?? 0) + (added ? 1 : -1);
    if (count === 0) set.lengths.delete(length);
    else set.lengths.set(length, count);
    this.#listener.net(id, net, added);
  }

  #port(id: SetId, set: KnownSet, member: PortMember, added: boolean): void {
    const ports = set.ports.get(member.address);
    const key = portKey(member);
    if ((ports?.has(key) ?? false) === added) return;
    if (added) {
      if (ports === undefined) set.ports.set(member.address, new Map([[key, member]]));
      else ports.set(key, member);
    } else if (ports !== undefined) {
      ports.delete(key);
      if (ports.size === 0) set.ports.delete(member.address);
    }
    this.#listener.port(id, member, added);
  }
}

function memberKey(text: string): string {
  if (!text.includes(',') && text.includes('/')) return text;
  const parsed = parseMember(text);
  if (!parsed.ok) return text;
  return typeof parsed.value === 'string' ? parsed.value : `${parsed.value.address} ${portKey(parsed.value)}`;
}
