// `label` and `annotate`: sets and removes single labels or annotations of one resource (CT-015).
import type { Command } from '../types.ts';
import { getResource, inNamespace, replaceResource } from './actions.ts';
import { loadFailure, namespaceFlag, resourcesOf } from './execute.ts';
import type { Metadata } from './input/resources.ts';
import { type CliError, done, fail, isSet, printLine, verb, withDatastore } from './program.ts';
import { ok, type Result } from '../../lib/result.ts';

type Subject = {
  readonly verb: 'label' | 'annotate';
  readonly noun: 'label' | 'annotation';
  readonly field: 'labels' | 'annotations';
};
type Change = { readonly key: string; readonly value?: string };
type Done = Change & { readonly replaced: boolean };

const attempts = 5;

const commandFor = (subject: Subject): Command =>
  verb(
    {
      name: subject.verb,
      summary: `Set or remove ${subject.noun}s of a resource.`,
      arguments: '<kind> <name> <changes...>',
      flags: [
        namespaceFlag,
        { flags: '--overwrite', description: `replace the value when the ${subject.noun} exists` },
        { flags: '--remove', description: `remove the ${subject.noun} whose key is given; also key-` },
      ],
      examples: [
        `${subject.verb} node node1 rack=r1`,
        `${subject.verb} node node1 rack=r2 --overwrite`,
        `${subject.verb} node node1 rack --remove`,
      ],
    },
    async ({ flags, args }) => {
      const [kind = '', name = '', ...texts] = args;
      const changes: Change[] = [];
      for (const text of texts) {
        const change = changeOf(text, isSet(flags, 'remove'));
        if (change === undefined) return fail(`invalid ${subject.noun} ${text}`);
        changes.push(change);
      }
      if (isSet(flags, 'remove') && isSet(flags, 'overwrite'))
        return fail('--remove and --overwrite cannot be used together');
      const loaded = await resourcesOf({}, [kind, name]);
      if (!loaded.ok) return loadFailure(loaded.error);
      const [target] = loaded.value;
      if (target === undefined) return fail(`${kind} ${name} not found`);
      const placed = inNamespace(target, flags);
      if (!placed.ok) return placed;
      return withDatastore(flags, async (store) => {
        for (let attempt = 1; ; attempt++) {
          const current = await getResource(store, placed.value);
          if (!current.ok) return fail(`failed to get ${kind} ${name}, error ${current.error.message}`);
          const changed = changedMetadata(
            current.value.metadata,
            subject,
            changes,
            isSet(flags, 'overwrite'),
            `${kind} ${name}`,
          );
          if (!changed.ok) return changed;
          const object = { ...current.value, metadata: changed.value.metadata };
          const written = await replaceResource(store, { ...placed.value, object }, 'patch');
          if (written.ok) {
            for (const one of changed.value.done) printLine(outcomeText(one, subject, `${kind} ${name}`));
            return done;
          }
          if (attempt >= attempts || !written.error.message.startsWith('update conflict'))
            return fail(
              `failed to update ${kind} ${name}, ${subject.noun} not changed: ${written.error.message}`,
            );
        }
      });
    },
  );

/** `key=value`, `key-`, or `key` with --remove. */
function changeOf(text: string, remove: boolean): Change | undefined {
  if (remove) return text === '' || text.includes('=') ? undefined : { key: text };
  if (text.endsWith('-') && !text.includes('=')) return { key: text.slice(0, -1) };
  const at = text.indexOf('=');
  return at <= 0 ? undefined : { key: text.slice(0, at), value: text.slice(at + 1) };
}

function changedMetadata(
  metadata: Metadata,
  { verb: word, noun, field }: Subject,
  changes: readonly Change[],
  overwrite: boolean,
  what: string,
): Result<{ readonly metadata: Metadata; readonly done: readonly Done[] }, CliError> {
  const map: Record<string, string> = { ...metadata[field] };
  const outcome: Done[] = [];
  for (const change of changes) {
    const before = map[change.key];
    if (change.value === undefined) {
      if (before === undefined)
        return fail(`cannot remove ${noun} of ${what}, key ${change.key} does not exist`);
      delete map[change.key];
    } else {
      if (before !== undefined && before !== change.value && !overwrite)
        return fail(
          `failed to update ${noun} of ${what}, key ${change.key} is already present. please use '--overwrite' to set a new value.`,
        );
      if (word === 'label' && change.value.includes('='))
        return fail(`invalid label ${change.key}=${change.value}`);
      map[change.key] = change.value;
    }
    outcome.push({ ...change, replaced: before !== undefined });
  }
  return ok({ metadata: { ...metadata, [field]: map }, done: outcome });
}

function outcomeText({ key, value, replaced }: Done, { noun }: Subject, what: string): string {
  if (value === undefined) return `Successfully removed ${noun} ${key} from ${what}`;
  return replaced
    ? `Successfully updated ${noun} ${key} on ${what}`
    : `Successfully set ${noun} ${key} on ${what}`;
}

export const label = { command: commandFor({ verb: 'label', noun: 'label', field: 'labels' }) };
export const annotate = {
  command: commandFor({ verb: 'annotate', noun: 'annotation', field: 'annotations' }),
};
