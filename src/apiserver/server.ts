// Puts the server together and takes it apart again.
import { systemClock } from '../lib/clock.ts';
import { createLogger } from '../lib/log.ts';
import { err, ok, type Result } from '../lib/result.ts';
import type { Api } from './api.ts';
import { createAccess } from './auth/access.ts';
import { DefinitionController } from './controllers/definitions.ts';
import { expireEvents } from './controllers/expiry.ts';
import { GarbageCollector } from './controllers/garbage.ts';
import { publishService } from './controllers/own-service.ts';
import { PoolController } from './controllers/pools.ts';
import { RoleController } from './controllers/roles.ts';
import { createTiers } from './controllers/tiers.ts';
import { NamespaceController } from './controllers/namespaces.ts';
import { listen, type Listener, readAddress } from './http/listener.ts';
import { handle, handleUpgrade } from './http/router.ts';
import { createRegistry } from './kinds/registry.ts';
import { tokenKey } from './pki.ts';
import { Store } from './store/store.ts';
import {
  type ApiServer,
  type ApiServerOptions,
  defaultCutTrialMs,
  defaultLimits,
  type ServerError,
} from './types.ts';

/** Starts the server; it takes requests when the promise is fulfilled. Nothing is left behind when it fails. */
export async function startApiServer(options: ApiServerOptions): Promise<Result<ApiServer, ServerError>> {
  const limits = { ...defaultLimits, ...options.limits };
  const clock = options.clock ?? systemClock;
  const logger = options.logger ?? createLogger('apiserver');
  const wheres = [];
  for (const text of options.listen ?? []) {
    const where = readAddress(text);
    if (!where.ok) return where;
    wheres.push(where.value);
  }
  if (options.listenFd !== undefined) wheres.push({ fd: options.listenFd });
  const opened = Store.open({
    data: options.data,
    durability: options.durability ?? 'power',
    historyEvents: limits.historyEvents,
    historyBytes: limits.historyBytes,
    clock,
    logger,
  });
  if (!opened.ok) return opened;
  const store = opened.value;
  const stopping = new AbortController();
  const { security } = options;
  const api: Api = {
    store,
    registry: createRegistry(),
    clock,
    logger,
    limits,
    access: createAccess(security?.tokenKey ?? tokenKey(options.data), store, clock),
    cutTrialMs: options.cutTrialMs ?? defaultCutTrialMs,
    stopping: stopping.signal,
    ...(security === undefined ? {} : { nodeClient: { ...security.nodeClient, ca: security.clientCa } }),
  };
  const namespaces = new NamespaceController(api);
  const garbage = new GarbageCollector(api);
  const pools = new PoolController(api);
  const definitions = new DefinitionController(api);
  const roles = new RoleController(api);
  await namespaces.start();
  await roles.start();
  garbage.start();
  await createTiers(api);
  await definitions.start();
  pools.start();
  const stopExpiry = expireEvents(api);
  const listeners: Listener[] = [];
  const shutDown = async (): Promise<void> => {
    stopping.abort();
    stopExpiry();
    await Promise.all(listeners.map((listener) => listener.close()));
    await Promise.all([namespaces.idle(), garbage.idle(), pools.idle(), definitions.idle(), roles.idle()]);
    await store.close();
  };
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= shutDown());
  for (const where of wheres) {
    const listening = await listen(
      where,
      limits,
      (request, response) => void handle(api, request, response),
      (request, socket, head) => void handleUpgrade(api, request, socket, head),
      security,
    );
    if (!listening.ok) {
      await stop();
      return err(listening.error);
    }
    listeners.push(listening.value);
  }
  await publishService(
    api,
    listeners.map((one) => one.address),
  );
  logger.info('Serving', {
    addresses: listeners.map((one) => one.address),
    data: options.data,
    revision: store.revision,
  });
  return ok({ addresses: listeners.map((one) => one.address), stop });
}
