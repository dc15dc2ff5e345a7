// Where a stream of a pod leads: the node's runner (a kubelet elsewhere), and the path it serves the stream at.
import { ok, type Result } from '../../lib/result.ts';
import { type Api, keyOf } from '../api.ts';
import type { Target } from '../http/call.ts';
import { at, listAt, numberAt, textAt } from '../json.ts';
import { notFound, refuse, type StatusError } from '../status.ts';
import type { ApiObject } from '../types.ts';

export type StreamTarget = { readonly host: string; readonly port: number; readonly path: string };

/** Subresources of pods that are streams. */
export const streamParts: ReadonlySet<string> = new Set(['exec', 'attach', 'portforward', 'log']);

const namesOf = (pod: ApiObject, field: string): readonly string[] =>
  listAt(pod, 'spec', field).map((one) => textAt(one, 'name') ?? '');

function containerOf(pod: ApiObject, asked: string): Result<string, StatusError> {
  const { name } = pod.metadata;
  const containers = namesOf(pod, 'containers');
  const all = [...namesOf(pod, 'initContainers'), ...containers, ...namesOf(pod, 'ephemeralContainers')];
  if (asked !== '')
    return all.includes(asked)
      ? ok(asked)
      : refuse('BadRequest', `container ${asked} is not valid for pod ${name}`);
  const [only = ''] = containers;
  if (containers.length === 1) return ok(only);
  return refuse(
    'BadRequest',
    `a container name must be specified for pod ${name}, choose one of: [${containers.join(' ')}]`,
  );
}

/** Why a container has no logs yet. */
function waitingReason(pod: ApiObject, container: string): string | undefined {
  const statuses = [
    ...listAt(pod, 'status', 'containerStatuses'),
    ...listAt(pod, 'status', 'initContainerStatuses'),
    ...listAt(pod, 'status', 'ephemeralContainerStatuses'),
  ];
  const status = statuses.find((one) => textAt(one, 'name') === container);
  if (status === undefined) return 'ContainerCreating';
  if ((numberAt(status, 'restartCount') ?? 0) > 0 || at(status, 'lastState', 'terminated') !== undefined)
    return undefined;
  return textAt(status, 'state', 'waiting', 'reason');
}

export function streamTarget(
  api: Api,
  { kind, namespace = '', name = '', subresource }: Target,
  query: URLSearchParams,
): Result<StreamTarget, StatusError> {
  const stored = api.store.get(keyOf(kind, namespace, name));
  if (stored === undefined) return notFound(kind, name);
  const pod = stored.object;
  const path = subresource === 'portforward' ? ok('') : containerOf(pod, query.get('container') ?? '');
  if (!path.ok) return path;
  const nodeName = textAt(pod, 'spec', 'nodeName') ?? '';
  if (nodeName === '') return refuse('BadRequest', `pod ${name} does not have a host assigned`);
  if (subresource === 'log') {
    const waiting = waitingReason(pod, path.value);
    if (waiting !== undefined)
      return refuse(
        'BadRequest',
        `container "${path.value}" in pod "${name}" is waiting to start: ${waiting}`,
      );
  }
  const node = api.store.get({ resource: 'nodes', namespace: '', name: nodeName })?.object;
  const server = nodeServer(node, nodeName);
  if (!server.ok) return server;
  return ok({ ...server.value, path: nodePath(subresource ?? '', namespace, name, path.value, query) });
}

/** Where the node's runner listens. */
export function nodeServer(
  node: ApiObject | undefined,
  name = node?.metadata.name ?? '',
): Result<Omit<StreamTarget, 'path'>, StatusError> {
  const address = listAt(node, 'status', 'addresses').find((one) => textAt(one, 'type') === 'InternalIP');
  const host = textAt(address, 'address');
  const port = numberAt(node, 'status', 'daemonEndpoints', 'kubeletEndpoint', 'Port') ?? 0;
  return host === undefined || port === 0
    ? refuse('ServiceUnavailable', `the node ${name} does not say where it serves the streams of its pods`)
    : ok({ host, port });
}

function nodePath(
  subresource: string,
  namespace: string,
  name: string,
  container: string,
  query: URLSearchParams,
): string {
  const pod = `${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
  const place = `${pod}/${encodeURIComponent(container)}`;
  const wanted = new URLSearchParams();
  if (subresource === 'portforward') {
    for (const port of query.getAll('ports')) wanted.append('ports', port);
    return `/portForward/${pod}?${wanted.toString()}`;
  }
  if (subresource === 'log') {
    const options = [
      'follow',
      'previous',
      'timestamps',
      'tailLines',
      'limitBytes',
      'sinceSeconds',
      'sinceTime',
    ];
    for (const option of options) {
      const value = query.get(option);
      if (value !== null) wanted.set(option, value);
    }
    return `/containerLogs/${place}?${wanted.toString()}`;
  }
  const flags = { stdin: 'input', stdout: 'output', stderr: 'error', tty: 'tty' };
  for (const [name, flag] of Object.entries(flags))
    if (['true', '1'].includes(query.get(name) ?? '')) wanted.set(flag, '1');
  for (const word of query.getAll('command')) wanted.append('command', word);
  return `/${subresource}/${place}?${wanted.toString()}`;
}
