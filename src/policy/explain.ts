// A verdict in lines for people: every step of the packet's way, every tier, policy and rule that was looked at.
import { describeStep, type PathVerdict, type StepResult } from './steps.ts';
import { policyText, type RuleTrace, type TierTrace, type TracedVerdict } from './trace.ts';

/** One line per step and, below it, per tier, policy and rule; indented by two spaces a level. */
export function explain(verdict: PathVerdict): readonly string[] {
  const lines = verdict.steps.flatMap(explainStep);
  return lines.length === 0 ? ['no policy is in the way'] : lines;
}

const explainStep = (step: StepResult): readonly string[] => [
  describeStep(step),
  ...(step.kind === 'program' && step.verdict !== undefined ? explainTrace(step.verdict).map(indented) : []),
];

const explainTrace = ({ trace }: TracedVerdict): readonly string[] => [
  ...trace.tiers.flatMap(explainTier),
  ...trace.profiles.flatMap(({ name, rules, decided }) => [
    `profile ${name}: ${decided ?? 'no rule matched'}`,
    ...rules.map(explainRule).map(indented),
  ]),
];

const tierWords: Readonly<Record<TierTrace['outcome'], string>> = {
  allow: 'allowed',
  deny: 'denied',
  pass: 'passed on by a rule',
  'end-deny': 'no rule matched: denied by its default action',
  'end-pass': 'no rule matched: passed on by its default action',
};

const explainTier = ({ name, outcome, policies }: TierTrace): readonly string[] => [
  `tier ${name}: ${tierWords[outcome]}`,
  ...policies.flatMap(({ id, decided, rules }) =>
    [`${policyText(id)}: ${decided ?? 'no rule matched'}`, ...rules.map(explainRule).map(indented)].map(
      indented,
    ),
  ),
];

function explainRule({ index, action, outcome, field }: RuleTrace): string {
  if (outcome === 'matched') return `rule ${index} ${action}: matched`;
  return outcome === 'missed'
    ? `rule ${index} ${action}: did not match by ${field}`
    : `rule ${index} ${action}: cannot be resolved (${field})`;
}

const indented = (line: string): string => `  ${line}`;
