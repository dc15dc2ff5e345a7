// Which programs the node needs, and where: the doorkeeper at the device, or the two devices, with the node's addresses, and
// IP in IP outbound at tunl0 where a stand-in has that name. Pure.
import { hex, sha1 } from '../../../lib/hash.ts';
import {
  addressToBigInt,
  hostPrefix,
  parsePrefix,
  prefixAddress,
  prefixFamily,
  prefixLength,
  type Address,
  type Family,
  type Prefix,
} from '../../../lib/ip/mod.ts';
import { encapsulationProgram } from './egress-program.ts';
import { type AddressRange, type Doorkeeping, ingressProgram } from './ingress-program.ts';
import {
  ipipDevice,
  type OverlaySettings,
  type ProgramRow,
  standInMac,
  type TunnelLink,
  type Underlays,
} from './types.ts';

/** Names of our programs begin so. */
export const programPrefix = 'calico-overlay-';

export type ProgramFacts = {
  readonly settings: OverlaySettings;
  readonly own: { readonly [F in Family]?: Address };
  readonly underlays: Underlays;
  /** Addresses of all other nodes. */
  readonly nodes: Readonly<Record<Family, readonly Address[]>>;
  readonly tunnel: TunnelLink | undefined;
};

export function programRows(facts: ProgramFacts): ProgramRow[] {
  const { settings, own, underlays, tunnel } = facts;
  const at = (family: Family): string | undefined => underlays[family]?.interfaceName;
  const rows = [...new Set([at(4), at(6)])].flatMap((interfaceName) => {
    if (interfaceName === undefined) return [];
    const v4 = at(4) === interfaceName ? door4(facts) : undefined;
    const v6 = at(6) === interfaceName ? door6(facts) : undefined;
    if (v4 === undefined && v6 === undefined) return [];
    const door: Doorkeeping = { ...(v4 === undefined ? {} : { v4 }), ...(v6 === undefined ? {} : { v6 }) };
    return [programRow(interfaceName, 'ingress', ingressProgram(door))];
  });
  if (settings.encapsulation.ipip && tunnel?.kind === 'ifb' && own[4] !== undefined)
    rows.push(programRow(ipipDevice, 'egress', encapsulationProgram(own[4])));
  return rows;
}

function door4({ settings, own, nodes, tunnel }: ProgramFacts): Doorkeeping['v4'] {
  const { config, encapsulation } = settings;
  const local = own[4];
  if (local === undefined || (!encapsulation.ipip && !encapsulation.vxlan)) return undefined;
  const mac = Uint8Array.from(standInMac.split(':'), (part) => Number.parseInt(part, 16));
  const external = (config.value('ExternalNodesCIDRList') ?? []) as readonly string[];
  return {
    local,
    sources: [
      ...nodes[4].map((address) => rangeOf(hostPrefix(address))),
      ...external.flatMap((text) => {
        const cidr = parsePrefix(text);
        return cidr.ok && prefixFamily(cidr.value) === 4 ? [rangeOf(cidr.value)] : [];
      }),
    ],
    ...(encapsulation.ipip
      ? { ipip: tunnel?.kind === 'ifb' ? { index: tunnel.index, mac } : ('guard' as const) }
      : {}),
    ...(encapsulation.vxlan ? { vxlanPort: config.number('VXLANPort') } : {}),
  };
}

function door6({ settings, own, nodes }: ProgramFacts): Doorkeeping['v6'] {
  const local = own[6];
  if (!settings.encapsulation.vxlanV6 || local === undefined) return undefined;
  return { local, sources: nodes[6], vxlanPort: settings.config.number('VXLANPort') };
}

/** Addresses of an IPv4 prefix as numbers. */
function rangeOf(prefix: Prefix): AddressRange {
  const first = Number(addressToBigInt(prefixAddress(prefix)));
  return [first, first + 2 ** (32 - prefixLength(prefix)) - 1];
}

function programRow(interfaceName: string, direction: ProgramRow['direction'], code: Uint8Array): ProgramRow {
  const way = direction === 'egress' ? 'out' : 'in';
  return { interfaceName, direction, name: `${programPrefix}${way}-${hex(sha1(code)).slice(0, 16)}`, code };
}
