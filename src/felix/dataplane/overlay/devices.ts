// The table of overlay devices: made, corrected, and removed when no longer wanted. A device and its address are one row.
//
// tunl0: the kernel's own where it has the ipip module (which makes it in every namespace and does not let it go), else an
// `ifb` device under its name, whose work is done by programs (egress-program.ts, ingress-program.ts).
import { familyOf, type Address } from '../../../lib/ip/mod.ts';
import { err, ok, type Result } from '../../../lib/result.ts';
import type { Kernel, KernelError, Link, LinkAddress } from '../../../kernel/mod.ts';
import type { LinkMirror } from '../links.ts';
import type { Operations } from '../types.ts';
import { type DeviceRow, ipipDevice, overlayDevices, standInMac } from './types.ts';

export type ActualDevice = { readonly link: Link; readonly addresses: readonly LinkAddress[] };

/** Addresses that count: the kernel gives IPv6 devices a link-local one. */
export const ownAddresses = (
  name: string,
  index: number,
  all: Iterable<LinkAddress>,
): readonly LinkAddress[] => {
  const family = name === 'vxlan-v6.calico' ? 6 : 4;
  return [...all].filter(
    (a) => a.linkIndex === index && familyOf(a.address) === family && a.scope !== 'link',
  );
};

/** What is there under the name, as far as it concerns us: the kernel's own tunl0 at rest does not. */
export function actualDevice(link: Link | undefined, all: Iterable<LinkAddress>): ActualDevice | undefined {
  if (link === undefined) return undefined;
  const addresses = ownAddresses(link.name, link.index, all);
  if (link.kind === 'ipip' && !link.up && addresses.length === 0) return undefined;
  return { link, addresses };
}

