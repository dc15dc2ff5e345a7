// Asking a speaker: on its node over its socket; from anywhere else through a CalicoNodeStatus that lives for the question
// only. A node of Calico proper does not know the question, but fills the status, which then is all there is.
import { randomUUID } from 'node:crypto';
import { answerOf, askAnnotation, type Question } from '../../bgp/speaker/mod.ts';
import type { Datastore } from '../../datastore/mod.ts';
import { askLine } from '../../lib/json-line.ts';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import { sleep } from '../../lib/wait.ts';
import type { CalicoNodeStatus } from '../../model/mod.ts';
import type { FlagSpec } from '../calicoctl/program.ts';

export const defaultSocket = '/var/run/calico/bgp.sock';

export const askFlags: readonly FlagSpec[] = [
  { flags: '--local', description: 'ask the speaker of this node, over its socket' },
  { flags: '--socket <path>', description: 'where it answers', default: defaultSocket },
  { flags: '-o, --output <format>', description: 'text or json', default: 'text' },
  { flags: '--timeout <seconds>', description: 'how long to wait for a node', default: '5' },
];

export type AskError = Failure<'NotRunning' | 'Denied' | 'NoAnswer' | 'Refused'>;

/** What a node said: an answer, or only the status that every Calico fills. */
export type NodeAnswer<T> = {
  readonly node: string;
  readonly answer: Result<T, AskError>;
  readonly status?: CalicoNodeStatus['status'];
};

/** The speaker of this node. */
export async function askSocket<T>(
  path: string,
  question: Question,
  timeoutMs: number,
): Promise<Result<T, AskError>> {
  const reply = await askLine<Reply>(path, question, timeoutMs);
  return reply.ok ? unwrap<T>(reply.value) : reply;
}

type Reply = {
  readonly ok: boolean;
  readonly result?: unknown;
  readonly error?: { readonly message: string; readonly hint?: string };
};

const unwrap = <T>(reply: Reply): Result<T, AskError> =>
  reply.ok
    ? ok(reply.result as T)
    : err(failure('Refused', reply.error?.message ?? 'The speaker refused.', reply.error?.hint));

/** Asks through the API server; the object goes away again whatever happens. */
export async function askNode<T>(
  store: Datastore,
  node: string,
  question: Question,
  timeoutMs: number,
): Promise<NodeAnswer<T>> {
  const name = `ask-${randomUUID().slice(0, 8)}`;
  const failed = (why: string, hint?: string): NodeAnswer<T> => ({
    node,
    answer: err(failure('NoAnswer', why, hint)),
  });
  const created = await store.create('CalicoNodeStatus', {
    apiVersion: 'projectcalico.org/v3',
    kind: 'CalicoNodeStatus',
    metadata: { name, annotations: { [askAnnotation]: JSON.stringify(question) } },
    // A question about routes has room for them where the answer has not.
    spec: { node, classes: question['op'] === 'peers' ? ['BGP'] : ['BGP', 'Routes'], updatePeriodSeconds: 0 },
  });
  if (!created.ok) return failed(`Cannot ask node ${node}: ${created.error.message}`, created.error.hint);
  try {
    const until = Date.now() + timeoutMs;
    for (let pauseMs = 25; Date.now() < until; pauseMs = Math.min(250, pauseMs * 2)) {
      await sleep(pauseMs);
      const read = await store.get('CalicoNodeStatus', { name });
      if (!read.ok) return failed(`Cannot read the answer of node ${node}: ${read.error.message}`);
      const answered = answerOf(read.value);
      const { status } = read.value;
      if (answered !== undefined && status?.lastUpdated) return { node, answer: unwrap<T>(answered), status };
      if (status?.lastUpdated)
        return {
          ...failed(`Node ${node} does not know this question: it runs another program.`),
          status,
        };
    }
    return failed(
      `Node ${node} did not answer within ${timeoutMs / 1000} s.`,
      'Its BGP speaker is down, or cannot reach the API server.',
    );
  } finally {
    await store.delete('CalicoNodeStatus', { name });
  }
}

/** Every node, or the one given, at the same time but not more than a few at once. */
export async function askNodes<T>(
  store: Datastore,
  only: string | undefined,
  question: Question,
  timeoutMs: number,
): Promise<Result<readonly NodeAnswer<T>[], Failure>> {
  const nodes = await store.list('Node');
  if (!nodes.ok) return nodes;
  const names = nodes.value.items.map((n) => n.metadata.name).sort();
  const asked = only === undefined ? names : names.filter((n) => n === only);
  if (asked.length === 0)
    return err(
      failure(
        'UnknownNode',
        only === undefined ? 'The cluster has no nodes.' : `There is no node "${only}".`,
        names.length === 0 ? undefined : `Nodes: ${names.slice(0, 20).join(', ')}.`,
      ),
    );
  const answers: NodeAnswer<T>[] = [];
  for (let i = 0; i < asked.length; i += atOnce)
    answers.push(
      ...(await Promise.all(
        asked.slice(i, i + atOnce).map((node) => askNode<T>(store, node, question, timeoutMs)),
      )),
    );
  return ok(answers);
}
const atOnce = 16;
