// Chains of endpoints, policies, profiles and groups of policies: what is in them (FX-032, FX-033, FX-047…FX-052). An
// endpoint's chain asks its tiers, then its profiles, and ends in a denial; allowing is a mark and a return.
import type { Family } from '../../../lib/ip/mod.ts';
import { policyText, type Direction, type FailsafePort, type PolicyId } from '../../../policy/mod.ts';
import type { EndpointPolicy } from '../../calc/mod.ts';
import type { ProgramPlan } from '../policy/inputs/mod.ts';
import type { PolicySettings } from '../policy/types.ts';
import { clearMark, isClear, isMarked, isMarkedAny, type Marks, setMark } from './marks.ts';
import { protocolWord } from './match.ts';
import { groupChain, policyChain, profileChain } from './names.ts';
import { comment, denialOf, line, type TableName } from './rules.ts';

/** What a chain jumps to, and which therefore has to be there. */
export type ChainUse =
  | { readonly kind: 'policy'; readonly direction: Direction; readonly id: PolicyId }
  | { readonly kind: 'profile'; readonly direction: Direction; readonly name: string }
  | {
      readonly kind: 'group';
      readonly direction: Direction;
      readonly tier: string;
      readonly ids: readonly PolicyId[];
    };

export function chainOf(use: ChainUse): string {
  if (use.kind === 'policy') return policyChain(use.id, use.direction);
  if (use.kind === 'profile') return profileChain(use.name, use.direction);
  return groupChain(use.tier, use.direction, use.ids);
}

export type ChainContext = {
  readonly table: TableName;
  readonly settings: PolicySettings;
  readonly marks: Marks;
};

/** How the chain of an endpoint differs by where it stands. */
export type EndpointContext = ChainContext & {
  /** What packets of known connections meet. */
  readonly allowance: 'ACCEPT' | 'RETURN';
  readonly limits?: EndpointPolicy['limits'];
  readonly owner: EndpointPolicy['type'];
  readonly interfaceName: string;
  /** Policies that always stand together, in order, by what one endpoint has of a tier. */
  readonly groups: (policies: readonly PolicyId[]) => readonly (readonly PolicyId[])[];
};

type Lines = { readonly lines: readonly string[]; readonly uses: readonly ChainUse[] };

export function endpointLines(plan: ProgramPlan, context: EndpointContext): Lines {
  const { marks, table, settings } = context;
  const deny = denialOf(table, settings.denial);
  const uses: ChainUse[] = [];
  const lines: string[] = [
    ...rateLines(plan, context),
    ...(plan.stage === 'untracked' ? [] : connectionLines(context, deny)),
    ...connectionLimitLines(plan, context),
    ...failsafeJump(plan, context),
    line('--jump', clearMark(marks.acceptOrPass)),
    ...(context.owner === 'workload' && plan.direction === 'egress' ? tunnelLines(settings, deny) : []),
  ];
  for (const tier of plan.tiers) {
    if (!tier.exists) {
      lines.push(line(comment(`Tier ${tier.name} does not exist`), '--jump', deny));
      continue;
    }
    lines.push(line(comment(`Start of tier ${tier.name}`), '--jump', clearMark(marks.pass)));
    for (const ids of context.groups(tier.policies)) {
      const [id] = ids;
      if (id === undefined) continue;
      const use: ChainUse =
        ids.length === 1
          ? { kind: 'policy', direction: plan.direction, id }
          : { kind: 'group', direction: plan.direction, tier: tier.name, ids };
      uses.push(use);
      lines.push(line(isClear(marks.pass), '--jump', chainOf(use)));
      if (plan.stage === 'untracked') lines.push(line(isMarked(marks.accept), '--jump CT --notrack'));
      lines.push(line(comment('Return if policy accepted'), isMarked(marks.accept), '--jump RETURN'));
    }
    if (tier.endAction === 'deny')
      lines.push(line(comment(`End of tier ${tier.name}`), isClear(marks.pass), '--jump', deny));
  }
  for (const name of plan.profiles) {
    const use: ChainUse = { kind: 'profile', direction: plan.direction, name };
    uses.push(use);
    lines.push(
      line('--jump', chainOf(use)),
      line(comment('Return if profile accepted'), isMarked(marks.accept), '--jump RETURN'),
    );
  }
  if (plan.otherwise === 'deny') lines.push(line(comment('No policy or profile allowed'), '--jump', deny));
  if (plan.otherwise === 'allow')
    lines.push(line(comment('Passing through is allowed'), '--jump', setMark(marks.accept)));
  return { lines, uses };
}

