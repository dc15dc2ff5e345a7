// Images of the lab: a name stands for a program that is built in. There is no registry and nothing is downloaded. Any
// image is the HTTP server unless its name is known for something else. A container's command may also be a program of
// the machine, found in the usual directories.
import { accessSync, constants } from 'node:fs';
import { err, failure, ok, type Failure, type Result } from '../lib/result.ts';

export type ProgramName = 'http-server' | 'sleep' | 'exit' | 'dns';
export type Program =
  | { readonly name: ProgramName; readonly args: readonly string[] }
  /** A program of the machine with its arguments. */
  | { readonly name: 'command'; readonly args: readonly string[] };

export const programs: Readonly<Record<ProgramName, string>> = {
  'http-server': 'answers HTTP on port 80 and 8080 (or the ports given) with who asked whom',
  sleep: 'does nothing, for ever or for the seconds given',
  exit: 'ends with the code given, after the seconds given: for trying restart policies',
  dns: 'serves the names of services by DNS, as its service account sees them',
};

/** Repository names (without registry, path and tag) that stand for a pod that only waits. */
const sleepers = new Set([
  'client',
  'busybox',
  'alpine',
  'netshoot',
  'debian',
  'ubuntu',
  'pause',
  'curl',
  'nicolaka',
  'nettools',
  'dnsutils',
]);

/** `registry/path/name:tag` → `name`. */
const baseName = (image: string): string =>
  (image.split('/').at(-1) ?? '').split('@')[0]?.split(':')[0] ?? '';

/** What a container runs: its command when it names a built-in program, else what its image stands for. */
export function programFor(container: {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly stdin?: boolean;
  readonly tty?: boolean;
}): Result<Program, Failure<'UnknownProgram'>> {
  const [first, ...rest] = container.command ?? [];
  if (first !== undefined) {
    const name = first.split('/').at(-1) ?? '';
    const args = [...rest, ...(container.args ?? [])];
    if (!isProgram(name) && isInstalled(first)) return ok({ name: 'command', args: [first, ...args] });
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
    return ok({ name, args });
  }
  const isSleeper = sleepers.has(baseName(container.image ?? ''));
  // These images have a shell as their command, which arguments replace.
  const [program, ...args] = container.args ?? [];
  if (isSleeper && program !== undefined && !/^[\d.]+s?$/.test(program))
    return programFor({ command: [program], args });
  // Their shell is what these images run; without anybody to type it would end at once.
  if (isSleeper && program === undefined && container.stdin === true && container.tty === true)
    return programFor({ command: ['sh'] });
  if (baseName(container.image ?? '') === 'coredns') return ok({ name: 'dns', args: [] });
  return ok({ name: isSleeper ? 'sleep' : 'http-server', args: container.args ?? [] });
}

/** Where the containers' own PATH leads. */
const directories = ['/usr/local/bin', '/usr/bin', '/bin', '/usr/sbin', '/sbin'];

function isInstalled(program: string): boolean {
  return (program.includes('/') ? [program] : directories.map((directory) => `${directory}/${program}`)).some(
    (path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    },
  );
}

const isProgram = (name: string): name is ProgramName => Object.hasOwn(programs, name);
