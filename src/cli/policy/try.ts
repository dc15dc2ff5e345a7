// `policy try`: applies resources on trial. Unless `policy confirm` follows in time every node goes back to what was before,
// by itself: a change that cuts off whoever makes it is taken back.
import type { Datastore } from '../../datastore/mod.ts';
import { ok, type Result } from '../../lib/result.ts';
import { isTrialKind, onTrial, type TrialKind } from '../../controllers/mod.ts';
import type { ResourceOf } from '../../model/mod.ts';
import { applyResource, idOf, nameOf } from '../calicoctl/actions.ts';
import { fileFlags, namespaceFlag, resourcesOf } from '../calicoctl/execute.ts';
import type { Loaded } from '../calicoctl/input/resources.ts';
import { inNamespace } from '../calicoctl/actions.ts';
import { type CliError, done, fail, printLine, textFlag, verb, withDatastore } from '../calicoctl/program.ts';

const defaultWithin = '1m';
const unitsMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 };
const shortestMs = 5_000;

export const command = verb(
  {
    name: 'policy try',
    summary:
      'Apply policies, network sets and host endpoints on trial: without `policy confirm` in time, nodes go back to what was before.',
    flags: [
      ...fileFlags,
      namespaceFlag,
      {
        flags: '--within <time>',
        description: 'how long to wait for the confirmation: 90s, 5m',
        default: defaultWithin,
      },
    ],
    examples: ['policy try -f hosts.yaml --within 2m', 'policy confirm'],
  },
  async ({ flags, args }) => {
    const within = textFlag(flags, 'within') ?? defaultWithin;
    const lastsMs = durationMs(within);
    if (lastsMs === undefined)
      return fail(`"${within}" is no time to wait for`, `Say 90s, 5m or 1h, at least ${shortestMs / 1000}s.`);
    const loaded = await resourcesOf(flags, args);
    if (!loaded.ok) return loaded;
    const other = loaded.value.find(({ object }) => !isTrialKind(object.kind));
    if (other !== undefined)
      return fail(
        `${other.object.kind} cannot be on trial`,
        'Policies, network sets and host endpoints can.',
      );
    const tried = await withDatastore(flags, async (store): Promise<Result<void, CliError>> => {
      for (const one of loaded.value) {
        const named = inNamespace(one, flags);
        if (!named.ok) return named;
        const put = await putOnTrial(store, { ...one, object: named.value.object }, lastsMs);
        if (!put.ok) return put;
      }
      return done;
    });
    if (!tried.ok) return tried;
    printLine(`On trial for ${within}. Keep it with: margay policy confirm`);
    return done;
  },
);

async function putOnTrial(
  store: Datastore,
  loaded: Loaded,
  lastsMs: number,
): Promise<Result<void, CliError>> {
  const kind = loaded.object.kind as TrialKind;
  const before = await store.get(kind, nameOf(loaded));
  if (!before.ok && before.error.code !== 'NotFound') return before;
  const after = onTrial(
    loaded.object as unknown as ResourceOf<TrialKind>,
    before.ok ? (before.value as ResourceOf<TrialKind>) : undefined,
    { untilMs: Date.now() + lastsMs, lastsMs },
  );
  const applied = await applyResource(store, { ...loaded, object: after as unknown as Loaded['object'] });
  if (!applied.ok) return applied;
  printLine(`${idOf(loaded)} is on trial`);
  return ok(undefined);
}

/** Undefined for what is no time, or too short a one. */
export function durationMs(text: string): number | undefined {
  const [, number, unit = ''] = /^(\d+)([smh])$/.exec(text) ?? [];
  const ms = number === undefined ? 0 : Number(number) * (unitsMs[unit] ?? 0);
  return ms >= shortestMs ? ms : undefined;
}
