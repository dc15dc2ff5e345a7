// Tells in a policy's status that it cannot be enforced as written: it was stored past validation, or its tier is missing.
// What it is for is closed then, and its author has a right to know why. A policy that is fine gets no condition, unless it
// had one before.
import { startSyncer, type Datastore } from '../datastore/mod.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { GlobalNetworkPolicy, NetworkPolicy } from '../model/mod.ts';
import { compilePolicy, standardTiers } from '../policy/mod.ts';
import { conditionOf, ConditionWriter } from './conditions.ts';

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

const conditionType = 'Enforced';

export function startPolicyStatus({
  datastore,
  logger,
  clock = systemClock,
}: PolicyStatusOptions): PolicyStatus {
  const policies = new Map<string, Known>();
  const tiers = new Set(standardTiers.map(({ name }) => name));
  const writer = new ConditionWriter({ datastore, logger, clock, type: conditionType });

  const say = (key: string, { kind, policy, tier, problems }: Known): void => {
    const isLost = !tiers.has(tier);
    const all = [...(isLost ? [`tier ${tier || '""'} does not exist`] : []), ...problems];
    if (all.length > 0)
      writer.set(key, kind, policy, {
        status: 'False',
        reason: isLost ? 'TierMissing' : 'NotUnderstood',
        message: `${all.join('; ')}. It denies all that it is for.`,
      });
    else if (conditionOf(policy, conditionType) === undefined) writer.delete(key);
    else
      writer.set(key, kind, policy, {
        status: 'True',
        reason: 'Enforced',
        message: 'The policy is enforced as it is written.',
      });
  };
  const ofTier = (name: string): void => {
    for (const [key, known] of policies) if (known.tier === name) say(key, known);
  };

  const syncer = startSyncer<PolicyKind | 'Tier'>(datastore, {
    kinds: ['Tier', 'NetworkPolicy', 'GlobalNetworkPolicy'],
    logger,
    onUpdates: (updates) => {
      for (const update of updates) {
        if (update.type === 'status') {
          if (update.status === 'in-sync') writer.open();
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
          writer.delete(key);
          continue;
        }
        const compiled = compilePolicy(update.object);
        if (compiled === undefined) continue;
        const { tier, problems } = compiled;
        const known: Known = { kind: update.kind, policy: update.object, tier, problems };
        policies.set(key, known);
        say(key, known);
      }
    },
  });
  return {
    stop: async () => {
      await Promise.all([syncer.stop(), writer.stop()]);
    },
  };
}
