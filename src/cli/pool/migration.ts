// Another encapsulation for a pool in use: what it takes, said before; done in steps; resumed where it stopped, or taken back.
// Where it stands is in an annotation of the pool itself, so that anybody can go on from anywhere.
//
//   plan ─► edit (modes and annotation in one write) ─► every node has the tunnel addresses it needs, and no others ─► done
import type { Datastore } from '../../datastore/mod.ts';
import { clusterRouteGaps, routeClasses } from '../../felix/calc/mod.ts';
import { tunnelGaps } from '../../felix/agent/mod.ts';
import type { Clock } from '../../lib/clock.ts';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import type { IPPool } from '../../model/mod.ts';

export type MigrationErrorCode =
  | 'UnknownPool'
  | 'BadModes'
  | 'UnderWay'
  | 'NotUnderWay'
  | 'NothingToDo'
  | 'NotConverged'
  | 'StoreFailed';
export type MigrationError = Failure<MigrationErrorCode>;

export type Modes = { readonly ipipMode: string; readonly vxlanMode: string };
/** As it stands in the annotation. */
export type MigrationRecord = { readonly from: Modes; readonly to: Modes };
export const recordKey = 'margay.dev/migration';

export type MigrationPlan = {
  readonly pool: string;
  readonly from: Modes;
  readonly to: Modes;
  readonly steps: readonly string[];
  /** What people should know before. */
  readonly notes: readonly string[];
};

const fail = (code: MigrationErrorCode, message: string, hint?: string): Result<never, MigrationError> =>
  err(failure(code, message, hint));

export const modesOf = ({ spec }: IPPool): Modes => ({
  ipipMode: spec.ipipMode ?? 'Never',
  vxlanMode: spec.vxlanMode ?? 'Never',
});
export const modeText = ({ ipipMode, vxlanMode }: Modes): string =>
  ipipMode !== 'Never'
    ? `IPIP ${ipipMode}`
    : vxlanMode !== 'Never'
      ? `VXLAN ${vxlanMode}`
      : 'no encapsulation';

/** The migration that the pool's annotation tells of. */
export function recordOf(pool: IPPool): MigrationRecord | undefined {
  const text = pool.metadata.annotations?.[recordKey];
  if (text === undefined) return undefined;
  try {
    const { from, to } = JSON.parse(text) as Partial<MigrationRecord>;
    return from === undefined || to === undefined ? undefined : { from, to };
  } catch {
    return undefined;
  }
}

/** Bytes that an encapsulation takes off the MTU. */
const overhead = ({ ipipMode, vxlanMode }: Modes, isV6: boolean): number =>
  ipipMode !== 'Never' ? 20 : vxlanMode !== 'Never' ? (isV6 ? 70 : 50) : 0;

export function planMigration(input: {
  readonly pool: IPPool;
  readonly to: Modes;
  /** All pools as they are now. */
  readonly pools: readonly IPPool[];
  readonly felixRoutes: string | undefined;
  readonly bgpRoutes: string | undefined;
}): Result<MigrationPlan, MigrationError> {
  const { pool, to, pools, felixRoutes, bgpRoutes } = input;
  const { name } = pool.metadata;
  const from = modesOf(pool);
  const isV6 = pool.spec.cidr.includes(':');
  if (to.ipipMode !== 'Never' && to.vxlanMode !== 'Never')
    return fail('BadModes', 'A pool cannot have IPIP and VXLAN at once.', 'Give one of them.');
  if (to.ipipMode !== 'Never' && isV6)
    return fail('BadModes', `IPIP carries no IPv6, and ${name} is ${pool.spec.cidr}.`);
  if (recordOf(pool) !== undefined)
    return fail(
      'UnderWay',
      `A migration of ${name} is under way.`,
      'Go on with --resume, or take it back with --rollback.',
    );
  if (modeText(from) === modeText(to)) return fail('NothingToDo', `${name} has ${modeText(to)} already.`);
  const after = pools.map((one) => (one.metadata.name === name ? { ...one.spec, ...to } : one.spec));
  const gaps = clusterRouteGaps(felixRoutes, bgpRoutes ?? 'EnabledNoEncapOnly', routeClasses(after));
  const more = overhead(to, isV6) - overhead(from, isV6);
  return ok({
    pool: name,
    from,
    to,
    steps: [
      `edit ${name}: ${modeText(from)} → ${modeText(to)}`,
      'wait until every node has the tunnel addresses that its pools ask for, and no others',
      `forget the way back`,
    ],
    notes: [
      ...(more > 0
        ? [
            `New pods get an MTU that is ${more} bytes smaller; pods that run keep theirs and rely on path MTU discovery.`,
          ]
        : []),
      ...(more < 0 ? ['Pods that run keep their smaller MTU until they are made anew.'] : []),
      ...(to.ipipMode === 'Never' && to.vxlanMode === 'Never'
        ? ['The network between the nodes must know the routes to pods, by BGP or otherwise.']
        : []),
      ...gaps.map((gap) =>
        gap.writers === 'both'
          ? `Routes of class ${gap.class} would be written by Felix and by BGP: see programClusterRoutes.`
          : `Routes of class ${gap.class} would be written by nobody: set programClusterRoutes first.`,
      ),
    ],
  });
}

