// Who and whom as data: the policies of an endpoint in the order in which they decide, the endpoints of a policy, and what
// of all policy does nothing. Pure over a world; hit counts are given.
import { matchesLookup } from '../../selector/mod.ts';
import {
  endpointsOf,
  membersOf,
  policiesOf,
  policyText,
  programOf,
  type CompiledPolicy,
  type Direction,
  type Endpoint,
  type PolicyId,
  type PolicyProgram,
  type Rule,
  type SetDefinition,
  type SetId,
  type World,
} from '../../policy/mod.ts';
import { ruleWords, selectorWords, type Definitions } from './words.ts';

export type Hits = { readonly packets: number; readonly bytes: number };
/** Counters of rules, added up over the nodes that were read. */
export type HitCounts = {
  readonly nodes: readonly string[];
  /** Undefined: no node counts the rule. */
  of(rule: RulePlace): Hits | undefined;
};
export type RulePlace = {
  /** Absent for profiles. */
  readonly tier?: string;
  readonly policy?: PolicyId;
  readonly profile?: string;
  readonly direction: Direction;
  readonly index: number;
};

export type RuleReport = {
  readonly index: number;
  readonly text: string;
  /** Endpoints and networks that the rule means on the other side; absent: it means everybody. */
  readonly peers?: number;
  readonly hits?: Hits;
};
export type PolicyReport = {
  readonly policy: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly order?: number;
  readonly staged?: string;
  readonly rules: readonly RuleReport[];
};
export type TierReport = {
  readonly tier: string;
  readonly policies: readonly PolicyReport[];
  /** What becomes of a packet that no rule of the tier matches. */
  readonly otherwise: 'deny' | 'pass';
};
export type StageReport = {
  readonly direction: Direction;
  readonly stage: 'normal' | 'forward' | 'untracked' | 'preDnat';
  readonly tiers: readonly TierReport[];
  readonly profiles: readonly { readonly profile: string; readonly rules: readonly RuleReport[] }[];
  /** What decides when no rule matches, in words. */
  readonly otherwise: string;
};
export type EndpointRow = {
  readonly endpoint: string;
  readonly kind: 'pod' | 'hostendpoint';
  readonly node: string;
  readonly interfaceName?: string;
  readonly addresses: readonly string[];
};
export type EndpointReport = EndpointRow & {
  readonly stages: readonly StageReport[];
  /** Staged policies that select it; they change nothing. */
  readonly staged: readonly PolicyReport[];
  readonly problems: readonly string[];
};

export const definitionsOf = (world: World): Definitions =>
  new Map(
    [...world.policies, ...world.profiles.values()].flatMap(({ sets }) =>
      sets.map((set) => [set.id, set] as const),
    ),
  );

/** The policies of one endpoint: what stands in the way of its packets, in the order of the decision. */
export function endpointReport(
  world: World,
  endpoint: Endpoint,
  counts: HitCounts | undefined,
): EndpointReport {
  const definitions = definitionsOf(world);
  const stages =
    endpoint.kind === 'host'
      ? (['untracked', 'preDnat', 'forward', 'normal'] as const)
      : (['normal'] as const);
  const policies = policiesOf(world, endpoint);
  const orders = new Map(policies.map((policy) => [policyText(policy.id), policy.order]));
  const reports = (['ingress', 'egress'] as const).flatMap((direction) =>
    stages.flatMap((stage): readonly StageReport[] => {
      const program = programOf(world, endpoint, stage, direction);
      if (stage !== 'normal' && program.tiers.length === 0) return [];
      return [stageReport({ world, program, direction, stage, orders, definitions, counts })];
    }),
  );
  const staged = policies.filter((policy) => policy.staged !== undefined);
  const subjects = new Set(policies.map(({ id }) => policyText(id)));
  return {
    ...endpointRow(endpoint),
    stages: reports,
    staged: staged.map((policy) => policyReport(world, policy, definitions, undefined)),
    problems: world.problems
      .filter(({ subject }) => subjects.has(subject))
      .map(({ subject, problem }) => `${subject}: ${problem}`),
  };
}

export const endpointRow = (endpoint: Endpoint): EndpointRow => ({
  endpoint:
    endpoint.kind === 'workload'
      ? `${endpoint.namespace ?? ''}/${endpoint.pod ?? endpoint.name}`
      : endpoint.name,
  kind: endpoint.kind === 'workload' ? 'pod' : 'hostendpoint',
  node: endpoint.node,
  ...(endpoint.interfaceName === '' ? {} : { interfaceName: endpoint.interfaceName }),
  addresses: endpoint.addresses,
});

