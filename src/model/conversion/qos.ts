// Limits of a pod's traffic, from its annotations (RS-190). A bad value never breaks the pod: it is left out or moved to
// the nearest allowed one, and the problem is told so that somebody can log it.
import type { KubernetesEvent, Pod, WorkloadEndpoint } from '../kinds/mod.ts';
import { dscpNumber, normaliseDscp } from '../values/dscp.ts';
import { parseQuantity } from '../values/quantity.ts';
import type { Annotations } from './types.ts';

export type QosControls = NonNullable<WorkloadEndpoint['spec']['qosControls']>;
type Limit =
  | 'Bandwidth'
  | 'Burst'
  | 'Peakrate'
  | 'Minburst'
  | 'PacketRate'
  | 'PacketBurst'
  | 'MaxConnections';

const giga = 1e9;
/** Least and most allowed value of each limit. Bursts are bits, Minburst bytes, rates per second. */
const bounds: Readonly<Record<Limit, readonly [number, number]>> = {
  Bandwidth: [1000, 1e6 * giga],
  Burst: [1000, 0xffffffff * 8],
  Peakrate: [1010, 1.01e6 * giga],
  Minburst: [1000, 1e8],
  PacketRate: [1, 10_000],
  PacketBurst: [1, 10_000],
  MaxConnections: [1, 0xffffffff],
};
const defaultBurst = 4 * 2 ** 30;
const defaultPacketBurst = 5;

/** The limits, undefined when there are none, and what was wrong with the annotations. */
export function qosControlsOf(annotations: Annotations): {
  readonly controls?: QosControls;
  readonly problems: readonly string[];
} {
  const problems: string[] = [];
  const controls: QosControls = {
    ...directionLimits('ingress', annotations, problems),
    ...directionLimits('egress', annotations, problems),
    ...dscpOf(annotations, problems),
  };
  return Object.keys(controls).length > 0 ? { controls, problems } : { problems };
}

/** The event that tells of them: of the pod, by `component` (on `host`, when it is a node's). */
export function badLimitEvent(
  pod: Pod,
  problems: readonly string[],
  nowMs: number,
  source: { readonly component: string; readonly host?: string },
): KubernetesEvent {
  const { name, namespace = 'default', uid } = pod.metadata;
  const time = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: '', generateName: `${name}.`, namespace },
    involvedObject: { apiVersion: 'v1', kind: 'Pod', name, namespace, ...(uid === undefined ? {} : { uid }) },
    type: 'Warning',
    reason: 'BadLimit',
    message: problems.join(' '),
    count: 1,
    firstTimestamp: time,
    lastTimestamp: time,
    source,
    reportingComponent: source.component,
  };
}

function directionLimits(
  direction: 'ingress' | 'egress',
  annotations: Annotations,
  problems: string[],
): Readonly<Record<string, number>> {
  const read = (limit: Limit): number => {
    const own = `qos.projectcalico.org/${direction}${limit}`;
    const key =
      limit === 'Bandwidth' && annotations[own] === undefined ? `kubernetes.io/${direction}-bandwidth` : own;
    return limitOf(key, annotations[key], bounds[limit], problems);
  };
  const drop = (what: string, why: string): 0 => {
    problems.push(`qos.projectcalico.org/${direction}${what} is left out: ${why}.`);
    return 0;
  };
  const bandwidth = read('Bandwidth');
  let burst = read('Burst');
  let peakrate = read('Peakrate');
  let minburst = read('Minburst');
  const packetRate = read('PacketRate');
  let packetBurst = read('PacketBurst');
  if (burst && !bandwidth) burst = drop('Burst', 'it needs a bandwidth');
  if (peakrate && (!bandwidth || bandwidth >= peakrate))
    peakrate = drop('Peakrate', 'it must be greater than the bandwidth');
  if (minburst && !peakrate) minburst = drop('Minburst', 'it needs a peak rate');
  if (packetBurst && !packetRate) packetBurst = drop('PacketBurst', 'it needs a packet rate');
  const limits: Record<Limit, number> = {
    Bandwidth: bandwidth,
    Burst: bandwidth ? burst || defaultBurst : 0,
    Peakrate: peakrate,
    Minburst: minburst,
    PacketRate: packetRate,
    PacketBurst: packetRate ? packetBurst || defaultPacketBurst : 0,
    MaxConnections: read('MaxConnections'),
  };
  return Object.fromEntries(
    Object.entries(limits).flatMap(([limit, value]) => (value ? [[`${direction}${limit}`, value]] : [])),
  );
}

/** 0 when absent or unreadable; otherwise within the bounds. */
function limitOf(
  key: string,
  text: string | undefined,
  [least, most]: readonly [number, number],
  problems: string[],
): number {
  if (text === undefined) return 0;
  const value = parseQuantity(text);
  if (value === undefined) {
    problems.push(`${key} is left out: "${text}" is not a quantity.`);
    return 0;
  }
  const allowed = Math.min(most, Math.max(least, value));
  if (allowed !== value)
    problems.push(`${key}: ${text} is outside of ${least} to ${most}; ${allowed} is used.`);
  return allowed;
}

function dscpOf(annotations: Annotations, problems: string[]): { readonly dscp?: number | string } {
  const key = 'qos.projectcalico.org/dscp';
  const text = annotations[key];
  if (text === undefined) return {};
  if (dscpNumber(text) !== undefined) return { dscp: normaliseDscp(text) };
  problems.push(`${key} is left out: "${text}" is neither 0 to 63 nor a known name.`);
  return {};
}
