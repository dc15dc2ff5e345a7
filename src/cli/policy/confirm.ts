// `policy confirm`: keeps what is on trial. That it gets through shows that the change leaves the way open.
import type { Datastore } from '../../datastore/mod.ts';
import type { Result } from '../../lib/result.ts';
import { confirmed, trialKinds, trialOf, type TrialKind } from '../../controllers/mod.ts';
import type { ResourceOf } from '../../model/mod.ts';
import { type CliError, done, fail, printLine, verb, withDatastore } from '../calicoctl/program.ts';

export const command = verb(
  {
    name: 'policy confirm',
    summary: 'Keep all that is on trial.',
    flags: [],
    examples: ['policy confirm'],
  },
  async ({ flags }) => {
    const kept = await withDatastore(flags, async (store) => confirmAll(store));
    if (!kept.ok) return kept;
    if (kept.value === 0)
      return fail('nothing is on trial', 'It may have been taken back: nobody confirmed in time.');
    return done;
  },
);

/** How many were on trial. */
async function confirmAll(store: Datastore): Promise<Result<number, CliError>> {
  let count = 0;
  for (const kind of trialKinds) {
    const listed = await store.list(kind);
    if (!listed.ok) return listed;
    for (const one of listed.value.items as readonly ResourceOf<TrialKind>[]) {
      const trial = trialOf(one);
      if (trial === undefined) continue;
      const { name, namespace } = one.metadata;
      const shown = `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
      if (Date.parse(trial.until) <= Date.now())
        return fail(`${shown} is taken back already: it was confirmed too late`);
      const updated = await store.update(kind, confirmed(one) as never);
      if (!updated.ok) return updated;
      printLine(`${shown} is kept`);
      count++;
    }
  }
  return { ok: true, value: count };
}
