// A lesson on a running lab: configures it, waits until a ping shows what the lesson says, and gives the report.
import type { Datastore } from '../../datastore/mod.ts';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import { until } from '../../lib/wait.ts';
import { isReady } from '../control/pods.ts';
import { ask } from '../control-socket.ts';
import { applyDesign } from '../design.ts';
import { bgpSessions } from '../demo/bgp-sessions.ts';
import { sandboxesOf } from '../inside.ts';
import { labStatus, withLabStore } from '../launcher.ts';
import { applyMode, poolModes } from '../modes.ts';
import { clusterObjects } from '../supervisor/cluster-objects.ts';
import { nodesOf, planTopology, type Topology } from '../topology/mod.ts';
import type { LabError, LabRecord, LabStatus } from '../types.ts';
import { walkOnce, type LessonPod } from './walk.ts';
import { ways, type Lesson, type LessonReport, type Walk, type Way } from './types.ts';

type StepPrinter = (text: string) => void;
const podsDeadlineMs = 180_000;
const sessionsDeadlineMs = 60_000;
const walkDeadlineMs = 120_000;

export async function runLesson(
  labName: string,
  lesson: Lesson,
  onStep: StepPrinter,
): Promise<Result<LessonReport, LabError>> {
  const found = await labStatus(labName);
  if (!found.ok) return found;
  const { lab, record, paths } = found.value;
  const { design } = lesson;
  const shape = { ...lab, name: lab.topology, nodes: record.options.nodes, design };
  const fabric = planTopology(shape);
  if (!fabric.ok) return fabric;
  const planned = planTopology({ ...shape, fabricBgp: lesson.leafPeers });
  if (!planned.ok) return planned;
  // Leaves that the nodes do not speak to are configured all the same.
  const topology = { ...planned.value, machines: fabric.value.machines };
  const places = placesOf(topology);
  if (places === undefined)
    return err(
      failure(
        'BadDesign',
        `The lab "${labName}" has no two racks with two nodes in the first of them, which lessons walk through.`,
        'Leave --name away: then the lesson brings up a lab of its own.',
      ),
    );
  return withLabStore(paths, async (store) => {
    onStep(`${lesson.name}: configuring`);
    const routers = await ask<LabStatus>(paths.socket, { op: 'design', design });
    if (!routers.ok) return routers;
    const moded = await applyMode(store, lesson.mode);
    const encrypted = moded.ok ? await setEncryption(store, lesson.encrypts === true) : moded;
    const designed = encrypted.ok ? await applyDesign(store, topology) : encrypted;
    if (!designed.ok) return err(failure('NoAnswer', designed.error.message, designed.error.hint));
    const pods = await podsFor(store, record, lab, places);
    if (pods === undefined)
      return err(failure('StartFailed', 'The pods of the lesson did not become ready.'));
    await nodesSpeak(record, topology, lab);
    const walks: Walk[] = [];
    const problems: string[] = [];
    for (const way of ways) {
      onStep(`${lesson.name}: a ping to the pod "${way}"`);
      const walk = await walkUntilExpected(lab, lesson, way, pods);
      walks.push(walk);
      problems.push(...problemsOf(lesson, walk));
    }
    const sessions = await bgpSessions(record, topology, lab.machines);
    return ok({
      lesson,
      resources: await resourcesText(lesson, topology),
      sessions: sessions
        .filter((s) => [places.client, leafOf(topology, places.client)].includes(s.machine))
        .map((s) => [s.machine, s.as, s.peer, s.peerAs, s.kind, s.state]),
      walks,
      problems,
    });
  });
}

/** On every node, by the configuration of all. */
async function setEncryption(store: Datastore, wireguardEnabled: boolean): Promise<Result<void, Failure>> {
  const found = await store.get('FelixConfiguration', { name: 'default' });
  if (!found.ok) return found.error.code === 'NotFound' && !wireguardEnabled ? ok(undefined) : found;
  if ((found.value.spec.wireguardEnabled ?? false) === wireguardEnabled) return ok(undefined);
  const spec = { ...found.value.spec, wireguardEnabled };
  const updated = await store.update('FelixConfiguration', { ...found.value, spec });
  return updated.ok ? ok(undefined) : updated;
}

/** Waits for the sessions of the design. Those of before would answer a ping as well, but not with what is to be shown. */
async function nodesSpeak(record: LabRecord, topology: Topology, lab: LabStatus): Promise<void> {
  const nodes = lab.machines.filter((m) => m.role === 'node');
  await until(
    async () => ((await bgpSessions(record, topology, nodes)).every((s) => s.established) ? true : undefined),
    { timeoutMs: sessionsDeadlineMs, everyMs: 100 },
  );
}

/** The nodes of the three pods: client and near in one rack, far in another. */
type Places = { readonly client: string; readonly near: string; readonly far: string };

function placesOf(topology: Topology): Places | undefined {
  const nodes = nodesOf(topology);
  const [first, second] = nodes.filter((n) => n.rack === 'rack-1').slice(-2);
  const far = nodes.find((n) => n.rack === 'rack-2');
  if (first === undefined || second === undefined || far === undefined) return undefined;
  return { client: first.name, near: second.name, far: far.name };
}

