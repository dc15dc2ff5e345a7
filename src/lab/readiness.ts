// What a lab that comes up still waits for. The nodes are ready when their runners say so; until then, whoever waits hears
// from the supervisor which process keeps ending, and from the API server which node lacks what.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { err, failure, ok, type Result } from '../lib/result.ts';
import { sleep } from '../lib/wait.ts';
import type { KubernetesNode } from '../model/mod.ts';
import { findNodes } from './api.ts';
import { isNodeReady } from './control/pods.ts';
import { ask } from './control-socket.ts';
import type { LabPaths } from './state.ts';
import type { LabError, LabStatus, ProcessStatus } from './types.ts';

const pollMs = 150;
/** Without progress for so long, it is told what is waited for, and again after as long. */
const patienceMs = 10_000;
const mostReasons = 6;

/** Waits until all nodes are ready; fails with what each of the others waits for. */
export async function awaitReadyNodes(
  paths: LabPaths,
  names: readonly string[],
  timeoutMs: number,
  onStep: (text: string) => void,
): Promise<Result<void, LabError>> {
  const end = performance.now() + timeoutMs;
  let told = performance.now();
  let answer: Promise<readonly KubernetesNode[] | undefined> | undefined;
  for (let last = -1; ; ) {
    // The socket listens before the server does: an answer may be long in coming.
    answer ??= findNodes(paths.kubeconfig);
    const nodes = await Promise.race([answer, sleep(patienceMs).then(() => 'none yet' as const)]);
    const known = nodes === 'none yet' ? undefined : nodes;
    if (nodes !== 'none yet') answer = undefined;
    const ready = (known ?? []).filter(isNodeReady).length;
    const count = `${ready} of ${names.length} nodes ready`;
    if (ready !== last) {
      onStep(count);
      told = performance.now();
      last = ready;
    }
    if (ready >= names.length) return ok(undefined);
    const isOver = performance.now() >= end;
    if (isOver || performance.now() - told >= patienceMs) {
      const reasons = waitingFor(names, known, await processesOf(paths), paths.logs);
      if (isOver) return notReady(timeoutMs, reasons, paths);
      onStep(`${count}: ${reasons.join('; ')}`);
      told = performance.now();
    }
    await sleep(pollMs);
  }
}

const notReady = (timeoutMs: number, reasons: readonly string[], paths: LabPaths): Result<never, LabError> =>
  err(
    failure(
      'StartFailed',
      `The nodes of the lab were not ready after ${timeoutMs / 1000} s: ${reasons.join('; ')}.`,
      `Look at it with: margay lab status. Logs: ${paths.logs}. End it with: margay lab down`,
    ),
  );

async function processesOf(paths: LabPaths): Promise<readonly ProcessStatus[] | undefined> {
  const status = await ask<LabStatus>(paths.socket, { op: 'status' });
  return status.ok ? status.value.processes : undefined;
}

/** What is in the way, in parts of a sentence; the first ones are nearest to the cause. */
export function waitingFor(
  names: readonly string[],
  nodes: readonly KubernetesNode[] | undefined,
  processes: readonly ProcessStatus[] | undefined,
  logs: string,
): readonly string[] {
  const reasons: string[] = [];
  if (processes === undefined) reasons.push('the supervisor does not answer');
  for (const { machine, name, restarts, running, lastEnd } of processes ?? [])
    if (lastEnd !== undefined)
      reasons.push(
        `${name} of ${machine} has ended ${restarts + (running ? 0 : 1)} times, the last time with ${withoutStop(lastEnd)}`,
      );
  if (nodes === undefined) {
    const server = processes?.find(({ name }) => name === 'apiserver')?.machine ?? names[0] ?? '';
    reasons.push(`the API server on ${server} does not answer`);
  }
  for (const name of nodes === undefined ? [] : names) {
    const node = nodes?.find(({ metadata }) => metadata.name === name);
    if (node !== undefined && isNodeReady(node)) continue;
    const condition = node?.status?.conditions?.find(({ type }) => type === 'Ready');
    const what =
      node === undefined
        ? 'its runner has not registered it'
        : withoutStop(condition?.message ?? 'its runner has not told its state');
    const said = lastWord(join(logs, `${name}-${node === undefined ? 'runner' : 'agent'}.log`));
    reasons.push(`${name}: ${what}${said === '' ? '' : ` (${withoutStop(said)})`}`);
  }
  const more = reasons.length - mostReasons;
  return more > 0 ? [...reasons.slice(0, mostReasons), `and ${more} more`] : reasons;
}

const withoutStop = (text: string): string => text.replace(/\.$/, '');

/** The last line of a program's log, as words. */
function lastWord(path: string): string {
  try {
    const line = readFileSync(path, 'utf8').trim().split('\n').at(-1) ?? '';
    if (!line.startsWith('{')) return line.slice(0, 200);
    const { msg, reason, error } = JSON.parse(line) as Readonly<Record<string, unknown>>;
    return [msg, reason ?? error].filter((part) => typeof part === 'string').join(': ');
  } catch {
    return '';
  }
}