export type MigrationContext = {
  readonly store: Datastore;
  readonly clock: Clock;
  readonly tell: (line: string) => void;
  readonly timeoutMs: number;
};

/** Edits the pool and remembers the way back. */
export async function begin(
  context: MigrationContext,
  plan: MigrationPlan,
): Promise<Result<void, MigrationError>> {
  const record: MigrationRecord = { from: plan.from, to: plan.to };
  return editPool(context, plan.pool, plan.to, JSON.stringify(record));
}

/** Goes on from wherever it stopped. */
export async function finish(context: MigrationContext, name: string): Promise<Result<void, MigrationError>> {
  const record = await readRecord(context, name);
  if (!record.ok) return record;
  // The edit is part of the record's own write; somebody may have edited the pool since.
  const edited = await editPool(context, name, record.value.to, JSON.stringify(record.value));
  if (!edited.ok) return edited;
  const converged = await untilConverged(context);
  if (!converged.ok) return converged;
  return editPool(context, name, record.value.to, null);
}

/** The modes of before, and the wait for the nodes to follow. */
export async function rollBack(
  context: MigrationContext,
  name: string,
): Promise<Result<Modes, MigrationError>> {
  const record = await readRecord(context, name);
  if (!record.ok) return record;
  const { from, to } = record.value;
  const back = await editPool(context, name, from, JSON.stringify({ from: to, to: from }));
  if (!back.ok) return back;
  const finished = await finish(context, name);
  return finished.ok ? ok(from) : finished;
}

async function readRecord(
  { store }: MigrationContext,
  name: string,
): Promise<Result<MigrationRecord, MigrationError>> {
  const pool = await store.get('IPPool', { name });
  if (!pool.ok)
    return pool.error.code === 'NotFound'
      ? fail('UnknownPool', `There is no pool ${name}.`)
      : storeFailed(pool.error);
  const record = recordOf(pool.value);
  return record === undefined ? fail('NotUnderWay', `No migration of ${name} is under way.`) : ok(record);
}

async function editPool(
  { store }: MigrationContext,
  name: string,
  modes: Modes,
  record: string | null,
): Promise<Result<void, MigrationError>> {
  const body = { metadata: { annotations: { [recordKey]: record } }, spec: modes };
  const patched = await store.patch('IPPool', { name }, { type: 'merge', body });
  return patched.ok ? ok(undefined) : storeFailed(patched.error);
}

async function untilConverged(context: MigrationContext): Promise<Result<void, MigrationError>> {
  const { store, clock, tell, timeoutMs } = context;
  const deadline = clock.monotonic() + timeoutMs;
  for (let told = -1; ; ) {
    const [nodes, pools] = await Promise.all([store.list('Node'), store.list('IPPool')]);
    if (!nodes.ok) return storeFailed(nodes.error);
    if (!pools.ok) return storeFailed(pools.error);
    const gaps = nodes.value.items.flatMap((node) => tunnelGaps(node, pools.value.items));
    if (gaps.length === 0) {
      tell(`all ${nodes.value.items.length} nodes have followed`);
      return ok(undefined);
    }
    if (clock.monotonic() > deadline)
      return fail(
        'NotConverged',
        `${gaps.length} tunnel addresses are not as they should be: ${gaps.slice(0, 5).join('; ')}.`,
        'Look at the agents of these nodes, then go on with --resume, or take it back with --rollback.',
      );
    if (gaps.length !== told) tell(`waiting for ${gaps.length} tunnel addresses`);
    told = gaps.length;
    await new Promise<void>((resolve) => void clock.after(200, resolve));
  }
}

const storeFailed = (error: Failure): Result<never, MigrationError> =>
  fail('StoreFailed', error.message, error.hint);
