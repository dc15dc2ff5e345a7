// Faces of the policy data plane: what it is told, what one endpoint's program is, and how a program finds the chains of
// the rules that decide. See docs/policy-dataplane.md.
import type { Address, Family } from '../../../lib/ip/mod.ts';
import type {
  Direction,
  FailsafePorts,
  PolicyId,
  PolicyProgram,
  SetDefinition,
  SetId,
} from '../../../policy/mod.ts';

/** What configuration says about policy on this node. Same for both back ends. */
export type PolicySettings = {
  readonly families: readonly Family[];
  /** Beginnings of the names of workload interfaces. */
  readonly interfacePrefixes: readonly string[];
  readonly endpointToHost: 'drop' | 'accept' | 'return';
  readonly failsafe: FailsafePorts;
  /** What a denied packet meets. */
  readonly denial: 'drop' | 'reject';
  /** What an allowed packet does at the end of a filter hook, and of the mangle hook. */
  readonly filterAllowance: 'accept' | 'return';
  readonly mangleAllowance: 'accept' | 'return';
  readonly logPrefix: string;
  /** `<number>/<second|minute|hour|day>`; empty: every packet is logged. */
  readonly logRate: string;
  readonly logBurst: number;
  /** Bits of the packet's mark that are ours. */
  readonly markMask: number;
  readonly dropsInvalidConnections: boolean;
  readonly allowsVxlanFromWorkloads: boolean;
  readonly allowsIpipFromWorkloads: boolean;
  readonly allowsForeignSources: boolean;
  readonly vxlanPort: number;
  /** Where WireGuard of this node listens, of the families that are encrypted. */
  readonly wireguardPorts: { readonly [F in Family]?: number };
};

/** Who decides about a packet: a rule, or the end of something. `index` counts from 0 within policy or profile. */
export type Decider =
  | {
      readonly by: 'rule';
      readonly tier: string;
      readonly policy: PolicyId;
      readonly direction: Direction;
      readonly index: number;
      readonly action: 'allow' | 'deny';
    }
  | {
      readonly by: 'profile-rule';
      readonly profile: string;
      readonly direction: Direction;
      readonly index: number;
      readonly action: 'allow' | 'deny';
    }
  | {
      readonly by: 'end-of-tier';
      readonly tier: string;
      readonly direction: Direction;
      readonly action: 'deny';
    }
  | { readonly by: 'end'; readonly direction: Direction; readonly action: 'allow' | 'deny' };

/** A rule that logs and lets evaluation go on. */
export type LogStep = {
  readonly tier?: string;
  readonly policy?: PolicyId;
  readonly profile?: string;
  readonly direction: Direction;
  readonly index: number;
};

/** What becomes of a packet: logged by these rules in order, then decided. */
export type ProgramDecision = { readonly logs: readonly LogStep[]; readonly decider: Decider };

/** Chains of rules (`rule-…`): counter, comment with tier, policy and rule, then the verdict. A chain is in the kernel as
 *  long as somebody uses it, its counter survives whatever changes around it. */
export interface RuleChains {
  /** The name of the chain to `goto`; counts one user more. */
  use(family: Family, decision: ProgramDecision): string;
  release(family: Family, decision: ProgramDecision): void;
}

/** Members of the node's active sets, as the calculation tells them (`memberText`). */
export interface SetMembers {
  setSet(set: SetDefinition, members: readonly string[]): void;
  changeMembers(id: SetId, added: readonly string[], removed: readonly string[]): void;
  removeSet(id: SetId): void;
}

/** The program of a group of endpoints: equal policy, direction and, where rules ask for the endpoint's own address, equal
 *  answers. `own` are the addresses of the family by which own-side criteria were answered; empty when none are asked. */
export type GroupProgram = {
  readonly key: string;
  readonly family: Family;
  readonly direction: Direction;
  readonly program: PolicyProgram;
  readonly own: readonly Address[];
};
