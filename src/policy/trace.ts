// What became of a packet and why: the verdict, the step that made it, and every tier, policy and rule looked at before.
import type { Action, Direction, PolicyId, RuleId } from './types.ts';

/** The fields by which a rule can fail to match, named as in the resource. */
export type RuleField =
  | 'ipVersion'
  | 'protocol'
  | 'notProtocol'
  | 'icmp'
  | 'notICMP'
  | 'http'
  | `${'source' | 'destination'}.${SideField}`;
export type SideField = 'nets' | 'notNets' | 'selector' | 'notSelector' | 'ports' | 'notPorts' | 'services';

/** How a rule met a packet. `unresolved`: nothing speaks against a match, but something that the rule asks for is unknown. */
export type RuleOutcome = 'matched' | 'missed' | 'unresolved';

export type RuleTrace = {
  /** Position in the policy's list of the direction, from 0. */
  readonly index: number;
  readonly action: Action;
  readonly outcome: RuleOutcome;
  /** What the packet failed at, or what is unknown. */
  readonly field?: RuleField | 'rule';
  readonly id?: RuleId;
};

export type PolicyTrace = {
  readonly id: PolicyId;
  readonly rules: readonly RuleTrace[];
  /** Absent: no rule decided. */
  readonly decided?: 'allow' | 'deny' | 'pass';
};

export type TierTrace = {
  readonly name: string;
  readonly policies: readonly PolicyTrace[];
  /** `end-…`: no rule decided, and the tier's default action was applied. */
  readonly outcome: 'allow' | 'deny' | 'pass' | 'end-deny' | 'end-pass';
};

export type ProfileTrace = {
  readonly name: string;
  readonly rules: readonly RuleTrace[];
  readonly decided?: 'allow' | 'deny';
};

/** What made the verdict. */
export type Decision =
  | {
      readonly by: 'rule';
      readonly tier: string;
      readonly policy: PolicyId;
      readonly rule: number;
      /** The rule denied because it cannot be resolved. */
      readonly unresolved?: string;
    }
  | { readonly by: 'tier'; readonly tier: string }
  | { readonly by: 'profile'; readonly profile: string; readonly rule: number; readonly unresolved?: string }
  /** Nothing matched: the program's last word. */
  | { readonly by: 'nothing' };

export type Trace = {
  readonly tiers: readonly TierTrace[];
  readonly profiles: readonly ProfileTrace[];
  /** Identifiers of the rules and ends of tiers that decided something, in order, where these have any. */
  readonly decidedIds: readonly RuleId[];
};

/** `none`: the program does not decide, and the packet goes on to what comes next. */
export type Verdict = {
  readonly action: 'allow' | 'deny' | 'none';
  readonly decision: Decision;
};
export type TracedVerdict = Verdict & { readonly trace: Trace };

/** Words for where a decision was made: `in` or `out` of whom is for the caller to say. */
export function describeDecision(decision: Decision, direction: Direction): string {
  switch (decision.by) {
    case 'rule':
      return `rule ${direction}[${decision.rule}] of ${policyText(decision.policy)} in tier ${decision.tier}${
        decision.unresolved === undefined ? '' : `, which cannot be resolved: ${decision.unresolved}`
      }`;
    case 'tier':
      return `the end of tier ${decision.tier}: its policies apply, and no rule matched`;
    case 'profile':
      return `rule ${direction}[${decision.rule}] of profile ${decision.profile}${
        decision.unresolved === undefined ? '' : `, which cannot be resolved: ${decision.unresolved}`
      }`;
    default:
      return 'nothing: no policy decided, and no profile matched';
  }
}

const shortKinds = {
  NetworkPolicy: 'np',
  GlobalNetworkPolicy: 'gnp',
  KubernetesNetworkPolicy: 'knp',
  KubernetesClusterNetworkPolicy: 'kcnp',
  StagedNetworkPolicy: 'snp',
  StagedGlobalNetworkPolicy: 'sgnp',
  StagedKubernetesNetworkPolicy: 'sknp',
} as const;

/** `np:shop/web`, `gnp:deny-all`: the kinds are written as Calico's logs and chain names write them (RS-136). */
export const policyText = ({ kind, namespace, name }: PolicyId): string =>
  `${shortKinds[kind]}:${namespace === undefined ? '' : `${namespace}/`}${name}`;
