// `delete`: resources of a file, or of a kind by name (CT-011).
import { deleteResource } from './actions.ts';
import { fileFlags, namespaceFlag, runOnResources } from './execute.ts';
import { fail, textFlag, verb } from './program.ts';

export const command = verb(
  {
    name: 'delete',
    summary: 'Delete resources by kind and name, or those of a file, a directory or standard input.',
    arguments: '[kind] [names...]',
    flags: [
      ...fileFlags,
      namespaceFlag,
      { flags: '-s, --skip-not-exists', description: 'resources that do not exist are no error' },
    ],
    examples: ['delete ippool pool1 pool2', 'delete networkpolicy web -n shop', 'delete -f ./policy.yaml'],
  },
  ({ flags, args }) =>
    textFlag(flags, 'filename') === undefined && args.length < 2 && !args[0]?.includes('/')
      ? Promise.resolve(fail('delete needs a kind and at least one name, or a file with -f'))
      : runOnResources(flags, args, { infinitive: 'delete', past: 'deleted' }, deleteResource),
);
