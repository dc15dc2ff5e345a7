// `cluster diags`: what the cluster is like, as an archive to send to somebody (CT-051): Calico's resources, addresses, sessions
// of all nodes; and, where kubectl is, Kubernetes' own resources and the logs of Calico's pods. Secrets are not collected.
import { resolve } from 'node:path';
import type { Datastore } from '../../../datastore/mod.ts';
import { ok, type Result } from '../../../lib/result.ts';
import { kindDefinition, parseDurationMs } from '../../../model/mod.ts';
import { askNodes } from '../../bgp/ask.ts';
import { peersText } from '../../bgp/peers.ts';
import type { PeerStatus } from '../../../bgp/speaker/mod.ts';
import { listResources } from '../actions.ts';
import { Bundle, outputOf, type Probe, timestamp } from '../diags/bundle.ts';
import { calicoKinds } from '../kinds.ts';
import { answerTexts } from '../output/print.ts';
import {
  type CliError,
  fail,
  type Flags,
  isSet,
  printLine,
  textFlag,
  verb,
  withDatastore,
} from '../program.ts';
import { datastoreSettings } from '../settings.ts';

/** ConfigMaps and Secrets are not among them: nobody knows what they hold. */
const kubernetesResources = [
  'nodes',
  'namespaces',
  'pods',
  'daemonsets',
  'deployments',
  'statefulsets',
  'jobs',
  'services',
  'endpointslices',
  'serviceaccounts',
  'networkpolicies.networking.k8s.io',
  'clusternetworkpolicies.policy.networking.k8s.io',
  'customresourcedefinitions',
  'events',
];
/** What is asked of a pod of calico-node, in its container. */
const inNode: Readonly<Record<string, readonly string[]>> = {
  'ip-route.txt': ['ip', 'route', 'show', 'table', 'all'],
  'ip-route-v6.txt': ['ip', '-6', 'route', 'show', 'table', 'all'],
  'ip-rule.txt': ['ip', 'rule'],
  'ip-addr.txt': ['ip', 'addr'],
  'ip-neigh.txt': ['ip', 'neigh'],
  'nft-ruleset.txt': ['nft', '-n', '-a', 'list', 'ruleset'],
  'iptables-save.txt': ['iptables-save', '-c'],
  'ipset-list.txt': ['ipset', 'list'],
};

export const command = verb(
  {
    name: 'cluster diags',
    summary: 'Collect what tells about the state of the cluster into an archive in this folder.',
    flags: [
      { flags: '--since <duration>', description: 'only logs that are newer: 30s, 10m, 2h', default: '0s' },
      { flags: '--max-logs <number>', description: 'at most so many logs of each component', default: '5' },
      { flags: '--max-parallelism <number>', description: 'so many questions at once', default: '10' },
      { flags: '--focus-nodes <nodes>', description: 'logs of these nodes first, separated by commas' },
      { flags: '--skip-temp-dir-cleanup', description: 'leave the folder that the archive was made of' },
    ],
    examples: ['cluster diags', 'cluster diags --since=2h --focus-nodes=worker1,worker2'],
    notes:
      'Logs of pods and resources of Kubernetes are asked for with kubectl. Passwords, keys and tokens are taken out as far as they can be recognised.',
  },
  async ({ flags }) => {
    const wanted = parseWanted(flags);
    if (!wanted.ok) return wanted;
    printLine('==== Begin collecting diagnostics. ====');
    const name = `calico-diagnostics-${timestamp(new Date(), true)}`;
    const bundle = new Bundle(name);
    printLine(`Created temporary directory: ${bundle.directory}`);
    try {
      const collected = await collect(bundle, flags, wanted.value);
      if (!collected.ok) return collected;
      printLine('\n==== Producing a diagnostics bundle. ====');
      const archived = await bundle.archive(resolve(`${name}.tar.gz`));
      if (!archived.ok) return fail(archived.error.message);
      printLine(`Diagnostic bundle created at ./${name}.tar.gz`);
      return ok(undefined);
    } finally {
      if (!isSet(flags, 'skipTempDirCleanup')) bundle.remove();
    }
  },
);

