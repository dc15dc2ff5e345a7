// Suite `rule-render`: the criteria of a rule as iptables is told them.
import { prefix, type Family } from '../../../src/lib/ip/mod.ts';
import { protocolNumber } from '../../../src/model/mod.ts';
import { matchText, ruleForFamily } from '../../../src/felix/dataplane/iptables/mod.ts';
import type { IcmpMatch, Rule } from '../../../src/policy/mod.ts';

type CaseRule = {
  readonly ipVersion?: Family;
  readonly protocol?: string | number;
  readonly notProtocol?: string | number;
  readonly icmp?: IcmpMatch;
  readonly notICMP?: IcmpMatch;
  readonly [field: string]: unknown;
};
type Input = { readonly op: string; readonly ipVersion: Family; readonly rule: CaseRule };

export function answer({ op, ipVersion, rule }: Input): unknown {
  if (op !== 'renderIptablesMatch') return undefined;
  const relevant = ruleForFamily(ruleOf(rule), ipVersion);
  return relevant === undefined ? { dropped: true } : { match: matchText(relevant, ipVersion) };
}

function ruleOf(rule: CaseRule): Rule {
  const { ipVersion, icmp, notICMP } = rule;
  const protocol = number(rule.protocol);
  const notProtocol = number(rule.notProtocol);
  return {
    action: 'allow',
    ...(ipVersion && { ipVersion }),
    ...(protocol === undefined ? {} : { protocol }),
    ...(notProtocol === undefined ? {} : { notProtocol }),
    ...(icmp && { icmp }),
    ...(notICMP && { notIcmp: notICMP }),
    source: side(rule, 'Src'),
    destination: side(rule, 'Dst'),
  };
}

const number = (protocol: string | number | undefined): number | undefined =>
  protocol === undefined ? undefined : protocolNumber(protocol);

function side(rule: CaseRule, name: 'Src' | 'Dst'): Rule['source'] {
  const own = name.toLowerCase();
  const field = (key: string) => rule[key] as readonly unknown[] | undefined;
  const nets = (key: string) => field(key)?.map((net) => prefix(String(net)));
  const fields: { [K in keyof Rule['source']]: readonly unknown[] | undefined } = {
    nets: nets(`${own}Nets`),
    notNets: nets(`not${name}Nets`),
    sets: field(`${own}IPSets`),
    notSets: field(`not${name}IPSets`),
    ports: field(`${own}Ports`),
    portSets: field(`${own}NamedPortIPSets`),
    notPorts: field(`not${name}Ports`),
    notPortSets: field(`not${name}NamedPortIPSets`),
    serviceSets: field(`${own}IPPortSets`),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, list]) => list?.length));
}
