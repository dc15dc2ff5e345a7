// Laws that hold for any policies and packets, and a slow model that reads resources word by word.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { address, containsAddress, familyOf, parseNetwork, prefixFamily } from '../lib/ip/mod.ts';
import { protocolNumber, type PolicyRule } from '../model/mod.ts';
import { matchesLookup, parseSelector } from '../selector/mod.ts';
import { compileRule } from './compile/rule.ts';
import { evaluate } from './evaluate.ts';
import { hasPorts, matchRule } from './match.ts';
import { MemorySets } from './sets.ts';
import {
  cluster,
  globalPolicy,
  outside,
  packet,
  policyIn,
  program,
  rule,
  ruleTruth,
  setsOf,
  tier,
  tierResource,
} from './testing.ts';
import type { Packet, Rule, SetId, SetLookup } from './types.ts';
import { buildWorld, type WorldResource } from './world/build.ts';
import { verdictOf } from './world/path.ts';
import type { Endpoint, World } from './world/types.ts';

const networkSet: WorldResource = {
  apiVersion: 'projectcalico.org/v3',
  kind: 'GlobalNetworkSet',
  metadata: { name: 'partners', labels: { app: 'web', trust: 'partner' } },
  spec: { nets: ['203.0.113.0/24', '2001:db8::/32'] },
};

const addresses4 = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.1.1', outside, '198.51.100.1'];
const addresses6 = ['fd00::1', 'fd00::2', 'fd00::3', 'fd00::1:1', '2001:db8::9'];

const somePacket: fc.Arbitrary<Packet> = fc
  .record({
    six: fc.boolean(),
    from: fc.nat(),
    to: fc.nat(),
    protocol: fc.constantFrom(6, 17, 132, 1, 253),
    sourcePort: fc.constantFrom(80, 40_000),
    destinationPort: fc.constantFrom(53, 80, 81, 5432, 8080),
    icmpType: fc.constantFrom(0, 8),
    icmpCode: fc.constantFrom(0, 3),
  })
  .map(({ six, from, to, protocol, sourcePort, destinationPort, icmpType, icmpCode }) => {
    const list = six ? addresses6 : addresses4;
    const at = (i: number) => address(list[i % list.length] ?? outside);
    const isIcmp = protocol === 1;
    return {
      source: at(from),
      destination: at(to),
      protocol: isIcmp && six ? 58 : protocol,
      ...(hasPorts(protocol) ? { sourcePort, destinationPort } : {}),
      ...(isIcmp ? { icmpType, icmpCode } : {}),
    };
  });

/** Mostly absent: a rule that asks for everything at once matches nothing, and shows nothing. */
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
const present = (fields: object) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

const someSelector = fc.constantFrom(
  'app == "web"',
  'app != "web"',
  'has(trust)',
  'all()',
  'app in {"db", "api"} || pcsa.role == "backend"',
);
const someNets = fc.oneof(
  fc.subarray(['10.0.0.0/24', '10.0.0.1/32', '203.0.113.0/24', '0.0.0.0/0'], { minLength: 1 }),
  fc.subarray(['fd00::/120', '2001:db8::/32', '::/0'], { minLength: 1 }),
);
const somePorts = fc.uniqueArray(fc.constantFrom(80, '8000:8100', 'http', 'pg', 'dns'), {
  minLength: 1,
  maxLength: 3,
});

const someSide = fc
  .record({
    selector: maybe(someSelector),
    notSelector: maybe(someSelector),
    namespaceSelector: maybe(fc.constantFrom('team == "red"', 'team != "red"', 'all()', 'global()')),
    nets: maybe(someNets),
    notNets: maybe(someNets),
    ports: maybe(somePorts),
    notPorts: maybe(somePorts),
    serviceAccounts: maybe(fc.constantFrom({ names: ['api'] }, { selector: 'role == "backend"' })),
  })
  .map(present);

