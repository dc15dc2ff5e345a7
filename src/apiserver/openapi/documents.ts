// OpenAPI as clients fetch it: one document per group and version in version 3, everything in one in version 2. Made when
// first asked for, and again when a kind comes or goes.
import { createHash } from 'node:crypto';
import type { Answer } from '../http/call.ts';
import type { JsonObject } from '../json.ts';
import type { Registry } from '../kinds/registry.ts';
import type { ServedKind } from '../types.ts';
import { definitionName, definitionsOf, referencePrefix } from './definitions.ts';
import { encodeVersion2, version2 } from './version2.ts';

const prefixOf = (group: string, version: string): string =>
  group === '' ? `api/${version}` : `apis/${group}/${version}`;

const writes = ['dryRun', 'fieldManager', 'fieldValidation'];
const parameterNames: Readonly<Record<string, readonly string[]>> = {
  get: [],
  post: writes,
  put: writes,
  patch: [...writes, 'force'],
  delete: ['dryRun', 'gracePeriodSeconds', 'propagationPolicy'],
};

function operation(kind: ServedKind, method: string): JsonObject {
  const { group, version } = kind;
  const schema = { $ref: referencePrefix + definitionName(kind) };
  return {
    'x-kubernetes-action': method,
    'x-kubernetes-group-version-kind': { group, kind: kind.kind, version },
    parameters: (parameterNames[method] ?? []).map((name) => ({
      name,
      in: 'query',
      schema: { type: name === 'gracePeriodSeconds' ? 'integer' : name === 'force' ? 'boolean' : 'string' },
    })),
    responses: { 200: { description: 'OK', content: { 'application/json': { schema } } } },
  };
}

function pathsOf(kind: ServedKind): readonly (readonly [string, JsonObject])[] {
  const base = `/${prefixOf(kind.group, kind.version)}/${kind.namespaced ? 'namespaces/{namespace}/' : ''}${kind.plural}`;
  const methods = (...names: readonly string[]): JsonObject =>
    Object.fromEntries(names.map((method) => [method, operation(kind, method)]));
  if (kind.answer !== undefined) return [[base, methods('post')]];
  return [
    [base, methods('get', 'post', 'delete')],
    [`${base}/{name}`, methods('get', 'put', 'patch', 'delete')],
    ...(kind.hasStatus ? [[`${base}/{name}/status`, methods('get', 'put', 'patch')] as const] : []),
  ];
}

/** Version 2 has the type beside the name, and says less of answers. */
function pathsOf2(kind: ServedKind): readonly (readonly [string, JsonObject])[] {
  return pathsOf(kind).map(([path, item]) => [
    path,
    Object.fromEntries(
      Object.entries(item).map(([method, value]) => [
        method,
        {
          ...(value as JsonObject),
          parameters: (parameterNames[method] ?? []).map((name) => ({ name, in: 'query', type: 'string' })),
          responses: { 200: { description: 'OK' } },
        },
      ]),
    ),
  ]);
}

function version3(kinds: readonly ServedKind[]): string {
  return JSON.stringify({
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'v1' },
    paths: Object.fromEntries(kinds.flatMap(pathsOf)),
    components: { schemas: definitionsOf(kinds) },
  });
}

type Documents = {
  /** By prefix. */
  readonly groups: ReadonlyMap<string, { readonly text: string; readonly hash: string }>;
  readonly json2: JsonObject;
  bytes2?: Buffer;
};
const made = new WeakMap<readonly ServedKind[], Documents>();

function documentsOf(registry: Registry): Documents {
  const known = made.get(registry.kinds);
  if (known !== undefined) return known;
  const groups = new Map<string, { text: string; hash: string }>();
  for (const [group, versions] of registry.groups) {
    for (const version of versions) {
      const text = version3(registry.kinds.filter((one) => one.group === group && one.version === version));
      const hash = createHash('sha256').update(text).digest('hex').toUpperCase();
      groups.set(prefixOf(group, version), { text, hash });
    }
  }
  const paths = Object.fromEntries(registry.kinds.flatMap(pathsOf2));
  const documents: Documents = { groups, json2: version2(definitionsOf(registry.kinds), paths) };
  made.set(registry.kinds, documents);
  return documents;
}

export type OpenApiAnswer = Answer & { readonly bytes?: Buffer };

export function openApi(
  registry: Registry,
  steps: readonly string[],
  accept: string,
): OpenApiAnswer | undefined {
  if (steps[0] !== 'openapi') return undefined;
  if (steps[1] === 'v2' && steps.length === 2) {
    const documents = documentsOf(registry);
    if (!accept.includes('proto-openapi.spec.v2')) return { code: 200, body: documents.json2 };
    documents.bytes2 ??= encodeVersion2(documents.json2);
    const contentType = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
    return { code: 200, body: undefined, bytes: documents.bytes2, contentType };
  }
  if (steps[1] !== 'v3') return undefined;
  const { groups } = documentsOf(registry);
  if (steps.length === 2) {
    const paths = [...groups].map(([prefix, { hash }]) => [
      prefix,
      { serverRelativeURL: `/openapi/v3/${prefix}?hash=${hash}` },
    ]);
    return { code: 200, body: { paths: Object.fromEntries(paths) } };
  }
  const found = groups.get(steps.slice(2).join('/'));
  return found === undefined ? undefined : { code: 200, body: undefined, text: found.text };
}
