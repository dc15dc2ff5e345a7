// `policy confirm`: keeps what is on trial, all of it or what is named. That it gets through shows that the change leaves the
// way open.
import type { Datastore } from '../../datastore/mod.ts';
import { ok, type Result } from '../../lib/result.ts';
import { trialAnnotation, trialKinds, trialOf, type TrialKind } from '../../controllers/mod.ts';
import type { ResourceOf } from '../../model/mod.ts';
import { type CliError, done, fail, printLine, verb, withDatastore } from '../calicoctl/program.ts';

export const command = verb(
  {
    name: 'policy confirm',
    summary: 'Keep what is on trial: all of it, or what is named.',
    arguments: '[names...]',
    flags: [],
    examples: ['policy confirm', 'policy confirm deny-all'],
  },
  async ({ flags, args }) => {
    const names = new Set(args);
    const kept = await withDatastore(flags, async (store) => confirmAll(store, names));
    if (!kept.ok) return kept;
    const missing = names.size === 0 && kept.value.size === 0 ? [''] : [...names.difference(kept.value)];
    if (missing.length > 0)
      return fail(
        missing[0] === '' ? 'nothing is on trial' : `${missing.join(', ')}: not on trial`,
        'It may have been taken back: nobody confirmed in time.',
      );
    return done;
  },
);

/** Names of those that were on trial. A patch takes the mark away: a whole resource without it may be an old one. */
async function confirmAll(
  store: Datastore,
  names: ReadonlySet<string>,
): Promise<Result<ReadonlySet<string>, CliError>> {
  const kept = new Set<string>();
  for (const kind of trialKinds) {
    const listed = await store.list(kind);
    if (!listed.ok) return listed;
    for (const one of listed.value.items as readonly ResourceOf<TrialKind>[]) {
      const { name, namespace } = one.metadata;
      const trial = trialOf(one);
      if (trial === undefined || (names.size > 0 && !names.has(name))) continue;
      const shown = `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
      if (Date.parse(trial.until) <= Date.now())
        return fail(`${shown} is taken back already: it was confirmed too late`);
      const body = { metadata: { annotations: { [trialAnnotation]: null } } };
      const place = { name, ...(namespace === undefined ? {} : { namespace }) };
      const patched = await store.patch(kind, place, { type: 'merge', body });
      if (!patched.ok) return patched;
      printLine(`${shown} is ${trial.deletes ? 'gone' : 'kept'}`);
      kept.add(name);
    }
  }
  return ok(kept);
}
