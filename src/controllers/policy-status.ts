// Tells in a policy's status that it cannot be enforced as written: it was stored past validation, or its tier is missing.
// What it is for is closed then, and its author has a right to know why. A policy that is fine gets no condition, unless it
// had one before.
import { startSyncer, type Datastore, type StoreError } from '../datastore/mod.ts';
import type { Clock } from '../lib/clock.ts';
import { systemClock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { backoff, sleep } from '../lib/wait.ts';
import type { GlobalNetworkPolicy, NetworkPolicy } from '../model/mod.ts';
import { compilePolicy, standardTiers } from '../policy/mod.ts';

export type PolicyStatusOptions = {
  readonly datastore: Datastore;
  readonly logger: Logger;
  readonly clock?: Clock;
};
export interface PolicyStatus {
  stop(): Promise<void>;
}

type PolicyKind = 'NetworkPolicy' | 'GlobalNetworkPolicy';
type Policy = NetworkPolicy | GlobalNetworkPolicy;
type Known = {
  readonly kind: PolicyKind;
  readonly policy: Policy;
  readonly tier: string;
  readonly problems: readonly string[];
};
type Condition = NonNullable<NonNullable<Policy['status']>['conditions']>[number];

const conditionType = 'Enforced';
/** The server has no status for policies: definitions of another make. */
const hopeless: ReadonlySet<StoreError['code']> = new Set(['NotFound', 'NotSupported', 'Forbidden']);
const longestRetryMs = 10_000;

export function startPolicyStatus({
  datastore,
  logger,
  clock = systemClock,
}: PolicyStatusOptions): PolicyStatus {
  const policies = new Map<string, Known>();
  const tiers = new Set(standardTiers.map(({ name }) => name));
  const waiting = new Set<string>();
  const abort = new AbortController();
  let isComplete = false;
  let running: Promise<void> | undefined;

  const wanted = ({ policy, tier, problems }: Known): Condition | undefined => {
    const isLost = !tiers.has(tier);
    const all = [...(isLost ? [`tier ${tier || '""'} does not exist`] : []), ...problems];
    const before = conditionOf(policy);
    const { generation } = policy.metadata as { readonly generation?: number };
    const observed = generation === undefined ? {} : { observedGeneration: generation };
    const say = (status: 'True' | 'False', reason: string, message: string): Condition => ({
      type: conditionType,
      status,
      reason,
      message,
      lastTransitionTime:
        before?.status === status ? before.lastTransitionTime : new Date(clock.now()).toISOString(),
      ...observed,
    });
    if (all.length > 0)
      return say(
        'False',
        isLost ? 'TierMissing' : 'NotUnderstood',
        `${all.join('; ')}. It denies all that it is for.`,
      );
    return before === undefined
      ? undefined
      : say('True', 'Enforced', 'The policy is enforced as it is written.');
  };

  const write = async (key: string): Promise<void> => {
    for (let attempt = 0; !abort.signal.aborted; attempt++) {
      const known = policies.get(key);
      if (known === undefined) return;
      const condition = wanted(known);
      if (condition === undefined || isSame(condition, conditionOf(known.policy))) return;
      const others = (known.policy.status?.conditions ?? []).filter(({ type }) => type !== conditionType);
      const status = { conditions: [...others, condition] };
      const written = await datastore.updateStatus(known.kind, { ...known.policy, status } as never, {
        signal: abort.signal,
      });
      // The watch tells of what is there now; with a conflict, too.
      if (written.ok || written.error.code === 'Conflict' || hopeless.has(written.error.code)) return;
      logger.warn('cannot tell the status of a policy yet', { key, error: written.error.message });
      await sleep(backoff(attempt, 100, longestRetryMs), abort.signal);
    }
  };
  const run = async (): Promise<void> => {
    for (const key of waiting) {
      waiting.delete(key);
      await write(key);
    }
  };
  const schedule = (): void => {
    if (!isComplete || running !== undefined || waiting.size === 0) return;
    running = run().finally(() => {
      running = undefined;
      schedule();
    });
  };
  const ofTier = (name: string): void => {
    for (const [key, { tier }] of policies) if (tier === name) waiting.add(key);
  };

  const syncer = startSyncer<PolicyKind | 'Tier'>(datastore, {
    kinds: ['Tier', 'NetworkPolicy', 'GlobalNetworkPolicy'],
    logger,
    onUpdates: (updates) => {
      for (const update of updates) {
        if (update.type === 'status') {
          isComplete ||= update.status === 'in-sync';
          continue;
        }
        const name = update.type === 'set' ? update.object.metadata.name : update.name.name;
        if (update.kind === 'Tier') {
          if (update.type === 'set') tiers.add(name);
          else if (!standardTiers.some((one) => one.name === name)) tiers.delete(name);
          ofTier(name);
          continue;
        }
        const namespace = update.type === 'set' ? update.object.metadata.namespace : update.name.namespace;
        const key = `${update.kind} ${namespace ?? ''}/${name}`;
        if (update.type === 'delete') {
          policies.delete(key);
          continue;
        }
        const compiled = compilePolicy(update.object);
        if (compiled === undefined) continue;
        const { tier, problems } = compiled;
        policies.set(key, { kind: update.kind, policy: update.object, tier, problems });
        waiting.add(key);
      }
      schedule();
    },
  });
  return {
    stop: async () => {
      abort.abort();
      await syncer.stop();
      await running;
    },
  };
}

const conditionOf = ({ status }: Policy): Condition | undefined =>
  status?.conditions?.find(({ type }) => type === conditionType);

const isSame = (a: Condition, b: Condition | undefined): boolean =>
  b !== undefined && a.status === b.status && a.reason === b.reason && a.message === b.message;