type Wanted = {
  readonly since: string;
  readonly maxLogs: number;
  readonly atOnce: number;
  readonly focusNodes: readonly string[];
};

function parseWanted(flags: Flags): Result<Wanted, CliError> {
  const since = textFlag(flags, 'since') ?? '0s';
  if (!/^\d+[smh]$/.test(since) || parseDurationMs(since) === undefined)
    return fail(`Invalid --since value: ${since}.`, 'Use a number with s, m or h: 30s, 10m, 2h.');
  const numbers = (['maxLogs', 'maxParallelism'] as const).map((flag) => Number(textFlag(flags, flag)));
  const [maxLogs = 0, atOnce = 0] = numbers;
  if (!Number.isInteger(maxLogs) || maxLogs < 0) return fail('--max-logs must be a number from 0 on.');
  if (!Number.isInteger(atOnce) || atOnce < 1) return fail('--max-parallelism must be a number from 1 on.');
  const focusNodes = (textFlag(flags, 'focusNodes') ?? '').split(',').filter((node) => node !== '');
  return ok({ since, maxLogs, atOnce, focusNodes });
}

async function collect(bundle: Bundle, flags: Flags, wanted: Wanted): Promise<Result<void, CliError>> {
  const reached = await withDatastore(flags, (store) => collectResources(bundle, store));
  if (!reached.ok) return reached;
  printLine('Collecting addresses...');
  await bundle.run(ownProbes(flags), wanted.atOnce);
  const kubectl = await kubectlCommand(flags);
  if (kubectl === undefined) {
    printLine('There is no kubectl here: resources of Kubernetes and logs of pods are left out');
    return ok(undefined);
  }
  printLine('Collecting core kubernetes resources...');
  const probes = kubernetesResources.flatMap((resource): Probe[] => [
    { file: `cluster/kubernetes/${resource}.yaml`, argv: [...kubectl, 'get', resource, '-A', '-o', 'yaml'] },
    { file: `cluster/kubernetes/${resource}.txt`, argv: [...kubectl, 'get', resource, '-A', '-o', 'wide'] },
  ]);
  await bundle.run(
    [{ file: 'cluster/version.yaml', argv: [...kubectl, 'version', '-o', 'yaml'] }, ...probes],
    wanted.atOnce,
  );
  await collectPods(bundle, kubectl, wanted);
  return ok(undefined);
}

/** This program's own answers. */
function ownProbes(flags: Flags): readonly Probe[] {
  const pass = (['config', 'context'] as const).flatMap((flag) => {
    const value = textFlag(flags, flag);
    return value === undefined ? [] : [`--${flag}=${value}`];
  });
  const self = (...argv: readonly string[]): readonly string[] => [
    process.execPath,
    process.argv[1] ?? '',
    ...argv,
    ...pass,
  ];
  return [
    { file: 'cluster/version.txt', argv: self('version') },
    { file: 'cluster/ipam/show.txt', argv: self('ipam', 'show', '--show-blocks') },
    { file: 'cluster/ipam/borrowed.txt', argv: self('ipam', 'show', '--show-borrowed') },
    { file: 'cluster/ipam/configuration.txt', argv: self('ipam', 'show', '--show-configuration') },
    { file: 'cluster/ipam/check.txt', argv: self('ipam', 'check', '--show-problem-ips') },
  ];
}

