// The kernel settings table: forwarding for the node, and per endpoint interface what lets its packets pass (FX-021).
// Settings have no events and no orphans: they are read row by row, and their drift is found by the audit.
import { ok, type Result } from '../../lib/result.ts';
import type { Kernel } from '../../kernel/mod.ts';
import type { InterfaceRow, NodeRow } from '../calc/mod.ts';
import type { LinkMirror } from './links.ts';
import type { Operations } from './types.ts';

export type SysctlRow = {
  readonly path: string;
  readonly value: string;
  readonly interfaceName?: string;
  /** A kernel without the setting (IPv6 switched off) is fine. */
  readonly optional: boolean;
};

export function interfaceSysctls({ interfaceName, ipv6, foreignSources }: InterfaceRow): SysctlRow[] {
  const row = (path: string, value: string, optional: boolean): SysctlRow => ({
    path,
    value,
    interfaceName,
    optional,
  });
  const v4 = `net/ipv4/conf/${interfaceName}`;
  const v6 = `net/ipv6/conf/${interfaceName}`;
  return [
    row(`${v4}/forwarding`, '1', false),
    // Answers ARP for every address the host has a route to: the pod's gateway is one of them.
    row(`${v4}/proxy_arp`, '1', false),
    row(`net/ipv4/neigh/${interfaceName}/proxy_delay`, '0', false),
    row(`${v4}/route_localnet`, '1', false),
    // Strict: a workload cannot send from an address whose route is not its own interface, unless it may and policy has a
    // list of what it may.
    row(`${v4}/rp_filter`, foreignSources === true ? '0' : '1', false),
    // Also without IPv6 support: a workload must not be able to configure the host by router advertisements.
    row(`${v6}/accept_ra`, '0', true),
    ...(ipv6 ? [row(`${v6}/forwarding`, '1', true), row(`${v6}/proxy_ndp`, '1', true)] : []),
  ];
}

export function nodeSysctls(node: NodeRow): SysctlRow[] {
  const row = (path: string, value: string, optional: boolean): SysctlRow => ({ path, value, optional });
  return [
    ...(node.ipForwarding ? [row('net/ipv4/ip_forward', '1', false)] : []),
    ...(node.ipForwarding && node.ipv6 ? [row('net/ipv6/conf/all/forwarding', '1', true)] : []),
    row('net/netfilter/nf_conntrack_acct', '1', true),
  ];
}

export function sysctlOperations(kernel: Kernel, links: LinkMirror): Operations<SysctlRow, string> {
  const missing = (row: SysctlRow): boolean =>
    row.interfaceName !== undefined && links.byName(row.interfaceName) === undefined;

  /** undefined: there is nothing under the path. */
  const read = async (row: SysctlRow): Promise<Result<string | undefined>> => {
    const value = await kernel.sysctls.read(row.path);
    if (value.ok) return ok(value.value.trim());
    if (value.error.code !== 'NoSuchObject') return value;
    return ok(row.optional ? row.value : undefined);
  };

  return {
    name: 'sysctls',
    keyOf: (row) => row.path,

    async dump(rows) {
      const found = new Map<string, string>();
      for (const [key, row] of rows) {
        if (missing(row)) continue;
        const value = await read(row);
        if (!value.ok) return value;
        if (value.value !== undefined) found.set(key, value.value);
      }
      return ok(found);
    },

    equal: (row, actual) => row.value === actual,

    blocked: (row) => (missing(row) ? `interface ${row.interfaceName} does not exist` : undefined),

    async apply(changes) {
      const results: Result<string | undefined>[] = [];
      for (const change of changes) {
        if (change.op === 'remove') {
          results.push(ok(undefined));
          continue;
        }
        const { row } = change;
        const written = await kernel.sysctls.write(row.path, row.value);
        const absent = !written.ok && written.error.code === 'NoSuchObject';
        results.push(written.ok || (absent && row.optional) ? ok(row.value) : written);
      }
      return results;
    },
  };
}
