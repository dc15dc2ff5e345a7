// What the processes of a cluster have in common as commands: flags that are refused with code 2, an end by SIGTERM or SIGINT,
// failures in one line.
import type { Command as Parser } from 'commander';
import { describeFailure, type Failure } from '../lib/result.ts';

/** The flags, or the exit code when they are wrong or only help was asked for. */
export async function parseFlags<Flags extends object>(
  parser: Parser,
  argv: readonly string[],
): Promise<Flags | number> {
  const { CommanderError } = await import('commander');
  parser.exitOverride();
  try {
    parser.parse([...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    throw error;
  }
  return parser.opts<Flags>();
}

/** Resolves when the process is told to end. To be called before anything is started that has to be stopped. */
export const toldToEnd = (): Promise<void> =>
  new Promise((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });

/** The exit code of a process that cannot go on; why is on stderr. */
export function failed(command: string, why: Failure): 1 {
  process.stderr.write(`margay ${command}: ${describeFailure(why)}\n`);
  return 1;
}
