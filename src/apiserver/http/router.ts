// From a request to its answer: which verb on which target, and how the answer is written.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { stringifyJson } from '../../lib/json.ts';
import { err, ok } from '../../lib/result.ts';
import type { Api } from '../api.ts';
import { authorize } from '../auth/access.ts';
import { attributesOf } from '../auth/attributes.ts';
import { authenticate } from '../auth/authenticate.ts';
import { discovery } from '../discovery.ts';
import { openApi } from '../openapi/documents.ts';
import { refuse, statusBody } from '../status.ts';
import { proxyLog, proxyUpgrade, refuseUpgrade } from '../streams/proxy.ts';
import { streamParts, streamTarget } from '../streams/target.ts';
import { measured } from '../usage/usage.ts';
import { answerQuestion, create, partOf, patch, remove, removeCollection, update } from '../verbs/mutate.ts';
import { getOne, list } from '../verbs/read.ts';
import { bind, evict, scale } from '../verbs/subresources.ts';
import { requestToken } from '../verbs/token.ts';
import { watch } from '../verbs/watch.ts';
import { type Answer, type Call, type Outcome, pathSteps, type Target, targetOf } from './call.ts';
import { negotiate } from './media.ts';

/** What the server says it is: the Kubernetes version whose protocol it follows. */
const version = {
  major: '1',
  minor: '32',
  gitVersion: 'v1.32.0+margay',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '2026-11-01T00:00:00Z',
  goVersion: 'none',
  compiler: 'node',
  platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};

const largeAnswerBytes = 64 * 1024;

const text = (code: number, body: string): Answer => ({
  code,
  body: undefined,
  text: body,
  contentType: 'text/plain; charset=utf-8',
});

export async function handle(api: Api, request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    const outcome = await answerTo(api, request, response);
    if (outcome === 'streaming') return;
    send(api, request, response, outcome);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    api.logger.error('A request failed', {
      path: request.url,
      error: message,
      stack: cause instanceof Error ? cause.stack : undefined,
    });
    if (response.headersSent) response.destroy();
    else send(api, request, response, refuse('InternalError', `Internal error occurred: ${message}`));
  }
}

/** Streams that leave HTTP: exec, attach and port-forward of pods. */
export async function handleUpgrade(
  api: Api,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  try {
    const url = request.url ?? '/';
    const steps = pathSteps(url.split('?')[0] ?? '/');
    const query = new URLSearchParams(url.includes('?') ? url.slice(url.indexOf('?') + 1) : '');
    const target = steps === undefined ? undefined : targetOf(api.registry, steps);
    if (target?.ok !== true || !isStream(target.value) || target.value.subresource === 'log')
      return refuseUpgrade(socket, refuse('BadRequest', 'this resource cannot be upgraded').error);
    const user = authenticate(api.access, request);
    if (!user.ok) return refuseUpgrade(socket, user.error);
    const asked = attributesOf(target.value, request.method ?? 'GET', query);
    const authorized = authorize(api.access, user.value, asked);
    if (!authorized.ok) return refuseUpgrade(socket, authorized.error);
    const leads = streamTarget(api, target.value, query);
    if (!leads.ok) return refuseUpgrade(socket, leads.error);
    await proxyUpgrade(api, leads.value, request, socket, head);
  } catch (cause) {
    api.logger.error('A stream failed', { path: request.url, error: (cause as Error).stack });
    socket.destroy();
  }
}

const isStream = ({ kind, subresource }: Target): boolean =>
  kind.group === '' && kind.kind === 'Pod' && streamParts.has(subresource ?? '');

async function stream(api: Api, target: Target, call: Call): Promise<Outcome | 'streaming'> {
  const { method } = call.request;
  const isLog = target.subresource === 'log';
  if (method !== 'GET' && (isLog || method !== 'POST')) return notAllowed();
  const leads = streamTarget(api, target, call.query);
  if (!leads.ok) return leads;
  if (!isLog) return refuse('BadRequest', 'Upgrade request required');
  const proxied = await proxyLog(api, leads.value, call);
  return proxied === 'streaming' ? proxied : err(proxied);
}

