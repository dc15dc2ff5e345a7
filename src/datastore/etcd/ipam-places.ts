// Address management in etcd, in the form it has had there since Calico 2: no metadata, the identity in the key.
//
//   /calico/ipam/v2/assignment/ipv4/block/10.0.0.0-26         the block
//   /calico/ipam/v2/host/<node>/ipv4/block/10.0.0.0-26        the claim of a node; `virtual` in place of `host` for others
//   /calico/ipam/v2/handle/<handle>                           how many addresses an owner holds, by block
//   /calico/ipam/v2/config                                    the configuration
import { affinityLabels, affinityName, blockName, handleName, type Owner } from '../../ipam/mod.ts';
import { parseNetwork, type Prefix, prefixFamily } from '../../lib/ip/mod.ts';
import { stringifyJson } from '../../lib/json.ts';
import { ok } from '../../lib/result.ts';
import type { KindDefinition, ObjectMeta } from '../../model/mod.ts';
import type { ObjectName } from '../types.ts';
import {
  badValue,
  isObject,
  type Json,
  parsedObject,
  type Place,
  prefixRange,
  type StoredObject,
} from './types.ts';

const root = '/calico/ipam/v2/';

export function ipamPlace(definition: KindDefinition): Place | undefined {
  switch (definition.name) {
    case 'IPAMBlock':
      return blockPlace(definition);
    case 'BlockAffinity':
      return affinityPlace(definition);
    case 'IPAMHandle':
      return handlePlace(definition);
    case 'IPAMConfiguration':
      return configurationPlace(definition);
    default:
      return undefined;
  }
}

const specOf = (object: StoredObject): Json => (isObject(object.spec) ? object.spec : {});
const shown = (definition: KindDefinition, metadata: ObjectMeta, spec: Json): StoredObject => ({
  apiVersion: definition.apiVersion,
  kind: definition.kind,
  metadata,
  spec,
});

/** `10.0.0.0/26` ↔ `10.0.0.0-26`. */
const step = (cidr: Prefix): string => cidr.replace('/', '-');
function cidrOf(text: unknown): Prefix | undefined {
  const parsed = typeof text === 'string' ? parseNetwork(text) : undefined;
  return parsed?.ok ? parsed.value : undefined;
}
const cidrOfStep = (text: string): Prefix | undefined => cidrOf(text.replace(/-(?=\d+$)/, '/'));

/** `10-0-0-0-26` and `fd00-10---122`, as blocks are named. */
function cidrOfName(name: string): Prefix | undefined {
  const match = /^([0-9a-f-]+)-(\d+)$/.exec(name);
  if (match === null) return undefined;
  const [, address = '', length = ''] = match;
  const v4 = /^\d+-\d+-\d+-\d+$/.test(address)
    ? cidrOf(`${address.replaceAll('-', '.')}/${length}`)
    : undefined;
  const cidr = v4 ?? cidrOf(`${address.replaceAll('-', ':')}/${length}`);
  return cidr !== undefined && blockName(cidr) === name ? cidr : undefined;
}

function blockPlace(definition: KindDefinition): Place {
  const prefix = `${root}assignment/`;
  const path = (cidr: Prefix): string => `${prefix}ipv${prefixFamily(cidr)}/block/${step(cidr)}`;
  const cidrIn = (key: string): Prefix | undefined => {
    const match = /^ipv[46]\/block\/([^/]+)$/.exec(key.startsWith(prefix) ? key.slice(prefix.length) : '');
    return match === null ? undefined : cidrOfStep(match[1] ?? '');
  };
  return {
    definition,
    isResource: false,
    mayHide: () => false,
    range: () => prefixRange(prefix),
    keyOf: (object) => {
      const cidr = cidrOf(specOf(object)['cidr']);
      return cidr === undefined ? undefined : path(cidr);
    },
    keysOf: ({ name }) => {
      const cidr = cidrOfName(name);
      return cidr === undefined ? [] : [path(cidr)];
    },
    nameOf: (key) => {
      const cidr = cidrIn(key);
      return cidr === undefined ? undefined : { name: blockName(cidr) };
    },
    decode: ({ key, value }) => {
      const cidr = cidrIn(key);
      if (cidr === undefined) return badValue(key, 'it is not a key of a block');
      const stored = parsedObject(value);
      if (stored === undefined) return badValue(key, 'it is not a JSON object');
      const { hostAffinity, affinity, ...rest } = stored;
      const lists = ['allocations', 'unallocated', 'attributes'] as const;
      if (lists.some((list) => rest[list] !== undefined && rest[list] !== null && !Array.isArray(rest[list])))
        return badValue(key, 'it is not a block');
      // Blocks of old versions say the node alone.
      const owner =
        typeof affinity === 'string'
          ? affinity
          : typeof hostAffinity === 'string'
            ? `host:${hostAffinity}`
            : undefined;
      const spec = {
        ...rest,
        cidr,
        ...Object.fromEntries(lists.map((list) => [list, rest[list] ?? []])),
        ...(owner === undefined ? {} : { affinity: owner }),
      };
      return ok(shown(definition, { name: blockName(cidr) }, spec));
    },
    encode: (object) =>
      stringifyJson({ affinity: null, ...specOf(object), deleted: specOf(object)['deleted'] === true }),
  };
}

const longestName = 252;
type Claim = { readonly owner: Owner; readonly cidr: Prefix };

