// `margay policy`: who and whom, and what a policy would do. `margay pods of POLICY` is the same as `margay policy pods`.
import { group } from '../calicoctl/group.ts';

export const policy = group('policy', 'what policy does, and to whom', [
  { name: 'of', summary: 'the policies of a pod or host endpoint, in order', load: () => import('./of.ts') },
  {
    name: 'pods',
    summary: 'the pods of a policy, and what its rules mean',
    load: async () => ({ command: (await import('./pods.ts')).underPolicy }),
  },
  {
    name: 'unused',
    summary: 'policies that select nobody, rules that nothing meets',
    load: () => import('./unused.ts'),
  },
  {
    name: 'test',
    summary: 'will A reach B on port P, and why; by files or by the cluster',
    load: () => import('./test.ts'),
  },
  {
    name: 'try',
    summary: 'apply on trial: without confirmation in time, every node goes back by itself',
    load: () => import('./try.ts'),
  },
  { name: 'confirm', summary: 'keep what is on trial', load: () => import('./confirm.ts') },
]);

export const pods = group('pods', 'pods of policies', [
  { name: 'of', summary: 'the pods of a policy, and what its rules mean', load: () => import('./pods.ts') },
]);
