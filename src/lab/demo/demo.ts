// `margay lab start`, the lab's main show: brings it up, runs pods on every node, lets every pod reach every pod, prints
// what it found, and says whether it was what the topology lets expect.
import type { Pod } from '../../model/mod.ts';
import { expect } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import { awaitPods, createObject, listNodes, listPods } from '../api.ts';
import { type Entrance, findEntrance, outputOf } from '../enter.ts';
import { sandboxesOf } from '../inside.ts';
import { labDown, labStatus, labUp, type RunningLab, type UpOptions } from '../launcher.ts';
import type { ModeName } from '../modes.ts';
import { planTopology, type Topology } from '../topology/mod.ts';
import type { LabStatus, MachineStatus } from '../types.ts';
import { onInterrupt } from '../interrupt.ts';
import { bgpSessions, type SessionRow } from './bgp-sessions.ts';
import { type DemoPod, type Matrix, probeAll } from './matrix.ts';
import { closing, report } from './report.ts';

export type DemoOptions = UpOptions & {
  /** Take the lab down at the end; also when there is no terminal. */
  readonly exit: boolean;
};

export type Findings = {
  readonly topology: Topology;
  readonly lab: LabStatus;
  /** Of the pools, at the start. */
  readonly mode: ModeName;
  readonly sessions: readonly SessionRow[];
  readonly pods: readonly DemoPod[];
  readonly matrix: Matrix;
  readonly nodeRows: readonly (readonly string[])[];
  readonly podRoutes: { readonly pod: DemoPod; readonly text: string };
  readonly hostRoutes: { readonly node: string; readonly text: string };
  /** What was not as expected, in sentences. */
  readonly problems: readonly string[];
};

/** More pods than this would not fit on a screen. */
const mostPods = 12;
const app = 'demo';

export async function runDemo(options: DemoOptions): Promise<number> {
  const print = (lines: readonly string[]): void => void process.stdout.write(`${lines.join('\n')}\n`);
  const step = progressPrinter();
  const stays = !options.exit && process.stdout.isTTY;
  const topology = planTopology({ ...options, name: options.topology });
  const takeDown = async (): Promise<void> => {
    await labDown(options.name);
  };
  // An interrupted start leaves nothing behind.
  let up = false;
  const stopListening = onInterrupt(takeDown);
  try {
    const lab = await labUp({ ...options, tied: !stays, onStep: step });
    if (!lab.ok) {
      process.stderr.write(
        `${lab.error.message}${lab.error.hint === undefined ? '' : ` ${lab.error.hint}`}\n`,
      );
      up = lab.error.code === 'StartFailed';
      if (up) await takeDown();
      return 1;
    }
    up = true;
    const findings = await examine(lab.value, expect(topology, 'topology'), step);
    step('');
    print(report(findings, lab.value.tookMs));
    print(closing(findings, lab.value, stays));
    return findings.problems.length === 0 ? 0 : 1;
  } finally {
    stopListening();
    if (up && !stays) {
      await takeDown();
      print(['The lab is down; nothing of it is left.']);
    }
  }
}

/** On a terminal one line that changes; else one line per step. */
function progressPrinter(): (text: string) => void {
  const started = performance.now();
  const live = process.stderr.isTTY;
  return (text) => {
    const at = `${((performance.now() - started) / 1000).toFixed(1).padStart(5)} s`;
    if (live) process.stderr.write(text === '' ? '\r\x1b[K' : `\r\x1b[K${at}  ${text}`);
    else if (text !== '') process.stderr.write(`${at}  ${text}\n`);
  };
}