function affinityPlace(definition: KindDefinition): Place {
  const path = ({ owner, cidr }: Claim): string =>
    `${root}${owner.type}/${owner.name}/ipv${prefixFamily(cidr)}/block/${step(cidr)}`;
  const claimIn = (key: string): Claim | undefined => {
    const match = /^(host|virtual)\/([^/]+)\/ipv[46]\/block\/([^/]+)$/.exec(
      key.startsWith(root) ? key.slice(root.length) : '',
    );
    const cidr = match === null ? undefined : cidrOfStep(match[3] ?? '');
    if (match === null || cidr === undefined) return undefined;
    return { owner: { type: match[1] as Owner['type'], name: match[2] ?? '' }, cidr };
  };
  const metadata = ({ owner, cidr }: Claim): ObjectMeta => ({
    name: affinityName(owner, cidr),
    labels: affinityLabels(owner, cidr),
  });
  return {
    definition,
    isResource: false,
    // Long names are cut and have a digest.
    mayHide: ({ name }) => name.length === longestName,
    // From the claims of nodes to those of others: Calico has nothing between them.
    range: () => ({ start: `${root}host/`, end: `${root}virtual0` }),
    keyOf: (object) => {
      const { node, cidr: text, type } = specOf(object);
      const cidr = cidrOf(text);
      if (cidr === undefined || typeof node !== 'string' || node === '' || node.includes('/'))
        return undefined;
      return path({ owner: { type: type === 'virtual' ? 'virtual' : 'host', name: node }, cidr });
    },
    keysOf: ({ name }) => claimsNamed(name).map(path),
    nameOf: (key) => {
      const claim = claimIn(key);
      return claim === undefined ? undefined : { name: metadata(claim).name };
    },
    decode: ({ key, value }) => {
      const claim = claimIn(key);
      if (claim === undefined) return badValue(key, 'it is not a key of a claim');
      // The first versions stored no value at all.
      const stored = value === '' ? {} : parsedObject(value);
      if (stored === undefined) return badValue(key, 'it is not a JSON object');
      const spec = {
        state: typeof stored['state'] === 'string' ? stored['state'] : '',
        node: claim.owner.name,
        type: claim.owner.type,
        cidr: claim.cidr,
        deleted: stored['deleted'] === true,
      };
      return ok(shown(definition, metadata(claim), spec));
    },
    encode: (object) => {
      const { state, deleted } = specOf(object);
      return JSON.stringify({ state: state ?? '', deleted: deleted === true });
    },
  };
}

/** `<node>-<block>` can be read in several ways when the node's name ends like an address: each of them is one place. */
function claimsNamed(name: string): readonly Claim[] {
  const claims: Claim[] = [];
  for (let dash = name.indexOf('-'); dash > 0; dash = name.indexOf('-', dash + 1)) {
    const node = name.slice(0, dash);
    const cidr = cidrOfName(name.slice(dash + 1));
    if (cidr === undefined || node.includes('/')) continue;
    for (const type of ['host', 'virtual'] as const) claims.push({ owner: { type, name: node }, cidr });
  }
  return claims.slice(0, 32);
}

function handlePlace(definition: KindDefinition): Place {
  const prefix = `${root}handle/`;
  const idIn = (key: string): string | undefined => {
    const id = key.startsWith(prefix) ? key.slice(prefix.length) : '';
    return id === '' || id.includes('/') ? undefined : id;
  };
  const keyOf = (id: unknown): string | undefined =>
    typeof id === 'string' && id !== '' && !id.includes('/') ? `${prefix}${id}` : undefined;
  return {
    definition,
    isResource: false,
    // The key has the handle as it was given, the name has it in small letters.
    mayHide: () => true,
    range: () => prefixRange(prefix),
    keyOf: (object) => keyOf(specOf(object)['handleID']),
    keysOf: ({ name }) => {
      const key = keyOf(name);
      return key === undefined ? [] : [key];
    },
    nameOf: (key) => {
      const id = idIn(key);
      return id === undefined ? undefined : { name: handleName(id) };
    },
    decode: ({ key, value }) => {
      const id = idIn(key);
      if (id === undefined) return badValue(key, 'it is not a key of a handle');
      const stored = parsedObject(value);
      const block = stored?.['block'] ?? {};
      if (stored === undefined || !isObject(block)) return badValue(key, 'it is not a handle');
      const spec = { handleID: id, block, deleted: stored['deleted'] === true };
      return ok(shown(definition, { name: handleName(id) }, spec));
    },
    encode: (object) => {
      const { block, deleted } = specOf(object);
      return JSON.stringify({ block: block ?? {}, deleted: deleted === true });
    },
  };
}

const configurationName: ObjectName = { name: 'default' };

function configurationPlace(definition: KindDefinition): Place {
  const key = `${root}config`;
  return {
    definition,
    isResource: false,
    mayHide: () => false,
    range: () => ({ start: key, end: `${key}\0` }),
    keyOf: ({ metadata }) => (metadata.name === configurationName.name ? key : undefined),
    keysOf: ({ name }) => (name === configurationName.name ? [key] : []),
    nameOf: (other) => (other === key ? configurationName : undefined),
    decode: ({ value }) => {
      const stored = parsedObject(value);
      if (stored === undefined) return badValue(key, 'it is not a JSON object');
      // Go leaves out what is false or 0.
      const { strict_affinity: strictAffinity, auto_allocate_blocks: autoAllocateBlocks, ...rest } = stored;
      const spec = {
        ...rest,
        strictAffinity: strictAffinity === true,
        autoAllocateBlocks: autoAllocateBlocks === true,
      };
      return ok(shown(definition, configurationName, spec));
    },
    encode: (object) => {
      const { strictAffinity, autoAllocateBlocks, ...rest } = specOf(object);
      return stringifyJson({
        strict_affinity: strictAffinity === true,
        auto_allocate_blocks: autoAllocateBlocks !== false,
        ...rest,
      });
    },
  };
}
