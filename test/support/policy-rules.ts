// Random rules of policies: mostly what people write, sometimes every field there is.
import type { Random } from './policy-random.ts';

export type RuleWords = {
  readonly selectors: readonly string[];
  readonly namespaceSelectors: readonly string[];
  readonly networks4: readonly string[];
  readonly networks6: readonly string[];
  readonly portNames: readonly string[];
};
type Direction = 'ingress' | 'egress';

export const someRules = (
  random: Random,
  words: RuleWords,
  direction: Direction,
  most: number,
): readonly object[] => random.list(0, most, () => someRule(random, words, direction));

function someRule(random: Random, words: RuleWords, direction: Direction): object {
  const protocol = random.weighted<string | number | undefined>(
    [6, undefined],
    [5, 'TCP'],
    [3, 'UDP'],
    [1, 'SCTP'],
    [1, 'ICMP'],
    [1, 'ICMPv6'],
    [1, 'UDPLite'],
    [0.5, 253],
  );
  const icmpFields = {
    icmp: [
      0.5,
      () => random.of<object>({ type: 8 }, { type: 8, code: 0 }, { type: 128 }, { type: 13, code: 1 }),
    ],
    notICMP: [0.3, () => random.of<object>({ type: 8 }, { type: 128, code: 0 }, { type: 13 })],
  } as const;
  const isIcmp = protocol === 'ICMP' || protocol === 'ICMPv6';
  const hasPorts = ['TCP', 'UDP', 'SCTP'].includes(String(protocol));
  const peer = direction === 'ingress' ? 'source' : 'destination';
  const own = direction === 'ingress' ? 'destination' : 'source';
  const service = random.chance(0.06);
  const sides = {
    [peer]: service
      ? { services: { name: random.of('db', 'web'), namespace: 'red' } }
      : ruleSide(random, words, hasPorts, peer === 'destination' ? 0.6 : 0.1, 0.7),
    [own]: ruleSide(random, words, hasPorts, own === 'destination' ? 0.6 : 0.1, 0.12),
  };
  return {
    action: random.weighted([6, 'Allow'], [3, 'Deny'], [2, 'Pass'], [1, 'Log']),
    ...(protocol === undefined ? {} : { protocol }),
    ...random.fields({
      ipVersion: [0.08, () => random.of(4, 6)],
      notProtocol: [protocol === undefined ? 0.1 : 0, () => random.of('TCP', 'UDP', 'ICMP')],
      ...(isIcmp ? icmpFields : {}),
    }),
    ...Object.fromEntries(Object.entries(sides).filter(([, side]) => Object.keys(side).length > 0)),
  };
}

/** One side; `who` and `where` are how probable it is to ask for ports and for peers. */
function ruleSide(random: Random, words: RuleWords, hasPorts: boolean, where: number, who: number): object {
  const nets = () => random.some(random.chance(0.5) ? words.networks4 : words.networks6, 1, 3);
  const somePorts = () => random.some([80, 81, 443, '8000:8100', 5432, '50:60', ...words.portNames], 1, 3);
  return random.fields({
    selector: [who * 0.5, () => random.of(...words.selectors)],
    notSelector: [who * 0.12, () => random.of(...words.selectors)],
    namespaceSelector: [who * 0.25, () => random.of(...words.namespaceSelectors)],
    nets: [who * 0.2, nets],
    notNets: [who * 0.12, () => nets().filter((net) => !net.endsWith('/0'))],
    serviceAccounts: [who * 0.08, () => random.of<object>({ names: ['api'] }, { selector: "role == 'api'" })],
    ports: [hasPorts ? where : 0, somePorts],
    notPorts: [hasPorts ? where * 0.15 : 0, somePorts],
  });
}
