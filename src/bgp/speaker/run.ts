// The speaker as a process: configuration from resources or from a file, introspection socket, signals.
import { readFile } from 'node:fs/promises';
import { systemClock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import { err, failure, ok, type Failure, type Result } from '../../lib/result.ts';
import type { Datastore, WatchSource } from '../../datastore/mod.ts';
import type { Kernel } from '../../kernel/mod.ts';
import type { PlanInput } from '../plan/mod.ts';
import { configFromFile, configFromPlan } from './config-plan.ts';
import { answer, type Answerer, IntrospectionServer } from './introspection.ts';
import type { NodeStatusReporter } from './node-status/reporter.ts';
import { PlanSource } from './plan-source.ts';
import { loadSocketOptions } from './socket-options.ts';
import { Speaker } from './speaker.ts';
import { tcpTransport } from './tcp-transport.ts';
import type { SpeakerConfig } from './types.ts';

export type RunOptions = {
  readonly kernel: Kernel;
  readonly logger: Logger;
  /** Path of the introspection socket. */
  readonly socket: string;
  readonly signals: Pick<NodeJS.Process, 'on' | 'off'>;
  /** More sockets that speak of the speaker, as long as it runs. */
  readonly faces?: readonly ((speaker: () => Speaker | undefined) => Face)[];
  readonly source:
    | { readonly plan: string }
    | {
        readonly store: Datastore;
        /** What stands between the datastore and many nodes that follow it; the datastore itself when absent. */
        readonly followed?: WatchSource;
        readonly nodeName: string;
        /** Where Secrets with passwords are; kube-system when absent. */
        readonly secretNamespace?: string;
        readonly settings?: Pick<PlanInput, 'routerIdSetting' | 'advertiseClusterIPs'>;
      };
};

export type Face = { start(): Promise<Result<void, Failure>>; stop(): Promise<void> };

const engineVersion = 'margay';

/** Runs until SIGTERM or SIGINT. Peers are not told of the end: they keep our routes and the kernel keeps theirs, so that a
 *  restart loses nothing (RFC 4724). SIGHUP reads a plan file again. */
export async function runSpeaker(options: RunOptions): Promise<Result<void, Failure>> {
  const { kernel, logger } = options;
  let speaker: Speaker | undefined;
  let problem: Failure | undefined;
  let finish = (): void => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  // Configurations are applied one after the other.
  let queue: Promise<void> = Promise.resolve();
  const apply = (config: SpeakerConfig | undefined): void => {
    queue = queue.then(async () => {
      if (config === undefined) {
        await speaker?.stop('end');
        speaker = undefined;
        return undefined;
      }
      if (config.neighbours.some((n) => n.security !== undefined)) await loadSocketOptions();
      if (speaker !== undefined) return speaker.apply(config);
      const next = new Speaker(config, { transport: tcpTransport, clock: systemClock, logger, kernel });
      speaker = next;
      const started = await next.start();
      if (started.ok) return logger.info('speaker started', { as: config.as, routerId: config.routerId });
      problem = started.error;
      finish();
      return undefined;
    });
  };

  const answerer: Answerer = (request) => answer(speaker, request);
  const introspection = new IntrospectionServer({ path: options.socket, logger, answer: answerer });
  const listening = await introspection.start();
  if (!listening.ok) return listening;
  const faces = (options.faces ?? []).map((make) => make(() => speaker));
  for (const face of faces) {
    const started = await face.start();
    if (!started.ok) logger.warn('a socket is missing', { reason: started.error.message });
  }
  const source = await startSource(options, apply);
  if (!source.ok) {
    for (const face of faces) await face.stop();
    await introspection.stop();
    return source;
  }
  const reporter = await startReporter(options, answerer);
  const { signals } = options;
  const reload = (): void => source.value.reload();
  signals.on('SIGHUP', reload);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) signals.on(signal, finish);
  await finished;
  signals.off('SIGHUP', reload);
  await reporter?.stop();
  await source.value.stop();
  await queue;
  await speaker?.stop('persist');
  for (const face of faces) await face.stop();
  await introspection.stop();
  await kernel.close();
  return problem === undefined ? ok(undefined) : err(problem);
}

/** Of a node; a router with a plan file has nobody to report to. */
async function startReporter(
  { source, logger }: RunOptions,
  answerer: Answerer,
): Promise<NodeStatusReporter | undefined> {
  if ('plan' in source) return undefined;
  const { NodeStatusReporter: Reporter } = await import('./node-status/reporter.ts');
  const { store, nodeName } = source;
  const reporter = new Reporter({
    store,
    nodeName,
    answer: answerer,
    clock: systemClock,
    logger,
    version: engineVersion,
  });
  reporter.start();
  return reporter;
}

type Source = { reload(): void; stop(): Promise<void> };

async function startSource(
  { source, logger }: RunOptions,
  apply: (config: SpeakerConfig | undefined) => void,
): Promise<Result<Source, Failure>> {
  if ('plan' in source) {
    const first = await readPlanFile(source.plan);
    if (!first.ok) return first;
    apply(first.value);
    const reload = async (): Promise<void> => {
      const next = await readPlanFile(source.plan);
      if (next.ok) apply(next.value);
      else logger.error('the plan is not taken, the old one stays', { reason: next.error.message });
    };
    return ok({ reload: () => void reload(), stop: () => Promise.resolve() });
  }
  // A router with a plan file starts without the planner.
  const { computePlan } = await import('../plan/mod.ts');
  const { followed, store, ...told } = source;
  const plans = new PlanSource({
    ...told,
    store: followed ?? store,
    clock: systemClock,
    logger,
    computePlan,
    onPlan: (plan, passwords) => {
      const config = configFromPlan(plan, { passwords });
      if (config === undefined)
        logger.warn('the node has no address for BGP and no router id: no session can run', {
          node: source.nodeName,
        });
      apply(config);
    },
  });
  plans.start();
  const stop = async (): Promise<void> => {
    await plans.stop();
    await source.store.close();
  };
  return ok({ reload: () => {}, stop });
}

async function readPlanFile(path: string): Promise<Result<SpeakerConfig, Failure>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    return err(failure('BadPlan', `Cannot read the plan ${path}: ${(error as Error).message}.`));
  }
  return configFromFile(text);
}
