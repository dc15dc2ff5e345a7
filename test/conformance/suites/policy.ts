// Suites `policy-eval` and `l7-match`: rules that are compiled already, and HTTP requests.
import { address, type Family } from '../../../src/lib/ip/mod.ts';
import { protocolNumber } from '../../../src/model/mod.ts';
import * as policy from '../../../src/policy/mod.ts';
import { matches, parseSelector } from '../../../src/selector/mod.ts';

type CaseRule = {
  readonly action: policy.Action;
  readonly protocol?: string | number;
  readonly notProtocol?: string | number;
  readonly icmp?: policy.IcmpMatch;
  readonly notICMP?: policy.IcmpMatch;
  readonly matchID?: number;
  readonly [field: string]: unknown;
};
type CaseTier = {
  readonly name: string;
  readonly endAction: 'deny' | 'pass';
  readonly endRuleID?: number;
  readonly policies: readonly { readonly name: string; readonly rules: readonly CaseRule[] }[];
};
type CaseProfile = { readonly name: string; readonly rules: readonly CaseRule[] };
type Input = {
  readonly ipVersion: Family;
  readonly direction: policy.Direction;
  readonly rules: {
    readonly forHostInterface: boolean;
    readonly suppressNormalHostPolicy: boolean;
    readonly forXDP: boolean;
    readonly noProfileMatchID?: number;
    readonly tiers: readonly CaseTier[];
    readonly hostPreDnatTiers: readonly CaseTier[];
    readonly hostForwardTiers: readonly CaseTier[];
    readonly hostNormalTiers: readonly CaseTier[];
    readonly profiles: readonly CaseProfile[];
    readonly hostProfiles: readonly CaseProfile[];
  };
  readonly ipSets: Readonly<Record<string, readonly string[]>>;
  readonly packet: {
    readonly protocol: number;
    readonly src: string;
    readonly dst: string;
    readonly sport?: number;
    readonly dport?: number;
    readonly icmpType?: number;
    readonly icmpCode?: number;
    readonly preNATDst?: string;
    readonly preNATDport?: number;
    readonly toHost?: boolean;
    readonly fromHost?: boolean;
  };
};

export function answerEvaluation({ rules, ipSets, packet: given, direction, ipVersion }: Input): unknown {
  const sets = new policy.MemorySets(
    Object.entries(ipSets).map(([name, members]) => [
      name as policy.SetId,
      members.flatMap((text) => {
        const member = policy.parseMember(text);
        return member.ok ? [member.value] : [];
      }),
    ]),
  );
  const verdict = policy.runSteps(stepsOf(rules, packetOf(given, ipVersion), given, direction), sets);
  const ids = verdict.steps.flatMap((step) =>
    step.kind === 'program' ? (step.verdict?.trace.decidedIds ?? []) : [],
  );
  const action = verdict.action !== 'none' ? verdict.action : rules.forXDP ? 'nomatch' : ('allow' as const);
  return { verdict: action, ...(ids.length === 0 ? {} : { matchedRuleIDs: ids }) };
}

/** The steps at one interface: the host's before translation, the host's for what ends there or passes by, the workload's. */
function stepsOf(
  rules: Input['rules'],
  packet: policy.Packet,
  given: Input['packet'],
  direction: policy.Direction,
): readonly policy.Step[] {
  const step = (
    stage: policy.Stage,
    owner: policy.StepOwner,
    program: policy.PolicyProgram,
    seen = packet,
  ): policy.Step => ({ kind: 'program', stage, owner, direction, program, packet: seen });
  const host = { kind: 'host', node: 'here' } as const;
  const workload = { kind: 'workload', namespace: 'here', name: 'under-test' } as const;
  if (rules.forXDP) return [step('untracked', host, programOf(rules.hostNormalTiers, [], 'none'))];
  const isHosts = given.toHost === true || given.fromHost === true;
  const beforeTranslation = {
    ...packet,
    ...(given.preNATDst === undefined ? {} : { destination: address(given.preNATDst) }),
    ...(given.preNATDport === undefined ? {} : { destinationPort: given.preNATDport }),
  };
  const otherwiseId = rules.noProfileMatchID;
  return [
    step('preDnat', host, programOf(rules.hostPreDnatTiers, [], 'none'), beforeTranslation),
    ...(isHosts
      ? rules.suppressNormalHostPolicy
        ? []
        : [step('normal', host, programOf(rules.hostNormalTiers, rules.hostProfiles, 'deny', otherwiseId))]
      : [step('forward', host, programOf(rules.hostForwardTiers, [], 'allow'))]),
    ...(rules.forHostInterface
      ? []
      : [step('normal', workload, programOf(rules.tiers, rules.profiles, 'deny', otherwiseId))]),
  ];
}

