// Runs every suite of a folder of conformance cases: `npm run conformance -- DIR [SUITE…] [--all]`. Prints the failures,
// then one line for each suite; ends with 1 when a case failed.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { answer, knownSuites } from './answers.ts';
import { judge } from './judge.ts';
import { unsupported, type Case, type JsonObject } from './types.ts';

const words = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const showsAll = process.argv.includes('--all');
const [folder, ...only] = words;
/** Failures of one suite that are printed unless all are asked for. */
const shownFailures = 20;

if (folder === undefined || !existsSync(folder)) {
  console.error(
    'Usage: npm run conformance -- DIR [SUITE…] [--all]. DIR holds the cases, one JSON file per suite.',
  );
  process.exit(2);
}

let hasFailed = false;
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => file.slice(0, -'.json'.length))
  .filter((name) => only.length === 0 || only.includes(name))
  .toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
for (const name of names) await runSuite(folder, name);
process.exit(hasFailed ? 1 : 0);

/** Answered suites first. */
function rank(name: string): number {
  const i = knownSuites.indexOf(name);
  return i < 0 ? knownSuites.length : i;
}

async function runSuite(dir: string, suite: string): Promise<void> {
  const content: unknown = JSON.parse(readFileSync(join(dir, `${suite}.json`), 'utf8'));
  const cases = Array.isArray(content)
    ? suite === 'calc-graph-sequences'
      ? sequences(dir, content as Sequence[])
      : (content as Case[])
    : messageCases(content);
  if (cases === undefined) return;
  const counts = { pass: 0, fail: 0, unsupported: 0 };
  for (const item of cases) {
    if (item.judge === false) continue;
    const given = await answer(suite, item.input);
    if (given === unsupported) {
      counts.unsupported++;
      continue;
    }
    const wrong = judge(suite, item, given);
    if (wrong.length === 0) counts.pass++;
    else {
      counts.fail++;
      hasFailed = true;
      if (showsAll || counts.fail <= shownFailures)
        console.log(`FAIL ${item.id}: ${wrong.slice(0, 3).join('; ')}`);
    }
  }
  console.log(JSON.stringify({ suite, ...counts, total: cases.length }));
}

type Sequence = { readonly id: string; readonly states: readonly string[] };

/** Sequences name the states of another suite, which one instance goes through. */
function sequences(dir: string, list: readonly Sequence[]): readonly Case[] {
  const states = JSON.parse(readFileSync(join(dir, 'calc-graph.json'), 'utf8')) as Case[];
  const known = new Map(states.map((state) => [state.id, state]));
  return list.flatMap((sequence) => {
    const views = sequence.states.flatMap((id) => known.get(id) ?? []);
    if (views.length === 0 || views.length < sequence.states.length) return [];
    const input = { states: views.map((view) => view.input) };
    return [{ ...sequence, input, expected: views as unknown as Case['expected'] }];
  });
}

/** Files of BGP messages: a case is its own input. */
function messageCases(content: unknown): readonly Case[] | undefined {
  const { cases } = content as { readonly cases?: readonly JsonObject[] };
  return cases?.map((input) => ({ id: (input['id'] ?? input['name']) as string, input, expected: {} }));
}
