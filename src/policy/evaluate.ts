// What a program says about a packet:
//
//   tier ──▶ policy ──▶ rule: first one that matches  ── allow ─▶ allowed ── deny ─▶ denied
//    ▲         │ none        pass ─▶ next tier              log ─▶ next rule
//    │         ▼
//    └── end of tier: deny, or pass                     after the last tier: profiles, then `otherwise`
//
// A tier without policies for the endpoint is not there (FX-049). A rule that cannot be resolved never allows; one that
// would deny or pass denies, for what it would have kept out is not known.
import { matchRule, type MatchOptions } from './match.ts';
import type {
  Decision,
  PolicyTrace,
  ProfileTrace,
  RuleTrace,
  TierTrace,
  TracedVerdict,
  Verdict,
} from './trace.ts';
import type {
  Packet,
  PolicyProgram,
  PolicyRules,
  ProfileRules,
  Rule,
  RuleId,
  SetLookup,
  TierRules,
} from './types.ts';

/** The verdict alone. */
export const decide = (
  program: PolicyProgram,
  sets: SetLookup,
  packet: Packet,
  options: MatchOptions = {},
): Verdict => walk(program, { sets, packet, options });

/** The verdict, and all that was looked at on the way. */
export function evaluate(
  program: PolicyProgram,
  sets: SetLookup,
  packet: Packet,
  options: MatchOptions = {},
): TracedVerdict {
  const record: Record = { tiers: [], profiles: [], decidedIds: [] };
  const verdict = walk(program, { sets, packet, options, record });
  return { ...verdict, trace: record };
}

type Record = {
  readonly tiers: TierTrace[];
  readonly profiles: ProfileTrace[];
  readonly decidedIds: RuleId[];
};
type Walk = {
  readonly sets: SetLookup;
  readonly packet: Packet;
  readonly options: MatchOptions;
  readonly record?: Record;
};

function walk(program: PolicyProgram, state: Walk): Verdict {
  for (const tier of program.tiers) {
    if (tier.policies.length === 0) continue;
    const verdict = walkTier(tier, state);
    if (verdict !== undefined) return verdict;
  }
  for (const profile of program.profiles) {
    const verdict = walkProfile(profile, state);
    if (verdict !== undefined) return verdict;
  }
  if (program.otherwise !== 'none') note(state, program.otherwiseId);
  return { action: program.otherwise, decision: { by: 'nothing' } };
}

/** Undefined: the packet goes on to the next tier. */
function walkTier(tier: TierRules, state: Walk): Verdict | undefined {
  const traces: PolicyTrace[] | undefined = state.record && [];
  const close = (outcome: TierTrace['outcome']): void =>
    void (traces && state.record?.tiers.push({ name: tier.name, policies: traces, outcome }));
  for (const policy of tier.policies) {
    const hit = walkRules(policy.rules, state);
    traces?.push(policyTrace(policy, hit));
    if (hit.action === undefined) continue;
    close(hit.action);
    note(state, policy.rules[hit.index]?.id);
    if (hit.action === 'pass') return undefined;
    return { action: hit.action, decision: ruleDecision(tier.name, policy, hit) };
  }
  close(`end-${tier.endAction}`);
  note(state, tier.endId);
  return tier.endAction === 'pass'
    ? undefined
    : { action: 'deny', decision: { by: 'tier', tier: tier.name } };
}

/** Undefined: the packet goes on to the next profile. Pass means the same here, where there is no tier to leave. */
function walkProfile(profile: ProfileRules, state: Walk): Verdict | undefined {
  const hit = walkRules(profile.rules, state);
  const decided = hit.action === 'pass' ? undefined : hit.action;
  state.record?.profiles.push({
    name: profile.name,
    rules: hit.rules ?? [],
    ...(decided === undefined ? {} : { decided }),
  });
  if (decided === undefined) return undefined;
  note(state, profile.rules[hit.index]?.id);
  const decision: Decision = {
    by: 'profile',
    profile: profile.name,
    rule: hit.index,
    ...unresolvedPart(hit),
  };
  return { action: decided, decision };
}

type Hit = {
  readonly index: number;
  /** Absent: no rule decided. */
  readonly action?: 'allow' | 'deny' | 'pass';
  readonly unresolved?: string;
  readonly rules?: readonly RuleTrace[];
};

function walkRules(rules: readonly Rule[], state: Walk): Hit {
  const traces: RuleTrace[] | undefined = state.record && [];
  for (const [index, rule] of rules.entries()) {
    const match = matchRule(rule, state.sets, state.packet, state.options);
    traces?.push(ruleTrace(index, rule, match));
    if (match.truth === false || rule.action === 'log') continue;
    if (match.truth === true) return { index, action: rule.action, ...(traces && { rules: traces }) };
    if (rule.action === 'allow') continue;
    const unresolved = rule.unresolved?.join('; ') ?? `${match.field} is unknown`;
    return { index, action: 'deny', unresolved, ...(traces && { rules: traces }) };
  }
  return { index: -1, ...(traces && { rules: traces }) };
}

const outcomes = new Map([
  [true, 'matched'],
  [false, 'missed'],
  [undefined, 'unresolved'],
] as const);

const ruleTrace = (index: number, rule: Rule, match: ReturnType<typeof matchRule>): RuleTrace => ({
  index,
  action: rule.action,
  outcome: outcomes.get(match.truth) ?? 'unresolved',
  ...(match.truth === true ? {} : { field: match.field }),
  ...(rule.id === undefined ? {} : { id: rule.id }),
});

const policyTrace = (policy: PolicyRules, hit: Hit): PolicyTrace => ({
  id: policy.id,
  rules: hit.rules ?? [],
  ...(hit.action === undefined ? {} : { decided: hit.action }),
});

const ruleDecision = (tier: string, policy: PolicyRules, hit: Hit): Decision => ({
  by: 'rule',
  tier,
  policy: policy.id,
  rule: hit.index,
  ...unresolvedPart(hit),
});

const unresolvedPart = ({ unresolved }: Hit): { readonly unresolved?: string } =>
  unresolved === undefined ? {} : { unresolved };

function note({ record }: Walk, id: RuleId | undefined): void {
  if (id !== undefined) record?.decidedIds.push(id);
}
