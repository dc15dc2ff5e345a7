// Which module answers which suite. Modules are loaded when their first case comes.
import { unsupported, type Suite } from './types.ts';

const suites: Readonly<Record<string, () => Promise<Suite>>> = {
  selector: async () => (await import('./suites/selector.ts')).answer,
  'validator-v3': async () => (await import('./suites/validator.ts')).answer,
  'k8s-conversion': async () => (await import('./suites/conversion.ts')).answer,
  numorstring: async () => (await import('./suites/values.ts')).answerNumOrString,
  names: async () => (await import('./suites/values.ts')).answerNames,
  'ip-math': async () => (await import('./suites/values.ts')).answerIpMath,
  encapsulation: async () => (await import('./suites/felix.ts')).answerEncapsulation,
  'felix-config': async () => (await import('./suites/felix.ts')).answerConfiguration,
  'node-startup': async () => (await import('./suites/felix.ts')).answerStartupCase,
  ipam: async () => (await import('./suites/ipam.ts')).answer,
  'policy-eval': async () => (await import('./suites/policy.ts')).answerEvaluation,
  'policy-scenarios': async () => (await import('./suites/policy-scenarios.ts')).answer,
  'rule-render': async () => (await import('./suites/rule-render.ts')).answer,
  'l7-match': async () => (await import('./suites/policy.ts')).answerHttp,
  'calc-graph': async () => (await import('./suites/calc.ts')).answer,
  'calc-graph-sequences': async () => (await import('./suites/calc.ts')).answerSequence,
  'bgp-messages': async () => (await import('./suites/bgp-messages.ts')).answer,
  'bgp-messages-bird': async () => (await import('./suites/bgp-messages.ts')).answer,
  'bgp-error-behaviour': async () => (await import('./suites/bgp-errors.ts')).answer,
  'confd-bgp': async () => (await import('./suites/bgp.ts')).answer,
};

/** Suites that are answered at all. */
export const knownSuites: readonly string[] = Object.keys(suites);

/** The answer to a case; an exception of the module under test is an answer too. */
export async function answer(suite: string, input: unknown): Promise<unknown> {
  const load = suites[suite];
  if (load === undefined) return unsupported;
  const respond = await load();
  try {
    return (await respond(input as never)) ?? unsupported;
  } catch (error) {
    return { valid: false, error: error instanceof Error ? error.message : String(error) };
  }
}
