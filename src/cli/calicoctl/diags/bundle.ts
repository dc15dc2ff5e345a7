// A folder of what was collected, and the archive made of it: commands' output, files and texts, each without secrets. What
// cannot be collected says so in its place, and never ends the whole.
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { err, failure, ok, type Failure, type Result } from '../../../lib/result.ts';
import { censor } from './censor.ts';

/** One thing to be collected by a program. */
export type Probe = { readonly file: string; readonly argv: readonly string[]; readonly info?: string };

const timeoutMs = 60_000;
const mostOutputBytes = 256 * 1024 * 1024;
/** Of a longer log the end is kept. */
const mostLogBytes = 32 * 1024 * 1024;

export class Bundle {
  /** A folder of this process alone, in the folder for temporary files. */
  readonly directory: string;
  /** The name of the folder in the archive. */
  readonly name: string;

  constructor(name: string) {
    this.name = name;
    this.directory = mkdtempSync(join(tmpdir(), 'calico'));
    mkdirSync(join(this.directory, name));
  }

  write(file: string, text: string): void {
    const path = join(this.directory, this.name, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, censor(text));
  }

  /** Runs programs, some at the same time, and keeps what they say. Gives those that could not be run. */
  async run(
    probes: readonly Probe[],
    atOnce = 4,
    env: NodeJS.ProcessEnv = process.env,
  ): Promise<readonly string[]> {
    const missing = new Set<string>();
    const queue = [...probes];
    const worker = async (): Promise<void> => {
      for (let probe = queue.shift(); probe !== undefined; probe = queue.shift()) {
        const { output, isMissing } = await outputOf(probe.argv, env);
        if (isMissing) missing.add(probe.argv[0] ?? '');
        else this.write(probe.file, output);
      }
    };
    await Promise.all(Array.from({ length: Math.max(1, atOnce) }, worker));
    return [...missing];
  }

  /** The files of a folder and below it, by their names there. Gives how many. */
  copy(source: string, target: string): number {
    let count = 0;
    for (const entry of readdirSync(source, { withFileTypes: true })) {
      const from = join(source, entry.name);
      const to = join(target, entry.name);
      if (entry.isDirectory()) count += this.copy(from, to);
      else if (entry.isFile()) {
        this.write(to, logText(from));
        count++;
      }
    }
    return count;
  }

  /** Writes the archive; the folder stays until `remove`. */
  async archive(path: string): Promise<Result<void, Failure>> {
    const { output, code } = await outputOf(
      ['tar', '-czf', path, '-C', this.directory, this.name],
      process.env,
    );
    return code === 0
      ? ok(undefined)
      : err(failure('Failed', `Error compressing the diagnostics: ${output.trim()}`));
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function logText(path: string): string {
  try {
    const { size } = statSync(path);
    const bytes = readFileSync(path);
    return size <= mostLogBytes
      ? bytes.toString('utf8')
      : `… the first ${size - mostLogBytes} bytes are left out\n${bytes.subarray(size - mostLogBytes).toString('utf8')}`;
  } catch (error) {
    return `cannot be read: ${(error as Error).message}\n`;
  }
}

type Ran = { readonly output: string; readonly code: number; readonly isMissing: boolean };

export function outputOf(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<Ran> {
  const [program = '', ...rest] = argv;
  return new Promise((resolve) => {
    const options = { env, timeout: timeoutMs, maxBuffer: mostOutputBytes };
    const child = execFile(program, rest, options, (error, stdout, stderr) => {
      const isMissing = error?.code === 'ENOENT';
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      const said = error !== null && stderr === '' && !isMissing ? `${error.message}\n` : stderr;
      resolve({ output: `${stdout}${said}`, code, isMissing });
    });
    child.stdin?.end();
  });
}

/** `20261121_170102`, of the world's time or of this place. */
export function timestamp(now: Date, isUtc: boolean): string {
  const shifted = isUtc ? now : new Date(now.getTime() - now.getTimezoneOffset() * 60_000);
  return shifted.toISOString().replaceAll(/[-:]/g, '').replace('T', '_').slice(0, 15);
}