const someRule: fc.Arbitrary<PolicyRule> = fc
  .record({
    action: fc.constantFrom('Allow', 'Deny', 'Pass', 'Log'),
    ipVersion: maybe(fc.constantFrom(4, 6)),
    protocol: maybe(fc.constantFrom('TCP', 'UDP', 'SCTP', 'ICMP', 253)),
    notProtocol: maybe(fc.constantFrom('TCP', 'UDP', 1)),
    icmp: maybe(fc.constantFrom({ type: 8 }, { type: 8, code: 3 })),
    notICMP: maybe(fc.constantFrom({ type: 8 }, { type: 8, code: 3 })),
    source: maybe(someSide),
    destination: maybe(someSide),
  })
  .map((fields) => present(fields) as PolicyRule);

const somePolicy: fc.Arbitrary<WorldResource> = fc
  .record({
    name: fc.constantFrom('a', 'b', 'c'),
    namespace: maybe(fc.constantFrom('red', 'blue')),
    tier: fc.constantFrom('default', 'first', 'open'),
    order: maybe(fc.integer({ min: 0, max: 3 })),
    selector: someSelector,
    types: fc.subarray(['Ingress', 'Egress'], { minLength: 1 }),
    ingress: fc.array(someRule, { maxLength: 3 }),
    egress: fc.array(someRule, { maxLength: 3 }),
  })
  .map(({ name, namespace, ...spec }) =>
    namespace === undefined
      ? globalPolicy(name, present(spec))
      : policyIn(`${namespace}/${name}`, present(spec)),
  );
const key = ({ metadata }: WorldResource): string => `${metadata.namespace ?? ''}/${metadata.name}`;
const somePolicies = fc.uniqueArray(somePolicy, { maxLength: 5, selector: key });
const tiers = [
  tierResource('first', { order: 1 }),
  tierResource('open', { order: 2, defaultAction: 'Pass' }),
];

test('SR-177: the order in which resources come does not matter, for the verdict nor for its trace', () => {
  const shuffled = somePolicies.chain((policies) => {
    const list = [...cluster, networkSet, ...tiers, ...policies];
    return fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length }));
  });
  fc.assert(
    fc.property(shuffled, somePacket, ([list, other], given) => {
      assert.deepEqual(verdictOf(buildWorld(other), given), verdictOf(buildWorld(list), given));
    }),
    { numRuns: 60 },
  );
});

/** What a side of a rule says about an address and a port, read word by word. */
function sideHolds(
  side: NonNullable<PolicyRule['source']>,
  world: World,
  namespace: string | undefined,
  { protocol }: Packet,
  ruleProtocol: PolicyRule['protocol'],
  at: string,
  port: number | undefined,
): boolean {
  type Peer = { label: Endpoint['label']; ports: Endpoint['ports'] };
  const peers: Peer[] = [
    ...world.workloads.filter(({ addresses }) => addresses.includes(address(at))),
    ...world.networkSets
      .filter(({ nets }) => nets.some((net) => containsAddress(net, address(at))))
      .map(({ label }) => ({ label, ports: [] })),
  ];
  const fits = (text: string, label: Endpoint['label'], prefix = ''): boolean => {
    const parsed = parseSelector(text);
    return parsed.ok && matchesLookup(parsed.value, (name) => label(prefix + name));
  };
  const inNamespace = ({ label }: Peer): boolean => {
    const own = label('projectcalico.org/namespace');
    if (side.namespaceSelector === 'all()') return own !== undefined;
    if (side.namespaceSelector === 'global()') return own === undefined;
    if (side.namespaceSelector !== undefined) return fits(side.namespaceSelector, label, 'pcns.');
    return namespace === undefined || own === namespace;
  };
  const isNamed = ({ label }: Peer): boolean =>
    (side.selector === undefined || fits(side.selector, label)) &&
    (side.serviceAccounts?.selector === undefined || fits(side.serviceAccounts.selector, label, 'pcsa.')) &&
    (side.serviceAccounts?.names === undefined ||
      side.serviceAccounts.names.includes(label('projectcalico.org/serviceaccount') ?? ''));
  const isLeftOut = ({ label }: Peer): boolean =>
    side.notSelector !== undefined && fits(side.notSelector, label);
  const asksWho =
    side.selector !== undefined || side.serviceAccounts !== undefined || side.namespaceSelector !== undefined;
  const selected = peers.filter((peer) => inNamespace(peer) && isNamed(peer) && !isLeftOut(peer));
  const isOneOf = asksWho || (namespace !== undefined && side.notSelector !== undefined);
  const who = isOneOf ? selected.length > 0 : !peers.some(isLeftOut);
  const within = (nets: readonly string[]): boolean =>
    nets.some((net) => {
      const parsed = parseNetwork(net);
      return parsed.ok && containsAddress(parsed.value, address(at));
    });
  const isMine = (nets: readonly string[]): boolean =>
    nets.some((net) => {
      const parsed = parseNetwork(net);
      return parsed.ok && prefixFamily(parsed.value) === familyOf(at);
    });
  const where =
    (side.nets === undefined || within(side.nets)) &&
    (side.notNets === undefined || (isMine(side.notNets) && !within(side.notNets)));
  const isPort = (wanted: string | number): boolean => {
    const [first, last = first] = String(wanted).split(':');
    if (/^\d/.test(String(wanted)))
      return port !== undefined && Number(first) <= port && port <= Number(last);
    const ruleNumber = ruleProtocol === undefined ? undefined : protocolNumber(ruleProtocol);
    return (isOneOf ? selected : peers).some(({ ports }) =>
      ports.some(
        (one) =>
          one.name === wanted &&
          one.port === port &&
          one.protocol === protocol &&
          (ruleNumber === undefined || ruleNumber === one.protocol),
      ),
    );
  };
  const has = hasPorts(protocol);
  return (
    who &&
    where &&
    (side.ports === undefined || (has && side.ports.some(isPort))) &&
    (side.notPorts === undefined || (has && !side.notPorts.some(isPort)))
  );
}

