// `datastore migrate-policy-names`: policies of etcd datastores that are older than Calico 3.32 take their own names (CT-050).
import { asEtcd } from '../../../datastore/mod.ts';
import { ok } from '../../../lib/result.ts';
import { fail, printLine, verb, warn, withDatastore } from '../program.ts';

export const command = verb(
  {
    name: 'datastore migrate-policy-names',
    summary: 'Store policies of the tier "default" under their own names, without the prefix "default.".',
    flags: [],
    notes:
      'Only etcdv3 datastores that were made before Calico 3.32 need it. It may be run again at any time; versions before 3.32 do not find the policies afterwards.',
  },
  ({ flags }) =>
    withDatastore(flags, async (store) => {
      const etcd = await asEtcd(store);
      if (etcd === undefined)
        return fail(
          'only an etcdv3 datastore has policies under old names; with Kubernetes they have their names already',
        );
      const renamed = await etcd.renameOldPolicies();
      if (!renamed.ok) return fail(renamed.error.message, renamed.error.hint);
      for (const key of renamed.value.taken)
        warn(`Left as it is, because another policy has its name: ${key}`);
      printLine(`Policy name migration complete, migrated ${renamed.value.moved} policies.`);
      return ok(undefined);
    }),
);
