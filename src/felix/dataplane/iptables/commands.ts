// The edge of the back end: short-lived programs that read a text and print one. Everything else is pure over this face.
import { failure, type Failure } from '../../../lib/result.ts';

export type CommandResult = { readonly code: number; readonly stdout: string; readonly stderr: string };

export interface CommandRunner {
  /** Ends when the program has ended. A program that is not there has the code 127. `variables` are added to its
   *  environment. */
  run(
    command: string,
    args: readonly string[],
    input?: string,
    variables?: Readonly<Record<string, string>>,
  ): Promise<CommandResult>;
  /** A file that the kernel makes, as the programs see it; empty when there is none. */
  read(path: string): Promise<string>;
}

export type ToolError = Failure<'ToolFailed' | 'ToolMissing'>;

export type SystemRunnerOptions = {
  /** A network namespace to run the programs in; the caller's own when absent. */
  readonly netns?: string;
  readonly environment?: Readonly<Record<string, string | undefined>>;
};

export function systemRunner(options: SystemRunnerOptions = {}): CommandRunner {
  const given = options.environment ?? process.env;
  const env = { ...given, LC_ALL: 'C', PATH: `${given['PATH'] ?? ''}:/usr/sbin:/sbin:/usr/local/sbin` };
  const runner: CommandRunner = {
    async run(command, args, input = '', variables = {}) {
      const { spawn } = await import('node:child_process');
      const [program, words] =
        options.netns === undefined
          ? [command, args]
          : ['nsenter', [`--net=${options.netns}`, '--', command, ...args]];
      return new Promise<CommandResult>((resolve) => {
        const child = spawn(program, words, { env: { ...env, ...variables }, stdio: 'pipe' });
        const out = { stdout: '', stderr: '' };
        child.stdout.setEncoding('utf8').on('data', (text: string) => (out.stdout += text));
        child.stderr.setEncoding('utf8').on('data', (text: string) => (out.stderr += text));
        // A program that ends before it has read everything says so by its code.
        child.stdin.on('error', () => undefined);
        child.once('error', (error) => resolve({ ...out, code: 127, stderr: error.message }));
        child.once('close', (code) => resolve({ ...out, code: code ?? 128 }));
        child.stdin.end(input);
      });
    },

    async read(path) {
      if (options.netns !== undefined) return (await runner.run('cat', [path])).stdout;
      const { readFile } = await import('node:fs/promises');
      return readFile(path, 'utf8').catch(() => '');
    },
  };
  return runner;
}

/** Why a program did not do it. */
export const toolFailure = (command: string, { code, stderr }: CommandResult): ToolError =>
  code === 127
    ? failure('ToolMissing', `${command} cannot be run: ${stderr.trim() || 'not found'}.`)
    : failure(
        'ToolFailed',
        `${command}: ${stderr.trim().split('\n').slice(0, 3).join(' · ') || `code ${code}`}`,
      );
