// The agent's side of the plugin: a Unix socket on which each connection is one execution. Requests of one container (or
// pod) run one after the other, others side by side; each has a deadline; a failure never takes the server down.
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { err, failure, ok, type Result } from '../lib/result.ts';
import { openDatastore } from '../datastore/mod.ts';
import { assignAddresses, releaseAddresses } from './assignment.ts';
import { attach, readSubject } from './attach.ts';
import { check } from './check.ts';
import { parseConfiguration, supportedVersions } from './configuration.ts';
import { collectGarbage, detach } from './detach.ts';
import { type CniError, cniCodes, cniError, wrapFailure } from './errors.ts';
import { awaitReadiness } from './readiness.ts';
import { EtcdEndpoints, KubernetesEndpoints, type OpenKubernetes, sameDatastore } from './endpoint-store.ts';
import { EndpointRecords } from './records.ts';
import { commandOf, containerOf, maxRequestBytes, parseRequest } from './request.ts';
import { fail, renderAddresses, renderResult, succeed } from './result.ts';
import type {
  CniCommand,
  CniRequest,
  CniResponse,
  CniServer,
  CniServerOptions,
  ContainerIdentity,
  Context,
  NetworkConfiguration,
} from './types.ts';

const requestDeadlineMs = 90_000;
const maxConnections = 1024;
const version = '1.1.0';

/** Starts to listen; a socket file left by an earlier agent is replaced. Felix is told first of the containers plumbed by an
 *  earlier agent that no Pod in the datastore stands for. */
export async function startCniServer(options: CniServerOptions): Promise<Result<CniServer>> {
  const context: Context = {
    ...options,
    records: new EndpointRecords(options.stateDirectory),
    stored: options.onEtcd
      ? new EtcdEndpoints(options.datastore, options.nodeName, options.openKubernetes ?? openKubernetes)
      : new KubernetesEndpoints(options.datastore),
  };
  for (const { endpoint } of context.records.all()) {
    if (endpoint.spec.pod === undefined && !context.stored.keepsPlain) options.endpoints.restore(endpoint);
  }
  const turns = new Turns();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    void serve(socket, (request) => answer(context, turns, request));
  });
  server.maxConnections = maxConnections;
  const listening = await listen(server, options.socketPath);
  if (!listening.ok) return listening;
  return ok({
    stop: async () => {
      await stop(server, options.socketPath);
      await context.stored.close();
    },
  });
}

const openKubernetes: OpenKubernetes = (kubeconfig) =>
  openDatastore({ type: 'kubernetes', kubeconfig, userAgent: 'margay-cni' });

function listen(server: Server, path: string): Promise<Result<void>> {
  return new Promise((resolve) => {
    try {
      mkdirSync(dirname(path), { recursive: true });
      rmSync(path, { force: true });
    } catch (error) {
      resolve(err(failure('SocketUnusable', `Cannot use ${path}: ${String(error)}.`)));
      return;
    }
    server.once('error', (error) =>
      resolve(err(failure('SocketUnusable', `Cannot listen on ${path}: ${error.message}.`))),
    );
    server.listen(path, () => {
      chmodSync(path, 0o600);
      resolve(ok(undefined));
    });
  });
}

function stop(server: Server, path: string): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => {
      rmSync(path, { force: true });
      resolve();
    });
  });
}

/** Reads one request to its end, answers, closes. */
async function serve(socket: Socket, handle: (bytes: Uint8Array) => Promise<CniResponse>): Promise<void> {
  socket.setTimeout(requestDeadlineMs + 5_000, () => socket.destroy());
  const bytes = await readToEnd(socket);
  // The runtime went away: what it asked for is decided by its next request.
  if (bytes === undefined) return;
  const response = await handle(bytes);
  socket.end(Buffer.concat([Buffer.from([response.exitCode]), Buffer.from(response.output)]));
}

/** undefined when the connection broke or too much came. */
function readToEnd(socket: Socket): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    socket.on('error', () => socket.destroy());
    socket.on('close', () => resolve(undefined));
    socket.on('end', () => resolve(Buffer.concat(chunks)));
    socket.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxRequestBytes) socket.destroy();
      else chunks.push(chunk);
    });
  });
}

async function answer(context: Context, turns: Turns, bytes: Uint8Array): Promise<CniResponse> {
  const request = parseRequest(bytes);
  if (!request.ok) return fail(version, request.error);
  const started = performance.now();
  const response = await execute(context, turns, request.value);
  context.logger.info('CNI request', {
    command: request.value.environment['CNI_COMMAND'],
    container: request.value.environment['CNI_CONTAINERID'],
    pod: request.value.environment['CNI_ARGS'],
    exitCode: response.exitCode,
    tookMs: Math.round((performance.now() - started) * 10) / 10,
    ...(response.exitCode === 0 ? {} : { error: response.output.trim() }),
  });
  return response;
}

async function execute(context: Context, turns: Turns, request: CniRequest): Promise<CniResponse> {
  if (request.arguments.length > 0) return executeOption(context, request.arguments);
  const command = commandOf(request.environment);
  if (!command.ok) return fail(version, command.error);
  if (command.value === 'VERSION')
    return succeed({ cniVersion: versionAsked(request.input), supportedVersions });
  const configuration = parseConfiguration(request.input);
  if (!configuration.ok) return fail(version, configuration.error);
  const { cniVersion } = configuration.value;
  try {
    const work = () => dispatch(context, command.value, request, configuration.value);
    const done = await withDeadline(turns.take(turnOf(request), work));
    return done.ok ? done.value : fail(cniVersion, done.error);
  } catch (error) {
    const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
    context.logger.error('CNI request failed unexpectedly', { error: what });
    return fail(
      cniVersion,
      cniError(cniCodes.io, 'Bug', 'The agent failed unexpectedly; its log has the details.', what),
    );
  }
}

