// What makes a speaker live and ready for a probe (BG-005). Pure.
//
//   live    it answers
//   ready   no peers, or: in the first 30 s after the node began every peer is established, and nothing is awaited of a
//           restart; afterwards one of them is enough, so that a peer that dies takes no node with it
import type { Family } from '../../lib/ip/mod.ts';

/** What the speaker said; undefined when it does not answer. */
export type SpeakerAnswers = {
  readonly recovery?: string;
  readonly peers: readonly { readonly address: string; readonly state: string }[];
};

/** Why the speaker is not ready; undefined when it is. */
export function speakerProblem(
  answers: SpeakerAnswers | undefined,
  {
    family,
    startedMs,
    thresholdMs,
  }: { readonly family: Family; readonly startedMs: number; readonly thresholdMs: number },
): string | undefined {
  if (answers === undefined) return 'the BGP speaker does not answer';
  const peers = answers.peers.filter(({ address }) => address.includes(':') === (family === 6));
  const waiting = peers.filter(({ state }) => state !== 'Established');
  const isYoung = startedMs < thresholdMs;
  if (isYoung && answers.recovery === 'deferring') return 'graceful restart is in progress';
  const isReady = waiting.length === 0 || (!isYoung && waiting.length < peers.length);
  return isReady ? undefined : `BGP not established with ${waiting.map(({ address }) => address).join(',')}`;
}
