// Discovery: which groups, versions and resources there are, in the classic and in the aggregated form.
import { ok, type Result } from '../lib/result.ts';
import type { Accepted } from './http/media.ts';
import type { JsonObject } from './json.ts';
import type { Registry } from './kinds/registry.ts';
import type { Answer } from './http/call.ts';
import { refuse, type StatusError } from './status.ts';
import type { ServedKind } from './types.ts';

const verbs = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];
const partVerbs = ['get', 'patch', 'update'];

function verbsOf(kind: ServedKind): readonly string[] {
  if (kind.isMeasured === true) return ['get', 'list'];
  return kind.answer === undefined ? verbs : ['create'];
}

type Part = {
  readonly name: string;
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly verbs: readonly string[];
};

const streamOptions = [
  ['attach', 'PodAttachOptions'],
  ['exec', 'PodExecOptions'],
  ['portforward', 'PodPortForwardOptions'],
] as const;

/** The subresources of a kind. */
function partsOf(kind: ServedKind): readonly Part[] {
  const { group, version } = kind;
  const parts: Part[] = [];
  if (kind.hasStatus) parts.push({ name: 'status', group, version, kind: kind.kind, verbs: partVerbs });
  if (kind.hasScale)
    parts.push({ name: 'scale', group: 'autoscaling', version: 'v1', kind: 'Scale', verbs: partVerbs });
  if (group !== '') return parts;
  if (kind.kind === 'Pod') {
    parts.push({ name: 'binding', group, version, kind: 'Binding', verbs: ['create'] });
    parts.push({ name: 'ephemeralcontainers', group, version, kind: 'Pod', verbs: partVerbs });
    parts.push({ name: 'eviction', group: 'policy', version: 'v1', kind: 'Eviction', verbs: ['create'] });
    parts.push({ name: 'log', group, version, kind: 'Pod', verbs: ['get'] });
    for (const [name, options] of streamOptions)
      parts.push({ name, group, version, kind: options, verbs: ['create', 'get'] });
  }
  if (kind.kind === 'ServiceAccount')
    parts.push({
      name: 'token',
      group: 'authentication.k8s.io',
      version: 'v1',
      kind: 'TokenRequest',
      verbs: ['create'],
    });
  if (kind.kind === 'Namespace')
    parts.push({ name: 'finalize', group, version, kind: 'Namespace', verbs: ['update'] });
  return parts;
}

function resourceList(kinds: readonly ServedKind[], groupVersion: string): JsonObject {
  const resources = kinds.flatMap((kind) => {
    const { plural, singular, namespaced, shortNames, categories } = kind;
    const own = {
      name: plural,
      singularName: singular,
      namespaced,
      kind: kind.kind,
      verbs: verbsOf(kind),
      ...(shortNames.length > 0 ? { shortNames } : {}),
      ...(categories.length > 0 ? { categories } : {}),
    };
    const parts = partsOf(kind).map((part) => ({
      name: `${plural}/${part.name}`,
      singularName: '',
      namespaced,
      ...(part.group === kind.group ? {} : { group: part.group, version: part.version }),
      kind: part.kind,
      verbs: part.verbs,
    }));
    return [own, ...parts];
  });
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources };
}

function aggregatedResource(kind: ServedKind): JsonObject {
  const { group, version, plural, singular, namespaced, shortNames, categories } = kind;
  const subresources = partsOf(kind).map((part) => ({
    subresource: part.name,
    responseKind: { group: part.group, version: part.version, kind: part.kind },
    verbs: part.verbs,
  }));
  return {
    resource: plural,
    responseKind: { group, version, kind: kind.kind },
    scope: namespaced ? 'Namespaced' : 'Cluster',
    singularResource: singular,
    verbs: verbsOf(kind),
    ...(shortNames.length > 0 ? { shortNames } : {}),
    ...(categories.length > 0 ? { categories } : {}),
    ...(subresources.length > 0 ? { subresources } : {}),
  };
}

function aggregated(registry: Registry, groups: readonly string[], version: string): Answer {
  const items = groups.map((group) => ({
    metadata: { ...(group === '' ? {} : { name: group }), creationTimestamp: null },
    versions: (registry.groups.get(group) ?? []).map((one) => ({
      version: one,
      resources: registry.kinds
        .filter((kind) => kind.group === group && kind.version === one)
        .map(aggregatedResource),
      freshness: 'Current',
    })),
  }));
  return {
    code: 200,
    contentType: `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
    body: {
      kind: 'APIGroupDiscoveryList',
      apiVersion: `apidiscovery.k8s.io/${version}`,
      metadata: {},
      items,
    },
  };
}

function apiGroup(group: string, versions: readonly string[]): JsonObject {
  const entries = versions.map((version) => ({ groupVersion: `${group}/${version}`, version }));
  return {
    name: group,
    versions: entries,
    preferredVersion: entries[0] ?? { groupVersion: '', version: '' },
  };
}

/** Answers a discovery path; undefined when the path is none. */
export function discovery(
  registry: Registry,
  steps: readonly string[],
  accepted: Accepted,
  host: string,
): Result<Answer, StatusError> | undefined {
  const [root, group, version, ...rest] = steps;
  if (rest.length > 0) return undefined;
  const answer = (body: JsonObject): Result<Answer, StatusError> => ok({ code: 200, body });
  const wanted = accepted.form.as === 'discovery' ? accepted.form.version : undefined;
  if (root === 'api') {
    if (version !== undefined) return undefined;
    if (group === 'v1')
      return answer(
        resourceList(
          registry.kinds.filter((kind) => kind.group === ''),
          'v1',
        ),
      );
    if (group !== undefined) return refuse('NotFound', 'the server could not find the requested resource');
    if (wanted !== undefined) return ok(aggregated(registry, [''], wanted));
    return answer({
      kind: 'APIVersions',
      versions: ['v1'],
      serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: host }],
    });
  }
  if (root !== 'apis') return undefined;
  const named = [...registry.groups].filter(([name]) => name !== '');
  if (group === undefined) {
    if (wanted !== undefined)
      return ok(
        aggregated(
          registry,
          named.map(([name]) => name),
          wanted,
        ),
      );
    return answer({
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: named.map(([name, versions]) => apiGroup(name, versions)),
    });
  }
  const versions = registry.groups.get(group);
  if (versions === undefined) return refuse('NotFound', 'the server could not find the requested resource');
  if (version === undefined)
    return answer({ kind: 'APIGroup', apiVersion: 'v1', ...apiGroup(group, versions) });
  if (!versions.includes(version))
    return refuse('NotFound', 'the server could not find the requested resource');
  const kinds = registry.kinds.filter((kind) => kind.group === group && kind.version === version);
  return answer(resourceList(kinds, `${group}/${version}`));
}
