// The node's side of CalicoNodeStatus (RS-182, BG-080): follows the objects that ask this node, fills their status when
// they appear and then every updatePeriodSeconds, and answers questions in their annotations (question.ts). Whatever
// engine speaks BGP, it is asked the way its socket is.
import type { Clock, Timer } from '../../../lib/clock.ts';
import type { Logger } from '../../../lib/log.ts';
import { startSyncer, type Datastore, type Syncer, type SyncUpdate } from '../../../datastore/mod.ts';
import type { CalicoNodeStatus } from '../../../model/mod.ts';
import { plainBytes, type Answerer, type RouteView } from '../introspection.ts';
import type { PeerStatus, SpeakerStatus } from '../types.ts';
import { answerAnnotation, answerLimit, type Answered, openQuestion, parseQuestion } from './question.ts';
import { nodeStatus, type SpeakerFacts } from './status.ts';

export type NodeStatusOptions = {
  readonly store: Datastore;
  readonly nodeName: string;
  readonly answer: Answerer;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Of the engine, as `birdV4.version` shows it. */
  readonly version: string;
};

type Followed = { object: CalicoNodeStatus; key: string; timer: Timer | undefined };

const defaultPeriodS = 10;
const writeAttempts = 5;
/** So many objects may ask one node: each costs a timer and writes. */
const objectLimit = 100;

export class NodeStatusReporter {
  readonly #options: NodeStatusOptions;
  readonly #followed = new Map<string, Followed>();
  #syncer: Syncer | undefined;
  #stopped = false;
  /** One report at a time. */
  #reporting: Promise<void> = Promise.resolve();

  constructor(options: NodeStatusOptions) {
    this.#options = options;
  }

  start(): void {
    const { store, logger } = this.#options;
    this.#syncer = startSyncer(store, {
      kinds: ['CalicoNodeStatus'],
      logger,
      onUpdates: (updates) => this.#take(updates),
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const { timer } of this.#followed.values()) timer?.cancel();
    await this.#syncer?.stop();
    await this.#reporting;
  }

  #take(updates: readonly SyncUpdate<'CalicoNodeStatus'>[]): void {
    for (const update of updates) {
      if (update.type === 'delete') this.#forget(update.name.name);
      else if (update.type === 'set') this.#set(update.object);
    }
  }

  #forget(name: string): void {
    this.#followed.get(name)?.timer?.cancel();
    this.#followed.delete(name);
  }

  #set(object: CalicoNodeStatus): void {
    const { name } = object.metadata;
    if (object.spec.node !== this.#options.nodeName) return this.#forget(name);
    const question = openQuestion(object);
    const { classes, updatePeriodSeconds = defaultPeriodS } = object.spec;
    const key = JSON.stringify([object.metadata.uid, classes, updatePeriodSeconds]);
    const known = this.#followed.get(name);
    if (known !== undefined) known.object = object;
    // What was just written comes back.
    if (known?.key === key && question === undefined) return;
    if (known === undefined && this.#followed.size >= objectLimit) {
      this.#options.logger.warn('too many CalicoNodeStatus for this node', { ignored: name });
      return;
    }
    known?.timer?.cancel();
    this.#followed.set(name, { object, key, timer: undefined });
    // 0: once, and a restarted node does not answer anew.
    if (updatePeriodSeconds === 0 && question === undefined && object.status?.lastUpdated) return;
    this.#report(name);
  }

  #report(name: string): void {
    this.#reporting = this.#reporting.then(async () => {
      const followed = this.#followed.get(name);
      if (followed === undefined || this.#stopped) return;
      await this.#write(followed.object);
      const period = followed.object.spec.updatePeriodSeconds ?? defaultPeriodS;
      if (period === 0 || this.#stopped || this.#followed.get(name) !== followed) return;
      followed.timer = this.#options.clock.after(period * 1000, () => this.#report(name));
    });
  }

  async #write(object: CalicoNodeStatus): Promise<void> {
    const { store, logger, clock, version } = this.#options;
    const { name } = object.metadata;
    const facts = await this.#facts(object);
    const status = nodeStatus(object.spec.classes, facts, version, new Date(clock.now()).toISOString());
    const question = openQuestion(object);
    const answered = question === undefined ? undefined : await this.#answer(question);
    for (let attempt = 1; ; attempt++) {
      // The answer first: whoever waits for the time of the report then has both.
      const current =
        answered === undefined
          ? await store.get('CalicoNodeStatus', { name })
          : await store.patch(
              'CalicoNodeStatus',
              { name },
              { type: 'merge', body: { metadata: { annotations: { [answerAnnotation]: answered } } } },
            );
      const written = current.ok
        ? await store.updateStatus('CalicoNodeStatus', { ...current.value, status })
        : current;
      if (written.ok || written.error.code === 'NotFound') return;
      if (written.error.code === 'Conflict' && attempt < writeAttempts) continue;
      return logger.warn('cannot report the status of the node', { name, reason: written.error.message });
    }
  }

  async #facts({ spec: { classes } }: CalicoNodeStatus): Promise<SpeakerFacts> {
    const ask = async <T>(op: string): Promise<T | undefined> => {
      const given = await this.#options.answer({ op });
      return given.ok ? (given.value as T) : undefined;
    };
    const needsPeers = classes.includes('BGP') || classes.includes('Routes');
    const [status, peers, routes] = [
      classes.includes('Agent') ? await ask<SpeakerStatus>('status') : undefined,
      needsPeers ? await ask<readonly PeerStatus[]>('peers') : undefined,
      classes.includes('Routes') ? await ask<readonly RouteView[]>('routes') : undefined,
    ];
    return {
      ...(status === undefined ? {} : { status }),
      ...(peers === undefined ? {} : { peers }),
      ...(routes === undefined ? {} : { routes }),
    };
  }

  async #answer(text: string): Promise<string> {
    const question = parseQuestion(text);
    const refuse = (code: string, message: string, hint?: string): string =>
      JSON.stringify({
        to: text,
        ok: false,
        error: { code, message, ...(hint === undefined ? {} : { hint }) },
      } satisfies Answered);
    if (question === undefined) return refuse('BadRequest', 'This is no question that a node answers.');
    const given = await this.#options.answer(question);
    if (!given.ok) return refuse(given.error.code, given.error.message, given.error.hint);
    const answer = JSON.stringify({ to: text, ok: true, result: given.value } satisfies Answered, plainBytes);
    if (answer.length <= answerLimit) return answer;
    return refuse(
      'TooLong',
      `The answer has ${answer.length} characters, more than an object may hold.`,
      'Ask for one prefix or peer, or on the node itself.',
    );
  }
}
