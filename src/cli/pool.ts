// `margay pool`: work on IP pools that is more than an edit.
import { group } from './calicoctl/group.ts';

export const command = group('pool', 'changes of IP pools of a running cluster', [
  {
    name: 'migrate',
    summary: 'another encapsulation for a pool: planned, in steps, resumed or taken back',
    load: () => import('./pool/migrate.ts'),
  },
]);
