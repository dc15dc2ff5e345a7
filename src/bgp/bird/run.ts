// The BIRD engine as a process: plans from Calico resources, BIRD as a child, the introspection socket, signals.
import { systemClock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { err, failure, type Failure, ok, type Result } from '../../lib/result.ts';
import type { Datastore, WatchSource } from '../../datastore/mod.ts';
import { computePlan, type PlanInput } from '../plan/mod.ts';
import { type Answerer, IntrospectionServer, NodeStatusReporter, PlanSource } from '../speaker/mod.ts';
import type { Kernel } from '../../kernel/mod.ts';
import { answerForBird } from './answers.ts';
import { BirdEngine } from './engine.ts';
import { Leftovers } from './leftovers.ts';

export type RunBirdOptions = {
  readonly logger: Logger;
  /** Path of the introspection socket. */
  readonly socket: string;
  readonly signals: Pick<NodeJS.Process, 'on' | 'off'>;
  readonly store: Datastore;
  /** What stands between the datastore and many nodes that follow it; the datastore itself when absent. */
  readonly followed?: WatchSource;
  readonly kernel: Kernel;
  readonly nodeName: string;
  readonly secretNamespace?: string;
  readonly settings?: Pick<PlanInput, 'routerIdSetting' | 'advertiseClusterIPs'>;
  /** The program of BIRD. */
  readonly program: string;
  /** Where bird.cfg is written. */
  readonly directory: string;
  /** BIRD's control socket. */
  readonly controlSocket: string;
};

/** Runs until SIGTERM or SIGINT. As with the native engine, kernel routes and the neighbours' memory of us outlive it. */
export async function runBird(options: RunBirdOptions): Promise<Result<void, Failure>> {
  const { logger, store, signals } = options;
  const engine = new BirdEngine({
    directory: options.directory,
    socket: options.controlSocket,
    program: options.program,
    clock: systemClock,
    logger,
  });
  const answer: Answerer = (request) => answerForBird(engine, request, () => new Date());
  const introspection = new IntrospectionServer({ path: options.socket, logger, answer });
  const listening = await introspection.start();
  if (!listening.ok) return listening;
  let first = true;
  let problem: Failure | undefined;
  let finish = (): void => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const plans = new PlanSource({
    store: options.followed ?? store,
    nodeName: options.nodeName,
    clock: systemClock,
    logger,
    computePlan,
    ...(options.secretNamespace === undefined ? {} : { secretNamespace: options.secretNamespace }),
    ...(options.settings === undefined ? {} : { settings: options.settings }),
    onPlan: (plan, passwords) => {
      void engine.apply(plan, passwords).then(() => {
        // Without BIRD there is nothing to wait for.
        const failed = first && engine.plan === undefined ? engine.facts.problem : undefined;
        first = false;
        if (failed === undefined) return;
        problem = failure('NoBird', failed, 'The native engine needs no BIRD: --engine native.');
        finish();
      });
    },
  });
  plans.start();
  const leftovers = new Leftovers({
    kernel: options.kernel,
    ask: (command) => engine.ask(command),
    clock: systemClock,
    logger,
  });
  leftovers.start();
  const { nodeName } = options;
  const reporter = new NodeStatusReporter({
    store,
    nodeName,
    answer,
    clock: systemClock,
    logger,
    version: 'margay with BIRD',
  });
  reporter.start();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) signals.on(signal, finish);
  await finished;
  await reporter.stop();
  await leftovers.stop();
  await plans.stop();
  await engine.stop();
  await introspection.stop();
  await store.close();
  await options.kernel.close();
  return problem === undefined ? ok(undefined) : err(problem);
}