export function deviceOperations(kernel: Kernel, links: LinkMirror): Operations<DeviceRow, ActualDevice> {
  const parentIndex = (row: DeviceRow): number | undefined =>
    row.form.kind === 'vxlan' ? links.byName(row.form.parent)?.index : undefined;

  /** What cannot be changed on a device that is there. */
  const sameForm = (row: DeviceRow, link: Link): boolean => {
    if (row.form.kind === 'ipip') return link.kind === 'ipip' || link.kind === 'ifb';
    const { vxlan } = link;
    return (
      link.kind === 'vxlan' &&
      vxlan !== undefined &&
      vxlan.vni === row.form.vni &&
      vxlan.port === row.form.port &&
      vxlan.local === row.form.local &&
      vxlan.parentIndex === parentIndex(row) &&
      !vxlan.learning
    );
  };
  const macOf = (row: DeviceRow, link: Link): string | undefined =>
    row.form.kind === 'vxlan' ? row.form.mac : link.kind === 'ifb' ? standInMac : undefined;

  const read = async (name: string): Promise<Result<ActualDevice | undefined, KernelError>> => {
    const [link, addresses] = await Promise.all([kernel.links.get(name), kernel.addresses.list()]);
    if (!link.ok) return link;
    if (!addresses.ok) return addresses;
    return ok(actualDevice(link.value, addresses.value));
  };

  const create = async (row: DeviceRow): Promise<Result<Link, KernelError>> => {
    const { name, mtu, form } = row;
    if (form.kind === 'vxlan') {
      const { mac, vni, port, local } = form;
      const parent = parentIndex(row);
      const vxlan = {
        vni,
        port,
        local,
        learning: false,
        ...(parent === undefined ? {} : { parentIndex: parent }),
      };
      return kernel.links.create({ kind: 'vxlan', name, mtu, mac, up: true, vxlan });
    }
    const own = await kernel.links.create({ kind: 'ipip', name });
    if (own.ok) return own;
    // Loading the module made it.
    const present = await kernel.links.get(name);
    if (present.ok && present.value !== undefined) return ok(present.value);
    if (own.error.code !== 'NotSupported') return own;
    return kernel.links.create({ kind: 'ifb', name, mtu, mac: standInMac, up: true });
  };

  const setAddress = async (row: DeviceRow, link: Link): Promise<Result<void, KernelError>> => {
    const listed = await kernel.addresses.list();
    if (!listed.ok) return listed;
    const present = ownAddresses(row.name, link.index, listed.value);
    const length = row.address !== undefined && familyOf(row.address) === 6 ? 128 : 32;
    const isWanted = (a: LinkAddress): boolean => a.address === row.address && a.length === length;
    const changes = present
      .filter((a) => !isWanted(a))
      .map((address) => ({ op: 'delete' as const, address }));
    const outcomes = await kernel.addresses.apply([
      ...(row.address === undefined || present.some(isWanted)
        ? []
        : [{ op: 'add' as const, address: newAddress(row.address, length, link.index) }]),
      ...changes,
    ]);
    return outcomes.find((outcome) => !outcome.ok) ?? ok(undefined);
  };

  const put = async (row: DeviceRow): Promise<Result<ActualDevice | undefined, KernelError>> => {
    const found = await kernel.links.get(row.name);
    if (!found.ok) return found;
    let link = found.value;
    if (link !== undefined && !sameForm(row, link)) {
      const [gone] = await kernel.links.delete([link.index]);
      if (gone !== undefined && !gone.ok) return gone;
      link = undefined;
    }
    if (link === undefined) {
      const made = await create(row);
      if (!made.ok) return made;
      link = made.value;
    }
    const mac = macOf(row, link);
    const change = {
      ...(link.mtu === row.mtu ? {} : { mtu: row.mtu }),
      ...(mac === undefined || link.mac === mac ? {} : { mac }),
      ...(link.up ? {} : { up: true }),
    };
    if (Object.keys(change).length > 0) {
      const changed = await kernel.links.change(link.index, change);
      if (!changed.ok) return changed;
    }
    const addressed = await setAddress(row, link);
    return addressed.ok ? read(row.name) : addressed;
  };

  /** The kernel's own tunl0 stays, at rest. */
  const remove = async ({ link, addresses }: ActualDevice): Promise<Result<undefined, KernelError>> => {
    if (link.kind !== 'ipip') {
      const [gone] = await kernel.links.delete([link.index]);
      return gone === undefined || gone.ok ? ok(undefined) : gone;
    }
    const outcomes = [
      ...(await kernel.addresses.apply(addresses.map((address) => ({ op: 'delete' as const, address })))),
      await kernel.links.change(link.index, { up: false }),
    ];
    const failed = outcomes.find((outcome) => !outcome.ok);
    return failed !== undefined && !failed.ok ? err(failed.error) : ok(undefined);
  };

  return {
    name: 'devices',
    keyOf: (row) => row.name,

    async dump() {
      const [listed, addresses] = await Promise.all([kernel.links.list(), kernel.addresses.list()]);
      if (!listed.ok) return listed;
      if (!addresses.ok) return addresses;
      const found = new Map<string, ActualDevice>();
      for (const link of listed.value) {
        if (!overlayDevices.includes(link.name)) continue;
        const actual = actualDevice(link, addresses.value);
        if (actual !== undefined) found.set(link.name, actual);
      }
      return ok(found);
    },

    equal(row, { link, addresses }) {
      const mac = macOf(row, link);
      return (
        sameForm(row, link) &&
        link.up &&
        link.mtu === row.mtu &&
        (mac === undefined || link.mac === mac) &&
        addresses.length === (row.address === undefined ? 0 : 1) &&
        addresses.every((a) => a.address === row.address)
      );
    },

    blocked(row) {
      if (row.form.kind !== 'vxlan') return undefined;
      const parent = links.byName(row.form.parent);
      return parent === undefined ? `interface ${row.form.parent} does not exist` : undefined;
    },

    /** Our names, and kinds that we make: what somebody else put there under these names stays. */
    orphan: (name, { link }) =>
      link.kind === (name === ipipDevice ? 'ifb' : 'vxlan') || link.kind === 'ipip' ? 'remove' : 'leave',

    async apply(changes) {
      const results: Result<ActualDevice | undefined>[] = [];
      for (const change of changes)
        results.push(change.op === 'put' ? await put(change.row) : await remove(change.actual));
      return results;
    },
  };
}

const newAddress = (address: Address, length: number, linkIndex: number): LinkAddress => ({
  address,
  length,
  linkIndex,
  scope: 'global',
  ...(length === 128 ? { noDad: true } : {}),
});
