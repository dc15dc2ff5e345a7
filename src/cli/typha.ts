// `margay typha`: the fan-out server, until SIGTERM. Its settings are the environment of Calico's manifests (docs/typha.md).
import type { Datastore } from '../datastore/mod.ts';
import type { HttpEndpoint, HttpPages } from '../lib/http-pages.ts';
import type { Logger } from '../lib/log.ts';
import { ok, type Result } from '../lib/result.ts';
import type { ServerSettings, TyphaServer } from '../typha/mod.ts';
import { failed, parseFlags, toldToEnd } from './process.ts';
import type { Command } from './types.ts';

async function run(argv: readonly string[]): Promise<number> {
  const { Command: Parser } = await import('commander');
  const parser = new Parser('margay typha')
    .description(
      'Follow the datastore once for any number of agents and speakers, until SIGTERM. Settings come from the environment: TYPHA_SERVERPORT, TYPHA_CAFILE, TYPHA_SERVERCERTFILE, TYPHA_SERVERKEYFILE, TYPHA_CLIENTCN, TYPHA_HEALTHENABLED, TYPHA_PROMETHEUSMETRICSENABLED and the others of Calico.',
    )
    .option('--kubeconfig <file>', 'how to reach the API server', process.env['KUBECONFIG']);
  const flags = await parseFlags<{ kubeconfig?: string }>(parser, argv);
  if (typeof flags === 'number') return flags;
  const stopped = toldToEnd();
  const { serverSettings } = await import('../typha/mod.ts');
  const { createLogger } = await import('../lib/log.ts');
  const { openDatastore } = await import('./open-datastore.ts');
  const settings = serverSettings(process.env);
  if (!settings.ok) return failed('typha', settings.error);
  const logger = createLogger('typha');
  if (settings.value.ignored.length > 0)
    logger.warn('These settings mean nothing here', { names: settings.value.ignored });
  const opened = await openDatastore(flags.kubeconfig ?? '', logger);
  if (!opened.ok) return failed('typha', opened.error);
  const code = await serve(opened.value, settings.value, logger, stopped);
  await opened.value.close();
  return code;
}

async function serve(
  datastore: Datastore,
  settings: ServerSettings,
  logger: Logger,
  stopped: Promise<void>,
): Promise<number> {
  const { startTyphaServer } = await import('../typha/mod.ts');
  const { followedByAgents } = await import('../felix/agent/mod.ts');
  const { followedBySpeakers } = await import('../bgp/speaker/mod.ts');
  const { hostname } = await import('node:os');
  const { host, maxConnections, port, timers, tls } = settings;
  const server = await startTyphaServer(datastore, {
    ...(host === undefined ? {} : { host }),
    ...(tls === undefined ? {} : { tls }),
    port,
    name: hostname(),
    kinds: [...new Set([...followedByAgents, ...followedBySpeakers])],
    maxConnections,
    timers,
    logger,
  });
  if (!server.ok) return failed('typha', server.error);
  const pages = await servePages(server.value, settings);
  if (!pages.ok) {
    await server.value.stop(0);
    return failed('typha', pages.error);
  }
  logger.info('Serving', { port: server.value.port, encrypted: tls !== undefined });
  const ended = await Promise.race([stopped, server.value.done]);
  await server.value.stop(ended === undefined ? undefined : 0);
  for (const page of pages.value) await page.close();
  return ended === undefined || ended.ok ? 0 : failed('typha', ended.error);
}

/** Health and metrics where they are asked for. */
async function servePages(
  server: TyphaServer,
  { health, metrics }: ServerSettings,
): Promise<Result<readonly HttpEndpoint[]>> {
  const { serveHttp } = await import('../lib/http-pages.ts');
  const { metricsType } = await import('../lib/metrics.ts');
  const { metricsOf } = await import('../typha/mod.ts');
  const text = (status: number, body: string) => ({ status, type: metricsType, body });
  const live = async () => text(200, 'ok\n');
  const ready = async () => {
    const { datastore } = server.status();
    return datastore === 'in-sync' ? text(200, 'ok\n') : text(503, `the datastore is ${datastore}\n`);
  };
  const scrape = async () => text(200, metricsOf(server.status()));
  const served: HttpEndpoint[] = [];
  for (const [at, pages] of [
    [health, { '/liveness': live, '/readiness': ready }],
    [metrics, { '/metrics': scrape }],
  ] satisfies [unknown, HttpPages][]) {
    if (at === undefined) continue;
    const one = await serveHttp(at.host, at.port, pages);
    if (!one.ok) return one;
    served.push(one.value);
  }
  return ok(served);
}

export const command: Command = {
  name: 'typha',
  summary: 'stands between the datastore and many nodes: one list-watch, any number of followers',
  run,
};
