// A topology in the kernel: a network namespace per machine, its links, addresses, routes and sysctls, and the process
// that holds the machine's mount and host name namespaces. Runs inside of the lab.
import { type ChildProcess, spawn } from 'node:child_process';
import {
  type Kernel,
  type Link,
  openKernel,
  createNamedNamespace,
  mainTable,
  routeProtocols,
} from '../../kernel/mod.ts';
import { familyOf, type Prefix } from '../../lib/ip/mod.ts';
import { expect, type Failure } from '../../lib/result.ts';
import { machineScript } from '../init-script.ts';
import type { Interface, Machine, Topology } from '../topology/mod.ts';

export type BuiltMachine = {
  readonly machine: Machine;
  readonly netns: string;
  /** Holds network, mount and host name namespace of the machine. */
  readonly holder: ChildProcess & { readonly pid: number };
};

const namespacePath = (name: string): string => `/run/netns/${name}`;

/** Builds everything; any refusal of the kernel is a bug or a lack of the machine, and ends the start. */
export async function buildTopology(
  topology: Topology,
  stateDirectory: string,
): Promise<readonly BuiltMachine[]> {
  for (const machine of topology.machines)
    expect(await createNamedNamespace(machine.name), `network namespace ${machine.name}`);
  const built = await Promise.all(
    topology.machines.map(
      async (machine): Promise<BuiltMachine> => ({
        machine,
        netns: namespacePath(machine.name),
        holder: await startHolder(machine.name, stateDirectory),
      }),
    ),
  );
  const kernels = new Map<string, Kernel>();
  for (const machine of topology.machines)
    kernels.set(machine.name, expect(await openKernel({ netns: namespacePath(machine.name) }), machine.name));
  try {
    await wire(topology, kernels);
    for (const machine of topology.machines) await configure(machine, kernelOf(kernels, machine.name));
  } finally {
    for (const kernel of kernels.values()) await kernel.close();
  }
  return built;
}

function kernelOf(kernels: ReadonlyMap<string, Kernel>, name: string): Kernel {
  const kernel = kernels.get(name);
  if (kernel === undefined) throw new Error(`no machine ${name}`);
  return kernel;
}

function startHolder(name: string, stateDirectory: string): Promise<BuiltMachine['holder']> {
  const argv = [`--net=${namespacePath(name)}`, 'unshare', '--mount', '--uts', '--propagation', 'private'];
  const child = spawn(
    'nsenter',
    [...argv, 'sh', '-c', machineScript, 'margay-machine', name, stateDirectory],
    {
      cwd: '/',
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => reject(new Error(`machine ${name} could not be set up (exit code ${code})`)));
    child.stdout.once('data', () => {
      child.stdout.destroy();
      if (child.pid === undefined) reject(new Error('no pid'));
      else resolve(child as unknown as BuiltMachine['holder']);
    });
  });
}

/** Cables and bridges. */
async function wire(topology: Topology, kernels: ReadonlyMap<string, Kernel>): Promise<void> {
  const interfaceOf = (end: { machine: string; interface: string }): Interface | undefined =>
    topology.machines.find((m) => m.name === end.machine)?.interfaces.find((i) => i.name === end.interface);
  for (const machine of topology.machines) {
    const kernel = kernelOf(kernels, machine.name);
    for (const one of machine.interfaces.filter((i) => i.kind === 'bridge'))
      expect(
        await kernel.links.create({ name: one.name, kind: 'bridge', up: true, ...macOf(one) }),
        `${machine.name} ${one.name}`,
      );
  }
  for (const { a, b } of topology.cables) {
    expect(
      await kernelOf(kernels, a.machine).links.create({
        name: a.interface,
        kind: 'veth',
        ...macOf(interfaceOf(a)),
        peer: { name: b.interface, netns: namespacePath(b.machine), ...macOf(interfaceOf(b)) },
      }),
      `cable ${a.machine} ${b.machine}`,
    );
  }
}

const macOf = (one: Interface | undefined): { mac?: string } =>
  one?.mac === undefined ? {} : { mac: one.mac };

/** Forwarding, addresses and routes of one machine. */
async function configure(machine: Machine, kernel: Kernel): Promise<void> {
  const links = new Map<string, Link>();
  for (const link of expect(await kernel.links.list(), `${machine.name} links`)) links.set(link.name, link);
  const what = (item: string): string => `${machine.name} ${item}`;
  const all = (
    outcomes: readonly { readonly ok: boolean; readonly error?: Failure }[],
    item: string,
  ): void => {
    for (const outcome of outcomes)
      if (!outcome.ok) throw new Error(`${what(item)}: ${outcome.error?.message ?? 'refused'}`);
  };
  // A machine of the lab never asks whether somebody else has its address: it would only make the start wait.
  for (const [path, value] of sysctlsOf(machine)) expect(await kernel.sysctls.write(path, value), what(path));
  const indexOf = (name: string): number => {
    const index = links.get(name)?.index;
    if (index === undefined) throw new Error(what(`has no interface ${name}`));
    return index;
  };
  for (const one of machine.interfaces) {
    const masterIndex = one.bridge === undefined ? {} : { masterIndex: indexOf(one.bridge) };
    expect(await kernel.links.change(indexOf(one.name), { up: true, ...masterIndex }), what(one.name));
  }
  const addresses = machine.interfaces.flatMap((one) =>
    one.addresses.map((a) => ({
      op: 'add' as const,
      address: { ...a, linkIndex: indexOf(one.name), ...(familyOf(a.address) === 6 ? { noDad: true } : {}) },
    })),
  );
  if (addresses.length > 0) all(await kernel.addresses.apply(addresses), 'addresses');
  if (machine.routes.length > 0)
    all(
      await kernel.routes.apply(
        machine.routes.map(({ dst, via }) => ({
          op: 'add' as const,
          route: {
            dst: dst as Prefix,
            type: 'unicast' as const,
            table: mainTable,
            protocol: routeProtocols.static,
            scope: 'global' as const,
            priority: familyOf(via) === 6 ? 1024 : 0,
            nextHops: [{ gateway: via }],
          },
        })),
      ),
      'routes',
    );
}

function sysctlsOf(machine: Machine): readonly (readonly [string, string])[] {
  const quiet = [
    ['net/ipv6/conf/all/accept_dad', '0'],
    ['net/ipv6/conf/default/accept_dad', '0'],
    ['net/ipv6/conf/all/accept_ra', '0'],
    ['net/ipv6/conf/default/accept_ra', '0'],
  ] as const;
  if (machine.role !== 'router') return quiet;
  return [...quiet, ['net/ipv4/ip_forward', '1'], ['net/ipv6/conf/all/forwarding', '1']];
}