const leafOf = (topology: Topology, node: string): string => {
  const rack = topology.machines.find((m) => m.name === node)?.rack;
  return topology.racks.find((r) => r.name === rack)?.leaf ?? '';
};

/** Same names and MAC addresses in every run. */
const macs: Readonly<Record<keyof Places, string>> = {
  client: '02:00:00:00:00:c1',
  near: '02:00:00:00:00:0a',
  far: '02:00:00:00:00:0f',
};

async function podsFor(
  store: Datastore,
  record: LabRecord,
  lab: LabStatus,
  places: Places,
): Promise<Readonly<Record<keyof Places, LessonPod>> | undefined> {
  const names = ['client', 'near', 'far'] as const;
  for (const name of names) {
    await store.create('Pod', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name,
        namespace: 'default',
        annotations: { 'cni.projectcalico.org/hwAddr': macs[name] },
      },
      spec: { nodeName: places[name], containers: [{ name: 'main', image: 'client' }] },
    });
  }
  const find = async (name: keyof Places): Promise<LessonPod | undefined> => {
    const pod = await store.get('Pod', { name, namespace: 'default' });
    const machine = lab.machines.find((m) => m.name === places[name]);
    if (!pod.ok || !isReady(pod.value) || machine === undefined) return undefined;
    const sandbox = sandboxesOf(record, machine).find((s) => s.uid === pod.value.metadata.uid);
    const address = pod.value.status?.podIP;
    if (sandbox?.netns === undefined || address === undefined) return undefined;
    return { name, node: places[name], address, netns: sandbox.netns };
  };
  return until(
    async () => {
      const [client, near, far] = await Promise.all(names.map(find));
      return client && near && far ? { client, near, far } : undefined;
    },
    { timeoutMs: podsDeadlineMs, everyMs: 100 },
  );
}

/** A change takes a moment to be everywhere: walks again until it shows, or gives the last walk. */
async function walkUntilExpected(
  lab: LabStatus,
  lesson: Lesson,
  way: Way,
  pods: Readonly<Record<keyof Places, LessonPod>>,
): Promise<Walk> {
  let last: Walk | undefined;
  const right = await until(
    async () => {
      last = await walkOnce(lab, way, pods.client, pods[way]);
      return problemsOf(lesson, last).length === 0 ? last : undefined;
    },
    { timeoutMs: walkDeadlineMs, everyMs: 500 },
  );
  return right ?? last ?? (await walkOnce(lab, way, pods.client, pods[way]));
}

/** Where a walk differs from what the lesson says. */
export function problemsOf(lesson: Lesson, walk: Walk): string[] {
  const expected = lesson.expect[walk.way];
  const problems: string[] = [];
  if (walk.reached !== expected.reached)
    problems.push(`the pod "${walk.way}" ${walk.reached ? 'answers' : 'does not answer'}`);
  const onWire = walk.sightings.filter(
    (s) =>
      s.kind === 'request' && s.machine === walk.from.node && s.device === 'eth0' && s.direction === 'out',
  );
  const [frame] = onWire;
  if (frame === undefined) problems.push(`no request left ${walk.from.node} by eth0`);
  else if ((frame.outer?.how ?? 'none') !== expected.encapsulation)
    problems.push(
      `on the wire to "${walk.way}": ${frame.outer?.how ?? 'none'}, not ${expected.encapsulation}`,
    );
  if (onWire.length > 1) problems.push(`${onWire.length} requests left ${walk.from.node} by eth0`);
  return problems;
}

const encryption = {
  apiVersion: 'projectcalico.org/v3',
  kind: 'FelixConfiguration',
  metadata: { name: 'default' },
  spec: { wireguardEnabled: true },
} as const;

/** What a user would apply for it. */
async function resourcesText(lesson: Lesson, topology: Topology): Promise<string> {
  const { stringify } = await import('yaml');
  const { bgpConfiguration, filters, peers, pools } = clusterObjects(topology, lesson.mode);
  const nodes = topology.nodeBgp
    .filter((n) => n.asNumber !== undefined || n.routeReflectorClusterID !== undefined)
    .map(({ node, ...bgp }) => ({
      apiVersion: 'projectcalico.org/v3',
      kind: 'Node',
      metadata: {
        name: node,
        ...(bgp.routeReflectorClusterID === undefined ? {} : { labels: { 'route-reflector': 'true' } }),
      },
      spec: { bgp },
    }));
  const objects = [
    { ...bgpConfiguration, spec: { ...bgpConfiguration.spec, logSeverityScreen: undefined } },
    ...pools.map((p) => ({ ...p, spec: { cidr: p.spec.cidr, ...poolModes(lesson.mode, p.spec.cidr) } })),
    ...(lesson.encrypts === true ? [encryption] : []),
    ...nodes,
    ...filters,
    ...peers.map((p) => ({ ...p, metadata: { name: p.metadata.name } })),
  ];
  return objects.map((o) => stringify(o)).join('---\n');
}
