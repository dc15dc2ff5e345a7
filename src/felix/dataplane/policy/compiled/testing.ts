// For tests: the kernel's lookups played in memory from rows, chains of rules that tell what they decide, and arbitrary
// programs, sets and packets over a small world in which everything meets.
import fc from 'fast-check';
import {
  address,
  addressToBigInt,
  familyOf,
  prefix,
  type Address,
  type Family,
  type Prefix,
} from '../../../../lib/ip/mod.ts';
import { nftProtocolName } from '../../../../kernel/mod.ts';
import {
  evaluate,
  MemorySets,
  parseMember,
  type Packet,
  type PolicyProgram,
  type PortRange,
  type Rule,
  type SetDefinition,
  type SetId,
  type SideMatch,
} from '../../../../policy/mod.ts';
import { nftKey, type NftRow } from '../../nftables.ts';
import type { Decider, GroupProgram, LogStep, ProgramDecision, RuleChains } from '../types.ts';
import type { RowChanges } from './types.ts';

/** Chains that tell what they decide, and how many use them. */
export class TellingChains implements RuleChains {
  readonly #names = new Map<string, { readonly text: string; users: number }>();
  readonly #byText = new Map<string, string>();

  use(family: Family, decision: ProgramDecision): string {
    const text = decisionText(decision);
    const name = this.#byText.get(`${family} ${text}`) ?? `rule-${family}-${this.#byText.size}`;
    this.#byText.set(`${family} ${text}`, name);
    const entry = this.#names.get(name) ?? { text, users: 0 };
    entry.users++;
    this.#names.set(name, entry);
    return name;
  }

  release(family: Family, decision: ProgramDecision): void {
    const name = this.#byText.get(`${family} ${decisionText(decision)}`) ?? '';
    const entry = this.#names.get(name);
    if (entry === undefined) throw new Error(`nobody uses ${decisionText(decision)}`);
    if (--entry.users === 0) this.#names.delete(name);
  }

  get inUse(): number {
    return this.#names.size;
  }

  text(name: string): string | undefined {
    return this.#names.get(name)?.text;
  }
}

/** Names of maps without how often they were made anew. */
export const asMadeFirst = (text: string): string =>
  text.replace(/\b(p-[\w-]+-(?:port|range|icmp|proto|class))\.\d+/g, '$1');

export const decisionText = ({ logs, decider }: ProgramDecision): string => JSON.stringify([logs, decider]);

/** What the chains in the kernel hold after some flushes. */
export class PlayedTables {
  readonly rows = new Map<string, NftRow>();

  apply({ put, drop }: RowChanges): void {
    for (const key of drop) this.rows.delete(key);
    for (const [key, row] of put) {
      if (key !== nftKey(row)) throw new Error(`${key} is not the key of ${nftKey(row)}`);
      this.rows.set(key, row);
    }
  }

  /** The chain of a rule in which the packet ends. */
  decide(family: Family, chain: string, packet: Packet): string {
    const nft = family === 4 ? 'ip' : 'ip6';
    const row = this.rows.get(`${nft} chain ${chain}`);
    if (row?.kind !== 'chain') throw new Error(`there is no chain ${chain}`);
    for (const rule of row.rules) {
      const text = typeof rule === 'string' ? rule : rule.expression;
      const verdict = this.#step(nft, text, packet);
      if (verdict !== undefined) return verdict.replace('goto ', '');
    }
    throw new Error(`${chain} ends without a verdict`);
  }

