// The commands by name. The table knows name and summary; the code of a command is imported when it runs. The same program
// answers to `calicoctl` and `kubectl-calico`, then with calicoctl's commands only.
import { verbFirst, verbs } from './calicoctl/mod.ts';
import { programName } from './calicoctl/program.ts';
import { isNear } from '../lib/near.ts';
import type { Command } from './types.ts';

type Entry = {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<{ readonly command: Command }>;
};

/** In the order of `margay help`. */
const entries: readonly Entry[] = [
  {
    name: 'lab',
    summary: 'a whole cluster in network namespaces of this machine: start, up, status, exec, shell, down',
    load: () => import('./lab.ts'),
  },
  {
    name: 'policy',
    summary: 'who and whom: policies of a pod, pods of a policy, unused rules; will A reach B, and why',
    load: async () => ({ command: (await import('./policy/mod.ts')).policy }),
  },
  {
    name: 'pods',
    summary: 'pods of POLICY: whom a policy selects, and what its rules mean',
    load: async () => ({ command: (await import('./policy/mod.ts')).pods }),
  },
  {
    name: 'trace',
    summary: 'sends a packet through a lab and shows each node, device and rule that it met',
    load: () => import('./policy/trace.ts'),
  },
  {
    name: 'agent',
    summary: "a node's agent: routes, rules and addresses of its pods (what calico-node's Felix does)",
    load: () => import('./agent.ts'),
  },
  {
    name: 'speaker',
    summary: "a node's BGP speaker (what BIRD and confd do)",
    load: () => import('./speaker.ts'),
  },
  {
    name: 'controllers',
    summary: 'what is done once for a cluster: automatic host endpoints, the status of policies, trials',
    load: () => import('./controllers.ts'),
  },
  {
    name: 'typha',
    summary: 'stands between the datastore and many nodes: one list-watch, any number of followers',
    load: () => import('./typha.ts'),
  },
  {
    name: 'bgp',
    summary: 'BGP sessions and routes of every node, from anywhere, and why they are so: peers, routes, why',
    load: () => import('./bgp.ts'),
  },
  {
    name: 'pool',
    summary: 'pool migrate: changes how packets of a running pool travel, in steps that can be taken back',
    load: () => import('./pool.ts'),
  },
  {
    name: 'component',
    summary: 'component node health|shutdown: what probes and hooks of a calico-node container call',
    load: () => import('./component.ts'),
  },
  {
    name: 'apiserver',
    summary: 'the embedded Kubernetes API server',
    load: () => import('./apiserver.ts'),
  },
  {
    name: 'runner',
    summary: 'runs the pods bound to a node of the lab (what a kubelet does)',
    load: () => import('./runner.ts'),
  },
];

/** Commands that other commands start; not for people. */
const hidden: readonly Pick<Entry, 'name' | 'load'>[] = [{ name: 'pod', load: () => import('./pod.ts') }];

/** SQLite and erasable types come with it. */
const leastNode = 24;

/** Runs `margay ARGV…`; gives the exit code: 2 for a command that there is not. */
export async function runCommand(argv: readonly string[]): Promise<number> {
  if (Number.parseInt(process.versions.node, 10) < leastNode) {
    process.stderr.write(
      `Margay needs Node ${leastNode} or newer; this is ${process.versions.node}. In a checkout, npm start and npm run margay bring one along.\n`,
    );
    return 1;
  }
  const isMargay = programName() === 'margay';
  const visible = isMargay ? [...entries, ...verbs] : verbs;
  const [name = 'help', ...rest] = asTyped(verbFirst(argv));
  if (name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(helpText(visible));
    return 0;
  }
  const entry = (isMargay ? [...hidden, ...visible] : visible).find((e) => e.name === name);
  if (entry === undefined && name.startsWith('-')) {
    process.stderr.write(
      `Invalid option: '${argv.join(' ')}'. Use flag '--help' to read about a specific subcommand.\n`,
    );
    return 1;
  }
  if (entry === undefined) {
    const names = visible.map((e) => e.name);
    const meant = names.find((one) => isNear(one, name));
    const hint = formerCommands[name] ?? (meant === undefined ? '' : `Did you mean ${meant}? `);
    process.stderr.write(`There is no command "${name}". ${hint}Commands: ${names.join(', ')}, help.\n`);
    return 2;
  }
  const { command } = await entry.load();
  return command.run(rest);
}

/** `help VERB…` is `VERB… --help`, and `--version` is a command, too. */
function asTyped(argv: readonly string[]): readonly string[] {
  const [first, ...rest] = argv;
  if (first === '--version' || first === '-v') return ['version', '--client'];
  return first === 'help' && rest.length > 0 ? [...rest, '--help'] : argv;
}

/** Commands of Calico 2 that walk-throughs still have. */
const formerCommands: Readonly<Record<string, string>> = {
  config:
    'What it set is in resources now, for instance: patch bgpconfiguration default -p \'{"spec":{"nodeToNodeMeshEnabled":false}}\'. ',
  bgp: 'Peers are resources now: get bgppeers. ',
  pool: 'Pools are resources now: get ippools. ',
  profile: 'Profiles are resources now: get profiles. ',
  endpoint: 'Endpoints are resources now: get workloadendpoints. ',
  status: 'It is a command of node now: node status. ',
  diags: 'It is a command of node and of cluster now: node diags, cluster diags. ',
  checksystem: 'It is a command of node now: node checksystem. ',
};

function helpText(visible: readonly Pick<Entry, 'name' | 'summary'>[]): string {
  const width = Math.max(...visible.map((e) => e.name.length)) + 2;
  return [
    `Usage: ${programName()} COMMAND [ARGS]; every command answers --help.`,
    '',
    ...visible.map((e) => `  ${e.name.padEnd(width)}${e.summary}`),
    '',
  ].join('\n');
}
