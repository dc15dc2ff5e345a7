// Calico's Node as a view of the Kubernetes Node, whose annotations carry what Calico knows (RS-060, RS-061).
import { familyOf, isAddress, parseInterfaceAddress } from '../../lib/ip/mod.ts';
import type { KubernetesNode, Node } from '../kinds/mod.ts';
import type { ObjectMeta } from '../types.ts';
import { parseAsNumber } from '../values/as-number.ts';
import type { Annotations } from './types.ts';

/** Field of the Node → annotation of the Kubernetes Node. */
export const nodeAnnotationKeys = {
  ipv4Address: 'projectcalico.org/IPv4Address',
  ipv6Address: 'projectcalico.org/IPv6Address',
  asNumber: 'projectcalico.org/ASNumber',
  routeReflectorClusterID: 'projectcalico.org/RouteReflectorClusterID',
  ipv4IPIPTunnelAddr: 'projectcalico.org/IPv4IPIPTunnelAddr',
  ipv4VXLANTunnelAddr: 'projectcalico.org/IPv4VXLANTunnelAddr',
  vxlanTunnelMACAddr: 'projectcalico.org/VXLANTunnelMACAddr',
  ipv6VXLANTunnelAddr: 'projectcalico.org/IPv6VXLANTunnelAddr',
  vxlanTunnelMACAddrV6: 'projectcalico.org/VXLANTunnelMACAddrV6',
  wireguardIPv4: 'projectcalico.org/IPv4WireguardInterfaceAddr',
  wireguardIPv6: 'projectcalico.org/IPv6WireguardInterfaceAddr',
  wireguardPublicKey: 'projectcalico.org/WireguardPublicKey',
  wireguardPublicKeyV6: 'projectcalico.org/WireguardPublicKeyV6',
  interfaces: 'projectcalico.org/Interfaces',
} as const;
type Bgp = NonNullable<Node['spec']['bgp']>;
type NodeAnnotation = keyof typeof nodeAnnotationKeys;

/** Labels and annotations of the Node that the Kubernetes Node does not have: kept as JSON in annotations. */
const ownLabelsKey = 'projectcalico.org/labels';
const ownAnnotationsKey = 'projectcalico.org/annotations';
/** In the view only: which labels came from Kubernetes. */
const kubernetesLabelsKey = 'projectcalico.org/kube-labels';

/** The view. Annotations that do not parse are treated as absent. */
export function kubernetesNodeToNode(source: KubernetesNode): Node {
  const read = annotationReader(source.metadata.annotations ?? {});
  const asNumber = parseAsNumber(read('asNumber'));
  const bgp = compact<Bgp>({
    asNumber,
    ipv4Address: read('ipv4Address', isInterfaceAddress(4)),
    ipv6Address: read('ipv6Address', isInterfaceAddress(6)),
    ipv4IPIPTunnelAddr: read('ipv4IPIPTunnelAddr', isAddress),
    routeReflectorClusterID: read('routeReflectorClusterID', isV4),
  });
  const wireguard = compact<NonNullable<Node['spec']['wireguard']>>({
    interfaceIPv4Address: read('wireguardIPv4', isAddress),
    interfaceIPv6Address: read('wireguardIPv6', isAddress),
  });
  const status = compact<NonNullable<Node['status']>>({
    wireguardPublicKey: read('wireguardPublicKey'),
    wireguardPublicKeyV6: read('wireguardPublicKeyV6'),
    podCIDRs: source.spec?.podCIDRs?.length ? source.spec.podCIDRs : undefined,
  });
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'Node',
    metadata: viewMetadata(source.metadata),
    spec: compact<Node['spec']>({
      bgp: isEmpty(bgp) ? undefined : bgp,
      ipv4VXLANTunnelAddr: read('ipv4VXLANTunnelAddr', isAddress),
      vxlanTunnelMACAddr: read('vxlanTunnelMACAddr', isMac),
      ipv6VXLANTunnelAddr: read('ipv6VXLANTunnelAddr', isAddress),
      vxlanTunnelMACAddrV6: read('vxlanTunnelMACAddrV6', isMac),
      wireguard: isEmpty(wireguard) ? undefined : wireguard,
      orchRefs: [{ nodeName: source.metadata.name, orchestrator: 'k8s' }],
      addresses: allAddresses(source, bgp),
      interfaces: interfacesOf(read('interfaces')),
    }),
    ...(isEmpty(status) ? {} : { status }),
  };
}