async function answerTo(
  api: Api,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Outcome | 'streaming'> {
  const url = request.url ?? '/';
  const mark = url.indexOf('?');
  const steps = pathSteps(mark < 0 ? url : url.slice(0, mark));
  const query = new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1));
  if (steps === undefined) return refuse('BadRequest', 'the path of the request is not well-formed');
  const accepted = negotiate(request.headers.accept, query.get('includeObject'));
  const [root] = steps;
  const authenticated = authenticate(api.access, request);
  if (!authenticated.ok) return authenticated;
  const user = authenticated.value;
  const target = root === 'api' || root === 'apis' ? targetOf(api.registry, steps) : undefined;
  const namesResource = target?.ok === true || steps.length > 3 || (root === 'api' && steps.length > 2);
  if (!namesResource) {
    const verb = (request.method ?? 'GET').toLowerCase();
    const path = mark < 0 ? url : url.slice(0, mark);
    const authorized = authorize(api.access, user, { verb, path });
    if (!authorized.ok) return authorized;
  }
  if (root === 'openapi') {
    const found = openApi(api.registry, steps, request.headers.accept ?? '');
    return found === undefined
      ? refuse('NotFound', 'the server could not find the requested resource')
      : ok(found);
  }
  if (root === 'healthz' || root === 'livez' || root === 'readyz') return ok(text(200, 'ok'));
  if (accepted === undefined) {
    return refuse('NotAcceptable', 'only the following media types are accepted: application/json');
  }
  if (root === 'version') return ok({ code: 200, body: version });
  if (steps.length === 0) return ok({ code: 200, body: { paths: rootPaths(api) } });
  if (root !== 'api' && root !== 'apis')
    return refuse('NotFound', 'the server could not find the requested resource');
  if (request.method === 'GET') {
    const found = discovery(api.registry, steps, accepted, request.headers.host ?? '');
    if (found !== undefined) return found;
  }
  const call: Call = { request, response, query, accepted, user };
  if (target === undefined || !target.ok)
    return bindingPath(api, steps, call) ?? target ?? refuse('NotFound', 'not found');
  const asked = attributesOf(target.value, request.method ?? 'GET', query);
  const authorized = authorize(api.access, user, asked);
  return authorized.ok ? dispatch(api, target.value, call) : authorized;
}

const rootPaths = (api: Api): readonly string[] => {
  const groups = [...api.registry.groups].flatMap(([group, versions]) =>
    group === ''
      ? ['/api', '/api/v1']
      : [`/apis/${group}`, ...versions.map((one) => `/apis/${group}/${one}`)],
  );
  return [
    ...groups,
    '/apis',
    '/healthz',
    '/livez',
    '/openapi/v2',
    '/openapi/v3',
    '/readyz',
    '/version',
  ].sort();
};

/** POST /api/v1/namespaces/NS/bindings names its pod in the body. */
function bindingPath(api: Api, steps: readonly string[], call: Call): Promise<Outcome> | undefined {
  const [, , scope, namespace, resource] = steps;
  if (
    steps.length !== 5 ||
    scope !== 'namespaces' ||
    resource !== 'bindings' ||
    call.request.method !== 'POST'
  )
    return undefined;
  const kind = api.registry.find('', 'v1', 'pods');
  const asked = { verb: 'create', group: '', resource: 'bindings', subresource: '', name: '' };
  const authorized = authorize(api.access, call.user, { ...asked, namespace: namespace ?? '' });
  if (!authorized.ok) return Promise.resolve(authorized);
  return kind === undefined
    ? undefined
    : bind(api, { kind, namespace, name: undefined, subresource: 'binding' }, call);
}

const notAllowed = (): Outcome =>
  refuse('MethodNotAllowed', 'the server does not allow this method on the requested resource');

