// A question to the speaker of any node, from anywhere: asked in an annotation of a CalicoNodeStatus, answered in another.
// It needs no more than the API server, works with every definition of the kind, and a node of Calico proper, which knows
// nothing of it, still fills the status beside it.
import type { CalicoNodeStatus } from '../../../model/mod.ts';

export const askAnnotation = 'margay.projectcalico.org/ask';
export const answerAnnotation = 'margay.projectcalico.org/answer';

/** Operations of the speaker's socket that may be asked this way. */
const operations: ReadonlySet<unknown> = new Set(['status', 'peers', 'routes', 'announced', 'why']);
/** All annotations of an object together may have 256 KiB. */
export const answerLimit = 200_000;

export type Question = { readonly [key: string]: unknown };
/** As the socket answers, with the question it is for. */
export type Answered = {
  readonly to: string;
  readonly ok: boolean;
  readonly result?: unknown;
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
};

/** The text of a question that has no answer yet. */
export function openQuestion(object: CalicoNodeStatus): string | undefined {
  const text = object.metadata.annotations?.[askAnnotation];
  if (text === undefined || answerOf(object)?.to === text) return undefined;
  return text;
}

export function answerOf(object: CalicoNodeStatus): Answered | undefined {
  try {
    return JSON.parse(object.metadata.annotations?.[answerAnnotation] ?? '') as Answered;
  } catch {
    return undefined;
  }
}

/** undefined: not a question, or not one that may be asked. */
export function parseQuestion(text: string): Question | undefined {
  try {
    const question = JSON.parse(text) as unknown;
    if (typeof question !== 'object' || question === null || Array.isArray(question)) return undefined;
    return operations.has((question as Question)['op']) ? (question as Question) : undefined;
  } catch {
    return undefined;
  }
}
