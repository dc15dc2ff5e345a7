// Changes on trial: a resource that carries what it was before, and goes back to it unless somebody confirms in time. Made
// for changes of policy of hosts, which may cut off whoever makes them. Every node keeps the time by itself and goes back
// without asking anybody, for the change may be what keeps it from asking; a controller brings the datastore after.
//
//   margay policy try      writes the resource with the annotation below, which holds the resource as it was
//   the API server         does the same by itself with a change that would cut it off (src/apiserver/trials)
//   margay policy confirm  takes the annotation away, by a patch
//   agents                 act as if the resource were what it was, once the time is over
//   startTrials            writes that into the datastore, a little later
import { systemClock, type Clock, type Timer } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { startSyncer, type Datastore, type SyncUpdate } from '../datastore/mod.ts';
import type { KindName, ResourceOf } from '../model/mod.ts';

/** Kinds that may be on trial. */
export const trialKinds = [
  'GlobalNetworkPolicy',
  'NetworkPolicy',
  'HostEndpoint',
  'GlobalNetworkSet',
  'NetworkSet',
  'Tier',
  'Profile',
  'FelixConfiguration',
] as const satisfies readonly KindName[];
export type TrialKind = (typeof trialKinds)[number];
export const isTrialKind = (kind: string): kind is TrialKind =>
  (trialKinds as readonly string[]).includes(kind);

type TrialResource = ResourceOf<TrialKind>;
export type Trial = {
  /** RFC 3339. */
  readonly until: string;
  readonly lastsMs: number;
  /** Null: there was no such resource. */
  readonly before: TrialResource | null;
  /** The change is that the resource goes: agents take it for gone, and who confirms removes it. */
  readonly deletes?: true;
  /** The API server put it on trial by itself, for what it would cut. */
  readonly cuts?: readonly string[];
};

export const trialAnnotation = 'margay.projectcalico.org/trial';

/** Undefined for a resource that is not on trial; one whose annotation cannot be read is not. */
export function trialOf({ metadata }: Pick<TrialResource, 'metadata'>): Trial | undefined {
  const text = metadata.annotations?.[trialAnnotation];
  if (text === undefined) return undefined;
  try {
    const { until, lastsMs, before, deletes, cuts } = JSON.parse(text) as Partial<Trial>;
    if (typeof until !== 'string' || Number.isNaN(Date.parse(until)) || typeof lastsMs !== 'number')
      return undefined;
    return {
      until,
      lastsMs,
      before: before ?? null,
      ...(deletes === true ? { deletes } : {}),
      ...(Array.isArray(cuts) ? { cuts } : {}),
    };
  } catch {
    return undefined;
  }
}

export type TrialTerms = Pick<Trial, 'deletes' | 'cuts'> & {
  readonly untilMs: number;
  readonly lastsMs: number;
};

/** The resource on trial. What was on trial already goes back to what it was before that. */
export function onTrial<R extends TrialResource>(
  after: R,
  before: R | undefined,
  { untilMs, lastsMs, ...why }: TrialTerms,
): R {
  const former = before === undefined ? undefined : trialOf(before);
  const kept = former === undefined ? (before === undefined ? null : plain(before)) : former.before;
  const trial: Trial = { until: new Date(untilMs).toISOString(), lastsMs, before: kept, ...why };
  const annotations = { ...after.metadata.annotations, [trialAnnotation]: JSON.stringify(trial) };
  return { ...after, metadata: { ...after.metadata, annotations } };
}

/** Without the annotation. */
export function confirmed<R extends TrialResource>(resource: R): R {
  if (resource.metadata.annotations?.[trialAnnotation] === undefined) return resource;
  const { [trialAnnotation]: _trial, ...annotations } = resource.metadata.annotations;
  return { ...resource, metadata: { ...resource.metadata, annotations } };
}

/** As it is written down: what the store keeps about it does not belong to it. */
function plain<R extends TrialResource>(resource: R): R {
  const { resourceVersion: _version, ...metadata } = resource.metadata as R['metadata'] & {
    readonly managedFields?: unknown;
  };
  return { ...resource, metadata: { ...metadata, managedFields: undefined } };
}

type Name = { readonly name: string; readonly namespace?: string };
const nameOf = ({ metadata }: TrialResource): Name => ({
  name: metadata.name,
  ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
});
const keyOf = (kind: string, { name, namespace }: Name): string => `${kind} ${namespace ?? ''}/${name}`;

/** Whether the trial is over by the clock of the one who asks. */
export const isOver = (trial: Trial, nowMs: number): boolean => remainingMs(trial, nowMs) <= 0;

/** How long the trial still lasts here. A clock that is behind does not lengthen it. */
const remainingMs = ({ until, lastsMs }: Trial, nowMs: number): number =>
  Math.max(0, Math.min(Date.parse(until) - nowMs, lastsMs));

/** Updates of a syncer as an agent should take them: what is on trial beyond its time is what it was before. */
export class TrialFilter<K extends KindName> {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onExpiry: (updates: readonly SyncUpdate<K>[]) => void;
  readonly #timers = new Map<string, Timer>();

  constructor(clock: Clock, logger: Logger, onExpiry: (updates: readonly SyncUpdate<K>[]) => void) {
    this.#clock = clock;
    this.#logger = logger;
    this.#onExpiry = onExpiry;
  }

