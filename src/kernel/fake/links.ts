// Creating and changing links of a fake machine, across its namespaces.
import { errno } from '../errors.ts';
import type { LinkChange, LinkSpec } from '../types.ts';
import type { FakeLink, FakeNamespace, Fault } from './namespace.ts';

/** What a fake kernel asks of its host. */
export type FakeWorld = {
  namespaceAt(path: string): FakeNamespace | undefined;
  /** The scripted failure of an operation on a subject, if there is one; it is used up by asking. */
  scripted(operation: string, subject: string): Fault;
  readonly unsupportedKinds: ReadonlySet<string>;
};

let macCounter = 0;
const nextMac = (): string => {
  const n = ++macCounter;
  return `02:fa:4e:${[n >> 16, n >> 8, n].map((part) => (part & 255).toString(16).padStart(2, '0')).join(':')}`;
};

export function createLink(
  world: FakeWorld,
  ns: FakeNamespace,
  spec: LinkSpec,
): FakeLink | NonNullable<Fault> {
  if (ns.linkNamed(spec.name) !== undefined) return { errno: errno.EEXIST };
  if (world.unsupportedKinds.has(spec.kind)) return { errno: errno.EOPNOTSUPP, text: 'Unknown device type' };
  const common = { mtu: spec.mtu ?? 1500, group: spec.group ?? 0 };
  const withMac =
    spec.kind === 'tun' || spec.kind === 'ipip' || spec.kind === 'wireguard'
      ? {}
      : { mac: spec.mac?.toLowerCase() ?? nextMac() };
  let link: FakeLink;
  if (spec.kind === 'veth') {
    const peerNamespace = spec.peer.netns === undefined ? ns : world.namespaceAt(spec.peer.netns);
    if (peerNamespace === undefined) return { errno: errno.ENOENT };
    if (
      peerNamespace.linkNamed(spec.peer.name) !== undefined ||
      (peerNamespace === ns && spec.peer.name === spec.name)
    )
      return { errno: errno.EEXIST };
    const peer = peerNamespace.addLink({
      name: spec.peer.name,
      kind: 'veth',
      mac: spec.peer.mac?.toLowerCase() ?? nextMac(),
      up: false,
      ...common,
      group: 0,
    });
    link = ns.addLink({
      name: spec.name,
      kind: 'veth',
      up: false,
      ...common,
      ...withMac,
      peerIndex: peer.index,
    });
    link.peer = { namespace: peerNamespace, index: peer.index };
    peer.peerIndex = link.index;
    peer.peer = { namespace: ns, index: link.index };
    peerNamespace.refresh(peer);
  } else {
    const vxlan = spec.kind === 'vxlan' ? { vxlan: spec.vxlan } : {};
    link = ns.addLink({ name: spec.name, kind: spec.kind, up: false, ...common, ...withMac, ...vxlan });
  }
  if (spec.up === true) ns.setUp(link, true);
  else ns.refresh(link);
  return link;
}

export function changeLink(world: FakeWorld, ns: FakeNamespace, index: number, change: LinkChange): Fault {
  const link = ns.links.get(index);
  if (link === undefined) return { errno: errno.ENODEV };
  if (change.masterIndex !== undefined && change.masterIndex !== null) {
    const master = ns.links.get(change.masterIndex);
    if (master === undefined) return { errno: errno.EINVAL, text: 'Invalid master ifindex' };
    if (master.kind !== 'bridge') return { errno: errno.EOPNOTSUPP };
  }
  let home = ns;
  if (change.netns !== undefined) {
    const target = world.namespaceAt(change.netns);
    if (target === undefined) return { errno: errno.ENOENT };
    if (target !== ns) {
      if (target.linkNamed(change.name ?? link.name) !== undefined) return { errno: errno.EEXIST };
      ns.moveLink(link, target);
      home = target;
    }
  }
  if (change.name !== undefined && change.name !== link.name) {
    if (home.linkNamed(change.name) !== undefined) return { errno: errno.EEXIST };
    link.name = change.name;
  }
  if (change.mac !== undefined) link.mac = change.mac.toLowerCase();
  if (change.mtu !== undefined) link.mtu = change.mtu;
  if (change.group !== undefined) link.group = change.group;
  if (change.alias === '') delete link.alias;
  else if (change.alias !== undefined) link.alias = change.alias;
  if (change.masterIndex === null) delete link.masterIndex;
  else if (change.masterIndex !== undefined) link.masterIndex = change.masterIndex;
  if (change.up !== undefined && change.up !== link.up) home.setUp(link, change.up);
  else home.refresh(link);
  return undefined;
}
