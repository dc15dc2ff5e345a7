// Images of the lab: a name stands for a program that is built in. There is no registry and nothing is downloaded. Any
// image is the HTTP server unless its name is known for something else.
import { err, failure, ok, type Failure, type Result } from '../lib/result.ts';

export type ProgramName = 'http-server' | 'sleep' | 'exit';
export type Program = { readonly name: ProgramName; readonly args: readonly string[] };

export const programs: Readonly<Record<ProgramName, string>> = {
  'http-server': 'answers HTTP on port 80 and 8080 (or the ports given) with who asked whom',
  sleep: 'does nothing, for ever or for the seconds given',
  exit: 'ends with the code given, after the seconds given: for trying restart policies',
};

/** Repository names (without registry, path and tag) that stand for a pod that only waits. */
const sleepers = new Set(['client', 'busybox', 'alpine', 'netshoot', 'debian', 'ubuntu', 'pause', 'curl']);

/** `registry/path/name:tag` → `name`. */
const baseName = (image: string): string =>
  (image.split('/').at(-1) ?? '').split('@')[0]?.split(':')[0] ?? '';

/** What a container runs: its command when it names a built-in program, else what its image stands for. */
export function programFor(container: {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
}): Result<Program, Failure<'UnknownProgram'>> {
  const [first, ...rest] = container.command ?? [];
  if (first !== undefined) {
    const name = first.split('/').at(-1) ?? '';
    if (!isProgram(name))
      return err(
        failure(
          'UnknownProgram',
          `There is no program "${first}" in the lab.`,
          `Programs: ${Object.entries(programs)
            .map(([program, what]) => `${program} (${what})`)
            .join(', ')}.`,
        ),
      );
    return ok({ name, args: [...rest, ...(container.args ?? [])] });
  }
  const isSleeper = sleepers.has(baseName(container.image ?? ''));
  return ok({ name: isSleeper ? 'sleep' : 'http-server', args: container.args ?? [] });
}

const isProgram = (name: string): name is ProgramName => Object.hasOwn(programs, name);
