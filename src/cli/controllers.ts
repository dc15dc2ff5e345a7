// `margay controllers`: what is done once for a cluster (what calico-kube-controllers does), beside any API server.
import type { Command } from './types.ts';

async function run(argv: readonly string[]): Promise<number> {
  const { Command: Parser, CommanderError } = await import('commander');
  const parser = new Parser('margay controllers')
    .description(
      'Run the controllers of a cluster until SIGTERM: automatic host endpoints (node), the status of policies that cannot be enforced as written (policy) and of pools (ippool), changes on trial that nobody confirmed (trials). On etcd they compact its history every 10 minutes (COMPACTION_PERIOD), too.',
    )
    .option('--kubeconfig <file>', 'how to reach the API server', process.env['KUBECONFIG'])
    .option('--enable <names>', 'which of them (ENABLED_CONTROLLERS)', process.env['ENABLED_CONTROLLERS'])
    .exitOverride();
  try {
    parser.parse([...argv], { from: 'user' });
  } catch (cause) {
    if (cause instanceof CommanderError) return cause.exitCode === 0 ? 0 : 2;
    throw cause;
  }
  const { kubeconfig = '', enable } = parser.opts<{ kubeconfig?: string; enable?: string }>();
  const stopped = new Promise<void>((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
  const { startControllers } = await import('../controllers/mod.ts');
  const { createLogger } = await import('../lib/log.ts');
  const { openDatastore } = await import('./open-datastore.ts');
  const logger = createLogger('controllers');
  const opened = await openDatastore(kubeconfig, logger);
  if (!opened.ok) return fail(opened.error.message, opened.error.hint);
  const environment = { ...process.env, ...(enable === undefined ? {} : { ENABLED_CONTROLLERS: enable }) };
  const started = startControllers({ datastore: opened.value, logger, environment });
  if (started.ok) {
    logger.info('Running', { controllers: started.value.names });
    await stopped;
    await started.value.stop();
  }
  await opened.value.close();
  return started.ok ? 0 : fail(started.error.message, started.error.hint);
}

function fail(message: string, hint?: string): number {
  process.stderr.write(`margay controllers: ${message}${hint === undefined ? '' : ` ${hint}`}\n`);
  return 1;
}

export const command: Command = {
  name: 'controllers',
  summary: 'what is done once for a cluster: automatic host endpoints, the status of policies, trials',
  run,
};
