// A command inside of a running container: in its namespaces, with its variables, on pipes or on a terminal of its own.
//
//   nsenter (into process 1 of the container) ── the command                      pipes
//   nsenter ── setsid --ctty ── the command                                       a terminal: hang-up reaches it
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { ReadStream } from 'node:tty';
import { err, failure, ok, type Result } from '../../../lib/result.ts';
import type { RunnerError } from '../types.ts';
import type { TerminalSize } from './remote-session.ts';
import { loadSystemCalls } from './system-calls.ts';

export interface Execution {
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  /** Absent on a terminal, where both come as one. */
  readonly stderr?: Readable;
  resize(size: TerminalSize): void;
  readonly exitCode: Promise<number>;
  /** For a client that has gone: the command hears a hang-up. */
  hangUp(): void;
}

const ended = (child: ChildProcess): Promise<number> =>
  new Promise((resolve) => {
    child.on('error', () => resolve(126));
    child.on('exit', (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
  });

/** The words that enter the namespaces of a container, whose process 1 this is. */
const entrance = (pid: number): readonly string[] => [
  'nsenter',
  `--target=${pid}`,
  '--mount',
  '--net',
  '--uts',
  '--pid',
  // Where the container's own program is.
  '--wd',
  '--',
];

/** The variables that the container was started with. */
function environmentOf(pid: number): Record<string, string> {
  try {
    const entries = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean);
    const all = Object.fromEntries(
      entries.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
    delete all['MARGAY_READY'];
    delete all['PWD'];
    return all;
  } catch {
    return {};
  }
}

export async function execute(
  initPid: number,
  command: readonly string[],
  tty: boolean,
): Promise<Result<Execution, RunnerError>> {
  const env = environmentOf(initPid);
  if (tty)
    return onTerminal([...entrance(initPid), 'setsid', '--ctty', ...command], { TERM: 'xterm', ...env });
  return onPipes([...entrance(initPid), ...command], env);
}

/** Starts a program with pipes for its standard streams. */
export async function onPipes(
  words: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Result<Execution, RunnerError>> {
  const [program = '', ...argv] = words;
  // A group of its own, so that a hang-up finds the command and not only nsenter.
  const child = spawn(program, argv, { cwd: '/', env, stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  child.stdin.on('error', () => undefined);
  return ok({
    pid: child.pid ?? 0,
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    resize: () => undefined,
    exitCode: ended(child),
    hangUp: () => signalGroup(child, 'SIGHUP'),
  });
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It ended meanwhile.
  }
}

/** Starts a program whose terminal this process holds. */
export async function onTerminal(
  words: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Result<Execution, RunnerError>> {
  const calls = await loadSystemCalls();
  const terminal = calls.openTerminal();
  if (typeof terminal === 'number')
    return err(failure('StartFailed', `No terminal could be opened: error ${-terminal}.`));
  const { master, slave } = terminal;
  const [program = '', ...argv] = words;
  const child = spawn(program, argv, { cwd: '/', env, stdio: [slave, slave, slave] });
  closeSync(slave);
  const stream = new ReadStream(master);
  // The last program on the slave's side ends it with an input error.
  stream.on('error', () => stream.push(null));
  return ok({
    pid: child.pid ?? 0,
    stdin: stream,
    stdout: stream,
    resize: ({ width, height }) => {
      if (!stream.destroyed) calls.resizeTerminal(master, width, height);
    },
    exitCode: ended(child),
    hangUp: () => stream.destroy(),
  });
}
