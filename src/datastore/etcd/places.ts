// Where a kind lives in etcd, and in which form: the keys and values that Calico's own library writes (RS-006), so that one
// store serves both.
//
//   /calico/resources/v3/projectcalico.org/<plural>/[<namespace>/]<name>    the resource as JSON
//   /calico/ipam/v2/…                                                      address management: ipam-places.ts
import { stringifyJson } from '../../lib/json.ts';
import { ok } from '../../lib/result.ts';
import { type KindDefinition, kindDefinition, type KindName, type ObjectMeta } from '../../model/mod.ts';
import type { ObjectName } from '../types.ts';
import { ipamPlace } from './ipam-places.ts';
import { badValue, isObject, type Json, parsedObject, type Place, prefixRange } from './types.ts';

const root = '/calico/resources/v3/projectcalico.org/';
const places = new Map<KindName, Place>();

/** undefined: kinds of Kubernetes are not in etcd. */
export function placeOf(kind: KindName): Place | undefined {
  const known = places.get(kind);
  if (known !== undefined) return known;
  const definition = kindDefinition(kind);
  if (definition.group !== 'projectcalico.org') return undefined;
  const place = ipamPlace(definition) ?? resourcePlace(definition);
  places.set(kind, place);
  return place;
}

/** Kinds of policy were stored with their tier in the name once; see `shownName`. */
const policyKinds: ReadonlySet<string> = new Set([
  'NetworkPolicy',
  'GlobalNetworkPolicy',
  'StagedNetworkPolicy',
  'StagedGlobalNetworkPolicy',
]);
const nameAnnotation = 'projectcalico.org/metadata';
const oldPrefix = 'default.';

function resourcePlace(definition: KindDefinition): Place {
  const prefix = `${root}${definition.plural}/`;
  const isPolicy = policyKinds.has(definition.kind);
  const path = ({ name, namespace }: ObjectName): string =>
    definition.namespaced ? `${prefix}${namespace ?? ''}/${name}` : `${prefix}${name}`;
  const isPossible = ({ name, namespace }: ObjectName): boolean =>
    name !== '' &&
    !name.includes('/') &&
    (!definition.namespaced || (!!namespace && !namespace.includes('/')));
  const nameOf = (key: string): ObjectName | undefined => {
    if (!key.startsWith(prefix)) return undefined;
    const steps = key.slice(prefix.length).split('/');
    const [first = '', second] = steps;
    if (steps.length !== (definition.namespaced ? 2 : 1)) return undefined;
    return second === undefined ? { name: first } : { name: second, namespace: first };
  };
  return {
    definition,
    isResource: true,
    mayHide: () => false,
    range: (namespace) =>
      prefixRange(definition.namespaced && namespace !== undefined ? `${prefix}${namespace}/` : prefix),
    keyOf: ({ metadata }) => (isPossible(metadata) ? path(metadata) : undefined),
    keysOf: (name) =>
      isPossible(name)
        ? [path(name), ...(isPolicy ? [path({ ...name, name: `${oldPrefix}${name.name}` })] : [])]
        : [],
    nameOf,
    decode: (stored) => {
      const name = nameOf(stored.key);
      if (name === undefined) return badValue(stored.key, `it is not a key of ${definition.kind}`);
      const value = parsedObject(stored.value);
      if (value === undefined) return badValue(stored.key, 'it is not a JSON object');
      if (value['kind'] !== definition.kind && value['kind'] !== undefined)
        return badValue(stored.key, `its kind is not ${definition.kind}`);
      const { spec, status } = value;
      if (spec !== undefined && spec !== null && !isObject(spec))
        return badValue(stored.key, 'its spec is not an object');
      const metadata = metadataOf(value['metadata'], name);
      return ok({
        apiVersion: definition.apiVersion,
        kind: definition.kind,
        metadata: isPolicy ? shownName(metadata, spec as Json | undefined) : metadata,
        spec: spec ?? {},
        ...(status === undefined || status === null ? {} : { status }),
      });
    },
    encode: (object) => {
      const { resourceVersion: _version, managedFields: _fields, ...metadata } = object.metadata;
      return stringifyJson({
        ...object,
        kind: definition.kind,
        apiVersion: definition.apiVersion,
        metadata: isPolicy ? withStoredName(metadata) : metadata,
      });
    },
  };
}

/** Nulls are how Go writes what is absent; the name is the key's. */
function metadataOf(stored: unknown, name: ObjectName): ObjectMeta {
  const entries = isObject(stored) ? Object.entries(stored).filter(([, value]) => value !== null) : [];
  return { ...Object.fromEntries(entries), ...name };
}

/** The name a policy is known by: the one in its annotation, which is for the store alone; without one, the policies of the
 *  tier `default` lose the prefix with which older versions stored them. */
function shownName(metadata: ObjectMeta, spec: Json | undefined): ObjectMeta {
  const { [nameAnnotation]: text, ...annotations } = metadata.annotations ?? {};
  if (text !== undefined) {
    const told = parsedObject(text)?.['name'];
    const { annotations: _all, ...rest } = metadata;
    return {
      ...rest,
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
      ...(typeof told === 'string' && told !== '' ? { name: told } : {}),
    };
  }
  const tier = spec?.['tier'] ?? 'default';
  return tier === 'default' && metadata.name.startsWith(oldPrefix)
    ? { ...metadata, name: metadata.name.slice(oldPrefix.length) }
    : metadata;
}

const withStoredName = (metadata: ObjectMeta): ObjectMeta => ({
  ...metadata,
  annotations: { ...metadata.annotations, [nameAnnotation]: JSON.stringify({ name: metadata.name }) },
});
