// A policy resource as rules over address sets, with all that says where and for whom they hold. One policy at a time, from
// that policy alone: who holds policies compiles those that change.
//
// A policy that cannot be made out fails closed (the resource was stored past validation): a selector that does not parse
// selects all that the rest of the policy leaves, and the policy denies; so does one whose rules are no list.
import {
  maxRules,
  clusterNetworkPolicyToCalico,
  networkPolicyToCalico,
  type ClusterNetworkPolicy,
  type GlobalNetworkPolicy,
  type KubernetesNetworkPolicy,
  type NetworkPolicy,
  type PolicyRule,
  type StagedGlobalNetworkPolicy,
  type StagedKubernetesNetworkPolicy,
  type StagedNetworkPolicy,
} from '../../model/mod.ts';
import { selectorOf, prefixLabels, type Selector } from '../../selector/mod.ts';
import type { Direction, PolicyId, PolicyKind, Rule, SetDefinition } from '../types.ts';
import { compileRule, type SetCollection } from './rule.ts';
import {
  both,
  inNamespaceNode,
  namespaceNode,
  readList,
  readSelector,
  serviceAccountPrefix,
  type Problems,
} from './selectors.ts';

/** Where on a host the rules hold. Workloads know `normal` only. */
export type PolicyPlace =
  /** For what begins or ends on the host and, with applyOnForward, for what passes through it. */
  | 'normal'
  /** Before connection tracking, without it. */
  | 'untracked'
  /** Before destinations are translated. */
  | 'preDnat';

/** What a staged policy asks for (RS-120). */
export type StagedAction = 'Set' | 'Delete' | 'Learn' | 'Ignore';

export type CompiledPolicy = {
  readonly id: PolicyId;
  readonly tier: string;
  /** Infinity when the resource has none. */
  readonly order: number;
  /** The endpoints it is for, over their effective labels. */
  readonly selector: Selector;
  /** Directions in which it decides; in these it denies what none of its tier allows. */
  readonly directions: readonly Direction[];
  readonly ingress: readonly Rule[];
  readonly egress: readonly Rule[];
  readonly place: PolicyPlace;
  readonly applyOnForward: boolean;
  /** Present for staged policies, which change no traffic. */
  readonly staged?: StagedAction;
  /** Sets that the rules use. */
  readonly sets: readonly SetDefinition[];
  /** What could not be made out, for the resource's status. */
  readonly problems: readonly string[];
};

export type PolicyResource =
  | NetworkPolicy
  | GlobalNetworkPolicy
  | StagedNetworkPolicy
  | StagedGlobalNetworkPolicy
  | StagedKubernetesNetworkPolicy
  | KubernetesNetworkPolicy
  | ClusterNetworkPolicy;

/** Compiles a policy of any kind; undefined for one that is for nothing at all. */
export function compilePolicy(resource: PolicyResource): CompiledPolicy | undefined {
  if (isKubernetesPolicy(resource)) {
    const { policy, problems } = networkPolicyToCalico(resource);
    return compile('KubernetesNetworkPolicy', policy, problems);
  }
  switch (resource.kind) {
    case 'ClusterNetworkPolicy': {
      const { policy, problems } = clusterNetworkPolicyToCalico(resource);
      return policy && compile('KubernetesClusterNetworkPolicy', policy, problems);
    }
    case 'StagedKubernetesNetworkPolicy': {
      const { policy, problems } = networkPolicyToCalico({
        ...resource,
        apiVersion: 'networking.k8s.io/v1',
        kind: 'NetworkPolicy',
      });
      return compile(resource.kind, policy, problems, stagedActionOf(resource.spec.stagedAction));
    }
    case 'StagedNetworkPolicy':
    case 'StagedGlobalNetworkPolicy':
      return compile(resource.kind, resource, [], stagedActionOf(resource.spec.stagedAction));
    default:
      return compile(resource.kind, resource, []);
  }
}

const isKubernetesPolicy = (resource: PolicyResource): resource is KubernetesNetworkPolicy =>
  resource.apiVersion.startsWith('networking.k8s.io/');