type StageInput = {
  readonly world: World;
  readonly program: PolicyProgram;
  readonly direction: Direction;
  readonly stage: StageReport['stage'];
  readonly orders: ReadonlyMap<string, number>;
  readonly definitions: Definitions;
  readonly counts: HitCounts | undefined;
};

function stageReport({
  world,
  program,
  direction,
  stage,
  orders,
  definitions,
  counts,
}: StageInput): StageReport {
  const rules = (
    list: readonly Rule[],
    place: Omit<RulePlace, 'direction' | 'index'>,
  ): readonly RuleReport[] =>
    list.map((rule, index) => ruleReport(world, rule, { ...place, direction, index }, definitions, counts));
  const tiers = program.tiers.map(
    ({ name, policies, endAction }): TierReport => ({
      tier: name,
      policies: policies.map(({ id, rules: list }) => ({
        ...identity(id, orders.get(policyText(id))),
        rules: rules(list, { tier: name, policy: id }),
      })),
      otherwise: endAction,
    }),
  );
  return {
    direction,
    stage,
    tiers,
    // Behind a tier that denies what is left, nobody asks them.
    profiles: tiers.some(({ otherwise }) => otherwise === 'deny')
      ? []
      : program.profiles.map(({ name, rules: list }) => ({
          profile: name,
          rules: rules(list, { profile: name }),
        })),
    otherwise: lastWord(program),
  };
}

function lastWord({ tiers, profiles, otherwise }: PolicyProgram): string {
  const closing = tiers.find(({ endAction }) => endAction === 'deny');
  if (closing !== undefined) return `denied at the end of tier ${closing.name}`;
  for (const { name, rules } of profiles) {
    const last = rules.find(takesEverything);
    if (last !== undefined) return `${last.action === 'allow' ? 'allowed' : 'denied'} by profile ${name}`;
  }
  if (otherwise === 'deny') return 'denied, as no profile allows it';
  return otherwise === 'allow' ? 'allowed' : 'left to what comes next';
}

const identity = (id: PolicyId, order: number | undefined): Omit<PolicyReport, 'rules'> => ({
  policy: policyText(id),
  kind: id.kind,
  ...(id.namespace === undefined ? {} : { namespace: id.namespace }),
  name: id.name,
  ...(order === undefined || order === Number.POSITIVE_INFINITY ? {} : { order }),
});

function ruleReport(
  world: World,
  rule: Rule,
  place: RulePlace,
  definitions: Definitions,
  counts: HitCounts | undefined,
): RuleReport {
  const peers = peersOf(world, rule, place.direction, definitions);
  const hits = counts && hitsOf(counts, rule, place);
  return {
    index: place.index,
    text: ruleWords(rule, definitions),
    ...(peers === undefined ? {} : { peers }),
    ...(hits === undefined ? {} : { hits }),
  };
}

/** A rule that decides and has no counter is in no program. Passing on is not counted where it costs nothing. */
const hitsOf = (counts: HitCounts, { action }: Rule, place: RulePlace): Hits | undefined =>
  counts.of(place) ?? (action === 'allow' || action === 'deny' ? { packets: 0, bytes: 0 } : undefined);

/** How many addresses and networks a rule's other side means now; undefined when it asks for nobody in particular. */
function peersOf(
  world: World,
  rule: Rule,
  direction: Direction,
  definitions: Definitions,
): number | undefined {
  const { sets = [], serviceSets = [] } = direction === 'ingress' ? rule.source : rule.destination;
  const sizes = [...sets, ...serviceSets].map((id) => sizeOf(world, id, definitions));
  return sizes.length === 0 ? undefined : Math.min(...sizes);
}

const sizes = new WeakMap<World, Map<SetId, number>>();
function sizeOf(world: World, id: SetId, definitions: Definitions): number {
  const known = sizes.get(world) ?? new Map<SetId, number>();
  sizes.set(world, known);
  const definition: SetDefinition | undefined = definitions.get(id);
  const size =
    known.get(id) ??
    (definition === undefined ? 0 : new Set(membersOf(definition, world).map(memberKey)).size);
  known.set(id, size);
  return size;
}
const memberKey = (member: ReturnType<typeof membersOf>[number]): string =>
  typeof member === 'string' ? member : `${member.address} ${member.protocol} ${member.port}`;