async function dispatch(
  context: Context,
  command: CniCommand,
  request: CniRequest,
  configuration: NetworkConfiguration,
): Promise<Result<CniResponse, CniError>> {
  if (command === 'STATUS') return status(context);
  if (command !== 'CHECK' && context.isLocked()) return err(locked);
  if (command === 'GC') {
    const path = (request.environment['CNI_PATH'] ?? '').split(':').filter((p) => p !== '');
    const collected = await collectGarbage(context, configuration, path);
    return collected.ok ? ok(succeed()) : collected;
  }
  const container = containerOf(request.environment, command);
  if (!container.ok) return container;
  if (request.program === 'calico-ipam') return executeIpam(context, command, container.value, configuration);
  if (command === 'CHECK') {
    const checked = await check(context, container.value);
    return checked.ok ? ok(succeed()) : checked;
  }
  if (command === 'DEL') {
    const detached = await detach(context, container.value, configuration);
    return detached.ok ? ok(succeed()) : detached;
  }
  const ready = await awaitAgent(context, configuration);
  if (!ready.ok) return ready;
  const attached = await attach(context, container.value, configuration);
  return attached.ok ? ok(renderResult(configuration.cniVersion, attached.value)) : attached;
}

/** `calico-ipam` called by another plugin: addresses only. */
async function executeIpam(
  context: Context,
  command: CniCommand,
  container: ContainerIdentity,
  configuration: NetworkConfiguration,
): Promise<Result<CniResponse, CniError>> {
  const own: NetworkConfiguration = {
    ...configuration,
    ipam: { ...configuration.ipam, type: 'calico-ipam' },
  };
  if (command === 'DEL') {
    const released = await releaseAddresses(context, container, own);
    return released.ok ? ok(succeed()) : released;
  }
  if (command === 'CHECK') {
    const addresses = await context.ipam.addressesOfHandle(`${own.name}.${container.containerId}`);
    if (!addresses.ok)
      return err(wrapFailure(cniCodes.addressAssignment, 'Reading the handle', addresses.error));
    if (addresses.value.length > 0) return ok(succeed());
    return err(
      cniError(cniCodes.checkFailed, 'CheckFailed', `Container ${container.containerId} has no address.`),
    );
  }
  const ready = await awaitAgent(context, own);
  if (!ready.ok) return ready;
  const subject = await readSubject(context, container, own);
  if (!subject.ok) return subject;
  const assigned = await assignAddresses(context, container, own, subject.value.settings);
  return assigned.ok ? ok(renderAddresses(own.cniVersion, assigned.value.addresses)) : assigned;
}

/** Nothing is written while the data is being moved; the runtime tries again (RS-181). */
const locked = cniError(
  cniCodes.tryAgainLater,
  'NotReady',
  'ClusterInformation says that the datastore is not ready: an upgrade of its data is under way.',
);

async function awaitAgent(
  context: Context,
  configuration: NetworkConfiguration,
): Promise<Result<void, CniError>> {
  const why = context.notReady();
  if (why !== undefined) return err(cniError(cniCodes.tryAgainLater, 'NotReady', why));
  const same = sameDatastore(context.stored, configuration);
  if (!same.ok) return same;
  return configuration.readinessGates.length > 0
    ? awaitReadiness(configuration.readinessGates)
    : ok(undefined);
}

function status(context: Context): Result<CniResponse, CniError> {
  const why = context.notReady();
  return why === undefined ? ok(succeed()) : err(cniError(cniCodes.notAvailable, 'NotReady', why));
}

/** `-v` and `-t`, as Calico's plugin has them. */
function executeOption(context: Context, options: readonly string[]): CniResponse {
  if (options[0] === '-v') return { exitCode: 0, output: 'margay 0.1.0\n' };
  if (options[0] === '-t') {
    const why = context.notReady();
    return why === undefined
      ? { exitCode: 0, output: 'datastore ready\n' }
      : { exitCode: 1, output: `${why}\n` };
  }
  return {
    exitCode: 2,
    output: `unknown option ${options[0]}; there are -v (version) and -t (test the datastore)\n`,
  };
}

function versionAsked(input: string): string {
  try {
    const asked = (JSON.parse(input) as { cniVersion?: unknown }).cniVersion;
    return supportedVersions.find((v) => v === asked) ?? version;
  } catch {
    return version;
  }
}

/** Requests with the same key must not overlap: by pod, whose sandboxes share an interface name, else by container. */
function turnOf(request: CniRequest): string {
  const args = request.environment['CNI_ARGS'] ?? '';
  const namespace = /K8S_POD_NAMESPACE=([^;]*)/.exec(args)?.[1];
  const name = /K8S_POD_NAME=([^;]*)/.exec(args)?.[1];
  if (namespace !== undefined && name !== undefined) return `${namespace}/${name}`;
  return request.environment['CNI_CONTAINERID'] ?? '';
}

class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    this.#last.set(key, mine);
    const leave = () => {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    };
    mine.then(leave, leave);
    return mine;
  }
}

async function withDeadline<T>(work: Promise<Result<T, CniError>>): Promise<Result<T, CniError>> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Result<T, CniError>>((resolve) => {
    timer = setTimeout(
      () =>
        resolve(
          err(
            cniError(
              cniCodes.tryAgainLater,
              'Timeout',
              `The agent did not finish within ${requestDeadlineMs / 1000} s.`,
            ),
          ),
        ),
      requestDeadlineMs,
    );
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
