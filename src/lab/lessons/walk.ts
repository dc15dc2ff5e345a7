// One ping between two pods, watched on every device of every machine at once.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { sleep } from '../../lib/wait.ts';
import { type Entrance, findEntrance, outputOf } from '../enter.ts';
import { mainFile } from '../main-file.ts';
import type { LabStatus, MachineStatus } from '../types.ts';
import type { CapturePlace } from './capture.ts';
import { sightingOf } from './frames.ts';
import type { RawFrame, RouteMatch, Sighting, Walk, Way } from './types.ts';

export type LessonPod = {
  readonly name: string;
  readonly node: string;
  readonly address: string;
  readonly netns: string;
};

const readyMs = 15_000;
/** What the last router still has to do when ping has its answer. */
const settleMs = 60;

export async function walkOnce(lab: LabStatus, way: Way, from: LessonPod, to: LessonPod): Promise<Walk> {
  const entrance = await entranceTo(lab, from.node);
  const inPod = async (...command: readonly string[]): Promise<string> => {
    const { out, err } = await outputOf(entrance, ['nsenter', `--net=${from.netns}`, '--', ...command]);
    return `${out}${err}`;
  };
  const ping = (): Promise<string> => inPod('ping', '-n', '-c', '1', '-W', '1', to.address);
  // Whoever has to ask for a MAC address does it now.
  await ping();
  const capture = await startCapture(entrance, placesOf(lab, [from, to]));
  const said = await ping();
  const frames = await capture.end();
  const nodes = { from: addressOf(lab, from.node), to: addressOf(lab, to.node) };
  const sightings = frames
    .toSorted((a, b) => (BigInt(a.at) < BigInt(b.at) ? -1 : 1))
    .flatMap((frame) => sightingOf(frame, from.address, to.address, nodes) ?? []);
  const forth = sightings.filter((s) => s.kind === 'request');
  return {
    way,
    from: { pod: from.name, node: from.node, address: from.address },
    to: { pod: to.name, node: to.node, address: to.address },
    reached: said.includes('ttl='),
    ping: said.split('\n').find((line) => /ttl=|Unreachable|packet loss/i.test(line)) ?? '',
    sightings,
    routes: await routesOf(lab, forth, [from, to]),
  };
}

async function entranceTo(lab: LabStatus, machine: string): Promise<Entrance> {
  const found = await findEntrance(lab.name, machine);
  if (!found.ok) throw new Error(found.error.message);
  return found.value;
}

/** A node's own. */
const addressOf = (lab: LabStatus, node: string): string =>
  lab.machines
    .find((m) => m.name === node)
    ?.addresses.find((a) => a.includes('.'))
    ?.split('/')[0] ?? '';

const podPlace = (pod: LessonPod): string => `pod ${pod.name}`;

/** Every machine that routes or runs pods, and the two pods. */
function placesOf(lab: LabStatus, pods: readonly LessonPod[]): CapturePlace[] {
  const holderOf = (name: string): number => lab.machines.find((m) => m.name === name)?.holderPid ?? 0;
  return [
    ...lab.machines.map((m) => ({ machine: m.name, namespace: `/proc/${m.holderPid}/ns/net` })),
    ...pods.map((pod) => ({
      machine: podPlace(pod),
      namespace: `/proc/${holderOf(pod.node)}/root${pod.netns}`,
    })),
  ];
}

type Capture = { end(): Promise<readonly RawFrame[]> };

async function startCapture(entrance: Entrance, places: readonly CapturePlace[]): Promise<Capture> {
  const command = [process.execPath, mainFile(), 'lab', 'capture', '--places', JSON.stringify(places)];
  const [program = '', ...argv] = [...entrance.argv, ...command];
  const child = spawn(program, argv, { stdio: ['pipe', 'pipe', 'pipe'], env: entrance.env, cwd: '/' });
  let problem = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    problem += text;
  });
  const lines: string[] = [];
  let wake: () => void = () => undefined;
  const reader = createInterface({ input: child.stdout });
  reader.on('line', (line) => {
    lines.push(line);
    wake();
  });
  const closed = new Promise<void>((resolve) => {
    reader.on('close', resolve);
    child.on('error', () => resolve());
  });
  const deadline = setTimeout(() => child.kill('SIGKILL'), readyMs);
  await Promise.race([closed, new Promise<void>((resolve) => (wake = resolve))]);
  if (lines[0] !== 'ready') throw new Error(`the capture did not start: ${problem.trim()}`);
  return {
    end: async () => {
      await sleep(settleMs);
      child.stdin.end();
      await closed;
      clearTimeout(deadline);
      if (lines[1] === undefined) throw new Error(`the capture gave nothing: ${problem.trim()}`);
      return JSON.parse(lines[1]) as readonly RawFrame[];
    },
  };
}

/** The entries that the request matched, machine by machine. */
async function routesOf(
  lab: LabStatus,
  forth: readonly Sighting[],
  pods: readonly LessonPod[],
): Promise<RouteMatch[]> {
  const found = new Map<string, RouteMatch>();
  for (const sighting of forth) {
    const { machine } = sighting;
    if (isBridged(forth, machine)) continue;
    for (const destination of [sighting.outer?.destination, sighting.inner?.destination]) {
      if (destination === undefined || found.has(`${machine} ${destination}`)) continue;
      // Who only passes on the outer packet never looks at the inner one.
      const looks = sighting.outer === undefined || destination !== sighting.inner?.destination;
      if (!looks || isLocal(lab, pods, machine, destination)) continue;
      const route = await routeOf(lab, pods, machine, destination);
      found.set(`${machine} ${destination}`, { machine, destination, route });
    }
  }
  return [...found.values()];
}

/** What leaves with the MAC addresses it came with was not routed. */
const isBridged = (forth: readonly Sighting[], machine: string): boolean =>
  forth.some(
    (one) =>
      one.machine === machine &&
      one.direction === 'in' &&
      one.macs !== undefined &&
      forth.some(
        (other) =>
          other.machine === machine &&
          other.direction === 'out' &&
          other.macs?.source === one.macs?.source &&
          other.macs?.destination === one.macs?.destination,
      ),
  );

function isLocal(lab: LabStatus, pods: readonly LessonPod[], machine: string, address: string): boolean {
  const own = lab.machines.find((m: MachineStatus) => m.name === machine)?.addresses ?? [];
  return (
    own.some((a) => a.split('/')[0] === address) ||
    pods.some((pod) => podPlace(pod) === machine && pod.address === address)
  );
}

async function routeOf(
  lab: LabStatus,
  pods: readonly LessonPod[],
  machine: string,
  destination: string,
): Promise<string> {
  const pod = pods.find((p) => podPlace(p) === machine);
  const entrance = await entranceTo(lab, pod?.node ?? machine);
  const inside = pod === undefined ? [] : ['nsenter', `--net=${pod.netns}`, '--'];
  const look = ['ip', 'route', 'get', 'fibmatch', destination];
  const { code, out, err } = await outputOf(entrance, [...inside, ...look]);
  if (code === 0)
    return out
      .trim()
      .split('\n')
      .map((l) => l.trim())
      .join(' ');
  return `none (${
    err
      .trim()
      .split('\n')
      .at(-1)
      ?.replace(/^RTNETLINK answers: /, '') ?? ''
  })`;
}
