// Which files a volume of configMap, secret, downwardAPI or projected holds. Pure; errors are sentences as a kubelet's.
import { err, ok, type Result } from '../../../lib/result.ts';
import type { ConfigMap, Secret } from '../../../model/mod.ts';
import type { Configuration, ConfigurationReference } from '../environment.ts';
import { fieldValue, type PodFacts, resourceValue } from '../field-values.ts';
import type { Payload, Volume } from './types.ts';

type Files = Map<string, { bytes: Uint8Array; mode: number }>;
type Item = { readonly key: string; readonly path: string; readonly mode?: number };
type DownwardItem = NonNullable<NonNullable<Volume['downwardAPI']>['items']>[number];

const usualMode = 0o644;

export type PayloadContext = {
  readonly facts: PodFacts;
  readonly configuration: Configuration;
  /** By the path of the token's file in the volume. */
  readonly tokens: ReadonlyMap<string, string>;
};

/** Which objects a volume's files come from. */
export function referencesOfVolume(volume: Volume): ConfigurationReference[] {
  const found: ConfigurationReference[] = [];
  const add = (kind: ConfigurationReference['kind'], name: string | undefined): void => {
    if (name !== undefined) found.push({ kind, name });
  };
  add('ConfigMap', volume.configMap?.name);
  add('Secret', volume.secret?.secretName);
  for (const { configMap, secret } of volume.projected?.sources ?? []) {
    add('ConfigMap', configMap?.name);
    add('Secret', secret?.name);
  }
  return found;
}

/** undefined: a volume of another type. */
export function payloadOf(volume: Volume, context: PayloadContext): Result<Payload, string> | undefined {
  const { configMap, secret, downwardAPI, projected } = volume;
  const files: Files = new Map();
  const problem =
    configMap !== undefined
      ? addConfigMap(files, configMap, configMap.defaultMode, context)
      : secret !== undefined
        ? addSecret(files, named(secret), secret.defaultMode, context)
        : downwardAPI !== undefined
          ? addFields(files, downwardAPI.items ?? [], downwardAPI.defaultMode, context)
          : projected !== undefined
            ? addProjected(files, projected, context)
            : 'other';
  if (problem === 'other') return undefined;
  return problem === undefined ? ok(files) : err(problem);
}

function addProjected(
  files: Files,
  projected: NonNullable<Volume['projected']>,
  context: PayloadContext,
): string | undefined {
  const mode = projected.defaultMode;
  for (const { configMap, secret, downwardAPI, serviceAccountToken } of projected.sources ?? []) {
    const problem =
      (configMap && addConfigMap(files, configMap, mode, context)) ??
      (secret && addSecret(files, secret, mode, context)) ??
      (downwardAPI && addFields(files, downwardAPI.items ?? [], mode, context)) ??
      (serviceAccountToken && addToken(files, serviceAccountToken.path, mode, context));
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Secrets are named by another field where they are a volume of their own. */
const named = ({ secretName, ...rest }: NonNullable<Volume['secret']>): Selection => ({
  ...rest,
  ...(secretName === undefined ? {} : { name: secretName }),
});

type Selection = {
  readonly name?: string;
  readonly items?: readonly Item[];
  readonly optional?: boolean;
};

function addConfigMap(
  files: Files,
  selection: Selection,
  mode: number | undefined,
  { configuration }: PayloadContext,
): string | undefined {
  const { name = '', optional = false } = selection;
  const object = configuration.configMap(name);
  if (object === undefined) return optional ? undefined : `configmap "${name}" not found`;
  return addItems(
    files,
    configMapBytes(object),
    selection,
    mode,
    'configmap references non-existent config key',
  );
}

function addSecret(
  files: Files,
  selection: Selection,
  mode: number | undefined,
  { configuration }: PayloadContext,
): string | undefined {
  const { name = '', optional = false } = selection;
  const object = configuration.secret(name);
  if (object === undefined) return optional ? undefined : `secret "${name}" not found`;
  return addItems(files, secretBytes(object), selection, mode, 'references non-existent secret key');
}

const bytesOf = (base64: string): Uint8Array => Buffer.from(base64, 'base64');
const configMapBytes = (object: ConfigMap): ReadonlyMap<string, Uint8Array> =>
  new Map([
    ...Object.entries(object.data ?? {}).map(([key, text]) => [key, Buffer.from(text)] as const),
    ...Object.entries(object.binaryData ?? {}).map(([key, text]) => [key, bytesOf(text)] as const),
  ]);
const secretBytes = (object: Secret): ReadonlyMap<string, Uint8Array> =>
  new Map(Object.entries(object.data ?? {}).map(([key, text]) => [key, bytesOf(text)]));

/** All keys under their names, or those that `items` lists. */
function addItems(
  files: Files,
  data: ReadonlyMap<string, Uint8Array>,
  { items, optional }: Selection,
  mode: number | undefined,
  missing: string,
): string | undefined {
  if (items === undefined || items.length === 0) {
    for (const [key, bytes] of data) files.set(key, { bytes, mode: mode ?? usualMode });
    return undefined;
  }
  for (const item of items) {
    const bytes = data.get(item.key);
    if (bytes === undefined) {
      if (optional === true) continue;
      return `${missing}: ${item.key}`;
    }
    const problem = addFile(files, item.path, bytes, item.mode ?? mode);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function addFields(
  files: Files,
  items: readonly DownwardItem[],
  mode: number | undefined,
  { facts }: PayloadContext,
): string | undefined {
  for (const { path, fieldRef, resourceFieldRef, mode: own } of items) {
    const container = facts.pod.spec.containers.find(({ name }) => name === resourceFieldRef?.containerName);
    const value =
      fieldRef !== undefined
        ? fieldValue(fieldRef.fieldPath, facts)
        : resourceFieldRef === undefined
          ? undefined
          : resourceValue(resourceFieldRef, container, facts);
    if (value === undefined)
      return `unsupported field of the downward API: ${fieldRef?.fieldPath ?? resourceFieldRef?.resource ?? path}`;
    const problem = addFile(files, path, Buffer.from(value), own ?? mode);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function addToken(
  files: Files,
  path: string,
  mode: number | undefined,
  { tokens }: PayloadContext,
): string | undefined {
  const token = tokens.get(path);
  return token === undefined
    ? `failed to fetch token for ${path}`
    : addFile(files, path, Buffer.from(token), mode);
}

function addFile(
  files: Files,
  path: string,
  bytes: Uint8Array,
  mode: number | undefined,
): string | undefined {
  const steps = path.split('/');
  // A first step with two dots is what atomic changes use for themselves.
  if (
    path === '' ||
    path.startsWith('..') ||
    steps.some((step) => step === '' || step === '.' || step === '..')
  )
    return `invalid path: ${path}`;
  files.set(path, { bytes, mode: mode ?? usualMode });
  return undefined;
}