/** A policy with all its rules, in both directions in which it decides. */
export function policyReport(
  world: World,
  policy: CompiledPolicy,
  definitions: Definitions,
  counts: HitCounts | undefined,
): PolicyReport & { readonly tier: string; readonly directions: readonly Direction[] } {
  const { id, tier, order, staged, directions } = policy;
  const rules = directions.flatMap((direction) =>
    policy[direction].map((rule, index) => {
      const report = ruleReport(world, rule, { tier, policy: id, direction, index }, definitions, counts);
      return { ...report, text: `${direction}[${index}] ${report.text}` };
    }),
  );
  return { ...identity(id, order), tier, directions, ...(staged === undefined ? {} : { staged }), rules };
}

export type SelectionReport = ReturnType<typeof policyReport> & {
  readonly selector: string;
  readonly endpoints: readonly EndpointRow[];
  readonly problems: readonly string[];
};

/** The endpoints of one policy, with what each of its rules means. */
export function selectionReport(
  world: World,
  policy: CompiledPolicy,
  counts: HitCounts | undefined,
): SelectionReport {
  const subject = policyText(policy.id);
  return {
    ...policyReport(world, policy, definitionsOf(world), counts),
    selector: selectorWords(policy.selector.text),
    endpoints: endpointsOf(world, policy)
      .filter((one) => isFor(policy, one))
      .map(endpointRow),
    problems: world.problems.filter((one) => one.subject === subject).map(({ problem }) => problem),
  };
}

/** Policy before connection tracking and before translation is for hosts only. */
const isFor = ({ place }: CompiledPolicy, { kind }: Endpoint): boolean =>
  place === 'normal' || kind === 'host';

export type UnusedRow = {
  readonly policy: string;
  readonly tier: string;
  /** `ingress[2]`; absent: the whole policy. */
  readonly rule?: string;
  readonly reason: 'selects-nobody' | 'no-tier' | 'means-nobody' | 'never-reached' | 'never-hit';
  readonly text: string;
};

/** Policies and rules that do nothing now, and, where hits are counted, that never did. */
export function unusedReport(world: World, counts: HitCounts | undefined): readonly UnusedRow[] {
  const definitions = definitionsOf(world);
  const tiers = new Set(world.tiers.map(({ name }) => name));
  const endpoints = [...world.workloads, ...world.hostEndpoints];
  return world.policies.flatMap((policy): readonly UnusedRow[] => {
    const row = { policy: policyText(policy.id), tier: policy.tier };
    if (!endpoints.some((one) => isFor(policy, one) && matchesLookup(policy.selector, one.label)))
      return [{ ...row, reason: 'selects-nobody', text: selectorWords(policy.selector.text) }];
    if (!tiers.has(policy.tier))
      return [{ ...row, reason: 'no-tier', text: `tier ${policy.tier || '""'} does not exist` }];
    if (policy.staged !== undefined) return [];
    return policy.directions.flatMap((direction) =>
      policy[direction].flatMap((rule, index): readonly UnusedRow[] => {
        const at = { ...row, rule: `${direction}[${index}]` };
        const words = ruleWords(rule, definitions);
        const last = policy[direction].slice(0, index).findIndex(takesEverything);
        if (last >= 0)
          return [
            {
              ...at,
              reason: 'never-reached',
              text: `${words}: ${direction}[${last}] before it takes everything`,
            },
          ];
        if (peersOf(world, rule, direction, definitions) === 0)
          return [{ ...at, reason: 'means-nobody', text: `${words}: nobody is selected there` }];
        const place: RulePlace = { tier: policy.tier, policy: policy.id, direction, index };
        if (counts === undefined || hitsOf(counts, rule, place)?.packets !== 0) return [];
        return [{ ...at, reason: 'never-hit', text: `${words}: no packet on ${counts.nodes.join(', ')}` }];
      }),
    );
  });
}

/** Whether no packet gets past the rule: it asks for nothing, and decides. */
const takesEverything = (rule: Rule): boolean => {
  const { action, source, destination, annotations: _annotations, id: _id, ...asked } = rule;
  return (
    action !== 'log' &&
    Object.keys(asked).length === 0 &&
    Object.keys(source).length === 0 &&
    Object.keys(destination).length === 0
  );
};
