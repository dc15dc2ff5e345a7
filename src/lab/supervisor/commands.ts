// Which processes a lab runs, and where: pure, from the topology to command lines.
//
//   master1: the API server, scheduler and controllers, and the fan-out to the nodes where one is asked for
//   every node: agent, speaker, runner      routers: speaker
//
// With a backend without BGP there are no speakers.
import { join } from 'node:path';
import { nodesOf, type Machine, type Topology } from '../topology/mod.ts';
import type { ProcessSpec } from './processes.ts';

export type CommandContext = {
  readonly topology: Topology;
  /** `[node, main.ts]`. */
  readonly program: readonly string[];
  readonly logs: string;
  /** The authority's keys, for the API server. */
  readonly keys: string;
  readonly kubeconfigs: {
    readonly admin: string;
    readonly control: string;
    readonly calicoNode: string;
    readonly runner: (machine: Machine) => string;
  };
  /** Where a router's plan was written. */
  readonly planFile: (machine: string) => string;
  readonly holderPid: (machine: string) => number;
  readonly dataDirectory: string;
  readonly options: string;
  /** The supervisor's descriptor of the socket that listens outside of the lab. */
  readonly listenFd: number;
  /** Who speaks BGP on the nodes; native when absent. */
  readonly engine?: 'native' | 'bird';
  /** Agents and speakers follow a fan-out server instead of the API server. */
  readonly typha?: boolean;
};

export const apiPort = 6443;
const typhaPort = 5473;

/** Where the API server listens inside of the lab. */
export function apiAddress(topology: Topology): string {
  const address = nodesOf(topology)[0]?.addresses[0]?.address;
  if (address === undefined) throw new Error('a topology has at least one node with an address');
  return address;
}

export function processSpecs(context: CommandContext): readonly ProcessSpec[] {
  const { topology } = context;
  const isNode = (name: string): boolean => nodesOf(topology).some((node) => node.name === name);
  const spec = (
    machine: string,
    name: string,
    argv: readonly string[],
    more: Partial<ProcessSpec> = {},
  ): ProcessSpec => ({
    machine,
    name,
    argv: [
      'nsenter',
      `--target=${context.holderPid(machine)}`,
      '--net',
      '--mount',
      '--uts',
      '--',
      ...context.program,
      ...argv,
    ],
    ...more,
    env: {
      NODENAME: machine,
      KUBECONFIG: more.env?.['KUBECONFIG'] ?? context.kubeconfigs.admin,
      // As in Calico's manifest; the control plane makes the pools.
      NO_DEFAULT_POOLS: 'true',
      FELIX_DEFAULTENDPOINTTOHOSTACTION: 'ACCEPT',
      FELIX_HEALTHENABLED: 'true',
      // Routers are no nodes: theirs would ask for the engine BIRD.
      ...(isNode(machine) ? { CALICO_NETWORKING_BACKEND: topology.backend } : {}),
      ...(context.typha === true && isNode(machine)
        ? { FELIX_TYPHAADDR: `${apiAddress(topology)}:${typhaPort}` }
        : {}),
      IP: 'autodetect',
      ...(topology.dualStack ? { IP6: 'autodetect' } : { FELIX_IPV6SUPPORT: 'false' }),
    },
    logFile: join(context.logs, `${machine}-${name}.log`),
  });
  const { control, calicoNode, runner } = context.kubeconfigs;
  const as = (path: string): Pick<ProcessSpec, 'env'> => ({ env: { KUBECONFIG: path } });
  const specs: ProcessSpec[] = [];
  const master = nodesOf(topology)[0]?.name ?? '';
  specs.push(
    spec(
      master,
      'apiserver',
      [
        'apiserver',
        '--durability',
        'process',
        '--listen',
        `${apiAddress(topology)}:${apiPort}`,
        '--listen-fd',
        '3',
        '--data',
        context.dataDirectory,
        '--tls',
        '--pki',
        context.keys,
      ],
      { inherit: [context.listenFd] },
    ),
    spec(
      master,
      'control',
      ['lab', 'control', '--kubeconfig', control, '--options', context.options],
      as(control),
    ),
  );
  if (context.typha === true)
    specs.push(spec(master, 'typha', ['typha', '--kubeconfig', calicoNode], as(calicoNode)));
  for (const machine of topology.machines) {
    if (machine.bgp !== undefined)
      specs.push(spec(machine.name, 'speaker', ['speaker', '--plan', context.planFile(machine.name)]));
  }
  for (const machine of topology.machines.filter((m) => m.role === 'node')) {
    const named = ['--kubeconfig', calicoNode, '--nodename', machine.name];
    const own = runner(machine);
    specs.push(
      spec(machine.name, 'agent', ['agent', ...named], as(calicoNode)),
      ...(topology.backend === 'bird'
        ? [
            spec(
              machine.name,
              'speaker',
              ['speaker', ...named, '--engine', context.engine ?? 'native'],
              as(calicoNode),
            ),
          ]
        : []),
      spec(
        machine.name,
        'runner',
        ['runner', '--kubeconfig', own, '--nodename', machine.name, ...runnerFlags(machine, topology)],
        as(own),
      ),
    );
  }
  return specs;
}

function runnerFlags(machine: Machine, topology: Topology): string[] {
  const addresses = machine.interfaces.flatMap((i) => i.addresses);
  const isMaster = nodesOf(topology)[0]?.name === machine.name;
  return [
    ...addresses.flatMap((a) => ['--address', `${a.address}/${a.length}`]),
    ...(machine.rack === undefined ? [] : ['--label', `rack=${machine.rack}`]),
    ...(isMaster ? ['--label', 'node-role.kubernetes.io/control-plane='] : []),
    ...(topology.dualStack ? ['--dual-stack'] : []),
    ...(machine.podRanges ?? []).flatMap((range) => ['--pod-range', range]),
  ];
}
