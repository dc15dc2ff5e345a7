// `replace`: resources that must exist (CT-011).
import { replaceResource } from './actions.ts';
import { fileFlags, namespaceFlag, runOnResources } from './execute.ts';
import { verb } from './program.ts';

export const command = verb(
  {
    name: 'replace',
    summary: 'Replace resources by those of a file, a directory or standard input.',
    flags: [...fileFlags, namespaceFlag],
    examples: ['replace -f ./policy.yaml'],
    notes: 'A resource with a resourceVersion is only replaced while that is still the stored one.',
  },
  ({ flags, args }) =>
    runOnResources(flags, args, { infinitive: 'replace', past: 'replaced' }, (store, loaded) =>
      replaceResource(store, loaded),
    ),
);
