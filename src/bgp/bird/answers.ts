// The introspection socket of a node with the BIRD engine: the same questions and answers as with the native speaker, as far
// as BIRD knows them.
import { parsePrefix, prefixFamily, type Family, type Prefix } from '../../lib/ip/mod.ts';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import type { BgpPlan, PlanPeer } from '../plan/mod.ts';
import type {
  IntrospectionRequest,
  NeighbourKind,
  PeerStatus,
  RouteView,
  SpeakerStatus,
} from '../speaker/mod.ts';
import type { ReplyLine } from './control-client.ts';
import type { BirdEngine } from './engine.ts';
import { readProtocols, readRoutes, readSession, readStatus, type BirdSession } from './read-status.ts';

/** As the native speaker's status, without what BIRD does not tell. */
export type BirdEngineStatus = Omit<SpeakerStatus, 'rib' | 'kernel' | 'recovery'> & {
  readonly recovery: 'deferring' | 'done';
  readonly rib: { readonly prefixes: Readonly<Record<Family, number>>; readonly paths: number };
  readonly engine: {
    readonly name: 'bird';
    readonly version: string;
    readonly pid: number | undefined;
    readonly restarts: number;
    readonly reloads: number;
    readonly problem?: string;
    readonly refused: readonly { readonly peer: string; readonly reason: string }[];
  };
};

const kinds: Readonly<Record<PlanPeer['type'], NeighbourKind>> = {
  nodeMesh: 'node-mesh',
  globalPeer: 'global-peer',
  nodePeer: 'node-peer',
  localWorkload: 'local-workload',
};
const routeLimit = 10_000;
/** Peers that `explain` asks BIRD about, one by one. */
const exportLimit = 64;

export async function answerForBird(
  engine: BirdEngine,
  request: IntrospectionRequest,
  now: () => Date,
): Promise<Result<unknown, Failure>> {
  const { plan } = engine;
  if (plan === undefined) {
    const { problem } = engine.facts;
    const why = problem ?? 'it waits for the datastore';
    return err(failure('NotReady', `The BIRD engine has no plan in force yet: ${why}.`));
  }
  switch (request['op']) {
    case 'status':
      return statusOf(engine, plan, now);
    case 'peers':
      return peersOf(engine, plan, now);
    case 'routes':
    case 'announced':
      return routesOf(engine, plan, request);
    case 'explain':
      return explain(engine, plan, request);
    default:
      return err(
        failure(
          'UnknownOperation',
          `There is no operation ${JSON.stringify(request['op'])}.`,
          'There are: status, peers, routes, announced, explain.',
        ),
      );
  }
}

async function sessionsOf(engine: BirdEngine, now: Date): Promise<Result<readonly BirdSession[], Failure>> {
  const reply = await engine.ask('show protocols all');
  if (!reply.ok) return reply;
  return ok(readProtocols(reply.value).flatMap((p) => readSession(p, now) ?? []));
}

async function peersOf(
  engine: BirdEngine,
  plan: BgpPlan,
  now: () => Date,
): Promise<Result<readonly PeerStatus[], Failure>> {
  const at = now();
  const sessions = await sessionsOf(engine, at);
  if (!sessions.ok) return sessions;
  const byName = new Map(sessions.value.map((s) => [s.name, s]));
  return ok(plan.peers.map((peer) => peerStatus(peer, byName.get(peer.name), engine, at)));
}

function peerStatus(
  peer: PlanPeer,
  found: BirdSession | undefined,
  engine: BirdEngine,
  now: Date,
): PeerStatus {
  const why = engine.refused.find((r) => r.peer === peer.name)?.reason;
  const down =
    found === undefined
      ? {
          reason: { kind: 'admin-down' as const, text: why ?? 'BIRD does not know the session' },
          reasonText: why ?? 'BIRD does not know the session.',
        }
      : {
          ...(found.reason === undefined ? {} : { reason: found.reason }),
          ...(found.reasonText === undefined ? {} : { reasonText: found.reasonText }),
        };
  return {
    name: peer.name,
    kind: kinds[peer.type],
    address: peer.address,
    port: peer.port,
    as: peer.as,
    localAs: peer.localAs,
    passive: peer.passive,
    state: found?.state ?? 'Idle',
    since: found?.since ?? now.toISOString(),
    ...(found?.session === undefined ? down : { session: found.session }),
    keepingStale: false,
    routes: {
      received: (found?.imported ?? 0) + (found?.filtered ?? 0),
      accepted: found?.imported ?? 0,
      best: found?.preferred ?? 0,
      stale: 0,
      announced: found?.exported ?? 0,
    },
    messages: { received: 0, sent: 0 },
  };
}