/** What a rule of a resource says about a packet, read word by word. */
function ruleHolds(one: PolicyRule, world: World, namespace: string | undefined, given: Packet): boolean {
  const isIcmp = given.protocol === 1 || given.protocol === 58;
  const isType = ({ type, code }: NonNullable<PolicyRule['icmp']>): boolean =>
    given.icmpType === type && (code === undefined || given.icmpCode === code);
  return (
    (one.ipVersion === undefined || one.ipVersion === familyOf(given.source)) &&
    (one.protocol === undefined || protocolNumber(one.protocol) === given.protocol) &&
    (one.notProtocol === undefined || protocolNumber(one.notProtocol) !== given.protocol) &&
    (one.icmp === undefined || (isIcmp && isType(one.icmp))) &&
    (one.notICMP === undefined || (isIcmp && !isType(one.notICMP))) &&
    sideHolds(one.source ?? {}, world, namespace, given, one.protocol, given.source, given.sourcePort) &&
    sideHolds(
      one.destination ?? {},
      world,
      namespace,
      given,
      one.protocol,
      given.destination,
      given.destinationPort,
    )
  );
}

test('RS-092: a compiled rule matches what the resource’s rule says, word by word', () => {
  fc.assert(
    fc.property(someRule, maybe(fc.constantFrom('red', 'blue')), somePacket, (one, namespace, given) => {
      const spec = { ingress: [one] };
      const world = buildWorld([
        ...cluster,
        networkSet,
        namespace === undefined ? globalPolicy('p', spec) : policyIn(`${namespace}/p`, spec),
      ]);
      const compiled = world.policies[0]?.ingress[0];
      assert.ok(compiled);
      assert.equal(
        matchRule(compiled, world.sets, given).truth,
        ruleHolds(one, world, namespace, given),
        JSON.stringify(compiled),
      );
    }),
    { numRuns: 1500 },
  );
});

