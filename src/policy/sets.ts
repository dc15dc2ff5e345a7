// Address sets: their identifiers, and a lookup over sets whose members are given.
import { parseAddress, parseNetwork, isSingleAddress, prefixAddress, PrefixTrie } from '../lib/ip/mod.ts';
import type { Address, Prefix } from '../lib/ip/mod.ts';
import { err, failure, ok, type Failure, type Result } from '../lib/result.ts';
import { protocolNumber } from '../model/mod.ts';
import { hashedId, selectorId, type Selector } from '../selector/mod.ts';
import type { PortMember, SetDefinition, SetId, SetLookup } from './types.ts';

/** Addresses of what the selector selects. */
export const selectorSet = (selector: Selector): SetDefinition => ({
  kind: 'selector',
  id: selectorId(selector) as SetId,
  selector,
});

/** Names of the protocols with ports, as identifiers and listings of sets write them. */
const portProtocols = [
  ['tcp', 6],
  ['udp', 17],
  ['sctp', 132],
] as const;

/** Ports of that name of what the selector selects; without a protocol, of every protocol that has ports. */
export function namedPortSet(selector: Selector, port: string, protocol?: number): SetDefinition {
  const word = portProtocols.find(([, number]) => number === protocol)?.[0] ?? 'any';
  const id = hashedId('n', `${selectorId(selector)},${word},${port}`) as SetId;
  return { kind: 'named-port', id, selector, port, ...(protocol === undefined ? {} : { protocol }) };
}

/** Endpoints of a service. */
export const serviceSet = (namespace: string, name: string, withPorts: boolean): SetDefinition => ({
  kind: 'service',
  id: hashedId(withPorts ? 'svc' : 'svcnoport', `${namespace}/${name}`) as SetId,
  namespace,
  name,
  withPorts,
});

/** A member is a network, or an address with protocol and port. */
export type SetMember = Prefix | PortMember;
export type SetMemberError = Failure<'BadSetMember'>;

/** Members as listings show them: `10.0.0.0/8`, `10.0.0.1,tcp:80`. */
export const memberText = (member: SetMember): string =>
  typeof member === 'string'
    ? member
    : `${member.address},${portProtocols.find(([, n]) => n === member.protocol)?.[0] ?? member.protocol}:${member.port}`;

/** Reads a member from its text; host bits are cleared. */
export function parseMember(text: string): Result<SetMember, SetMemberError> {
  const refused = err(failure('BadSetMember', `"${text}" is neither a network nor address,protocol:port.`));
  const parts = /^([^,]+),([^:]+):(\d+)$/.exec(text);
  if (parts === null) {
    const network = parseNetwork(text);
    return network.ok ? network : refused;
  }
  const network = parseNetwork(parts[1] ?? '');
  const protocol = protocolNumber(parts[2] ?? '');
  const port = Number(parts[3]);
  if (!network.ok || !isSingleAddress(network.value) || protocol === undefined || port > 65535)
    return refused;
  return ok({ address: prefixAddress(network.value), protocol, port });
}

/** Sets in memory. A set that was never given is unknown; an empty one is known and empty. */
export class MemorySets implements SetLookup {
  readonly #sets = new Map<SetId, IndexedSet>();

  constructor(sets: Iterable<readonly [SetId, Iterable<SetMember>]> = []) {
    for (const [id, members] of sets) this.set(id, members);
  }

  /** Adds the set, or replaces it. */
  set(id: SetId, members: Iterable<SetMember>): void {
    this.#sets.set(id, indexed(members));
  }

  has(id: SetId): boolean {
    return this.#sets.has(id);
  }

  hasAddress(id: SetId, address: Address): boolean | undefined {
    const set = this.#sets.get(id);
    return set === undefined
      ? undefined
      : set.addresses.has(address) || (set.nets.size > 0 && set.nets.lookup(address) !== undefined);
  }

  hasPort(id: SetId, address: Address, protocol: number, port: number): boolean | undefined {
    return this.#sets.get(id)?.ports.has(portKey(address, protocol, port));
  }
}

type IndexedSet = {
  /** Single addresses, apart from wider networks: nearly all members are of this kind. */
  readonly addresses: ReadonlySet<Address>;
  readonly nets: PrefixTrie<true>;
  readonly ports: ReadonlySet<string>;
};

const portKey = (address: Address, protocol: number, port: number): string =>
  `${address} ${protocol} ${port}`;

function indexed(members: Iterable<SetMember>): IndexedSet {
  const addresses = new Set<Address>();
  const nets = new PrefixTrie<true>();
  const ports = new Set<string>();
  for (const member of members) {
    if (typeof member !== 'string') ports.add(portKey(member.address, member.protocol, member.port));
    else if (isSingleAddress(member)) addresses.add(prefixAddress(member));
    else nets.set(member, true);
  }
  return { addresses, nets, ports };
}

/** The address of a text that is one, canonical. */
export const addressOf = (text: string): Address | undefined => {
  const parsed = parseAddress(text);
  return parsed.ok ? parsed.value : undefined;
};
