// `validate`: what is wrong with resources, without any datastore.
import { ok } from '../../lib/result.ts';
import { type ActionError, prepared } from './actions.ts';
import { fileFlags, loadFailure, report, resourcesOf } from './execute.ts';
import type { Resource } from './input/resources.ts';
import { printLine, verb } from './program.ts';

export const command = verb(
  {
    name: 'validate',
    summary: 'Check resources of a file, a directory or standard input; no datastore is asked.',
    flags: [...fileFlags],
    examples: ['validate -f ./policy.yaml', 'validate -R -f ./cluster'],
  },
  async ({ flags, args }) => {
    const loaded = await resourcesOf(flags, args, true);
    if (!loaded.ok) return loadFailure(loaded.error);
    if (loaded.value.length === 0) {
      printLine('No resources specified');
      return ok(undefined);
    }
    const handled: Resource[] = [];
    const errors: ActionError[] = [];
    for (const one of loaded.value) {
      const result = prepared(one);
      if (result.ok) handled.push(result.value);
      else errors.push(result.error);
    }
    const kinds = new Set(loaded.value.map(({ object }) => object.kind));
    const [kind] = kinds;
    const single = kinds.size === 1 && kind !== undefined ? { kind } : {};
    return report(
      { infinitive: 'validate', past: 'validated' },
      { total: loaded.value.length, handled, errors, ...single },
    );
  },
);