  #step(nft: 'ip' | 'ip6', rule: string, packet: Packet): string | undefined {
    if (rule.startsWith('goto ')) return rule;
    const match = /^(?:meta l4proto (\d+) )?(.+) vmap @(\S+)$/.exec(rule);
    if (match === null) throw new Error(`"${rule}" is not played`);
    if (match[1] !== undefined && Number(match[1]) !== packet.protocol) return undefined;
    const fields: string[] = [];
    for (const field of (match[2] ?? '').split(' . ')) {
      const value = this.#field(nft, field, packet);
      if (value === undefined) return undefined;
      fields.push(value);
    }
    return this.#lookup(nft, match[3] ?? '', fields)?.[0];
  }

  #field(nft: 'ip' | 'ip6', field: string, packet: Packet): string | undefined {
    const through = /^ip6? ([sd])addr map @(\S+)$/.exec(field);
    if (through !== null) {
      const at = through[1] === 's' ? packet.source : packet.destination;
      return this.#lookup(nft, through[2] ?? '', [at])?.[1];
    }
    if (field === 'meta l4proto') return nftProtocolName(packet.protocol);
    const isIcmp = packet.protocol === 1 || packet.protocol === 58;
    if (field === 'th dport') return String(isIcmp ? 0 : (packet.destinationPort ?? 0));
    if (field === 'th sport')
      return String(
        isIcmp ? (packet.icmpType ?? 0) * 256 + (packet.icmpCode ?? 0) : (packet.sourcePort ?? 0),
      );
    throw new Error(`"${field}" is not played`);
  }

  /** Where the lookup of a set finds its elements. */
  protected mapsFor(_nft: string, _name: string): ReadonlyMap<string, NftRow> {
    return this.rows;
  }

  #lookup(nft: 'ip' | 'ip6', name: string, fields: readonly string[]): readonly string[] | undefined {
    const rows = this.mapsFor(nft, name);
    const set = rows.get(`${nft} set ${name}`);
    if (set?.kind !== 'set') throw new Error(`there is no set ${name}`);
    const exact = rows.get(`${nft} element ${name} ${fields.join(' . ')}`);
    if (exact?.kind === 'element') return dataOf(exact);
    if (set.set.interval !== true) return undefined;
    const prefixOfKeys = `${nft} element ${name} `;
    const found: NftRow[] = [];
    for (const [key, row] of rows)
      if (key.startsWith(prefixOfKeys) && row.kind === 'element') {
        const texts = typeof row.element.key === 'string' ? [row.element.key] : row.element.key;
        if (texts.every((text, i) => isWithin(fields[i] ?? '', text))) found.push(row);
      }
    if (found.length > 1) throw new Error(`elements of ${name} overlap at ${fields.join(' . ')}`);
    return found[0]?.kind === 'element' ? dataOf(found[0]) : undefined;
  }
}

const dataOf = (row: Extract<NftRow, { kind: 'element' }>): readonly string[] =>
  typeof row.element.data === 'string' ? [row.element.data] : (row.element.data ?? []);

function isWithin(value: string, range: string): boolean {
  if (value === range) return true;
  const isAddress = value.includes('.') || value.includes(':');
  if (!isAddress) {
    const [first, last] = range.split('-').map(Number);
    return last !== undefined && Number(value) >= (first ?? 0) && Number(value) <= last;
  }
  if (range.includes('/')) {
    const { first, last } = boundsOf(range as Prefix);
    const at = addressToBigInt(value as Address);
    return first <= at && at <= last;
  }
  const [from, to] = range.split('-');
  if (from === undefined || to === undefined) return false;
  const at = addressToBigInt(value as Address);
  return addressToBigInt(from as Address) <= at && at <= addressToBigInt(to as Address);
}

function boundsOf(net: Prefix): { first: bigint; last: bigint } {
  const [at = '', length] = net.split('/');
  const first = addressToBigInt(at as Address);
  const bits = familyOf(at) === 4 ? 32 : 128;
  return { first, last: first + (1n << BigInt(bits - Number(length))) - 1n };
}

/** What src/policy says, as the decision of a compiled program. */
export function meantDecision(group: GroupProgram, sets: MemorySets, packet: Packet): ProgramDecision {
  const { program, direction } = group;
  const { action, decision, trace } = evaluate(program, sets, packet);
  const logs: LogStep[] = [];
  for (const tier of trace.tiers)
    for (const policy of tier.policies)
      for (const rule of policy.rules)
        if (rule.action === 'log' && rule.outcome === 'matched')
          logs.push({ tier: tier.name, policy: policy.id, direction, index: rule.index });
  for (const profile of trace.profiles)
    for (const rule of profile.rules)
      if (rule.action === 'log' && rule.outcome === 'matched')
        logs.push({ profile: profile.name, direction, index: rule.index });
  const verb = action === 'allow' ? 'allow' : 'deny';
  const decider = ((): Decider => {
    switch (decision.by) {
      case 'rule':
        return {
          by: 'rule',
          tier: decision.tier,
          policy: decision.policy,
          direction,
          index: decision.rule,
          action: verb,
        };
      case 'profile':
        return {
          by: 'profile-rule',
          profile: decision.profile,
          direction,
          index: decision.rule,
          action: verb,
        };
      case 'tier':
        return { by: 'end-of-tier', tier: decision.tier, direction, action: 'deny' };
      default:
        return { by: 'end', direction, action: verb };
    }
  })();
  return { logs, decider };
}