test('RS-092: what is negated is the opposite, wherever the packet has what is asked for', () => {
  const opposite = (a: Partial<PolicyRule>, b: Partial<PolicyRule>, given: Packet) => {
    const one = ruleTruth(a, given);
    const other = ruleTruth(b, given);
    assert.equal(one, other === undefined ? undefined : !other, JSON.stringify([a, b]));
  };
  const ports = fc.uniqueArray(fc.constantFrom(80, '8000:8100', 5432), { minLength: 1 });
  fc.assert(
    fc.property(somePacket, someNets, ports, someSelector, (given, nets, list, selector) => {
      opposite({ protocol: 'TCP' }, { notProtocol: 'TCP' }, given);
      opposite({ destination: { selector } }, { destination: { notSelector: selector } }, given);
      if (given.icmpType !== undefined)
        opposite({ icmp: { type: 8, code: 3 } }, { notICMP: { type: 8, code: 3 } }, given);
      if (hasPorts(given.protocol))
        opposite({ source: { ports: list } }, { source: { notPorts: list } }, given);
      const isSameFamily = nets.some((net) => net.includes(':') === given.source.includes(':'));
      if (isSameFamily) opposite({ source: { nets } }, { source: { notNets: nets } }, given);
    }),
    { numRuns: 200 },
  );
});

test('RS-092: empty lists and empty sides ask for nothing', () => {
  const empty = {
    nets: [],
    notNets: [],
    ports: [],
    notPorts: [],
    selector: '',
    serviceAccounts: { names: [] },
  };
  const compiled = compileRule({ action: 'Allow', source: empty, destination: {} }, 'red', new Map());
  assert.deepEqual(compiled, { action: 'allow', source: {}, destination: {} });
});

const lost = 'lost' as SetId;
const someCompiledRule: fc.Arbitrary<Rule> = fc
  .record({
    action: fc.constantFrom('allow', 'deny', 'pass', 'log'),
    protocol: maybe(fc.constantFrom(6, 17)),
    asks: fc.constantFrom('sets', 'notSets', undefined),
  })
  .map(({ action, protocol, asks }) =>
    rule(action, {
      ...(protocol === undefined ? {} : { protocol }),
      ...(asks === undefined ? {} : { source: { [asks]: [lost] } }),
    }),
  );

test('FX-008: what is allowed while a set is unknown is allowed whatever is in the set', () => {
  const someTier = fc.record({
    rules: fc.array(someCompiledRule, { maxLength: 4 }),
    endAction: fc.constantFrom('deny', 'pass'),
  });
  fc.assert(
    fc.property(fc.array(someTier, { maxLength: 3 }), fc.boolean(), somePacket, (list, isMember, given) => {
      const one = program(
        list.map(({ rules, endAction }, i) => tier(`t${i}`, { p: rules }, endAction)),
        { profiles: [{ name: 'open', rules: [rule('allow')] }] },
      );
      const known: SetLookup = setsOf({ lost: isMember ? ['0.0.0.0/0', '::/0'] : [] });
      const unknown = evaluate(one, new MemorySets(), given).action;
      const real = evaluate(one, known, given).action;
      assert.ok(unknown === 'deny' || real === 'allow', `${unknown} ${real}`);
    }),
    { numRuns: 500 },
  );
});

test('a tier that passes everything on changes nothing', () => {
  fc.assert(
    fc.property(somePolicies, somePacket, (policies, given) => {
      const open = [
        tierResource('zeroth', { order: 0 }),
        globalPolicy('pass', {
          tier: 'zeroth',
          types: ['Ingress', 'Egress'],
          ingress: [{ action: 'Pass' }],
          egress: [{ action: 'Pass' }],
        }),
      ];
      const without = [...cluster, networkSet, ...tiers, ...policies];
      assert.equal(
        verdictOf(buildWorld([...without, ...open]), given).action,
        verdictOf(buildWorld(without), given).action,
      );
    }),
    { numRuns: 60 },
  );
});

test('a packet’s verdict is that of its trace: the steps say what the whole says', () => {
  fc.assert(
    fc.property(somePolicies, somePacket, (policies, given) => {
      const verdict = verdictOf(buildWorld([...cluster, networkSet, ...tiers, ...policies]), given);
      assert.equal(verdict.action, verdict.steps.some(({ action }) => action === 'deny') ? 'deny' : 'allow');
      if (verdict.action === 'deny') assert.equal(verdict.steps.at(-1), verdict.decidedBy);
    }),
    { numRuns: 60 },
  );
  assert.equal(verdictOf(buildWorld(cluster), packet(outside, '198.51.100.1')).steps.length, 0);
});