  pass(updates: readonly SyncUpdate<K>[]): readonly SyncUpdate<K>[] {
    return updates.map((update) => this.#one(update));
  }

  stop(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  #one(update: SyncUpdate<K>): SyncUpdate<K> {
    if (update.type === 'status' || !isTrialKind(update.kind)) return update;
    const resource = update.type === 'set' ? (update.object as unknown as TrialResource) : undefined;
    const key = keyOf(
      update.kind,
      resource === undefined ? (update as { name: Name }).name : nameOf(resource),
    );
    this.#timers.get(key)?.cancel();
    this.#timers.delete(key);
    const trial = resource === undefined ? undefined : trialOf(resource);
    if (resource === undefined || trial === undefined) return update;
    const reverted = revertedUpdate<K>(update.kind, resource, trial);
    const restMs = remainingMs(trial, this.#clock.now());
    if (restMs <= 0) return reverted;
    const timer = this.#clock.after(restMs, () => {
      this.#timers.delete(key);
      this.#logger.warn('Nobody confirmed a change on trial, it is taken back', { resource: key });
      this.#onExpiry([reverted]);
    });
    this.#timers.set(key, timer);
    return trial.deletes ? goneUpdate<K>(update.kind, resource) : update;
  }
}

const goneUpdate = <K extends KindName>(kind: KindName, resource: TrialResource): SyncUpdate<K> =>
  ({ type: 'delete', kind, name: nameOf(resource) }) as unknown as SyncUpdate<K>;

const revertedUpdate = <K extends KindName>(
  kind: KindName,
  resource: TrialResource,
  { before }: Trial,
): SyncUpdate<K> =>
  before === null
    ? goneUpdate(kind, resource)
    : ({ type: 'set', kind, object: before } as unknown as SyncUpdate<K>);

export type TrialsOptions = {
  readonly datastore: Datastore;
  readonly logger: Logger;
  readonly clock?: Clock;
};
export interface Trials {
  stop(): Promise<void>;
}

/** Agents go back first: the way to the datastore may lead through what is on trial. */
const graceMs = 2_000;
/** Of an event, as Kubernetes has it. */
const longestMessage = 1024;

/** Brings the datastore after what agents have gone back to. */
export function startTrials({ datastore, logger, clock = systemClock }: TrialsOptions): Trials {
  const timers = new Map<string, Timer>();
  const abort = new AbortController();

  const revert = async (kind: TrialKind, resource: TrialResource, attempt = 0): Promise<void> => {
    const name = nameOf(resource);
    const current = await datastore.get(kind, name, abort.signal);
    const trial = current.ok ? trialOf(current.value) : undefined;
    // Confirmed, changed or gone meanwhile.
    if (abort.signal.aborted || (current.ok && trial === undefined)) return;
    if (!current.ok && current.error.code === 'NotFound') return;
    const written =
      !current.ok || trial === undefined
        ? current
        : trial.before === null
          ? await datastore.delete(kind, name, { signal: abort.signal })
          : await datastore.update(
              kind,
              {
                ...trial.before,
                metadata: {
                  ...trial.before.metadata,
                  resourceVersion: current.value.metadata.resourceVersion,
                },
              } as never,
              { signal: abort.signal },
            );
    if (written.ok) {
      logger.info('A change on trial that nobody confirmed is taken back', { kind, ...name });
      if (trial !== undefined) await tell(kind, resource, trial);
      return;
    }
    if (written.error.code === 'NotFound') return;
    logger.warn('cannot take back a change on trial yet', { kind, ...name, error: written.error.message });
    watch(keyOf(kind, name), Math.min(500 * 2 ** attempt, 10_000), () => revert(kind, resource, attempt + 1));
  };
  /** For those who look for what became of it. */
  const tell = async (
    kind: TrialKind,
    { apiVersion, metadata }: TrialResource,
    trial: Trial,
  ): Promise<void> => {
    const time = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
    const why = trial.cuts === undefined ? '' : `: it would cut ${trial.cuts.join('; ')}`;
    const { name, namespace = 'default', uid } = metadata;
    const told = await datastore.create(
      'Event',
      {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: { name: '', generateName: `${name}.`, namespace },
        involvedObject: { apiVersion, kind, name, ...(uid === undefined ? {} : { uid }) },
        type: 'Warning',
        reason: 'TrialOver',
        message: `Nobody confirmed the change, and it was taken back${why}`.slice(0, longestMessage),
        count: 1,
        firstTimestamp: time,
        lastTimestamp: time,
        source: { component: 'margay-controllers' },
        reportingComponent: 'margay-controllers',
      },
      { signal: abort.signal },
    );
    if (!told.ok) logger.warn('cannot tell of a change that was taken back', { error: told.error.message });
  };
  const watch = (key: string, afterMs: number, act: () => Promise<void>): void => {
    timers.get(key)?.cancel();
    timers.set(
      key,
      clock.after(afterMs, () => {
        timers.delete(key);
        void act();
      }),
    );
  };

  const syncer = startSyncer<TrialKind>(datastore, {
    kinds: trialKinds,
    logger,
    onUpdates: (updates) => {
      for (const update of updates) {
        if (update.type === 'status') continue;
        const key = keyOf(update.kind, update.type === 'set' ? nameOf(update.object) : update.name);
        timers.get(key)?.cancel();
        timers.delete(key);
        const trial = update.type === 'set' ? trialOf(update.object) : undefined;
        if (update.type !== 'set' || trial === undefined) continue;
        const { kind, object } = update;
        watch(key, remainingMs(trial, clock.now()) + graceMs, () => revert(kind, object));
      }
    },
  });
  return {
    async stop() {
      abort.abort();
      for (const timer of timers.values()) timer.cancel();
      await syncer.stop();
    },
  };
}
