// Everything that agent and speaker ever put into a node's kernel goes: for a node that is to be without Calico (SR-102). The
// tables of an agent keep to what its configuration wants; this needs no configuration, and nothing else may run beside it.
//
//   programs ─► devices ─► routing rules, neighbours, routes ─► rules of packets (nftables, iptables, ipset)
import { err, ok, type Failure, type Result } from '../../lib/result.ts';
import { type Kernel, type KernelError, type Outcome, type Route, routeProtocols } from '../../kernel/mod.ts';
import { limitDevicePrefix } from './bandwidth/rows.ts';
import { type CommandRunner, removeAll } from './iptables/mod.ts';
import { nftTableName } from './nftables.ts';
import { programPrefix } from './overlay/program-rows.ts';
import { ipipDevice, vxlanDevice, vxlanV6Device } from './overlay/types.ts';
import { isMarkRule } from './wireguard/rules.ts';

export type RemovalOptions = {
  readonly kernel: Kernel;
  /** Without it iptables and ipset are not looked at. */
  readonly commands?: CommandRunner;
};

/** How many of each kind there were. */
export type Removed = {
  readonly programs: number;
  readonly devices: readonly string[];
  readonly routes: number;
  readonly tables: number;
  readonly iptables: number;
  /** tunl0 is the kernel's own: it stays, at rest, as long as the module `ipip` is loaded. */
  readonly needsModuleRemoval: boolean;
};

type RemovalError = KernelError | Failure;

export async function removeDataplane(options: RemovalOptions): Promise<Result<Removed, RemovalError>> {
  const { kernel, commands } = options;
  const programs = await removePrograms(kernel);
  if (!programs.ok) return programs;
  const devices = await removeDevices(kernel);
  if (!devices.ok) return devices;
  const rules = await removeRules(kernel);
  if (!rules.ok) return rules;
  const neighbours = await removeNeighbours(kernel);
  if (!neighbours.ok) return neighbours;
  const routes = await removeRoutes(kernel);
  if (!routes.ok) return routes;
  const tables = await removeTables(kernel);
  if (!tables.ok) return tables;
  const iptables =
    commands === undefined ? ok(0) : await removeAll({ runner: commands, kernel, kept: undefined });
  if (!iptables.ok) return iptables;
  return ok({
    programs: programs.value,
    ...devices.value,
    routes: routes.value,
    tables: tables.value,
    iptables: iptables.value,
  });
}

const firstFailure = (outcomes: readonly Outcome[]): KernelError | undefined => {
  const failed = outcomes.find((outcome) => !outcome.ok);
  return failed?.ok === false ? failed.error : undefined;
};

async function removePrograms(kernel: Kernel): Promise<Result<number, KernelError>> {
  const links = await kernel.links.list();
  if (!links.ok) return links;
  let count = 0;
  for (const { index } of links.value) {
    const listed = await kernel.filters.list(index);
    if (!listed.ok) return listed;
    const own = listed.value.filter(({ name }) => name.startsWith(programPrefix));
    const failed = firstFailure(
      await kernel.filters.apply(own.map((filter) => ({ op: 'delete' as const, filter }))),
    );
    if (failed !== undefined) return err(failed);
    count += own.length;
  }
  return ok(count);
}

/** Kinds that the agent makes, by name; what somebody else put there under such a name stays. */
const deviceKinds: Readonly<Record<string, readonly string[]>> = {
  [vxlanDevice]: ['vxlan'],
  [vxlanV6Device]: ['vxlan'],
  [ipipDevice]: ['ifb'],
  'wireguard.cali': ['wireguard', 'tun'],
  'wg-v6.cali': ['wireguard', 'tun'],
};

async function removeDevices(
  kernel: Kernel,
): Promise<Result<Pick<Removed, 'devices' | 'needsModuleRemoval'>, KernelError>> {
  const links = await kernel.links.list();
  if (!links.ok) return links;
  const own = links.value.filter(
    ({ name, kind }) =>
      deviceKinds[name]?.includes(kind) === true || (name.startsWith(limitDevicePrefix) && kind === 'ifb'),
  );
  const failed = firstFailure(await kernel.links.delete(own.map(({ index }) => index)));
  if (failed !== undefined) return err(failed);
  const tunnel = links.value.find(({ name, kind }) => name === ipipDevice && kind === 'ipip');
  if (tunnel !== undefined) {
    const rested = await restTunnel(kernel, tunnel.index);
    if (!rested.ok) return rested;
  }
  return ok({ devices: own.map(({ name }) => name), needsModuleRemoval: tunnel !== undefined });
}

async function restTunnel(kernel: Kernel, index: number): Promise<Result<unknown, KernelError>> {
  const listed = await kernel.addresses.list();
  if (!listed.ok) return listed;
  const own = listed.value.filter(({ linkIndex }) => linkIndex === index);
  const failed = firstFailure(
    await kernel.addresses.apply(own.map((address) => ({ op: 'delete' as const, address }))),
  );
  return failed === undefined ? kernel.links.change(index, { up: false }) : err(failed);
}

/** They lead into tables that Felix may use (FX-083). */
async function removeRules(kernel: Kernel): Promise<Result<void, KernelError>> {
  const listed = await kernel.rules.list();
  if (!listed.ok) return listed;
  const own = listed.value.filter((rule) => isMarkRule(rule) && rule.table > 0 && rule.table < 253);
  const failed = firstFailure(await kernel.rules.apply(own.map((rule) => ({ op: 'delete' as const, rule }))));
  return failed === undefined ? ok(undefined) : err(failed);
}

/** The addresses that the agent had the kernel answer for. */
async function removeNeighbours(kernel: Kernel): Promise<Result<void, KernelError>> {
  const listed = await kernel.neighbours.list({ proxy: true });
  if (!listed.ok) return listed;
  const own = listed.value.filter(({ protocol }) => protocol === routeProtocols.felix);
  const failed = firstFailure(
    await kernel.neighbours.apply(own.map((neighbour) => ({ op: 'delete' as const, neighbour }))),
  );
  return failed === undefined ? ok(undefined) : err(failed);
}

/** Those of the agent (protocol 80) and of the speaker, and the blackholes of own blocks. */
async function removeRoutes(kernel: Kernel): Promise<Result<number, KernelError>> {
  const own: Route[] = [];
  for (const protocol of [routeProtocols.felix, routeProtocols.bird]) {
    const listed = await kernel.routes.list({ protocol });
    if (!listed.ok) return listed;
    own.push(...listed.value);
  }
  const failed = firstFailure(
    await kernel.routes.apply(
      own.map(({ dst, table, priority, protocol, type }) => ({
        op: 'delete' as const,
        key: { dst, table, priority },
        protocol,
        type,
      })),
    ),
  );
  return failed === undefined ? ok(own.length) : err(failed);
}

async function removeTables(kernel: Kernel): Promise<Result<number, KernelError>> {
  const listed = await kernel.nftables.tables();
  if (!listed.ok) return listed;
  const own = listed.value.filter(
    ({ family, name }) => name === nftTableName && (family === 'ip' || family === 'ip6'),
  );
  if (own.length === 0) return ok(0);
  const removed = await kernel.nftables.apply(own.map((table) => ({ op: 'delete-table' as const, table })));
  return removed.ok ? ok(own.length) : removed;
}
