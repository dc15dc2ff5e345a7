// The verbs that go through resources one after the other: what they work on, and how their outcome is told (CT-003, CT-013).
import type { Datastore } from '../../datastore/mod.ts';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import { type ActionError, inNamespace } from './actions.ts';
import { type Loaded, loadResources, type LoadError, type Resource } from './input/resources.ts';
import { kindOfWord } from './kinds.ts';
import { shapeProblemOf } from './problems.ts';
import { type CliError, fail, type Flags, isSet, printLine, textFlag, withDatastore } from './program.ts';

export const fileFlags = [
  {
    flags: '-f, --filename <file>',
    description: 'a file or directory of resources in YAML or JSON, or - for standard input',
  },
  { flags: '-R, --recursive', description: 'of a directory, read what is below it, too' },
  { flags: '--skip-empty', description: 'files and directories without resources are no error' },
] as const;
export const namespaceFlag = {
  flags: '-n, --namespace <namespace>',
  description: 'the namespace of resources that say none; "default" when absent',
};

export type Words = { readonly infinitive: string; readonly past: string };
export type Outcome = {
  /** Resources in all, and how many of them went well. */
  readonly total: number;
  readonly handled: readonly Resource[];
  readonly errors: readonly ActionError[];
  /** The one kind of all; absent when there are several. */
  readonly kind?: string;
};

/** Resources of `-f`, or of KIND and NAMEs. Files with fields that are none, or values of other types, are refused whole. */
export async function resourcesOf(
  flags: Flags,
  args: readonly string[],
  needsFile = false,
): Promise<Result<readonly Loaded[], LoadError>> {
  const file = textFlag(flags, 'filename');
  if (file === undefined && needsFile)
    return usage('give a file, a directory or - for standard input with -f');
  if (file === undefined) return resourcesOfArguments(args);
  if (args.length > 0) return usage('a kind and names cannot be given together with a file');
  const loaded = await loadResources(file, {
    recursive: isSet(flags, 'recursive'),
    skipEmpty: isSet(flags, 'skipEmpty'),
  });
  if (!loaded.ok) return loaded;
  for (const one of loaded.value) {
    const shape = shapeProblemOf(one);
    if (shape !== undefined) return err({ ...failure('BadFile', shape), unreadable: true });
  }
  return loaded;
}

const usage = (message: string): Result<never, LoadError> =>
  err({ ...failure('BadArguments', message), unreadable: false });

function resourcesOfArguments([word, ...names]: readonly string[]): Result<readonly Loaded[], LoadError> {
  if (word === undefined) return usage('give a file with -f, or a kind and names');
  // As kubectl has it: `ippool/default`.
  const [kindWord = '', ...nameInWord] = word.split('/');
  const definition = kindOfWord(kindWord);
  if (definition === undefined) return usage(`resource type '${kindWord}' is not supported`);
  const all = nameInWord.length > 0 ? [nameInWord.join('/'), ...names] : names;
  if (all.includes('')) return usage('resource name may not be empty');
  return ok(
    (all.length === 0 ? [''] : all).map((name) => ({
      definition,
      object: { apiVersion: definition.apiVersion, kind: definition.kind, metadata: { name } },
    })),
  );
}

export async function executeEach(
  store: Datastore,
  flags: Flags,
  resources: readonly Loaded[],
  action: (store: Datastore, loaded: Loaded) => Promise<Result<Resource, ActionError>>,
): Promise<Outcome> {
  const handled: Resource[] = [];
  const errors: ActionError[] = [];
  for (const loaded of resources) {
    const placed = inNamespace(loaded, flags);
    const result = placed.ok ? await action(store, placed.value) : placed;
    if (result.ok) handled.push(result.value);
    else if (isForgiven(result.error, flags)) handled.push(loaded.object);
    else errors.push(result.error);
  }
  const kinds = new Set(resources.map(({ object }) => object.kind));
  const [kind] = kinds;
  return {
    total: resources.length,
    handled,
    errors,
    ...(kinds.size === 1 && kind !== undefined ? { kind } : {}),
  };
}

const isForgiven = ({ kind }: ActionError, flags: Flags): boolean =>
  (kind === 'exists' && isSet(flags, 'skipExists')) || (kind === 'missing' && isSet(flags, 'skipNotExists'));

/** Of more errors only the number is told. */
const errorsShown = 50;

/** Says how it went, and fails when anything failed. */
export function report(words: Words, outcome: Outcome): Result<void, CliError> {
  const { total, handled, errors, kind } = outcome;
  const shown = errors.slice(0, errorsShown).map(({ message }) => message);
  const more = errors.length > shown.length ? ` and ${errors.length - shown.length} more` : '';
  const errorTexts = `[${shown.join(' ')}]${more}`;
  const resources = kind === undefined ? 'resources' : `'${kind}' resources`;
  if (errors.length === 0) {
    printLine(
      `Successfully ${words.past} ${handled.length} ${kind === undefined ? '' : `'${kind}' `}resource(s)`,
    );
    return ok(undefined);
  }
  if (handled.length === 0)
    return fail(
      total === 1
        ? `failed to ${words.infinitive} '${kind}' resource: ${errorTexts}`
        : `failed to ${words.infinitive} any ${resources}: ${errorTexts}`,
    );
  printLine(`Partial success: ${words.past} the first ${handled.length} out of ${total} ${resources}:`);
  return fail(`hit error: ${errorTexts}`);
}

/** Loads, executes and reports: the whole of create, apply, replace and delete. */
export async function runOnResources(
  flags: Flags,
  args: readonly string[],
  words: Words,
  action: (store: Datastore, loaded: Loaded) => Promise<Result<Resource, ActionError>>,
  after: (store: Datastore, outcome: Outcome) => Promise<void> = () => Promise.resolve(),
): Promise<Result<void, CliError>> {
  // Of kind and name alone only what is to be deleted can be told.
  const loaded = await resourcesOf(flags, args, words.infinitive !== 'delete');
  if (!loaded.ok) return loadFailure(loaded.error);
  if (loaded.value.length === 0) {
    printLine('No resources specified');
    return ok(undefined);
  }
  const resources = loaded.value;
  return withDatastore(flags, async (store) => {
    if (words.infinitive !== 'delete') {
      const { ensureInitialised } = await import('./initialise.ts');
      await ensureInitialised(store);
    }
    const outcome = await executeEach(store, flags, resources, action);
    const reported = report(words, outcome);
    await after(store, outcome);
    return reported;
  });
}

export const loadFailure = (error: LoadError): Result<never, CliError> =>
  fail(error.unreadable ? `failed to execute command: ${error.message}` : error.message);
