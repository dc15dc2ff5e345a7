// What users call the kinds, and the little that calicoctl knows of single kinds beyond the model.
import {
  allKinds,
  kindByResource,
  kindDefinition,
  type KindDefinition,
  type KindName,
} from '../../model/mod.ts';

/** Words for kinds that calicoctl knows beside plural, singular and short names (CT-017). */
const aliases: Readonly<Record<string, KindName>> = {
  bgpconfig: 'BGPConfiguration',
  bgpconfigs: 'BGPConfiguration',
  bgpp: 'BGPPeer',
  bgpps: 'BGPPeer',
  bp: 'BGPPeer',
  bps: 'BGPPeer',
  bf: 'BGPFilter',
  bfs: 'BGPFilter',
  clusterinfo: 'ClusterInformation',
  clusterinfos: 'ClusterInformation',
  felixconfig: 'FelixConfiguration',
  felixconfigs: 'FelixConfiguration',
  gnp: 'GlobalNetworkPolicy',
  gnps: 'GlobalNetworkPolicy',
  gnetset: 'GlobalNetworkSet',
  gnetsets: 'GlobalNetworkSet',
  globalnetset: 'GlobalNetworkSet',
  globalnetsets: 'GlobalNetworkSet',
  netset: 'NetworkSet',
  netsets: 'NetworkSet',
  hep: 'HostEndpoint',
  heps: 'HostEndpoint',
  ipp: 'IPPool',
  ipps: 'IPPool',
  pool: 'IPPool',
  pools: 'IPPool',
  ipresv: 'IPReservation',
  ipresvs: 'IPReservation',
  ipamconfig: 'IPAMConfiguration',
  ipamconfigs: 'IPAMConfiguration',
  kubecontrollersconfig: 'KubeControllersConfiguration',
  kubecontrollersconfigs: 'KubeControllersConfiguration',
  kcconfig: 'KubeControllersConfiguration',
  np: 'NetworkPolicy',
  nps: 'NetworkPolicy',
  policy: 'NetworkPolicy',
  policies: 'NetworkPolicy',
  pol: 'NetworkPolicy',
  pols: 'NetworkPolicy',
  snp: 'StagedNetworkPolicy',
  snps: 'StagedNetworkPolicy',
  sgnp: 'StagedGlobalNetworkPolicy',
  sgnps: 'StagedGlobalNetworkPolicy',
  sknp: 'StagedKubernetesNetworkPolicy',
  sknps: 'StagedKubernetesNetworkPolicy',
  no: 'Node',
  nos: 'Node',
  pro: 'Profile',
  pros: 'Profile',
  wep: 'WorkloadEndpoint',
  weps: 'WorkloadEndpoint',
};

export const calicoKinds: readonly KindName[] = allKinds.filter(
  (kind) => kindDefinition(kind).family === 'calico',
);

/** The kind that a word on the command line means; in any case. */
export function kindOfWord(word: string): KindDefinition<KindName> | undefined {
  const alias = aliases[word.toLowerCase()];
  return alias === undefined ? kindByResource('projectcalico.org/v3', word) : kindDefinition(alias);
}

/** The kind of a document; both groups that hold Calico's kinds are understood. */
export function kindOfDocument(apiVersion: unknown, kind: unknown): KindDefinition<KindName> | undefined {
  for (const name of calicoKinds) {
    const definition = kindDefinition(name);
    if (definition.kind === kind && definition.apiVersion === apiVersion) return definition;
    if (definition.classic?.kind === kind && apiVersion === 'crd.projectcalico.org/v1') return definition;
  }
  return undefined;
}

export type Writing = 'create' | 'apply' | 'replace' | 'delete' | 'patch';

/** Why Calico lets nobody write an object this way, although its kind could be written. */
export function refusalOf(kind: KindName, name: string, writing: Writing): string | undefined {
  if (kind === 'ClusterInformation' && writing !== 'patch')
    return 'the resource is read-only: agents maintain it';
  const isPolicy = kind === 'NetworkPolicy' && name.startsWith('knp.default.');
  if (isPolicy && (writing === 'create' || writing === 'delete'))
    return 'kubernetes network policies must be managed through the kubernetes API';
  if (kind === 'Profile' && /^(kns|ksa)\./.test(name))
    return `kubernetes-derived profiles are read-only: label the ${name.startsWith('kns.') ? 'namespace' : 'service account'} instead`;
  if (kind === 'Profile' && name === 'projectcalico-default-allow') return 'the profile is built in';
  return undefined;
}

/** By what lists are sorted when not by name: tiers as they are gone through. */
export const orderOf: Partial<Record<KindName, (object: { readonly spec: unknown }) => number>> = {
  Tier: ({ spec }) => (spec as { order?: number }).order ?? Number.POSITIVE_INFINITY,
};
