// What every verb shares: the name it was called by, its flags, how it fails, and the datastore it works on.
import { basename } from 'node:path';
import type { Datastore } from '../../datastore/mod.ts';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import type { Command } from '../types.ts';

export type CliError = Failure;

/** `margay`, `calicoctl`, or `kubectl calico` when this is the plug-in `kubectl-calico`. */
export function programName(path: string = process.argv[1] ?? ''): string {
  const name = basename(path).replace(/\.(js|ts|mjs|exe)$/, '');
  if (name === 'kubectl-calico') return 'kubectl calico';
  return name === 'calicoctl' ? name : 'margay';
}

export type FlagSpec = {
  /** As commander writes it: `-o, --output <format>`. */
  readonly flags: string;
  readonly description: string;
  readonly default?: string | boolean;
  /** May be given again and again; the value is a list. */
  readonly repeatable?: boolean;
};
export type VerbSpec = {
  /** As typed: `get`, `ipam show`. */
  readonly name: string;
  readonly summary: string;
  /** `<kind> [names...]`, as commander writes it. */
  readonly arguments?: string;
  readonly flags: readonly FlagSpec[];
  readonly examples?: readonly string[];
  readonly notes?: string;
};
export type Flags = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
export type Invocation = { readonly flags: Flags; readonly args: readonly string[] };

const commonFlags: readonly FlagSpec[] = [
  {
    flags: '-c, --config <file>',
    description: 'where the datastore is; by default /etc/calico/calicoctl.cfg, then the environment',
  },
  { flags: '--context <name>', description: 'the context of the kubeconfig to use' },
  {
    flags: '--allow-version-mismatch',
    description: 'accepted for old habits: servers of other versions are served without it',
  },
  {
    flags: '-l, --log-level <level>',
    description:
      'panic (when absent), fatal, error, warn, info or debug; what is said goes to standard error',
  },
];

/** Parses the arguments of a verb. A number is the exit code of what was answered here: help, or a refusal. */
async function parseFlags(spec: VerbSpec, argv: readonly string[]): Promise<Invocation | number> {
  const { Command: Parser, CommanderError, Option } = await import('commander');
  const parser = new Parser(`${programName()} ${spec.name}`).description(spec.summary);
  if (spec.arguments !== undefined) parser.arguments(spec.arguments);
  else parser.allowExcessArguments(false);
  for (const flag of [...spec.flags, ...commonFlags]) {
    const option = new Option(flag.flags, flag.description);
    if (flag.default !== undefined) option.default(flag.default);
    if (flag.repeatable)
      option.argParser((value: string, before: readonly string[] | undefined) => [...(before ?? []), value]);
    parser.addOption(option);
  }
  const examples = (spec.examples ?? []).map((line) => `  ${programName()} ${line}`);
  if (examples.length > 0) parser.addHelpText('after', `\nExamples:\n${examples.join('\n')}`);
  if (spec.notes !== undefined) parser.addHelpText('after', `\n${spec.notes}`);
  let refusal = '';
  parser.exitOverride().configureOutput({
    writeErr: (text) => (refusal += text),
    writeOut: (text) => process.stdout.write(text),
  });
  try {
    parser.parse([...argv], { from: 'user' });
  } catch (cause) {
    if (!(cause instanceof CommanderError)) throw cause;
    if (cause.exitCode === 0) return 0;
    const why = refusal.replace(/^error: /, '').trim();
    process.stderr.write(
      `Invalid option: '${[programName(), spec.name, ...argv].join(' ')}'. Use flag '--help' to read about a specific subcommand.\n${why}\n`,
    );
    return 1;
  }
  return { flags: parser.opts<Flags>(), args: parser.args };
}

/** A verb as a command: parses its flags, runs it, prints its failure on standard error and gives 1 for it. */
export function verb(
  spec: VerbSpec,
  run: (invocation: Invocation) => Promise<Result<void, CliError>>,
): Command {
  return {
    name: spec.name,
    summary: spec.summary,
    async run(argv) {
      // Whoever reads may stop reading: `calicoctl get … | head`.
      process.stdout.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EPIPE') process.exit(0);
        throw error;
      });
      const invocation = await parseFlags(spec, argv);
      if (typeof invocation === 'number') return invocation;
      const level = logLevel(invocation.flags);
      const ended = level.ok ? await run(invocation) : level;
      if (ended.ok) return 0;
      process.stderr.write(`${failureText(ended.error)}\n`);
      return 1;
    },
  };
}

/** The hint is a sentence of its own. */
function failureText({ message, hint }: CliError): string {
  if (hint === undefined) return message;
  return `${message}${/[.!?:\]]$/.test(message) ? '' : '.'} ${hint}`;
}

const logLevels = ['panic', 'fatal', 'error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Of the flag; `warning` is a word for warn. */
function logLevel(flags: Flags): Result<LogLevel, CliError> {
  const given = (textFlag(flags, 'logLevel') ?? 'panic').toLowerCase().replace(/^warning$/, 'warn');
  const level = logLevels.find((one) => one === given);
  return level === undefined
    ? fail(`Unknown log level: ${textFlag(flags, 'logLevel')}, expected one of: ${logLevels.join(', ')}.`)
    : ok(level);
}

export const textFlag = (flags: Flags, name: string): string | undefined => {
  const value = flags[name];
  return typeof value === 'string' ? value : undefined;
};
export const isSet = (flags: Flags, name: string): boolean => flags[name] === true;
export const listFlag = (flags: Flags, name: string): readonly string[] => {
  const value = flags[name];
  return Array.isArray(value) ? (value as readonly string[]) : typeof value === 'string' ? [value] : [];
};

export const fail = (message: string, hint?: string): Result<never, CliError> =>
  err(failure('Failed', message, hint));

export const print = (text: string): void => {
  process.stdout.write(text);
};
export const printLine = (text = ''): void => print(`${text}\n`);
export const warn = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

/** Opens the datastore that file, environment and flags name, and closes it after the work. */
export async function withDatastore<T>(
  flags: Flags,
  work: (store: Datastore) => Promise<Result<T, CliError>>,
): Promise<Result<T, CliError>> {
  const [{ datastoreSettings }, { openDatastore }] = await Promise.all([
    import('./settings.ts'),
    import('../../datastore/mod.ts'),
  ]);
  const settings = await datastoreSettings(textFlag(flags, 'config'), textFlag(flags, 'context'));
  if (!settings.ok) return settings;
  const level = logLevel(flags);
  const isDebug = level.ok && level.value === 'debug';
  const logging = isDebug || (level.ok && level.value === 'info') ? await import('./logging.ts') : undefined;
  logging?.logSettings(settings.value);
  const opened = await openDatastore({
    ...settings.value,
    onWarning: (text) => warn(`Warning: ${text}`),
  });
  if (!opened.ok)
    return fail(`Failed to create Calico API client: ${opened.error.message}`, opened.error.hint);
  try {
    return await work(isDebug && logging !== undefined ? logging.logged(opened.value) : opened.value);
  } finally {
    await opened.value.close();
  }
}

export const done: Result<void, CliError> = ok(undefined);
