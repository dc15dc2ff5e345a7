// Whom a policy is for now: said after `apply`, with a warning when it is everybody or nobody.
import type { Datastore } from '../../datastore/mod.ts';
import {
  namespaceToProfile,
  namespaceProfileName,
  type Profile,
  serviceAccountProfileName,
  serviceAccountToProfile,
} from '../../model/mod.ts';
import { matches, parseSelector, prefixLabels, type Selector } from '../../selector/mod.ts';
import type { Resource } from './input/resources.ts';
import { identifier } from './problems.ts';
import { printLine, warn } from './program.ts';

const policyKinds = new Set([
  'NetworkPolicy',
  'GlobalNetworkPolicy',
  'StagedNetworkPolicy',
  'StagedGlobalNetworkPolicy',
]);

type Endpoint = {
  readonly namespace?: string;
  readonly labels: Readonly<Record<string, string>>;
};

/** Silent when endpoints cannot be listed: the resources are applied all the same. */
export async function tellSelections(store: Datastore, applied: readonly Resource[]): Promise<void> {
  const policies = applied.filter(({ kind }) => policyKinds.has(kind));
  if (policies.length === 0) return;
  const endpoints = await endpointsOf(store);
  if (endpoints === undefined || endpoints.length === 0) return;
  for (const policy of policies) tell(policy, endpoints);
}

function tell(policy: Resource, endpoints: readonly Endpoint[]): void {
  const { namespace } = policy.metadata;
  const candidates =
    namespace === undefined ? endpoints : endpoints.filter((endpoint) => endpoint.namespace === namespace);
  const selectors = selectorsOf(policy);
  if (selectors === undefined) return;
  const selected = candidates.filter(({ labels }) => selectors.every((one) => matches(one, labels))).length;
  const id = identifier(policy.kind, policy.metadata);
  const where = namespace === undefined ? '' : ` of namespace ${namespace}`;
  printLine(`${id} selects ${selected} of ${candidates.length} endpoints${where}`);
  if (candidates.length === 0) return;
  if (selected === 0) warn(`Warning: ${id} selects no endpoint now`);
  else if (selected === candidates.length && candidates.length > 1)
    warn(`Warning: ${id} selects every endpoint${where}`);
}

function selectorsOf(policy: Resource): readonly Selector[] | undefined {
  const spec = policy['spec'] as {
    readonly selector?: string;
    readonly namespaceSelector?: string;
    readonly serviceAccountSelector?: string;
  };
  const selectors: Selector[] = [];
  for (const [text, prefix] of [
    [spec.selector, ''],
    [spec.namespaceSelector, 'pcns.'],
    [spec.serviceAccountSelector, 'pcsa.'],
  ] as const) {
    if (!text) continue;
    const parsed = parseSelector(text);
    if (!parsed.ok) return undefined;
    selectors.push(prefix === '' ? parsed.value : prefixLabels(parsed.value, prefix));
  }
  return selectors;
}

/** Endpoints of workloads and hosts with their labels and those of their profiles. */
async function endpointsOf(store: Datastore): Promise<readonly Endpoint[] | undefined> {
  const [workloads, hosts, namespaces, accounts, stored] = await Promise.all([
    store.list('WorkloadEndpoint'),
    store.list('HostEndpoint'),
    store.list('Namespace'),
    store.list('ServiceAccount'),
    store.list('Profile'),
  ]);
  if (!workloads.ok || !hosts.ok) return undefined;
  // etcd has no kinds of Kubernetes, and so none of their profiles.
  const isUnknown = [namespaces, accounts].some((one) => !one.ok && one.error.code !== 'NotSupported');
  if (isUnknown) return undefined;
  const profiles = new Map<string, Profile>();
  for (const profile of stored.ok ? stored.value.items : []) profiles.set(profile.metadata.name, profile);
  for (const one of namespaces.ok ? namespaces.value.items : [])
    profiles.set(namespaceProfileName(one.metadata.name), namespaceToProfile(one));
  for (const one of accounts.ok ? accounts.value.items : [])
    profiles.set(
      serviceAccountProfileName(one.metadata.namespace, one.metadata.name),
      serviceAccountToProfile(one),
    );
  const labelsOf = (names: readonly string[] = [], own: Readonly<Record<string, string>> = {}) => ({
    ...Object.assign({}, ...names.map((name) => profiles.get(name)?.spec.labelsToApply ?? {})),
    ...own,
  });
  return [
    ...workloads.value.items.map(({ metadata, spec }) => ({
      ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
      labels: labelsOf(spec.profiles, metadata.labels),
    })),
    ...hosts.value.items.map(({ metadata, spec }) => ({ labels: labelsOf(spec.profiles, metadata.labels) })),
  ];
}
