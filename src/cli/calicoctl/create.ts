// `create`: resources that must not exist yet (CT-010).
import { createResource } from './actions.ts';
import { fileFlags, namespaceFlag, runOnResources } from './execute.ts';
import { verb } from './program.ts';

export const command = verb(
  {
    name: 'create',
    summary: 'Create resources of a file, a directory or standard input.',
    flags: [
      ...fileFlags,
      namespaceFlag,
      { flags: '--skip-exists', description: 'resources that exist already are no error' },
    ],
    examples: ['create -f ./policy.yaml', 'create -f - < policy.json'],
  },
  ({ flags, args }) => runOnResources(flags, args, { infinitive: 'create', past: 'created' }, createResource),
);
