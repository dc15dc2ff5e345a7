// Tiers, and the order of tiers and policies: by their order, then by name, so that nothing depends on when something was
// created (SR-177).
import { builtInTiers, type Tier } from '../../model/mod.ts';
import type { CompiledPolicy } from './policy.ts';

export type CompiledTier = {
  readonly name: string;
  /** Infinity when the resource has none. */
  readonly order: number;
  readonly defaultAction: 'deny' | 'pass';
};

export function compileTier({ metadata: { name }, spec }: Tier): CompiledTier {
  const fixed = Object.hasOwn(builtInTiers, name) ? builtInTiers[name] : undefined;
  const action = fixed?.defaultAction ?? spec?.defaultAction ?? 'Deny';
  return {
    name,
    order: fixed?.order ?? spec?.order ?? Number.POSITIVE_INFINITY,
    // Whatever is not the word Pass does not open the tier.
    defaultAction: action === 'Pass' ? 'pass' : 'deny',
  };
}

/** Tiers that exist without a resource. */
export const standardTiers: readonly CompiledTier[] = Object.entries(builtInTiers).map(
  ([name, { order, defaultAction }]) => ({
    name,
    order,
    defaultAction: defaultAction === 'Pass' ? 'pass' : 'deny',
  }),
);

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
/** Infinity minus infinity is no number. */
const compareOrder = (a: number, b: number): number => (a === b ? 0 : a < b ? -1 : 1);

export const compareTiers = (a: CompiledTier, b: CompiledTier): number =>
  compareOrder(a.order, b.order) || compareText(a.name, b.name);

export const comparePolicies = (a: CompiledPolicy, b: CompiledPolicy): number =>
  compareOrder(a.order, b.order) ||
  compareText(a.id.name, b.id.name) ||
  compareText(a.id.kind, b.id.kind) ||
  compareText(a.id.namespace ?? '', b.id.namespace ?? '');
