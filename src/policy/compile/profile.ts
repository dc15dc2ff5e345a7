// A profile resource as rules over address sets, and the labels it gives to its endpoints.
import type { Profile } from '../../model/mod.ts';
import type { Rule, SetDefinition } from '../types.ts';
import { compileRule, type SetCollection } from './rule.ts';

export type CompiledProfile = {
  readonly name: string;
  readonly ingress: readonly Rule[];
  readonly egress: readonly Rule[];
  readonly labels: Readonly<Record<string, string>>;
  readonly sets: readonly SetDefinition[];
  readonly problems: readonly string[];
};

export function compileProfile({ metadata, spec }: Profile): CompiledProfile {
  const sets: SetCollection = new Map();
  const ingress = (spec?.ingress ?? []).map((rule) => compileRule(rule, undefined, sets));
  const egress = (spec?.egress ?? []).map((rule) => compileRule(rule, undefined, sets));
  const problems = Object.entries({ ingress, egress }).flatMap(([direction, rules]) =>
    rules.flatMap(({ unresolved }, i) =>
      unresolved === undefined
        ? []
        : [`spec.${direction}[${i}] cannot be resolved: ${unresolved.join('; ')}`],
    ),
  );
  const labels = spec?.labelsToApply ?? {};
  return { name: metadata.name, ingress, egress, labels, sets: [...sets.values()], problems };
}

/** Stands for a profile that does not exist: it denies everything (RS-084). */
export function missingProfile(name: string): CompiledProfile {
  const rules: readonly Rule[] = [
    { action: 'deny', source: {}, destination: {}, unresolved: [`profile ${name} does not exist`] },
  ];
  return { name, ingress: rules, egress: rules, labels: {}, sets: [], problems: [] };
}

/** Allows everything both ways; automatic host endpoints have it (RS-083). */
export const allowProfile: CompiledProfile = {
  name: 'projectcalico-default-allow',
  ingress: [{ action: 'allow', source: {}, destination: {} }],
  egress: [{ action: 'allow', source: {}, destination: {} }],
  labels: {},
  sets: [],
  problems: [],
};
