// Nodes of an etcd datastore may have other names in Kubernetes, where an export goes: what names a node follows (CT-050).
import type { Node, ResourceOf } from '../../../model/mod.ts';
import type { Resource } from '../input/resources.ts';

/** Name in the datastore → name in Kubernetes, where they differ. */
export type NodeNames = ReadonlyMap<string, string>;

export function nodeNames(nodes: readonly Node[]): NodeNames {
  const names = new Map<string, string>();
  for (const { metadata, spec } of nodes) {
    const inKubernetes = spec.orchRefs?.find(({ orchestrator }) => orchestrator === 'k8s')?.nodeName;
    if (inKubernetes && inKubernetes !== metadata.name) names.set(metadata.name, inKubernetes);
  }
  return names;
}

const namedAfterNode: readonly string[] = ['FelixConfiguration', 'BGPConfiguration'];
const sayNode: readonly string[] = ['HostEndpoint', 'BGPPeer', 'CalicoNodeStatus'];

export function renamedResource(resource: Resource, names: NodeNames): Resource {
  const { kind, metadata } = resource;
  const spec = resource['spec'] as { readonly node?: string } | undefined;
  const name = (from: string): string => names.get(from) ?? from;
  const withName = (to: string): Resource => ({ ...resource, metadata: { ...metadata, name: to } });
  if (kind === 'Node') return withName(name(metadata.name));
  if (namedAfterNode.includes(kind) && metadata.name.startsWith('node.'))
    return withName(`node.${name(metadata.name.slice('node.'.length))}`);
  if (sayNode.includes(kind) && spec?.node !== undefined)
    return { ...resource, spec: { ...spec, node: name(spec.node) } };
  return resource;
}

/** Handles of tunnel addresses have the node in their name. */
const tunnelHandle = /^((?:ipip|vxlan|wireguard)(?:-v6)?-tunnel-addr-)(.+)$/;
const renamedHandle = (id: string, names: NodeNames): string =>
  id.replace(tunnelHandle, (_all, before: string, node: string) => `${before}${names.get(node) ?? node}`);

type AddressObject = ResourceOf<'IPAMBlock'> | ResourceOf<'BlockAffinity'> | ResourceOf<'IPAMHandle'>;

/** The name of the object is made anew by who reads it. */
export function renamedAddresses<T extends AddressObject>(object: T, names: NodeNames): T {
  if (names.size === 0) return object;
  const known: AddressObject = object;
  if (known.kind === 'BlockAffinity')
    return { ...object, spec: { ...known.spec, node: names.get(known.spec.node) ?? known.spec.node } };
  if (known.kind === 'IPAMHandle')
    return { ...object, spec: { ...known.spec, handleID: renamedHandle(known.spec.handleID, names) } };
  const { spec } = known;
  const owner = spec.affinity?.startsWith('host:') ? spec.affinity.slice('host:'.length) : undefined;
  const attributes = spec.attributes.map((one) => {
    const node = one.secondary?.['node'];
    return {
      ...one,
      ...(one.handle_id ? { handle_id: renamedHandle(one.handle_id, names) } : {}),
      ...(node === undefined ? {} : { secondary: { ...one.secondary, node: names.get(node) ?? node } }),
    };
  });
  const affinity = owner === undefined ? {} : { affinity: `host:${names.get(owner) ?? owner}` };
  return { ...object, spec: { ...spec, attributes, ...affinity } };
}
