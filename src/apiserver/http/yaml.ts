// YAML for request bodies. Some documents take the parser minutes, so it works in a thread of its own that is ended when
// it takes too long; the thread starts with the first such body. What is JSON in truth never comes here.
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { err, ok, type Result } from '../../lib/result.ts';

const deadlineMs = 5_000;
const mostWaiting = 64;

/** Plain JavaScript: a bundle has no file of its own for it. The document is answered as JSON. */
const program = `
const { parentPort, workerData } = require('node:worker_threads');
const yaml = require(workerData);
parentPort.on('message', ({ id, text }) => {
  try {
    const value = yaml.parse(text, { maxAliasCount: 50, schema: 'core' });
    parentPort.postMessage({ id, json: JSON.stringify(value ?? null) });
  } catch (error) {
    parentPort.postMessage({ id, problem: String(error && error.message).split('\\n')[0] });
  }
});
`;

type Answer = { readonly id: number; readonly json?: string; readonly problem?: string };
type Waiting = { readonly text: string; readonly done: (result: Result<string, string>) => void };

const waiting: Waiting[] = [];
let worker: Worker | undefined;
let busy = false;
let lastId = 0;

function thread(): Worker {
  if (worker !== undefined) return worker;
  const path = createRequire(import.meta.url).resolve('yaml');
  const started = new Worker(program, {
    eval: true,
    workerData: path,
    resourceLimits: { maxOldGenerationSizeMb: 256 },
  });
  started.unref();
  started.on('exit', () => {
    if (worker === started) worker = undefined;
  });
  worker = started;
  return started;
}

/** One document at a time. */
async function work(): Promise<void> {
  busy = true;
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
    next.done(await parseOne(next.text));
  busy = false;
}

function parseOne(text: string): Promise<Result<string, string>> {
  return new Promise((resolve) => {
    const current = thread();
    const id = ++lastId;
    const finish = (result: Result<string, string>): void => {
      clearTimeout(deadline);
      current.off('message', onMessage);
      current.off('error', onError);
      current.off('exit', onExit);
      resolve(result);
    };
    const onMessage = (answer: Answer): void => {
      if (answer.id !== id) return;
      finish(answer.json === undefined ? err(answer.problem ?? '') : ok(answer.json));
    };
    const onError = (error: Error): void => finish(err(error.message));
    const onExit = (): void => finish(err('the parser ended'));
    const deadline = setTimeout(() => {
      worker = undefined;
      void current.terminate();
      finish(err(`parsing takes longer than ${deadlineMs / 1000} s`));
    }, deadlineMs);
    current.on('message', onMessage);
    current.on('error', onError);
    current.on('exit', onExit);
    current.postMessage({ id, text });
  });
}

/** The document as JSON text, or what is wrong with it. */
export function yamlToJson(text: string): Promise<Result<string, string>> {
  if (waiting.length >= mostWaiting) return Promise.resolve(err('too many documents wait to be parsed'));
  return new Promise((done) => {
    waiting.push({ text, done });
    if (!busy) void work();
  });
}
