// The pod's side of the wiring (CN-007, SR-050…SR-056): a veth pair, addresses without a subnet, a link route to the
// gateway that nobody has, and the default route through it. The host's side (routes, proxy ARP, sysctls) is Felix's.
//
//   pod namespace                                    node
//   eth0  10.1.2.3/32                                caliXXXXXXXXXXX  ee:ee:ee:ee:ee:ee
//     169.254.1.1 dev eth0 scope link     ── veth ──   10.1.2.3 dev caliXXXXXXXXXXX scope link   (Felix)
//     default via 169.254.1.1 dev eth0                 answers ARP for 169.254.1.1               (Felix)
import { type Address, addressBits, familyOf, prefix, type Prefix, address } from '../lib/ip/mod.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { type Kernel, type KernelError, mainTable, type Route, routeProtocols } from '../kernel/mod.ts';
import { type CniError, cniCodes, wrapFailure } from './errors.ts';

export const hostMac = 'ee:ee:ee:ee:ee:ee';
const gatewayV4 = address('169.254.1.1');
/** Link-local address that the host end has by its MAC (EUI-64 of ee:ee:ee:ee:ee:ee). */
const gatewayV6 = address('fe80::ecee:eeff:feee:eeee');

export type PodNetworkSpec = {
  readonly hostInterface: string;
  readonly ifName: string;
  readonly netns: string;
  readonly mtu: number;
  readonly mac?: string;
};

const failed = (what: string, e: KernelError): CniError => wrapFailure(cniCodes.networking, what, e);

/** Makes the pair, the pod's end in its namespace under its final name. A link that has the host name already belongs to an
 *  older sandbox of the same pod and goes first. Gives the pod end's MAC. */
export async function connectPod(
  host: Kernel,
  pod: Kernel,
  spec: PodNetworkSpec,
): Promise<Result<{ mac: string }, CniError>> {
  const create = () =>
    host.links.create({
      kind: 'veth',
      name: spec.hostInterface,
      mac: hostMac,
      mtu: spec.mtu,
      up: false,
      peer: { name: spec.ifName, netns: spec.netns, ...(spec.mac === undefined ? {} : { mac: spec.mac }) },
    });
  let created = await create();
  if (!created.ok && created.error.code === 'AlreadyExists') {
    const cleared = await clearTheWay(host, pod, spec);
    if (!cleared.ok) return cleared;
    created = await create();
  }
  if (!created.ok) return err(failed(`Creating the veth pair ${spec.hostInterface}`, created.error));
  // No duplicate address detection on the host end: its link-local address is the pod's gateway and must answer at once.
  await host.sysctls.write(`net/ipv6/conf/${spec.hostInterface}/accept_dad`, '0');
  const up = await host.links.change(created.value.index, { up: true });
  if (!up.ok) return err(failed(`Bringing up ${spec.hostInterface}`, up.error));
  const end = await pod.links.get(spec.ifName);
  if (!end.ok) return err(failed(`Reading ${spec.ifName} in ${spec.netns}`, end.error));
  return ok({ mac: end.value?.mac ?? '' });
}

async function clearTheWay(host: Kernel, pod: Kernel, spec: PodNetworkSpec): Promise<Result<void, CniError>> {
  for (const [kernel, name] of [
    [host, spec.hostInterface],
    [pod, spec.ifName],
  ] as const) {
    const link = await kernel.links.get(name);
    if (!link.ok) return err(failed(`Reading ${name}`, link.error));
    if (link.value === undefined) continue;
    const [deleted] = await kernel.links.delete([link.value.index]);
    if (deleted !== undefined && !deleted.ok) return err(failed(`Deleting the stale ${name}`, deleted.error));
  }
  return ok(undefined);
}

/** Addresses, link up, then the link route before the default route that needs it (SR-053). */
export async function configurePod(
  pod: Kernel,
  spec: {
    readonly ifName: string;
    readonly addresses: readonly Address[];
    readonly allowForwarding: boolean;
    readonly defaultRoutes: boolean;
  },
): Promise<Result<void, CniError>> {
  const link = await pod.links.get(spec.ifName);
  if (!link.ok) return err(failed(`Reading ${spec.ifName}`, link.error));
  const linkIndex = link.value?.index ?? 0;
  const families = new Set(spec.addresses.map((a) => familyOf(a)));
  await writeSysctls(pod, spec.ifName, families, spec.allowForwarding);

  const added = await pod.addresses.apply(
    spec.addresses.map((a) => ({
      op: 'add',
      address: {
        address: a,
        length: addressBits(familyOf(a)),
        linkIndex,
        ...(familyOf(a) === 6 ? { noDad: true } : {}),
      },
    })),
  );
  const refusedAddress = added.find((o) => !o.ok);
  if (refusedAddress?.ok === false)
    return err(failed(`Adding an address to ${spec.ifName}`, refusedAddress.error));
  const up = await pod.links.change(linkIndex, { up: true });
  if (!up.ok) return err(failed(`Bringing up ${spec.ifName}`, up.error));
  if (!spec.defaultRoutes) return ok(undefined);

  const routes: Route[] = [];
  if (families.has(4)) {
    routes.push(route(prefix('169.254.1.1/32'), 'link', { linkIndex }));
    routes.push(route(prefix('0.0.0.0/0'), 'global', { linkIndex, gateway: gatewayV4 }));
  }
  if (families.has(6)) routes.push(route(prefix('::/0'), 'global', { linkIndex, gateway: gatewayV6 }));
  const outcomes = await pod.routes.apply(routes.map((r) => ({ op: 'replace', route: r })));
  const refused = outcomes.find((o) => !o.ok);
  if (refused?.ok === false) return err(failed(`Adding a route to ${spec.ifName}`, refused.error));
  return ok(undefined);
}

const route = (
  dst: Prefix,
  scope: 'link' | 'global',
  hop: { linkIndex: number; gateway?: Address },
): Route => ({
  dst,
  type: 'unicast',
  table: mainTable,
  protocol: routeProtocols.boot,
  scope,
  priority: 0,
  nextHops: [hop],
});

/** A sysctl that a kernel lacks (no IPv6) is no reason to fail a pod that does not need it. */
async function writeSysctls(
  pod: Kernel,
  ifName: string,
  families: ReadonlySet<number>,
  allowForwarding: boolean,
): Promise<void> {
  const forward = allowForwarding ? '1' : '0';
  if (families.has(4)) await pod.sysctls.write('net/ipv4/ip_forward', forward);
  if (families.has(6)) {
    await pod.sysctls.write('net/ipv6/conf/all/disable_ipv6', '0');
    await pod.sysctls.write('net/ipv6/conf/default/disable_ipv6', '0');
    await pod.sysctls.write(`net/ipv6/conf/${ifName}/accept_dad`, '0');
    await pod.sysctls.write(`net/ipv6/conf/${ifName}/accept_ra`, '0');
    await pod.sysctls.write('net/ipv6/conf/all/forwarding', forward);
  }
}

/** Removes the container's end, and with it the pair; whatever is gone already is fine (CN-009). */
export async function disconnectPod(pod: Kernel, ifName: string): Promise<Result<void, CniError>> {
  const link = await pod.links.get(ifName);
  if (!link.ok) return err(failed(`Reading ${ifName}`, link.error));
  if (link.value === undefined) return ok(undefined);
  const [deleted] = await pod.links.delete([link.value.index]);
  if (deleted !== undefined && !deleted.ok && deleted.error.code !== 'NoSuchObject') {
    return err(failed(`Deleting ${ifName}`, deleted.error));
  }
  return ok(undefined);
}
