// All kinds the server serves, found by what a URL says. Kinds of CustomResourceDefinitions come and go while it runs.
import { groupVersionOf, resourceKeyOf, type ServedKind } from '../types.ts';
import { calicoKinds } from './calico.ts';
import { classicKinds } from './classic.ts';
import { builtinKinds } from './core.ts';
import { usageKinds } from '../usage/kinds.ts';

export type Registry = {
  /** Another list whenever kinds came or went. */
  readonly kinds: readonly ServedKind[];
  /** Groups and their versions in the order clients prefer them; the core group is ''. */
  readonly groups: ReadonlyMap<string, readonly string[]>;
  find(group: string, version: string, plural: string): ServedKind | undefined;
  /** By the key of the store. */
  byKey(key: string): ServedKind | undefined;
  /** By what an object says of itself. */
  byKind(apiVersion: string, kind: string): ServedKind | undefined;
  /** Whether the server brings the kind itself. */
  isOwn(key: string): boolean;
  /** Replaces the kinds that users defined. */
  setDefined(kinds: readonly ServedKind[]): void;
};

type Index = Pick<Registry, 'kinds' | 'groups'> & {
  readonly byUrl: ReadonlyMap<string, ServedKind>;
  readonly byKey: ReadonlyMap<string, ServedKind>;
  readonly byKind: ReadonlyMap<string, ServedKind>;
};

function indexOf(kinds: readonly ServedKind[]): Index {
  const groups = new Map<string, string[]>();
  const byUrl = new Map<string, ServedKind>();
  const byKey = new Map<string, ServedKind>();
  const byKind = new Map<string, ServedKind>();
  for (const kind of kinds) {
    const versions = groups.get(kind.group) ?? [];
    if (!versions.includes(kind.version)) versions.push(kind.version);
    groups.set(kind.group, versions);
    byUrl.set(`${kind.group}/${kind.version}/${kind.plural}`, kind);
    // Of several versions the one that is stored.
    if (!byKey.has(resourceKeyOf(kind)) || kind.view === undefined) byKey.set(resourceKeyOf(kind), kind);
    byKind.set(`${groupVersionOf(kind)} ${kind.kind}`, kind);
  }
  return { kinds, groups, byUrl, byKey, byKind };
}

export function createRegistry(
  own: readonly ServedKind[] = [...builtinKinds(), ...calicoKinds(), ...classicKinds(), ...usageKinds()],
): Registry {
  const ownIndex = indexOf(own);
  let index = ownIndex;
  return {
    get kinds() {
      return index.kinds;
    },
    get groups() {
      return index.groups;
    },
    find: (group, version, plural) => index.byUrl.get(`${group}/${version}/${plural}`),
    byKey: (key) => index.byKey.get(key),
    byKind: (apiVersion, kind) => index.byKind.get(`${apiVersion} ${kind}`),
    isOwn: (key) => ownIndex.byKey.has(key),
    setDefined: (kinds) => {
      index = kinds.length === 0 ? ownIndex : indexOf([...own, ...kinds]);
    },
  };
}
