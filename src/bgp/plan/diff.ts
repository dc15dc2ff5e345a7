// What changes between two plans: which sessions must be opened anew, which only look at their routes again.
import type { Prefix } from '../../lib/ip/mod.ts';
import type { BgpPlan, PlanDiff, PlanLocal, PlanPeer } from './types.ts';

/** Negotiated in OPEN or part of the connection: a change needs a new session. */
const bounceFields = [
  'address',
  'port',
  'as',
  'localAs',
  'peerType',
  'family',
  'sourceAddress',
  'ttlSecurityHops',
  'password',
  'addPath',
  'gracefulRestartTimeSeconds',
  'keepaliveTimeSeconds',
] as const satisfies readonly (keyof PlanPeer)[];

/** Decide which routes pass and how they look. Keys of policies are made of their content. */
const refilterFields = [
  'importPolicy',
  'exportPolicy',
  'rrClient',
  'nextHopMode',
  'allowLocalAs',
] as const satisfies readonly (keyof PlanPeer)[];

const adjustFields = [
  'type',
  'passive',
  'gracefulRestartTimeSet',
  'importFilters',
  'exportFilters',
] as const satisfies readonly (keyof PlanPeer)[];

const localFields = [
  'nodeName',
  'as',
  'routerId',
  'listen',
  'clusterId',
] as const satisfies readonly (keyof PlanLocal)[];

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
const differing = <T, K extends keyof T & string>(a: T, b: T, fields: readonly K[]): K[] =>
  fields.filter((f) => !same(a[f], b[f]));

export function diffPlans(before: BgpPlan, after: BgpPlan): PlanDiff {
  const old = new Map(before.peers.map((p) => [p.name, p]));
  const names = new Set(after.peers.map((p) => p.name));
  const bounce: { peer: string; fields: string[] }[] = [];
  const refilter: { peer: string; fields: string[] }[] = [];
  const adjust: { peer: string; fields: string[] }[] = [];
  const add: string[] = [];
  for (const peer of after.peers) {
    const was = old.get(peer.name);
    if (was === undefined) {
      add.push(peer.name);
      continue;
    }
    const hard = differing(was, peer, bounceFields);
    const soft = differing(was, peer, refilterFields);
    const light = differing(was, peer, adjustFields);
    if (hard.length > 0) bounce.push({ peer: peer.name, fields: hard });
    else if (soft.length > 0) refilter.push({ peer: peer.name, fields: soft });
    else if (light.length > 0) adjust.push({ peer: peer.name, fields: light });
  }
  const origins = (plan: BgpPlan): Set<Prefix> => new Set(plan.origins.map((o) => o.prefix));
  const [was, is] = [origins(before), origins(after)];
  const kernel = ([4, 6] as const).some(
    (f) =>
      before.kernelPolicy[f] !== after.kernelPolicy[f] ||
      before.normalPriority[f] !== after.normalPriority[f],
  );
  return {
    same: same(before, after),
    add,
    remove: before.peers.map((p) => p.name).filter((name) => !names.has(name)),
    bounce,
    refilter,
    adjust,
    originate: [...is].filter((p) => !was.has(p)),
    withdraw: [...was].filter((p) => !is.has(p)),
    kernel,
    local: differing(before.local, after.local, localFields),
  };
}