function connectionLines({ allowance, marks, settings }: EndpointContext, deny: string): readonly string[] {
  const known = '-m conntrack --ctstate RELATED,ESTABLISHED';
  return [
    ...(allowance === 'ACCEPT' ? [] : [line(known, '--jump', setMark(marks.accept))]),
    line(known, '--jump', allowance),
    ...(settings.dropsInvalidConnections ? [line('-m conntrack --ctstate INVALID --jump', deny)] : []),
  ];
}

/** Packets over the rate are dropped before anything else is asked (FX-047). */
function rateLines(
  { direction }: ProgramPlan,
  { limits, interfaceName }: EndpointContext,
): readonly string[] {
  const rate = limits?.[`${direction}PacketRate`];
  if (!rate) return [];
  const burst = limits?.[`${direction}PacketBurst`] ?? 5;
  const bucket = `--hashlimit-name ${interfaceName}-${direction}`;
  const limit = `-m hashlimit --hashlimit-above ${rate}/sec --hashlimit-burst ${burst} ${bucket}`;
  return [line(comment('Packet rate limit'), limit, '--jump DROP')];
}

/** Connections beyond the limit are reset, so that clients learn at once. */
function connectionLimitLines(
  { direction }: ProgramPlan,
  { limits, table }: EndpointContext,
): readonly string[] {
  const most = limits?.[`${direction}MaxConnections`];
  if (!most || table !== 'filter') return [];
  const limit = `-m connlimit --connlimit-above ${most} --connlimit-mask 0`;
  const text = comment('Connection limit');
  return [
    line('-p tcp', text, limit, '--jump REJECT --reject-with tcp-reset'),
    line(text, limit, '--jump DROP'),
  ];
}

const failsafeJump = ({ stage, direction }: ProgramPlan, { owner }: EndpointContext): readonly string[] =>
  owner === 'workload' || stage === 'forward' ? [] : [`--jump ${failsafeChains[direction]}`];

/** Tunnels are not for workloads to enter. */
function tunnelLines(settings: PolicySettings, deny: string): readonly string[] {
  const { allowsVxlanFromWorkloads, allowsIpipFromWorkloads, vxlanPort } = settings;
  const text = comment('Tunnel packets of workloads');
  return [
    ...(allowsVxlanFromWorkloads
      ? []
      : [line('-p udp', text, `-m multiport --destination-ports ${vxlanPort} --jump`, deny)]),
    ...(allowsIpipFromWorkloads ? [] : [line('-p 4', text, '--jump', deny)]),
  ];
}

/** Each policy is asked unless an earlier one has spoken; every few a return spares the rest the question. */
const returnStride = 5;

export function groupLines(use: Extract<ChainUse, { readonly kind: 'group' }>, marks: Marks): Lines {
  const uses = use.ids.map((id): ChainUse => ({ kind: 'policy', direction: use.direction, id }));
  const lines = uses.flatMap((policy, i) => {
    const isFirst = i % returnStride === 0;
    return [
      ...(isFirst && i > 0
        ? [line(comment('Return on verdict'), isMarkedAny(marks.acceptOrPass), '--jump RETURN')]
        : []),
      line(isFirst ? '' : isClear(marks.acceptOrPass), '--jump', chainOf(policy)),
    ];
  });
  return { lines, uses };
}

export const failsafeChains = { ingress: 'cali-failsafe-in', egress: 'cali-failsafe-out' } as const;

/** Ports that stay open. Before connection tracking answers are let through by the other direction's list (FX-052). */
export function failsafeLines(
  direction: Direction,
  family: Family,
  context: ChainContext,
): readonly string[] {
  const { inbound, outbound } = context.settings.failsafe;
  const [here, back] = direction === 'ingress' ? [inbound, outbound] : [outbound, inbound];
  const peer = direction === 'ingress' ? '--source' : '--destination';
  const allow = (
    { protocol, port, net }: FailsafePort,
    side: 'source' | 'destination',
  ): readonly string[] => {
    if (net !== undefined && (net.includes(':') ? 6 : 4) !== family) return [];
    const isEverywhere = net === undefined || net.endsWith('/0');
    const ports = `-m multiport --${side}-ports ${port}`;
    return [
      line(`-p ${protocolWord(protocol)}`, ports, isEverywhere ? '' : `${peer} ${net}`, '--jump ACCEPT'),
    ];
  };
  return [
    ...here.flatMap((entry) => allow(entry, 'destination')),
    ...(context.table === 'raw' ? back.flatMap((entry) => allow(entry, 'source')) : []),
  ];
}

/** What a chain of a policy that nobody told of says (FX-008). */
export const unknownPolicy = (id: PolicyId, deny: string): string =>
  line(comment(`${policyText(id)} is not known`), '--jump', deny);
