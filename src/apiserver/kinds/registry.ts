// All kinds the server serves, found by what a URL says.
import type { ServedKind } from '../types.ts';
import { builtinKinds } from './core.ts';
import { calicoKinds } from './calico.ts';

export type Registry = {
  readonly kinds: readonly ServedKind[];
  /** Groups and their versions in the order clients prefer them; the core group is ''. */
  readonly groups: ReadonlyMap<string, readonly string[]>;
  find(group: string, version: string, plural: string): ServedKind | undefined;
  /** By the key of the store. */
  byKey(key: string): ServedKind | undefined;
  /** By what an object says of itself. */
  byKind(apiVersion: string, kind: string): ServedKind | undefined;
};

export function createRegistry(
  kinds: readonly ServedKind[] = [...builtinKinds(), ...calicoKinds()],
): Registry {
  const groups = new Map<string, string[]>();
  const byUrl = new Map<string, ServedKind>();
  const byKey = new Map<string, ServedKind>();
  const byKind = new Map<string, ServedKind>();
  for (const kind of kinds) {
    const versions = groups.get(kind.group) ?? [];
    if (!versions.includes(kind.version)) versions.push(kind.version);
    groups.set(kind.group, versions);
    byUrl.set(`${kind.group}/${kind.version}/${kind.plural}`, kind);
    byKey.set(kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`, kind);
    byKind.set(`${kind.group === '' ? '' : `${kind.group}/`}${kind.version} ${kind.kind}`, kind);
  }
  return {
    kinds,
    groups,
    find: (group, version, plural) => byUrl.get(`${group}/${version}/${plural}`),
    byKey: (key) => byKey.get(key),
    byKind: (apiVersion, kind) => byKind.get(`${apiVersion} ${kind}`),
  };
}