async function collectResources(bundle: Bundle, store: Datastore): Promise<Result<void, CliError>> {
  const found = await store.get('ClusterInformation', { name: 'default' });
  if (!found.ok && found.error.code !== 'NotFound')
    return fail(`The cluster cannot be asked: ${found.error.message}`, found.error.hint);
  printLine("Collecting Calico's resources...");
  for (const kind of calicoKinds) {
    const definition = kindDefinition(kind);
    const file = `cluster/calico/${definition.plural}`;
    const listed = await listResources(store, definition, {});
    if (listed.ok) {
      const { table, yaml } = await answerTexts(store, listed.value, definition.namespaced);
      bundle.write(`${file}.txt`, table);
      bundle.write(`${file}.yaml`, yaml);
    } else bundle.write(`${file}.txt`, `${listed.error.message}\n`);
  }
  printLine('Asking every node for its BGP sessions...');
  const peers = await askNodes<readonly PeerStatus[]>(store, undefined, { op: 'peers' }, 5_000);
  bundle.write('cluster/bgp/peers.txt', peers.ok ? peersText(peers.value) : `${peers.error.message}\n`);
  return ok(undefined);
}

/** With the cluster that the settings mean; undefined where there is none. */
async function kubectlCommand(flags: Flags): Promise<readonly string[] | undefined> {
  const settings = await datastoreSettings(textFlag(flags, 'config'), textFlag(flags, 'context'));
  if (!settings.ok) return undefined;
  const { kubeconfig, context } = settings.value;
  const argv = [
    'kubectl',
    ...(kubeconfig === undefined ? [] : [`--kubeconfig=${kubeconfig}`]),
    ...(context === undefined ? [] : [`--context=${context}`]),
  ];
  const { code } = await outputOf([...argv, 'version', '--client'], process.env);
  return code === 0 ? argv : undefined;
}

type Pod = {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: { readonly nodeName?: string };
};
/** Pods of Calico, by the names that its manifests and its operator give them. */
const component =
  /^(calico-node|calico-kube-controllers|calico-typha|calico-apiserver|csi-node-driver|goldmane|whisker|tigera-operator)-/;

async function collectPods(bundle: Bundle, kubectl: readonly string[], wanted: Wanted): Promise<void> {
  const { output, code } = await outputOf([...kubectl, 'get', 'pods', '-A', '-o', 'json'], process.env);
  if (code !== 0) return printLine(`Pods cannot be listed: ${output.trim()}`);
  const place = ({ spec }: Pod): number => {
    const at = wanted.focusNodes.indexOf(spec.nodeName ?? '');
    return at < 0 ? wanted.focusNodes.length : at;
  };
  const perComponent = new Map<string, Pod[]>();
  for (const pod of (JSON.parse(output) as { items: Pod[] }).items.toSorted((a, b) => place(a) - place(b))) {
    const name = component.exec(pod.metadata.name)?.[1];
    if (name !== undefined) perComponent.set(name, [...(perComponent.get(name) ?? []), pod]);
  }
  const chosen = [...perComponent.values()].flatMap((pods) => pods.slice(0, wanted.maxLogs));
  const probes = chosen.flatMap(({ metadata: { name, namespace }, spec }): Probe[] => {
    const node = spec.nodeName ?? 'nowhere';
    printLine(`Collecting detailed diags for pod ${name} in namespace ${namespace} on node ${node}...`);
    const folder = `nodes/${node}`;
    const execution = [...kubectl, 'exec', '-n', namespace, name, '-c', 'calico-node', '--'];
    return [
      {
        file: `${folder}/${namespace}/${name}.log`,
        argv: [...kubectl, 'logs', `--since=${wanted.since}`, '-n', namespace, name, '--all-containers'],
      },
      {
        file: `${folder}/${namespace}/${name}.txt`,
        argv: [...kubectl, 'describe', 'pod', '-n', namespace, name],
      },
      ...(name.startsWith('calico-node-')
        ? Object.entries(inNode).map(([file, argv]) => ({
            file: `${folder}/${file}`,
            argv: [...execution, ...argv],
          }))
        : []),
    ];
  });
  await bundle.run(probes, wanted.atOnce);
}
