// The way of a packet as a list of steps, each of which can stop it: the programs it meets at endpoints and hosts in order,
// and what is decided without policy in between. Who makes the list (world/path.ts for a whole cluster) knows the way; this
// file knows how steps act together:
//
//   - a packet is allowed when no step denies it;
//   - what `untracked` or `preDnat` allowed passes the host's later steps in the same direction unasked (FX-040, FX-041);
//   - failsafe ports come before every program of a host except `forward` (FX-052).
import { containsAddress, type Prefix } from '../lib/ip/mod.ts';
import type { Stage } from './compile/program.ts';
import { evaluate } from './evaluate.ts';
import type { MatchOptions } from './match.ts';
import { describeDecision, type TracedVerdict } from './trace.ts';
import type { Direction, Packet, PolicyProgram, SetLookup } from './types.ts';

/** Whom a step belongs to. */
export type StepOwner =
  | { readonly kind: 'workload'; readonly namespace: string; readonly name: string }
  | { readonly kind: 'host'; readonly node: string; readonly hostEndpoint?: string };

/** A port that stays open whatever policy says. */
export type FailsafePort = { readonly protocol: number; readonly port: number; readonly net?: Prefix };
export type FailsafePorts = {
  readonly inbound: readonly FailsafePort[];
  readonly outbound: readonly FailsafePort[];
};

/** A program at an endpoint. */
export type ProgramStep = {
  readonly kind: 'program';
  readonly stage: Stage;
  readonly owner: StepOwner;
  readonly direction: Direction;
  readonly program: PolicyProgram;
  /** The packet as it looks here: before translation its destination is another one. */
  readonly packet: Packet;
  /** For hosts. */
  readonly failsafe?: FailsafePorts;
};

/** What is decided without policy. `none` is a remark: the packet goes on. */
export type FixedStep = {
  readonly kind: 'fixed';
  readonly check:
    | 'connection'
    | 'source-address'
    | 'tunnel'
    | 'neighbour-discovery'
    | 'own-workload'
    | 'endpoint-to-host'
    | 'unknown-endpoint'
    | 'limits';
  readonly owner: StepOwner;
  readonly direction: Direction;
  readonly action: 'allow' | 'deny' | 'none';
  readonly reason: string;
  /** Later steps do not count. */
  readonly isFinal?: boolean;
};

export type Step = ProgramStep | FixedStep;

export type StepResult =
  | (Omit<ProgramStep, 'program' | 'failsafe'> & {
      readonly action: 'allow' | 'deny' | 'none';
      /** Present unless a failsafe port decided. */
      readonly verdict?: TracedVerdict;
      readonly failsafe?: FailsafePort;
    })
  | FixedStep;

export type PathVerdict = {
  readonly action: 'allow' | 'deny' | 'none';
  /** The step that denied; of an allowed packet the last that spoke for it. Absent when no step said anything. */
  readonly decidedBy?: StepResult;
  /** Steps in the order in which the packet met them, up to the one that denied. */
  readonly steps: readonly StepResult[];
};

/** Takes the packet through the steps. `none`: no step decided. */
export function runSteps(steps: readonly Step[], sets: SetLookup, options: MatchOptions = {}): PathVerdict {
  const results: StepResult[] = [];
  const waived = new Set<string>();
  let decidedBy: StepResult | undefined;
  for (const step of steps) {
    if (isWaivable(step) && waived.has(hostKey(step))) continue;
    const result = step.kind === 'fixed' ? step : runProgram(step, sets, options);
    results.push(result);
    if (result.action !== 'none') decidedBy = result;
    if (result.action === 'deny' || (result.kind === 'fixed' && result.isFinal === true)) break;
    if (step.kind === 'program' && result.action === 'allow' && isEarly(step.stage) && isByRule(result))
      waived.add(hostKey(step));
  }
  if (decidedBy === undefined) return { action: 'none', steps: results };
  return { action: decidedBy.action, decidedBy, steps: results };
}

const isEarly = (stage: Stage): boolean => stage === 'untracked' || stage === 'preDnat';

/** A failsafe port only passes its own step: each later one looks at its ports again. */
const isByRule = (result: StepResult): boolean => result.kind === 'program' && result.failsafe === undefined;

/** What is let in before connection tracking has no connection. */
const isWaivable = (step: Step): boolean => step.kind === 'program' || step.check === 'connection';

/** Steps of workloads are never waived: what a host lets in early is still the workload's to refuse. */
const hostKey = ({ owner, direction }: Step): string =>
  owner.kind === 'host' ? `${owner.node} ${direction}` : '';

function runProgram(step: ProgramStep, sets: SetLookup, options: MatchOptions): StepResult {
  const { program, failsafe: ports, ...shown } = step;
  const failsafe = step.stage === 'forward' || ports === undefined ? undefined : failsafeOf(step, ports);
  if (failsafe !== undefined) return { ...shown, action: 'allow', failsafe };
  const verdict = evaluate(program, sets, step.packet, options);
  return { ...shown, action: verdict.action, verdict };
}

/** The failsafe port that the packet is for. Without connection tracking answers are let through by the same list. */
function failsafeOf(
  { direction, stage, packet }: ProgramStep,
  { inbound, outbound }: FailsafePorts,
): FailsafePort | undefined {
  const { protocol, source, destination, sourcePort, destinationPort } = packet;
  const peer = direction === 'ingress' ? source : destination;
  const isFor =
    (port: number | undefined) =>
    (entry: FailsafePort): boolean =>
      entry.protocol === protocol &&
      entry.port === port &&
      (entry.net === undefined || containsAddress(entry.net, peer));
  const [here, back] = direction === 'ingress' ? [inbound, outbound] : [outbound, inbound];
  return (
    here.find(isFor(destinationPort)) ?? (stage === 'untracked' ? back.find(isFor(sourcePort)) : undefined)
  );
}

/** Who a step belongs to, in words. */
export const ownerText = (owner: StepOwner): string =>
  owner.kind === 'workload'
    ? `pod ${owner.namespace}/${owner.name}`
    : `host ${owner.node}${owner.hostEndpoint === undefined ? '' : ` (${owner.hostEndpoint})`}`;

/** What a step said, in words. */
export function describeStep(step: StepResult): string {
  const where = `${step.direction} of ${ownerText(step.owner)}`;
  const verb = { allow: 'allowed', deny: 'denied', none: 'not decided' }[step.action];
  if (step.kind === 'fixed') return `${where}: ${verb}: ${step.reason}`;
  const stage = step.stage === 'normal' ? '' : `, ${stageWords[step.stage]}`;
  if (step.failsafe !== undefined) return `${where}${stage}: ${verb} by failsafe port ${step.failsafe.port}`;
  const reason =
    step.verdict === undefined ? '' : ` by ${describeDecision(step.verdict.decision, step.direction)}`;
  return `${where}${stage}: ${verb}${reason}`;
}

const stageWords = {
  forward: 'passing through',
  untracked: 'before connection tracking',
  preDnat: 'before translation',
} as const;
