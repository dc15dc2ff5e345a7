// `apply`: creates what does not exist and replaces what does (CT-011). Of policies it says whom they are for now.
import { applyResource } from './actions.ts';
import { fileFlags, namespaceFlag, runOnResources } from './execute.ts';
import { verb } from './program.ts';

export const command = verb(
  {
    name: 'apply',
    summary: 'Create or replace resources of a file, a directory or standard input.',
    flags: [...fileFlags, namespaceFlag],
    examples: ['apply -f ./pool.yaml', 'apply -f -', 'apply -R -f ./cluster'],
  },
  ({ flags, args }) =>
    runOnResources(
      flags,
      args,
      { infinitive: 'apply', past: 'applied' },
      applyResource,
      async (store, { handled }) => {
        const { tellSelections } = await import('./selections.ts');
        await tellSelections(store, handled);
      },
    ),
);