// ── a small world ────────────────────────────────────────────────────────────────────────────────────────────────────
export const addressSets = ['s:a', 's:b', 's:c', 's:d'] as readonly string[] as readonly SetId[];
export const portSets = ['n:a', 'n:b', 'svc:a'] as readonly string[] as readonly SetId[];

export const hostsOf = (family: Family): readonly Address[] =>
  Array.from({ length: 10 }, (_, i) => address(family === 4 ? `10.0.0.${i}` : `fd00::${i.toString(16)}`));

const netsOf = (family: Family): readonly Prefix[] =>
  (family === 4
    ? ['0.0.0.0/0', '10.0.0.0/8', '10.0.0.0/29', '10.0.0.0/30', '10.0.0.4/30', '10.0.0.2/31', '10.0.0.5/32']
    : ['::/0', 'fd00::/16', 'fd00::/125', 'fd00::/126', 'fd00::4/126', 'fd00::2/127', 'fd00::5/128']
  ).map(prefix);
const allNets = [...netsOf(4), ...netsOf(6)];

const ports = [0, 1, 79, 80, 81, 90, 443, 8080, 65_535];
const protocols = [1, 2, 6, 17, 33, 47, 58, 132, 136];

export const definition = (id: SetId): SetDefinition => ({
  kind: 'service',
  id,
  namespace: 'x',
  name: id,
  withPorts: !id.startsWith('s:'),
});

export const arbitraryMembers = (id: SetId): fc.Arbitrary<readonly string[]> =>
  id.startsWith('s:')
    ? fc.uniqueArray(
        fc.oneof(
          fc.constantFrom(...hostsOf(4).map((a) => `${a}/32`), ...hostsOf(6).map((a) => `${a}/128`)),
          fc.constantFrom<string>(...allNets),
        ),
        { maxLength: 6 },
      )
    : fc.uniqueArray(
        fc
          .tuple(
            fc.constantFrom(...hostsOf(4), ...hostsOf(6)),
            fc.constantFrom('tcp', 'udp', 'sctp', '33'),
            fc.constantFrom(...ports),
          )
          .map(([at, protocol, port]) => `${at},${protocol}:${port}`),
        { maxLength: 6 },
      );

const some = <T>(items: readonly T[]): fc.Arbitrary<T[]> =>
  fc.uniqueArray(fc.constantFrom(...items), { minLength: 1, maxLength: 2 });
const maybe = <K extends string, T>(
  key: K,
  value: fc.Arbitrary<T>,
  weight = 4,
): fc.Arbitrary<{ [k in K]?: T }> =>
  fc.oneof(
    { weight, arbitrary: fc.constant({}) },
    { weight: 1, arbitrary: value.map((v) => ({ [key]: v }) as { [k in K]?: T }) },
  );
const merged = <T>(...parts: readonly fc.Arbitrary<object>[]): fc.Arbitrary<T> =>
  fc.tuple(...parts).map((all) => Object.assign({}, ...all) as T);

const arbitraryRange: fc.Arbitrary<PortRange> = fc.oneof(
  fc.constantFrom(...ports).map((port) => ({ first: port, last: port })),
  fc.constantFrom(
    { first: 0, last: 65_535 },
    { first: 80, last: 90 },
    { first: 1, last: 1023 },
    { first: 1024, last: 65_535 },
  ),
);

const addressFields = (weight: number) => [
  maybe('nets', some(allNets), weight),
  maybe('notNets', some(allNets), weight * 2),
  maybe('sets', some(addressSets), weight / 2),
  maybe('notSets', some(addressSets), weight),
];
const arbitrarySource = (direction: 'ingress' | 'egress'): fc.Arbitrary<SideMatch> =>
  merged(...addressFields(direction === 'ingress' ? 2 : 10));
const arbitraryDestination = (direction: 'ingress' | 'egress'): fc.Arbitrary<SideMatch> =>
  merged(
    ...addressFields(direction === 'egress' ? 2 : 10),
    maybe('ports', fc.array(arbitraryRange, { minLength: 1, maxLength: 2 }), 1),
    maybe('portSets', some(portSets)),
    maybe('notPorts', fc.array(arbitraryRange, { minLength: 1, maxLength: 2 }), 6),
    maybe('notPortSets', some(portSets), 6),
    maybe('serviceSets', some(portSets), 6),
  );