const stagedActionOf = (word: string | undefined): StagedAction =>
  word === 'Delete' || word === 'Learn' || word === 'Ignore' ? word : 'Set';

type Spec = Partial<GlobalNetworkPolicy['spec']>;
type Source = { readonly metadata: GlobalNetworkPolicy['metadata']; readonly spec: Spec };

function compile(
  kind: PolicyKind,
  { metadata, spec: given }: Source,
  conversionProblems: readonly string[],
  staged?: StagedAction,
): CompiledPolicy {
  const { namespace } = metadata;
  const spec = given ?? {};
  const problems: Problems = [...conversionProblems];
  const sets: SetCollection = new Map();
  const broken: Problems = [];
  const selector = selectorOfPolicy(spec, namespace, broken);
  const lists = {
    ingress: compileRules(spec.ingress, 'ingress', namespace, sets, broken),
    egress: compileRules(spec.egress, 'egress', namespace, sets, broken),
  };
  const directions = directionsOf(spec);
  for (const direction of directions)
    for (const [i, rule] of lists[direction].entries())
      if (rule.unresolved !== undefined)
        problems.push(`spec.${direction}[${i}] cannot be resolved: ${rule.unresolved.join('; ')}`);
  const isBroken = broken.length > 0;
  return {
    id: { kind, name: metadata.name, ...(namespace === undefined ? {} : { namespace }) },
    // A policy of Kubernetes' administrators without a tier of known name has the empty one, which does not exist.
    tier: kind === 'KubernetesClusterNetworkPolicy' ? (spec.tier ?? '') : spec.tier || 'default',
    order: typeof spec.order === 'number' ? spec.order : Number.POSITIVE_INFINITY,
    selector,
    directions,
    ingress: isBroken ? [denial(broken)] : lists.ingress,
    egress: isBroken ? [denial(broken)] : lists.egress,
    place: spec.doNotTrack === true ? 'untracked' : spec.preDNAT === true ? 'preDnat' : 'normal',
    applyOnForward: spec.applyOnForward === true || spec.doNotTrack === true || spec.preDNAT === true,
    ...(staged === undefined ? {} : { staged }),
    sets: isBroken ? [] : [...sets.values()],
    problems: [...broken, ...problems],
  };
}

const denial = (problems: readonly string[]): Rule => ({
  action: 'deny',
  source: {},
  destination: {},
  unresolved: problems,
});

/** What a policy selects lies in its namespace, if it has one, and fulfils all its selectors. */
function selectorOfPolicy(spec: Spec, namespace: string | undefined, problems: Problems): Selector {
  const own = readSelector(spec.selector, 'spec.selector', problems);
  const accounts = readSelector(spec.serviceAccountSelector, 'spec.serviceAccountSelector', problems);
  const namespaces = readSelector(spec.namespaceSelector, 'spec.namespaceSelector', problems);
  const scope =
    namespace !== undefined
      ? inNamespaceNode(namespace)
      : namespaces === undefined
        ? undefined
        : namespaceNode(namespaces);
  const prefixed =
    accounts === undefined ? undefined : prefixLabels(selectorOf(accounts), serviceAccountPrefix).root;
  return selectorOf(both(scope, both(own, prefixed)) ?? { kind: 'all' });
}

function compileRules(
  rules: readonly PolicyRule[] | undefined,
  direction: Direction,
  namespace: string | undefined,
  sets: SetCollection,
  problems: Problems,
): readonly Rule[] {
  const list = readList(rules, `spec.${direction}`, problems);
  if (list.length <= maxRules) return list.map((rule) => compileRule(rule, namespace, sets));
  problems.push(`spec.${direction} has ${list.length} rules, more than ${maxRules}`);
  return [];
}

/** The types; where there are none they follow from the rules (RS-110). */
function directionsOf({ types, ingress, egress }: Spec): readonly Direction[] {
  const words = Array.isArray(types) ? types.map((type) => String(type).toLowerCase()) : [];
  const named = (['ingress', 'egress'] as const).filter((direction) => words.includes(direction));
  if (named.length > 0) return named;
  if (!egress?.length) return ['ingress'];
  return ingress?.length ? ['ingress', 'egress'] : ['egress'];
}
