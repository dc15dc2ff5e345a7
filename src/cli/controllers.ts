// `margay controllers`: what is done once for a cluster (what calico-kube-controllers does), beside any API server.
import { failed, parseFlags, toldToEnd } from './process.ts';
import type { Command } from './types.ts';

async function run(argv: readonly string[]): Promise<number> {
  const { Command: Parser } = await import('commander');
  const parser = new Parser('margay controllers')
    .description(
      'Run the controllers of a cluster until SIGTERM: automatic host endpoints (node), the status of policies that cannot be enforced as written (policy) and of pools (ippool), changes on trial that nobody confirmed (trials). On etcd they compact its history every 10 minutes (COMPACTION_PERIOD), too.',
    )
    .option('--kubeconfig <file>', 'how to reach the API server', process.env['KUBECONFIG'])
    .option('--enable <names>', 'which of them (ENABLED_CONTROLLERS)', process.env['ENABLED_CONTROLLERS']);
  const flags = await parseFlags<{ kubeconfig?: string; enable?: string }>(parser, argv);
  if (typeof flags === 'number') return flags;
  const { kubeconfig = '', enable } = flags;
  const stopped = toldToEnd();
  const { startControllers } = await import('../controllers/mod.ts');
  const { createLogger } = await import('../lib/log.ts');
  const { openDatastore } = await import('./open-datastore.ts');
  const logger = createLogger('controllers');
  const opened = await openDatastore(kubeconfig, logger);
  if (!opened.ok) return failed('controllers', opened.error);
  const environment = { ...process.env, ...(enable === undefined ? {} : { ENABLED_CONTROLLERS: enable }) };
  const started = startControllers({ datastore: opened.value, logger, environment });
  if (started.ok) {
    logger.info('Running', { controllers: started.value.names });
    await stopped;
    await started.value.stop();
  }
  await opened.value.close();
  return started.ok ? 0 : failed('controllers', started.error);
}

export const command: Command = {
  name: 'controllers',
  summary: 'what is done once for a cluster: automatic host endpoints, the status of policies, trials',
  run,
};
