// BGPFilter rules as policy rules. A filter's rules only accept or reject; what none of them decides goes on to the next
// filter and then to Calico's own rules.
import { parseNetwork, prefixFamily, prefixLength, type Family, type Prefix } from '../../lib/ip/mod.ts';
import type { PeerType, PolicyAction, PolicyMatch, PolicyRule } from '../policy/mod.ts';
import { parseAs } from './settings.ts';
import type { BgpFilterInput, BgpFilterRuleInput } from './types.ts';

export type Direction = 'import' | 'export';

const fields = {
  import: { 4: 'importV4', 6: 'importV6' },
  export: { 4: 'exportV4', 6: 'exportV6' },
} as const;

export const hasRules = (filter: BgpFilterInput, direction: Direction, family: Family): boolean =>
  (filter.spec?.[fields[direction][family]] ?? []).length > 0;

export function filterRules(
  filters: readonly BgpFilterInput[],
  direction: Direction,
  family: Family,
  peerType: PeerType,
): PolicyRule[] {
  return filters.flatMap((filter) => {
    const rules = filter.spec?.[fields[direction][family]] ?? [];
    return rules.flatMap((rule, index) => {
      // The peer type is known when the plan is made: rules for the other kind of peer are left out.
      if (rule.peerType !== undefined && rule.peerType.toLowerCase() !== peerType) return [];
      const when = conditions(rule, family);
      return when === undefined
        ? []
        : [
            {
              name: `BGPFilter ${filter.metadata.name} ${direction} ${index}`,
              when,
              actions: actionsOf(rule),
            },
          ];
    });
  });
}

/** undefined when the rule can never match: its CIDR is of the other family. */
function conditions(rule: BgpFilterRuleInput, family: Family): PolicyMatch[] | undefined {
  const when: PolicyMatch[] = [];
  if (rule.cidr !== undefined && rule.cidr !== '') {
    const parsed = parseNetwork(rule.cidr);
    if (!parsed.ok || prefixFamily(parsed.value) !== family) return undefined;
    when.push(prefixCondition(rule, parsed.value));
  }
  if (rule.source === 'RemotePeers') when.push({ match: 'source', any: ['bgp'] });
  if (rule.interface !== undefined && rule.interface !== '') {
    when.push({ match: 'interface', any: [rule.interface] });
  }
  for (const value of rule.communities?.values ?? []) when.push({ match: 'community', value });
  const path = (rule.asPathPrefix ?? []).flatMap((as) => parseAs(as) ?? []);
  if (path.length > 0) when.push({ match: 'asPathPrefix', path });
  if (rule.priority !== undefined) when.push({ match: 'priority', is: 'equal', value: rule.priority });
  return when;
}

function prefixCondition(rule: BgpFilterRuleInput, prefix: Prefix): PolicyMatch {
  const length = prefixLength(prefix);
  const longest = prefixFamily(prefix) === 4 ? 32 : 128;
  const operator = rule.matchOperator ?? 'In';
  const exact = operator === 'Equal' || operator === 'NotEqual';
  const min = exact ? length : (rule.prefixLength?.min ?? length);
  const max = exact ? length : (rule.prefixLength?.max ?? longest);
  const any = [{ prefix, min, max }];
  return operator.startsWith('Not') ? { match: 'prefix', any, not: true } : { match: 'prefix', any };
}

function actionsOf(rule: BgpFilterRuleInput): PolicyAction[] {
  const actions: PolicyAction[] = [];
  for (const operation of rule.operations ?? []) {
    if (operation.addCommunity) actions.push({ do: 'addCommunity', value: operation.addCommunity.value });
    if (operation.setPriority) actions.push({ do: 'setPriority', value: operation.setPriority.value });
    const path = (operation.prependASPath?.prefix ?? []).flatMap((as) => parseAs(as) ?? []);
    if (path.length > 0) actions.push({ do: 'prepend', path });
  }
  actions.push({ do: rule.action === 'Accept' ? 'accept' : 'reject' });
  return actions;
}