async function statusOf(
  engine: BirdEngine,
  plan: BgpPlan,
  now: () => Date,
): Promise<Result<BirdEngineStatus, Failure>> {
  const [sessions, status, four, six] = await Promise.all([
    sessionsOf(engine, now()),
    engine.ask('show status'),
    engine.ask('show route table master4 count'),
    engine.ask('show route table master6 count'),
  ]);
  if (!sessions.ok) return sessions;
  if (!status.ok) return status;
  const { local } = plan;
  const { startedAt, configuredAt, pid, restarts, reloads, problem } = engine.facts;
  const counts = { 4: countOf(four), 6: countOf(six) };
  const listens = local.listen.addresses.length > 0 ? local.listen.addresses : ['0.0.0.0', '::'];
  return ok({
    name: local.nodeName,
    as: local.as,
    routerId: local.routerId ?? ('0.0.0.0' as SpeakerStatus['routerId']),
    startedAt: new Date(startedAt).toISOString(),
    configuredAt: new Date(configuredAt).toISOString(),
    recovery: status.value.some((l) => /recovery in progress/i.test(l.text)) ? 'deferring' : 'done',
    awaiting: [],
    listening: listens.map((address) => ({
      address: address as SpeakerStatus['routerId'],
      port: local.listen.port,
    })),
    sessions: {
      established: sessions.value.filter((s) => s.state === 'Established').length,
      configured: plan.peers.length,
    },
    rib: {
      prefixes: { 4: counts[4].networks, 6: counts[6].networks },
      paths: counts[4].routes + counts[6].routes,
    },
    engine: {
      name: 'bird',
      version: readStatus(status.value).version,
      pid,
      restarts,
      reloads,
      ...(problem === undefined ? {} : { problem }),
      refused: engine.refused,
    },
  });
}

/** `6 of 6 routes for 6 networks in table master4` */
function countOf(reply: Result<readonly ReplyLine[], Failure>): { routes: number; networks: number } {
  const text = reply.ok ? reply.value.map((l) => l.text).join('\n') : '';
  const match = /\d+ of (\d+) routes for (\d+) networks/.exec(text);
  return { routes: Number(match?.[1] ?? 0), networks: Number(match?.[2] ?? 0) };
}

async function routesOf(
  engine: BirdEngine,
  plan: BgpPlan,
  request: IntrospectionRequest,
): Promise<Result<readonly RouteView[], Failure>> {
  const peer = peerOf(plan, request);
  if (!peer.ok) return peer;
  const prefix = prefixOf(request);
  if (!prefix.ok) return prefix;
  const limit = typeof request['limit'] === 'number' ? request['limit'] : routeLimit;
  const isAnnounced = request['op'] === 'announced';
  if (isAnnounced && peer.value === undefined)
    return err(failure('BadRequest', 'The operation "announced" needs a peer.'));
  const family = peer.value?.family ?? (prefix.value === undefined ? undefined : prefixFamily(prefix.value));
  const routes: RouteView[] = [];
  for (const table of family === undefined ? ([4, 6] as const) : [family]) {
    const reply = await engine.ask(
      [
        'show route',
        ...(prefix.value === undefined ? [] : [prefix.value]),
        `table master${table}`,
        ...(isAnnounced ? [`export ${peer.value?.name ?? ''}`] : []),
        ...(!isAnnounced && peer.value !== undefined ? [`protocol ${peer.value.name}`] : []),
        ...(request['bestOnly'] === true ? ['primary'] : []),
        'all',
      ].join(' '),
    );
    if (reply.ok) routes.push(...readRoutes(reply.value));
    // 8001: there is no such network.
    else if (!reply.error.message.includes('(8001)')) return reply;
    if (routes.length >= limit) break;
  }
  return ok(routes.slice(0, limit));
}

async function explain(
  engine: BirdEngine,
  plan: BgpPlan,
  request: IntrospectionRequest,
): Promise<Result<unknown, Failure>> {
  const prefix = prefixOf(request);
  if (!prefix.ok) return prefix;
  if (prefix.value === undefined)
    return err(failure('BadRequest', 'The operation "explain" needs a prefix.'));
  const paths = await routesOf(engine, plan, { op: 'routes', prefix: prefix.value });
  if (!paths.ok) return paths;
  const exports: unknown[] = [];
  const family = prefixFamily(prefix.value);
  for (const peer of plan.peers.filter((p) => p.family === family).slice(0, exportLimit)) {
    const told = await routesOf(engine, plan, { op: 'announced', prefix: prefix.value, peer: peer.name });
    if (!told.ok) return told;
    exports.push({
      group: plan.policies[peer.exportPolicy]?.name ?? peer.exportPolicy,
      peers: [peer.name],
      announced: told.value.length > 0,
    });
  }
  return ok({ prefix: prefix.value, paths: paths.value, exports });
}

/** Names go into commands: only those of the plan do. */
function peerOf(plan: BgpPlan, request: IntrospectionRequest): Result<PlanPeer | undefined, Failure> {
  const name = request['peer'];
  if (name === undefined) return ok(undefined);
  const peer = plan.peers.find((p) => p.name === name);
  return peer === undefined
    ? err(failure('BadRequest', `There is no peer ${JSON.stringify(name)}.`))
    : ok(peer);
}

function prefixOf(request: IntrospectionRequest): Result<Prefix | undefined, Failure> {
  const text = request['prefix'];
  if (text === undefined) return ok(undefined);
  const parsed = parsePrefix(typeof text === 'string' ? text : '');
  return parsed.ok ? parsed : err(failure('BadRequest', parsed.error.message));
}