const arbitraryIcmp = fc.oneof(
  fc.record({ type: fc.constantFrom(0, 8, 255) }),
  fc.record({ type: fc.constantFrom(0, 8), code: fc.constantFrom(0, 3, 255) }),
  fc.record({ code: fc.constantFrom(0, 3) }),
  fc.constant({}),
);

export const arbitraryRule = (direction: 'ingress' | 'egress'): fc.Arbitrary<Rule> =>
  merged(
    fc.record({
      action: fc.constantFrom('allow', 'allow', 'deny', 'deny', 'pass', 'log'),
      source: arbitrarySource(direction),
      destination: arbitraryDestination(direction),
    }),
    maybe('ipVersion', fc.constantFrom(4, 6), 8),
    maybe('protocol', fc.constantFrom(...protocols), 2),
    maybe('notProtocol', fc.constantFrom(...protocols), 6),
    maybe('icmp', arbitraryIcmp, 6),
    maybe('notIcmp', arbitraryIcmp, 8),
    maybe('unresolved', fc.constant(['a field']), 10),
  );

const arbitraryProgram = (direction: 'ingress' | 'egress'): fc.Arbitrary<PolicyProgram> =>
  fc
    .record({
      tiers: fc.array(
        fc.record({
          policies: fc.array(fc.array(arbitraryRule(direction), { maxLength: 4 }), { maxLength: 3 }),
          endAction: fc.constantFrom('deny', 'pass'),
        }),
        { maxLength: 3 },
      ),
      profiles: fc.array(fc.array(arbitraryRule(direction), { maxLength: 3 }), { maxLength: 2 }),
      otherwise: fc.constantFrom('deny', 'allow'),
    })
    .map(({ tiers, profiles, otherwise }) => ({
      tiers: tiers.map(({ policies, endAction }, t) => ({
        name: `tier-${t}`,
        endAction,
        policies: policies.map((rules, p) => ({
          id: { kind: 'GlobalNetworkPolicy', name: `policy-${p}` },
          rules,
        })),
      })),
      profiles: profiles.map((rules, p) => ({ name: `profile-${p}`, rules })),
      otherwise,
    })) as fc.Arbitrary<PolicyProgram>;

export const arbitraryGroup = (key: string): fc.Arbitrary<GroupProgram> =>
  fc
    .record({
      family: fc.constantFrom<Family>(4, 6),
      direction: fc.constantFrom('ingress', 'egress'),
      ownAt: fc.nat(9),
    })
    .chain(({ family, direction, ownAt }) =>
      arbitraryProgram(direction as 'ingress' | 'egress').map((program) => ({
        key,
        family,
        direction: direction as 'ingress' | 'egress',
        program,
        own: [hostsOf(family)[ownAt] as Address],
      })),
    );

/** First packets of connections of the group's endpoint, with everything that rules could ask for. */
export const arbitraryPacket = ({ family, direction, own }: GroupProgram): fc.Arbitrary<Packet> =>
  fc
    .record({
      peer: fc.oneof(
        fc.constantFrom(...hostsOf(family)),
        fc.constant(address(family === 4 ? '192.0.2.1' : '2001:db8::1')),
      ),
      protocol: fc.constantFrom(...protocols),
      port: fc.oneof(fc.constantFrom(...ports, 85, 1024), fc.nat(65_535)),
      icmpType: fc.constantFrom(0, 8, 13, 255),
      icmpCode: fc.constantFrom(0, 1, 3, 255),
    })
    .map(({ peer, protocol, port, icmpType, icmpCode }) => {
      const [self] = own as readonly [Address];
      const ends =
        direction === 'ingress' ? { source: peer, destination: self } : { source: self, destination: peer };
      const isIcmp = protocol === 1 || protocol === 58;
      return {
        ...ends,
        protocol,
        sourcePort: 40_000,
        destinationPort: port,
        ...(isIcmp ? { icmpType, icmpCode } : {}),
      };
    });

export const memorySets = (members: ReadonlyMap<SetId, readonly string[]>): MemorySets =>
  new MemorySets(
    [...members].map(([id, texts]) => [
      id,
      texts.map((text) => {
        const member = parseMember(text);
        if (!member.ok) throw new Error(member.error.message);
        return member.value;
      }),
    ]),
  );