async function examine(
  running: RunningLab,
  topology: Topology,
  step: (text: string) => void,
): Promise<Findings> {
  const { record, paths } = running;
  const problems: string[] = [];
  const { lab } = expect(await labStatus(record.options.name), 'status');
  const nodes = lab.machines.filter((m) => m.role === 'node');
  const wanted = nodes.length * (nodes.length * 2 <= mostPods ? 2 : 1);
  step(`creating a deployment of ${wanted} pods`);
  if (
    !(await createObject(
      paths.kubeconfig,
      '/apis/apps/v1/namespaces/default/deployments',
      deployment(wanted),
    ))
  )
    problems.push('The deployment could not be created.');
  const ready = await awaitPods(paths.kubeconfig, `app=${app}`, wanted, 180_000, (now, of) =>
    step(`${now} of ${of} pods ready`),
  );
  if (!ready)
    problems.push(`Not all of the ${wanted} pods became ready; see kubectl describe pod and ${paths.logs}.`);
  step('waiting for the BGP sessions');
  const sessions = await until(
    async () => {
      const rows = await bgpSessions(record, topology, lab.machines);
      return rows.every((r) => r.established) ? rows : undefined;
    },
    { timeoutMs: 120_000, everyMs: 200 },
  );
  const lastSessions = sessions ?? (await bgpSessions(record, topology, lab.machines));
  for (const row of lastSessions)
    if (!row.established) problems.push(`${row.machine} has no session with ${row.peer}: ${row.state}.`);
  const entrances = new Map<string, Entrance>();
  for (const machine of nodes)
    entrances.set(machine.name, expect(await findEntrance(record.options.name, machine.name), machine.name));
  const entranceOf = (node: string): Entrance => {
    const entrance = entrances.get(node);
    if (entrance === undefined) throw new Error(`no node ${node}`);
    return entrance;
  };
  const pods = demoPods(await listPods(paths.kubeconfig, `app=${app}`), (node) =>
    sandboxesOf(record, nodes.find((m) => m.name === node) as MachineStatus),
  ).slice(0, mostPods);
  step(`every pod asks every pod: ${pods.length * pods.length} pings, as many HTTP requests`);
  const matrix = await probeAll(topology, pods, entranceOf, record.options.mode, 120_000);
  for (const { from, to, probe, asExpected } of matrix.cells)
    if (!asExpected)
      problems.push(
        `${from.address} (${from.node}) → ${to.address} (${to.node}): TTL ${probe.ttl ?? 'none'}, HTTP ${probe.status ?? 'none'}${probe.problem === undefined ? '' : `, ${probe.problem}`}.`,
      );
  const shown = pods[0];
  const podRoutes =
    shown === undefined
      ? ''
      : (await outputOf(entranceOf(shown.node), ['nsenter', `--net=${shown.netns}`, '--', 'ip', 'route']))
          .out;
  const hostNode = nodes[1]?.name ?? nodes[0]?.name ?? '';
  const hostRoutes = (await outputOf(entranceOf(hostNode), ['ip', 'route'])).out;
  return {
    topology,
    lab,
    mode: record.options.mode,
    sessions: lastSessions,
    pods,
    matrix,
    nodeRows: await nodeRows(paths.kubeconfig),
    podRoutes: { pod: shown ?? { name: '', node: '', address: '', netns: '' }, text: podRoutes },
    hostRoutes: { node: hostNode, text: hostRoutes },
    problems,
  };
}

async function nodeRows(kubeconfig: string): Promise<readonly (readonly string[])[]> {
  return (await listNodes(kubeconfig)).map((node) => [
    node.metadata.name,
    node.status?.conditions?.find((c) => c.type === 'Ready')?.status === 'True' ? 'Ready' : 'NotReady',
    node.metadata.labels?.['rack'] ?? '',
    (node.status?.addresses ?? [])
      .filter((a) => a.type === 'InternalIP')
      .map((a) => a.address)
      .join(' '),
  ]);
}

function demoPods(
  pods: readonly Pod[],
  sandboxes: (node: string) => readonly { readonly uid: string; readonly netns?: string }[],
): DemoPod[] {
  return pods
    .flatMap((pod): DemoPod[] => {
      const node = pod.spec.nodeName;
      const address = pod.status?.podIP;
      if (node === undefined || address === undefined) return [];
      const netns = sandboxes(node).find((s) => s.uid === pod.metadata.uid)?.netns;
      return netns === undefined ? [] : [{ name: pod.metadata.name, node, address, netns }];
    })
    .sort((a, b) => (`${a.node}/${a.address}` < `${b.node}/${b.address}` ? -1 : 1));
}

const deployment = (replicas: number): unknown => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: app, namespace: 'default', labels: { app } },
  spec: {
    replicas,
    selector: { matchLabels: { app } },
    template: {
      metadata: { labels: { app } },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [{ name: 'demoapp', image: 'ikubernetes/demoapp:v1.0' }],
      },
    },
  },
});
