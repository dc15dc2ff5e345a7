// Get and list of NodeMetrics and PodMetrics: the nodes' runners say what their processes use.
import { err, ok, type Result } from '../../lib/result.ts';
import { type Api, timestamp } from '../api.ts';
import type { Call, Outcome, Target } from '../http/call.ts';
import { isObject, listAt, numberAt, objectAt, textAt } from '../json.ts';
import { parseSelection } from '../selectors.ts';
import { notFound, refuse, type StatusError } from '../status.ts';
import { askNode } from '../streams/proxy.ts';
import { nodeServer } from '../streams/target.ts';
import { type ApiObject, groupVersionOf } from '../types.ts';

type NodeReport = { readonly node: ApiObject; readonly report: unknown };

const notAllowed = (): Outcome =>
  refuse('MethodNotAllowed', 'the server does not allow this method on the requested resource');

export async function measured(api: Api, target: Target, call: Call): Promise<Outcome> {
  const { kind, name } = target;
  if (call.request.method !== 'GET' || ['true', '1'].includes(call.query.get('watch') ?? ''))
    return notAllowed();
  const selection = parseSelection(
    call.query.get('labelSelector') ?? '',
    call.query.get('fieldSelector') ?? '',
  );
  if (!selection.ok) return refuse('BadRequest', selection.error);
  const found = kind.kind === 'NodeMetrics' ? await ofNodes(api, target) : await ofPods(api, target);
  if (!found.ok) return found;
  const items = found.value.filter((one) => selection.value.matches(one));
  if (name !== undefined) {
    const [only] = items;
    return only === undefined ? notFound(kind, name) : ok({ code: 200, body: only });
  }
  const list = { kind: `${kind.kind}List`, apiVersion: groupVersionOf(kind), metadata: {}, items };
  return ok({ code: 200, body: list });
}

type Found = Result<readonly ApiObject[], StatusError>;

async function ofNodes(api: Api, { name }: Target): Promise<Found> {
  const reports = await reportsOf(api, name === undefined ? undefined : new Set([name]));
  return reports.ok
    ? ok(
        reports.value.map(({ node, report }) => ({
          ...head(api, node, 'NodeMetrics', report),
          usage: usageOf(objectAt(report, 'node')),
        })),
      )
    : reports;
}

async function ofPods(api: Api, { namespace, name }: Target): Promise<Found> {
  const pods = [...api.store.list('pods')]
    .filter((pod) => namespace === undefined || pod.namespace === namespace)
    .filter((pod) => name === undefined || pod.name === name);
  const nodes = new Set(pods.map(({ object }) => textAt(object, 'spec', 'nodeName') ?? ''));
  const reports = await reportsOf(api, nodes);
  if (!reports.ok) return reports;
  const byPod = new Map<string, { readonly report: unknown; readonly containers: ApiObject[] }>();
  for (const { report } of reports.value)
    for (const one of listAt(report, 'containers')) {
      const key = `${textAt(one, 'namespace') ?? ''}/${textAt(one, 'pod') ?? ''}`;
      const known = byPod.get(key) ?? { report, containers: [] };
      known.containers.push({ name: textAt(one, 'container'), usage: usageOf(one) } as never);
      byPod.set(key, known);
    }
  return ok(
    pods.flatMap(({ namespace: space, name: pod, object }) => {
      const known = byPod.get(`${space}/${pod}`);
      if (known === undefined) return [];
      return [{ ...head(api, object, 'PodMetrics', known.report), containers: known.containers }];
    }),
  );
}

function head(api: Api, of: ApiObject, kind: string, report: unknown): ApiObject {
  const { name, namespace, labels } = of.metadata;
  return {
    apiVersion: 'metrics.k8s.io/v1beta1',
    kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(labels === undefined ? {} : { labels }),
      creationTimestamp: timestamp(api.clock.now()),
    },
    timestamp: timestamp(numberAt(report, 'atMs') ?? 0),
    window: `${((numberAt(report, 'windowMs') ?? 0) / 1000).toFixed(3)}s`,
  };
}

const usageOf = (used: unknown): { readonly cpu: string; readonly memory: string } => ({
  cpu: `${Math.round((numberAt(used, 'cpuCores') ?? 0) * 1e9)}n`,
  memory: `${Math.round((numberAt(used, 'memoryBytes') ?? 0) / 1024)}Ki`,
});

/** Of the nodes that answer; an error when there are nodes to ask, and none does. */
async function reportsOf(
  api: Api,
  names: ReadonlySet<string> | undefined,
): Promise<Result<readonly NodeReport[], StatusError>> {
  const nodes = [...api.store.list('nodes')].filter((one) => names?.has(one.name) ?? true);
  const answers = await Promise.all(
    nodes.map(async ({ object }): Promise<Result<NodeReport, StatusError>> => {
      const server = nodeServer(object);
      if (!server.ok) return server;
      const answer = await askNode(api, { ...server.value, path: '/usage' });
      return answer.ok && isObject(answer.value)
        ? ok({ node: object, report: answer.value })
        : noReport(answer);
    }),
  );
  const reports = answers.flatMap((one) => (one.ok ? [one.value] : []));
  const [first] = answers;
  return reports.length === 0 && first?.ok === false ? first : ok(reports);
}

const noReport = (answer: Result<unknown, StatusError>): Result<never, StatusError> =>
  answer.ok ? refuse('InternalError', 'the node does not say what it uses') : err(answer.error);
