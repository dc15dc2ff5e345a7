// What the three commands share: whom to ask, and printing what came back.
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Question } from '../../bgp/speaker/mod.ts';
import { ok, type Result } from '../../lib/result.ts';
import {
  type CliError,
  fail,
  type Flags,
  isSet,
  print,
  printLine,
  textFlag,
  withDatastore,
} from '../calicoctl/program.ts';
import { askNodes, askSocket, defaultSocket, type NodeAnswer } from './ask.ts';

export type Asked<T> = {
  readonly question: Question;
  /** The node to ask; all of them without. */
  readonly node?: string;
  /** Without a node the speaker of this machine is asked, where there is one. */
  readonly prefersLocal: boolean;
  readonly text: (answers: readonly NodeAnswer<T>[]) => string;
};

/** Asks and prints; fails when nobody answered. */
export async function askAndPrint<T>(flags: Flags, asked: Asked<T>): Promise<Result<void, CliError>> {
  const seconds = Number(textFlag(flags, 'timeout'));
  if (!(seconds > 0)) return fail('--timeout needs a number of seconds.');
  const output = textFlag(flags, 'output');
  if (output !== 'text' && output !== 'json')
    return fail(`Output "${output}" is not known.`, 'Use text or json.');
  const answers = await collect(flags, asked, seconds * 1000);
  if (!answers.ok) return answers;
  if (output === 'json')
    printLine(
      JSON.stringify(
        answers.value.map(({ node, answer, status }) =>
          answer.ok
            ? { node, result: answer.value }
            : { node, problem: answer.error.message, ...(status === undefined ? {} : { status }) },
        ),
        undefined,
        2,
      ),
    );
  else print(asked.text(answers.value));
  const silent = answers.value.filter((a) => !a.answer.ok && a.status === undefined);
  const [first] = silent;
  if (first === undefined || first.answer.ok) return ok(undefined);
  return fail(first.answer.error.message, first.answer.error.hint);
}

async function collect<T>(
  flags: Flags,
  { question, node, prefersLocal }: Asked<T>,
  timeoutMs: number,
): Promise<Result<readonly NodeAnswer<T>[], CliError>> {
  const socket = textFlag(flags, 'socket') ?? defaultSocket;
  const local = async (): Promise<Result<readonly NodeAnswer<T>[], CliError>> => {
    const answer = await askSocket<T>(socket, question, timeoutMs);
    return answer.ok ? ok([{ node: process.env['NODENAME'] ?? hostname(), answer }]) : answer;
  };
  const isLocal = isSet(flags, 'local') || (prefersLocal && node === undefined && existsSync(socket));
  if (isLocal) return local();
  return withDatastore(flags, (store) => askNodes<T>(store, node, question, timeoutMs));
}

/** Columns two blanks apart; the last one as it is. */
export function columns(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => (row[i] ?? '').length)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell.padEnd((widths[i] ?? 0) + 2))
          .join('')
          .trimEnd()}\n`,
    )
    .join('');
}

/** A line for each node that did not answer as it should. */
export const problems = (answers: readonly NodeAnswer<unknown>[]): string =>
  answers
    .map(({ node, answer, status }) =>
      answer.ok || status === undefined ? '' : `${node}: ${answer.error.message}\n`,
    )
    .join('');
