// What the policy commands share: their flags, the world they look at, the format of their answers.
import { ok, type Result } from '../../lib/result.ts';
import { buildWorld, withStaged, type World, type WorldResource } from '../../policy/mod.ts';
import {
  fail,
  type FlagSpec,
  type Flags,
  isSet,
  listFlag,
  print,
  printLine,
  textFlag,
  verb,
  type VerbSpec,
  warn,
  withDatastore,
  type CliError,
} from '../calicoctl/program.ts';
import type { Command } from '../types.ts';
import type { FoundHits } from './hits.ts';
import { merged, resourcesOfCluster, resourcesOfFiles } from './resources.ts';

export const sourceFlags: readonly FlagSpec[] = [
  {
    flags: '-f, --filename <file>',
    description:
      'resources of a file or directory, or - for standard input, instead of the cluster; may be repeated',
    repeatable: true,
  },
  { flags: '-R, --recursive', description: 'of a directory, read what is below it, too' },
  {
    flags: '--cluster',
    description: "with -f: the cluster's resources, too; those of the files take the place of equals",
  },
  { flags: '--staged', description: 'as if all staged policies were in force' },
  {
    flags: '-n, --namespace <namespace>',
    description: 'the namespace of names that say none',
    default: 'default',
  },
];
export const outputFlag: FlagSpec = {
  flags: '-o, --output <format>',
  description: 'text, json or yaml',
  default: 'text',
};

/** The world that the flags name: files, the cluster, or the files in the cluster. */
export async function worldOf(flags: Flags): Promise<Result<World, CliError>> {
  const resources = await worldResources(flags);
  if (!resources.ok) return resources;
  const world = buildWorld(resources.value);
  return ok(isSet(flags, 'staged') ? withStaged(world) : world);
}

async function worldResources(flags: Flags): Promise<Result<readonly WorldResource[], CliError>> {
  const names = listFlag(flags, 'filename');
  const namespace = textFlag(flags, 'namespace') ?? 'default';
  const files = await resourcesOfFiles(names, { recursive: isSet(flags, 'recursive'), namespace });
  if (!files.ok) return files;
  if (files.value.passedOver.length > 0)
    warn(`Passed over, as they say nothing about policy: ${files.value.passedOver.join(', ')}`);
  if (names.length > 0 && !isSet(flags, 'cluster')) return ok(merged([], files.value.resources));
  const cluster = await withDatastore(flags, resourcesOfCluster);
  return cluster.ok ? ok(merged(cluster.value, files.value.resources)) : cluster;
}

/** Prints data, or its text. */
export async function answer(
  flags: Flags,
  data: unknown,
  text: () => readonly string[],
): Promise<Result<void, CliError>> {
  const format = textFlag(flags, 'output') ?? 'text';
  if (format === 'json') printLine(JSON.stringify(data, undefined, 2));
  else if (format === 'yaml') print(await (await import('../calicoctl/output/print.ts')).yamlText(data));
  else if (format === 'text') for (const line of text()) printLine(line);
  else return fail(`unrecognized output format '${format}'`, 'Use text, json or yaml.');
  return ok(undefined);
}

/** Said below an answer without hit counts. */
export const hitsLine = ({ counts, reason }: FoundHits): readonly string[] =>
  counts === undefined ? [`Hit counts are ${reason}.`] : [];

/** The answer about a packet. */
export type Judged = {
  readonly action: 'allow' | 'deny';
  readonly data: unknown;
  readonly lines: readonly string[];
};

/** A verb whose exit code is the verdict: 0 allowed, 1 denied, 2 it cannot be said. */
export function judging(spec: VerbSpec, judge: (flags: Flags) => Promise<Result<Judged, CliError>>): Command {
  return {
    name: spec.name,
    summary: spec.summary,
    async run(argv) {
      let isAllowed = true;
      const asked = verb(spec, async ({ flags }) => {
        const judged = await judge(flags);
        if (!judged.ok) return judged;
        isAllowed = judged.value.action === 'allow';
        return answer(flags, judged.value.data, () => judged.value.lines);
      });
      const code = await asked.run(argv);
      return code === 0 ? (isAllowed ? 0 : 1) : 2;
    },
  };
}