function dispatch(
  api: Api,
  target: Target,
  call: Call,
): Outcome | 'streaming' | Promise<Outcome | 'streaming'> {
  const { name, subresource } = target;
  if (target.kind.answer !== undefined) {
    const asks = call.request.method === 'POST' && name === undefined;
    return asks ? answerQuestion(api, target, call) : notAllowed();
  }
  if (target.kind.isMeasured === true) return measured(api, target, call);
  if (isStream(target)) return stream(api, target, call);
  if (subresource !== undefined) return dispatchSubresource(api, target, call);
  switch (call.request.method) {
    case 'GET': {
      const wantsWatch = ['true', '1'].includes(call.query.get('watch') ?? '');
      if (wantsWatch) {
        const started = watch(api, target, call);
        return started.ok ? 'streaming' : started;
      }
      return name === undefined ? list(api, target, call) : getOne(api, target, call);
    }
    case 'POST':
      if (name !== undefined || (target.kind.namespaced && target.namespace === undefined))
        return notAllowed();
      return create(api, target, call);
    case 'PUT':
      return name === undefined ? notAllowed() : update(api, target, 'object', call);
    case 'PATCH':
      return name === undefined ? notAllowed() : patch(api, target, 'object', call);
    case 'DELETE':
      if (name !== undefined) return remove(api, target, call);
      // A collection is deleted within one namespace.
      return target.kind.namespaced && target.namespace === undefined
        ? notAllowed()
        : removeCollection(api, target, call);
    default:
      return notAllowed();
  }
}

function dispatchSubresource(api: Api, target: Target, call: Call): Outcome | Promise<Outcome> {
  const { kind, subresource } = target;
  const { method } = call.request;
  if (kind.group === '' && kind.kind === 'ServiceAccount' && subresource === 'token')
    return method === 'POST' ? requestToken(api, target, call) : notAllowed();
  const isPod = kind.group === '' && kind.kind === 'Pod';
  if (subresource === 'scale' && kind.hasScale) {
    return method === 'GET' || method === 'PUT' || method === 'PATCH'
      ? scale(api, target, call)
      : notAllowed();
  }
  if (isPod && subresource === 'binding') return method === 'POST' ? bind(api, target, call) : notAllowed();
  if (isPod && subresource === 'eviction') return method === 'POST' ? evict(api, target, call) : notAllowed();
  const part = partOf(kind, subresource);
  if (part === undefined) {
    return refuse(
      'NotFound',
      `the server could not find the requested resource: ${kind.plural}/${subresource} is not served`,
    );
  }
  if (method === 'GET') return getOne(api, target, call);
  if (method === 'PUT') return update(api, target, part, call);
  return method === 'PATCH' ? patch(api, target, part, call) : notAllowed();
}

function send(api: Api, request: IncomingMessage, response: ServerResponse, outcome: Outcome): void {
  if (response.destroyed) return;
  const answer: Answer = outcome.ok
    ? outcome.value
    : { code: outcome.error.code, body: statusBody(outcome.error) };
  const { bytes } = answer as { readonly bytes?: Buffer };
  const body = bytes ?? Buffer.from(answer.text ?? stringifyJson(answer.body));
  response.statusCode = answer.code;
  response.setHeader('content-type', answer.contentType ?? 'application/json');
  response.setHeader('content-length', body.length);
  response.setHeader('cache-control', 'no-cache, private');
  for (const warning of (answer.warnings ?? []).slice(0, 20)) {
    response.appendHeader('warning', `299 - ${JSON.stringify(warning).replaceAll(/[^\x20-\x7e]/g, '?')}`);
  }
  const retry = outcome.ok ? undefined : outcome.error.details?.retryAfterSeconds;
  if (retry !== undefined) response.setHeader('retry-after', retry);
  // A body that was not read to its end would be taken for the next request.
  if (!request.complete) response.setHeader('connection', 'close');
  // A client that asks for much and reads nothing would keep the answer in memory.
  if (body.length > largeAnswerBytes)
    response.setTimeout(api.limits.stalledWatchMs, () => response.destroy());
  response.end(request.method === 'HEAD' ? undefined : body);
}