/** The Kubernetes Node with what the Calico Node says; everything else stays as it is in `current`. */
export function nodeToKubernetesNode(node: Node, current: KubernetesNode): KubernetesNode {
  const annotations: Record<string, string> = { ...current.metadata.annotations };
  const inherited = current.metadata.labels ?? {};
  const ownLabels = Object.fromEntries(
    Object.entries(node.metadata.labels ?? {}).filter(([key]) => !Object.hasOwn(inherited, key)),
  );
  const { [kubernetesLabelsKey]: _view, ...ownAnnotations } = node.metadata.annotations ?? {};
  const changes: Record<string, string | null> = {
    ...nodeAnnotations(node),
    [ownLabelsKey]: isEmpty(ownLabels) ? null : JSON.stringify(ownLabels),
    [ownAnnotationsKey]: isEmpty(ownAnnotations) ? null : JSON.stringify(ownAnnotations),
  };
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) delete annotations[key];
    else annotations[key] = value;
  }
  const { resourceVersion } = node.metadata;
  return {
    ...current,
    metadata: {
      ...current.metadata,
      annotations,
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
  };
}

/** The annotations that say what the Node says; null where one must not be. Fits a merge patch. */
export function nodeAnnotations(node: Node): Readonly<Record<string, string | null>> {
  const { bgp, wireguard } = node.spec;
  const values: Record<NodeAnnotation, string | undefined> = {
    ipv4Address: bgp?.ipv4Address,
    ipv6Address: bgp?.ipv6Address,
    asNumber: bgp?.asNumber?.toString(),
    routeReflectorClusterID: bgp?.routeReflectorClusterID,
    ipv4IPIPTunnelAddr: bgp?.ipv4IPIPTunnelAddr,
    ipv4VXLANTunnelAddr: node.spec.ipv4VXLANTunnelAddr,
    vxlanTunnelMACAddr: node.spec.vxlanTunnelMACAddr,
    ipv6VXLANTunnelAddr: node.spec.ipv6VXLANTunnelAddr,
    vxlanTunnelMACAddrV6: node.spec.vxlanTunnelMACAddrV6,
    wireguardIPv4: wireguard?.interfaceIPv4Address,
    wireguardIPv6: wireguard?.interfaceIPv6Address,
    wireguardPublicKey: node.status?.wireguardPublicKey,
    wireguardPublicKeyV6: node.status?.wireguardPublicKeyV6,
    interfaces: node.spec.interfaces?.length ? JSON.stringify(node.spec.interfaces) : undefined,
  };
  return Object.fromEntries(
    Object.entries(nodeAnnotationKeys).map(([field, key]) => [key, values[field as NodeAnnotation] || null]),
  );
}

function viewMetadata(source: ObjectMeta): ObjectMeta {
  const labels = { ...jsonTexts(source.annotations?.[ownLabelsKey]), ...source.labels };
  const annotations = {
    ...jsonTexts(source.annotations?.[ownAnnotationsKey]),
    ...(source.labels === undefined ? {} : { [kubernetesLabelsKey]: JSON.stringify(source.labels) }),
  };
  return compact<ObjectMeta>({
    name: source.name,
    uid: source.uid,
    creationTimestamp: source.creationTimestamp,
    resourceVersion: source.resourceVersion,
    labels: isEmpty(labels) ? undefined : labels,
    annotations: isEmpty(annotations) ? undefined : annotations,
  });
}

const annotationReader =
  (annotations: Annotations) =>
  (field: NodeAnnotation, isValid: (text: string) => boolean = () => true): string | undefined => {
    const text = annotations[nodeAnnotationKeys[field]];
    return text && isValid(text) ? text : undefined;
  };

const isV4 = (text: string): boolean => isAddress(text) && familyOf(text) === 4;
const isMac = (text: string): boolean => /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text);
const isInterfaceAddress = (family: 4 | 6) => (text: string) =>
  parseInterfaceAddress(text).ok && familyOf(text) === family;

function allAddresses(source: KubernetesNode, bgp: Bgp): Node['spec']['addresses'] {
  type Listed = NonNullable<Node['spec']['addresses']>;
  const own = [bgp.ipv4Address, bgp.ipv6Address].flatMap(
    (address): Listed => (address === undefined ? [] : [{ address, type: 'CalicoNodeIP' }]),
  );
  const theirs = (source.status?.addresses ?? []).flatMap(
    ({ address, type }): Listed =>
      type === 'InternalIP' || type === 'ExternalIP' ? [{ address, type }] : [],
  );
  const all = [...own, ...theirs];
  return all.length > 0 ? all : undefined;
}

function interfacesOf(text: string | undefined): Node['spec']['interfaces'] {
  const value = parseOrUndefined(text);
  if (!Array.isArray(value)) return undefined;
  const list = value.filter(
    (item): item is { name?: string; addresses?: string[] } => typeof item === 'object' && item !== null,
  );
  return list.length > 0 ? list : undefined;
}

function jsonTexts(text: string | undefined): Annotations {
  const value = parseOrUndefined(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return {};
  return Object.fromEntries(Object.entries(value).filter(([, v]) => typeof v === 'string'));
}

function parseOrUndefined(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

type MaybeAbsent<T> = { [K in keyof T]: T[K] | undefined };
/** Without the members that are undefined. */
const compact = <T extends object>(value: MaybeAbsent<T>): T =>
  Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as unknown as T;
const isEmpty = (value: object): boolean => Object.keys(value).length === 0;