const programOf = (
  tiers: readonly CaseTier[],
  profiles: readonly CaseProfile[],
  otherwise: policy.PolicyProgram['otherwise'],
  otherwiseId?: number,
): policy.PolicyProgram => ({
  tiers: tiers.map(({ name, endAction, endRuleID, policies }) => ({
    name,
    endAction,
    ...(endRuleID === undefined ? {} : { endId: endRuleID }),
    policies: policies.map((one) => ({
      id: { kind: 'GlobalNetworkPolicy', name: one.name },
      rules: one.rules.map(ruleOf),
    })),
  })),
  profiles: profiles.map(({ name, rules }) => ({ name, rules: rules.map(ruleOf) })),
  otherwise,
  ...(otherwiseId === undefined ? {} : { otherwiseId }),
});

function ruleOf(rule: CaseRule): policy.Rule {
  const protocol = rule.protocol === undefined ? undefined : protocolNumber(rule.protocol);
  const notProtocol = rule.notProtocol === undefined ? undefined : protocolNumber(rule.notProtocol);
  return {
    action: rule.action,
    ...(protocol === undefined ? {} : { protocol }),
    ...(notProtocol === undefined ? {} : { notProtocol }),
    ...(rule.icmp === undefined ? {} : { icmp: rule.icmp }),
    ...(rule.notICMP === undefined ? {} : { notIcmp: rule.notICMP }),
    source: sideOf(rule, 'src', 'Src'),
    destination: sideOf(rule, 'dst', 'Dst'),
    ...(rule.matchID === undefined ? {} : { id: rule.matchID }),
  };
}

/** `srcNets`, `notSrcNets` … as the fields of a side. */
function sideOf(rule: CaseRule, side: string, upper: string): policy.SideMatch {
  const fields = {
    nets: networks(rule[`${side}Nets`]),
    notNets: networks(rule[`not${upper}Nets`]),
    sets: rule[`${side}IPSets`],
    notSets: rule[`not${upper}IPSets`],
    ports: rule[`${side}Ports`],
    portSets: rule[`${side}NamedPortIPSets`],
    notPorts: rule[`not${upper}Ports`],
    notPortSets: rule[`not${upper}NamedPortIPSets`],
  };
  return Object.fromEntries(
    Object.entries(fields).filter(([, list]) => Array.isArray(list) && list.length > 0),
  );
}

const networks = (list: unknown): unknown =>
  (list as readonly string[] | undefined)?.map((text) => {
    const member = policy.parseMember(text);
    return member.ok ? member.value : text;
  });

// Some cases give packets of one family to the rules of the other.
const packetOf = (given: Input['packet'], ipVersion: Family): policy.Packet => ({
  ipVersion,
  source: address(given.src),
  destination: address(given.dst),
  protocol: given.protocol,
  ...(given.sport === undefined ? {} : { sourcePort: given.sport }),
  ...(given.dport === undefined ? {} : { destinationPort: given.dport }),
  ...(given.icmpType === undefined ? {} : { icmpType: given.icmpType }),
  ...(given.icmpCode === undefined ? {} : { icmpCode: given.icmpCode }),
});

type HttpInput = {
  readonly op: string;
  readonly paths: readonly policy.PathMatch[];
  readonly requestPath: string;
  readonly path: string;
  readonly methods: readonly string[];
  readonly method: string;
  readonly names: readonly string[];
  readonly name: string;
  readonly selector: string;
  readonly labels: Readonly<Record<string, string>>;
};

export function answerHttp(input: HttpInput): unknown {
  switch (input.op) {
    case 'httpPathsMatch':
      return { match: policy.matchesPaths(input.paths, input.requestPath) };
    case 'httpMethodsMatch':
      return { match: policy.matchesMethods(input.methods, input.method) };
    case 'normaliseHTTPPath': {
      const path = policy.normalisePath(input.path);
      return { ok: path !== undefined, path: path ?? '' };
    }
    case 'nameListMatch':
      return { match: input.names.length === 0 || input.names.includes(input.name) };
    case 'labelsMatch': {
      const selector = parseSelector(input.selector);
      return { match: selector.ok && matches(selector.value, input.labels) };
    }
    default:
      return undefined;
  }
}
