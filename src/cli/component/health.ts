// `margay component node health`: what a probe asks (BG-081). Each flag is one question; all of them must be answered well.
// Where no speaker runs (CALICO_NETWORKING_BACKEND is vxlan or none) the probe leaves out the questions about BIRD (SR-112).
import { statSync } from 'node:fs';
import { get } from 'node:http';
import { askLine } from '../../lib/json-line.ts';
import { ok } from '../../lib/result.ts';
import { fail, isSet, textFlag, verb, type Flags } from '../calicoctl/program.ts';
import { type SpeakerAnswers, speakerProblem } from './checks.ts';

const answerMs = 5_000;

export const command = verb(
  {
    name: 'component node health',
    summary:
      'Say whether the agent and the BGP speaker of this node live and are ready. 0, or 1 with what is not.',
    flags: [
      { flags: '--felix-live', description: 'the agent is not stuck' },
      { flags: '--felix-ready', description: 'the agent has programmed everything once' },
      { flags: '--bird-live', description: 'the BGP speaker answers' },
      { flags: '--bird6-live', description: 'the same: one speaker serves both families' },
      { flags: '--bird-ready', description: 'its IPv4 sessions are up' },
      { flags: '--bird6-ready', description: 'its IPv6 sessions are up' },
      {
        flags: '--threshold-time <duration>',
        description: 'how long after the start every peer counts; later one is enough',
        default: '30s',
      },
      {
        flags: '--socket <path>',
        description: 'where the speaker answers',
        default: '/var/run/calico/bgp.sock',
      },
      {
        flags: '--nodename-file <path>',
        description: 'written when the node began',
        default: '/var/lib/calico/nodename',
      },
    ],
    examples: [
      'component node health --felix-live --bird-live',
      'component node health --felix-ready --bird-ready',
      'component node health --felix-ready    # without BGP: CALICO_NETWORKING_BACKEND vxlan or none',
    ],
  },
  async ({ flags }) => {
    const thresholdMs = durationMs(textFlag(flags, 'thresholdTime') ?? '');
    if (thresholdMs === undefined) return fail('--threshold-time is a length of time, such as 30s.');
    const asked = questions.filter(([flag]) => isSet(flags, flag));
    if (asked.length === 0)
      return fail('There is nothing to check.', 'Ask for one: --felix-ready, --bird-ready, …');
    const told = await Promise.all(asked.map(([, ask]) => ask(flags, thresholdMs)));
    const problems = [...new Set(told.filter((problem) => problem !== undefined))];
    return problems.length === 0 ? ok(undefined) : fail(problems.join('\n'), backendHint(asked));
  },
);

/** A flag, and what is wrong; undefined when nothing is. */
type Ask = (flags: Flags, thresholdMs: number) => Promise<string | undefined>;
const questions: readonly (readonly [string, Ask])[] = [
  ['felixLive', () => agentProblem('live')],
  ['felixReady', () => agentProblem('ready')],
  ['birdLive', speakerLives],
  ['bird6Live', speakerLives],
  ['birdReady', speakerReady(4)],
  ['bird6Ready', speakerReady(6)],
];

function backendHint(asked: typeof questions): string | undefined {
  const backend = process.env['CALICO_NETWORKING_BACKEND'] ?? 'bird';
  if (backend === 'bird' || !asked.some(([flag]) => flag.startsWith('bird'))) return undefined;
  return `No speaker runs with CALICO_NETWORKING_BACKEND=${backend}: leave the flags of BIRD out of the probe.`;
}

function agentProblem(what: 'live' | 'ready'): Promise<string | undefined> {
  const host = process.env['FELIX_HEALTHHOST'] ?? 'localhost';
  const port = Number(process.env['FELIX_HEALTHPORT'] ?? 9099);
  const prefix = `calico/node is not ${what}: felix is not ${what}:`;
  return new Promise((resolve) => {
    const path = what === 'live' ? '/liveness' : '/readiness';
    const request = get({ host, port, path, timeout: answerMs, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () =>
        resolve(response.statusCode === 200 ? undefined : `${prefix} ${text.trim().replaceAll('\n', '; ')}`),
      );
    });
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', (error) => resolve(`${prefix} ${error.message}`));
  });
}

type Reply<T> = { readonly ok: boolean; readonly result?: T };

async function askSpeaker(flags: Flags): Promise<SpeakerAnswers | undefined> {
  const socket = textFlag(flags, 'socket') ?? '';
  const [status, peers] = await Promise.all([
    askLine<Reply<{ readonly recovery?: string }>>(socket, { op: 'status' }, answerMs),
    askLine<Reply<SpeakerAnswers['peers']>>(socket, { op: 'peers' }, answerMs),
  ]);
  if (!status.ok || !peers.ok || peers.value.result === undefined) return undefined;
  const { recovery } = status.value.result ?? {};
  return { ...(recovery === undefined ? {} : { recovery }), peers: peers.value.result };
}

async function speakerLives(flags: Flags): Promise<string | undefined> {
  const answers = await askSpeaker(flags);
  return answers === undefined
    ? 'calico/node is not live: bird is not live: the BGP speaker does not answer'
    : undefined;
}

function speakerReady(family: 4 | 6): Ask {
  return async (flags, thresholdMs) => {
    const startedMs = ageMs(textFlag(flags, 'nodenameFile') ?? '');
    const problem = speakerProblem(await askSpeaker(flags), { family, startedMs, thresholdMs });
    const engine = family === 4 ? 'BIRD' : 'BIRD6';
    return problem === undefined ? undefined : `calico/node is not ready: ${engine} is not ready: ${problem}`;
  };
}

/** How long ago the file was written; 0 when it is not there yet. */
function ageMs(path: string): number {
  try {
    return Date.now() - statSync(path).mtimeMs;
  } catch {
    return 0;
  }
}

/** `30s`, `1m`, `500ms`. */
function durationMs(text: string): number | undefined {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text) ?? [];
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 };
  const factor = units[unit ?? ''];
  return factor === undefined ? undefined : Number(number) * factor;
}
