// The part of OpenAPI that kubectl needs before it writes: which operations take `fieldValidation`. The schemas of the
// kinds are not described here; kubectl then prints and merges with what it knows itself.
import { createHash } from 'node:crypto';
import type { JsonObject } from './json.ts';
import type { Registry } from './kinds/registry.ts';
import type { Answer } from './http/call.ts';
import type { ServedKind } from './types.ts';

const prefixOf = (group: string, version: string): string =>
  group === '' ? `api/${version}` : `apis/${group}/${version}`;

function operations(kind: ServedKind): JsonObject {
  const { group, version } = kind;
  const operation = (action: string): JsonObject => ({
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': { group, version, kind: kind.kind },
    parameters: ['dryRun', 'fieldManager', 'fieldValidation'].map((name) => ({
      name,
      in: 'query',
      schema: { type: 'string', uniqueItems: true },
    })),
    responses: { 200: { description: 'OK' } },
  });
  return { patch: operation('patch'), put: operation('put'), post: operation('post') };
}

function document(registry: Registry, group: string, version: string): JsonObject {
  const prefix = prefixOf(group, version);
  const kinds = registry.kinds.filter((kind) => kind.group === group && kind.version === version);
  const paths = Object.fromEntries(
    kinds
      .map((kind) => {
        const scope = kind.namespaced ? 'namespaces/{namespace}/' : '';
        const { patch, put, post } = operations(kind);
        return [
          [`/${prefix}/${scope}${kind.plural}`, { post }],
          [`/${prefix}/${scope}${kind.plural}/{name}`, { patch, put }],
        ] as const;
      })
      .flat(),
  );
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'v1' },
    paths,
    components: { schemas: {} },
  };
}

/** `swagger: "2.0", info: {title: "Kubernetes", version: "v1"}, paths: {}` as protobuf: the form kubectl reads. */
const emptyVersion2 = Buffer.from([
  0x0a,
  0x03,
  ...Buffer.from('2.0'),
  0x12,
  0x10,
  0x0a,
  0x0a,
  ...Buffer.from('Kubernetes'),
  0x12,
  0x02,
  ...Buffer.from('v1'),
  0x42,
  0x00,
]);

export type OpenApiAnswer = Answer & { readonly bytes?: Buffer };

export function openApi(
  registry: Registry,
  steps: readonly string[],
  accept: string,
): OpenApiAnswer | undefined {
  if (steps[0] !== 'openapi') return undefined;
  if (steps[1] === 'v2' && steps.length === 2) {
    if (accept.includes('proto-openapi.spec.v2')) {
      return {
        code: 200,
        body: undefined,
        bytes: emptyVersion2,
        contentType: 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf',
      };
    }
    return { code: 200, body: { swagger: '2.0', info: { title: 'Kubernetes', version: 'v1' }, paths: {} } };
  }
  if (steps[1] !== 'v3') return undefined;
  const versions = [...registry.groups].flatMap(([group, all]) =>
    all.map((version) => [group, version] as const),
  );
  if (steps.length === 2) {
    const paths = versions.map(([group, version]) => {
      const text = JSON.stringify(document(registry, group, version));
      const hash = createHash('sha256').update(text).digest('hex').toUpperCase();
      return [
        prefixOf(group, version),
        { serverRelativeURL: `/openapi/v3/${prefixOf(group, version)}?hash=${hash}` },
      ];
    });
    return { code: 200, body: { paths: Object.fromEntries(paths) } };
  }
  const wanted = steps.slice(2).join('/');
  const found = versions.find(([group, version]) => prefixOf(group, version) === wanted);
  return found === undefined ? undefined : { code: 200, body: document(registry, ...found) };
}
