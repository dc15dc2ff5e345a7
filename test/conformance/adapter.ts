// Speaks the line protocol of conformance cases: one question per line of standard input, {"suite","id","input"}, one
// answer per line of standard output, in order. Run by `npm run --silent conformance-adapter`.
import { createInterface } from 'node:readline';
import { parseJson, stringifyJson } from '../../src/lib/json.ts';
import { answer } from './answers.ts';

for await (const line of createInterface({ input: process.stdin })) {
  const { suite, input } = parseJson(line) as { suite: string; input: unknown };
  process.stdout.write(`${stringifyJson(await answer(suite, input))}\n`);
}
