// From a BGP plan to the speaker's configuration. A plan comes from Calico resources, or from a file (`--plan`), where most
// of it may be left out and neighbours may be given as prefixes:
//
//   { "local": { "nodeName": "leaf01", "as": 65001, "routerId": "10.0.0.254", "listen": { "addresses": ["10.0.0.254"] } },
//     "peers": [ { "address": "10.255.0.0", "as": 65000 },
//                { "neighbourRange": "10.0.0.0/24", "as": 64512 } ] }
import {
  addressBits,
  familyOf,
  parseAddress,
  parseInterfaceAddress,
  parsePrefix,
  prefixFamily,
  type Address,
  type Family,
  type InterfaceAddress,
  type Prefix,
} from '../../lib/ip/mod.ts';
import { err, failure, ok, type Result } from '../../lib/result.ts';
import type { BgpPlan, PlanPeer } from '../plan/mod.ts';
import type { PolicyProgram } from '../policy/mod.ts';
import type { NeighbourConfig, NeighbourKind, NeighbourRange, SpeakerConfig, SpeakerError } from './types.ts';

/** A hold time with which a dead peer is noticed in a minute and a half; the lower of both sides' counts. */
const defaultHoldTimeS = 90;
const rangeLimit = 1000;

const kinds: Readonly<Record<PlanPeer['type'], NeighbourKind>> = {
  nodeMesh: 'node-mesh',
  globalPeer: 'global-peer',
  nodePeer: 'node-peer',
  localWorkload: 'local-workload',
};

const acceptAll: PolicyProgram = { name: 'accept-all', rules: [], otherwise: 'accept' };
const rejectAll: PolicyProgram = { name: 'reject-all', rules: [], otherwise: 'reject' };

export type PlanContext = {
  /** Passwords by `secret/key`; a session whose password is missing is made without one, as Calico does. */
  readonly passwords?: ReadonlyMap<string, string>;
};

/** The configuration of a complete plan; undefined when the node has no router id, so that no session can run. */
export function configFromPlan(plan: BgpPlan, context: PlanContext = {}): SpeakerConfig | undefined {
  const { local } = plan;
  if (local.routerId === undefined) return undefined;
  const policy = (key: string): PolicyProgram => plan.policies[key] ?? rejectAll;
  const clusterId = local.clusterId ?? plan.peers.find((p) => p.rrClient !== undefined)?.rrClient?.clusterId;
  return {
    name: local.nodeName,
    as: local.as,
    routerId: local.routerId,
    ...(clusterId === undefined ? {} : { clusterId }),
    listen: local.listen,
    addresses: local.addresses,
    neighbours: plan.peers.map((p) => neighbour(p, policy, context)),
    ranges: [],
    origins: plan.origins.map((o) => o.prefix),
    normalPriority: plan.normalPriority,
    learn: { kernel: true, connected: true, excludedInterfaces: plan.excludedInterfaces },
    kernel: {
      install: true,
      policies: { 4: policy(plan.kernelPolicy[4]), 6: policy(plan.kernelPolicy[6]) },
      staticRoutes: plan.staticRoutes,
    },
  };
}

function neighbour(
  p: PlanPeer,
  policy: (key: string) => PolicyProgram,
  context: PlanContext,
): NeighbourConfig {
  const { password, ttlSecurityHops } = p;
  const secret = password && context.passwords?.get(`${password.secretName}/${password.secretKey}`);
  const security = {
    ...(secret === undefined ? {} : { password: secret }),
    ...(ttlSecurityHops === undefined ? {} : { ttlHops: ttlSecurityHops }),
  };
  return {
    name: p.name,
    kind: kinds[p.type],
    address: p.address,
    port: p.port,
    as: p.as,
    localAs: p.localAs,
    passive: p.passive,
    families: [p.family],
    holdTimeS: p.keepaliveTimeSeconds === undefined ? defaultHoldTimeS : p.keepaliveTimeSeconds * 3,
    ...(p.keepaliveTimeSeconds === undefined ? {} : { keepaliveS: p.keepaliveTimeSeconds }),
    gracefulRestartTimeS: p.gracefulRestartTimeSeconds,
    addPath: { receive: p.addPath, send: p.addPath },
    rrClient: p.rrClient !== undefined,
    nextHopMode: p.nextHopMode,
    allowLocalAs: p.allowLocalAs,
    importPolicy: policy(p.importPolicy),
    exportPolicy: policy(p.exportPolicy),
    ...(p.sourceAddress === undefined ? {} : { sourceAddress: p.sourceAddress }),
    ...(Object.keys(security).length === 0 ? {} : { security }),
  };
}

// ── plans in files ───────────────────────────────────────────────────────────────────────────────────────────────────
type Json = { readonly [key: string]: unknown };

/** Reads the text of a plan file. The error names the field. */
export function configFromFile(text: string): Result<SpeakerConfig, SpeakerError> {
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch (error) {
    return bad('the file', `is not JSON: ${(error as Error).message}`);
  }
  if (!isObject(root) || !isObject(root['local'])) return bad('local', 'is missing');
  const reader = new Reader();
  const config = readPlan(root, reader);
  if (reader.problem !== undefined) return err(reader.problem);
  return ok(config);
}

function readPlan(root: Json, r: Reader): SpeakerConfig {
  const local = r.object(root, 'local');
  const as = r.asn(local, 'local.as');
  const listen = r.object(local, 'local.listen');
  const policies = r.object(root, 'policies');
  const policy = (value: unknown, field: string): PolicyProgram => {
    if (value === undefined) return acceptAll;
    const program = policies[textOf(value)];
    if (isObject(program)) return program as unknown as PolicyProgram;
    r.fail(field, `names the policy "${textOf(value)}", which is not in policies`);
    return rejectAll;
  };
  const own = r.object(local, 'local.addresses');
  const neighbours: NeighbourConfig[] = [];
  const ranges: NeighbourRange[] = [];
  r.list(root, 'peers').forEach((peer, i) => {
    const field = `peers[${i}]`;
    if (!isObject(peer)) return r.fail(field, 'is not an object');
    if (peer['neighbourRange'] === undefined) neighbours.push(readNeighbour(peer, field, as, r, policy));
    else ranges.push(readRange(peer, field, as, r, policy));
  });
  const kernelPolicy = r.object(root, 'kernelPolicy');
  const clusterId = r.optionalAddress(local, 'local.clusterId');
  return {
    name: r.text(local, 'local.nodeName', 'router'),
    as,
    routerId: r.address(local, 'local.routerId'),
    ...(clusterId === undefined ? {} : { clusterId }),
    listen: {
      port: r.number(listen, 'local.listen.port', 179),
      addresses: r
        .list(listen, 'local.listen.addresses')
        .map((a, i) => r.parseAddress(a, `local.listen.addresses[${i}]`)),
    },
    addresses: {
      ...interfaceAddress(own['4'], 4, r),
      ...interfaceAddress(own['6'], 6, r),
    },
    neighbours,
    ranges,
    origins: r
      .list(root, 'origins')
      .map((o, i) => r.parsePrefix(isObject(o) ? o['prefix'] : o, `origins[${i}]`)),
    learn: {
      kernel: root['announceKernel'] === true,
      connected: root['announceConnected'] === true,
      excludedInterfaces: r.list(root, 'excludedInterfaces').map(textOf),
    },
    kernel: {
      install: root['installRoutes'] !== false,
      policies: {
        4: policy(kernelPolicy['4'], 'kernelPolicy.4'),
        6: policy(kernelPolicy['6'], 'kernelPolicy.6'),
      },
      staticRoutes: [],
    },
  };
}

type PolicyReader = (value: unknown, field: string) => PolicyProgram;

function readSession(peer: Json, field: string, as: number, r: Reader, policy: PolicyReader) {
  const mode = r.text(peer, `${field}.nextHopMode`, 'auto');
  if (mode !== 'auto' && mode !== 'self' && mode !== 'keep')
    r.fail(`${field}.nextHopMode`, `is "${mode}"; it can be auto, self or keep`);
  const peerAs =
    peer['as'] === undefined || peer['as'] === 'external' ? undefined : r.asn(peer, `${field}.as`);
  const keepaliveS = peer['keepaliveTimeSeconds'] as number | undefined;
  const addPath = peer['addPath'] === true;
  return {
    localAs: peer['localAs'] === undefined ? as : r.asn(peer, `${field}.localAs`),
    ...(peerAs === undefined ? {} : { as: peerAs }),
    holdTimeS: r.number(peer, `${field}.holdTimeSeconds`, keepaliveS ? keepaliveS * 3 : defaultHoldTimeS),
    ...(keepaliveS === undefined ? {} : { keepaliveS }),
    gracefulRestartTimeS: r.number(peer, `${field}.gracefulRestartTimeSeconds`, 120),
    addPath: { receive: addPath, send: addPath },
    rrClient: peer['rrClient'] !== undefined && peer['rrClient'] !== false,
    nextHopMode: mode as 'auto' | 'self' | 'keep',
    allowLocalAs: r.number(peer, `${field}.allowLocalAs`, 0),
    importPolicy: policy(peer['importPolicy'], `${field}.importPolicy`),
    exportPolicy: policy(peer['exportPolicy'], `${field}.exportPolicy`),
  };
}

/** `families: [4, 6]`, or `family: 6`, or that of the address. */
function readFamilies(peer: Json, otherwise: Family): Family[] {
  const listed = Array.isArray(peer['families'])
    ? (peer['families'] as unknown[])
    : [peer['family'] ?? otherwise];
  const families = listed.filter((f): f is Family => f === 4 || f === 6);
  return families.length > 0 ? families : [otherwise];
}

function readNeighbour(
  peer: Json,
  field: string,
  as: number,
  r: Reader,
  policy: PolicyReader,
): NeighbourConfig {
  const address = r.address(peer, `${field}.address`);
  const sourceAddress = r.optionalAddress(peer, `${field}.sourceAddress`);
  const type = peer['type'] as PlanPeer['type'];
  const security = {
    ...(typeof peer['password'] === 'string' ? { password: peer['password'] } : {}),
    ...(peer['ttlSecurityHops'] === undefined
      ? {}
      : { ttlHops: r.number(peer, `${field}.ttlSecurityHops`, 1) }),
  };
  return {
    ...readSession(peer, field, as, r, policy),
    name: r.text(peer, `${field}.name`, `Static_${address.replaceAll(/[.:]/g, '_')}`),
    kind: kinds[type] ?? 'static',
    address,
    port: r.number(peer, `${field}.port`, 179),
    passive: peer['passive'] === true,
    families: readFamilies(peer, familyOf(address)),
    ...(sourceAddress === undefined ? {} : { sourceAddress }),
    ...(Object.keys(security).length === 0 ? {} : { security }),
  };
}

function readRange(peer: Json, field: string, as: number, r: Reader, policy: PolicyReader): NeighbourRange {
  const prefix = r.parsePrefix(peer['neighbourRange'], `${field}.neighbourRange`);
  return {
    ...readSession(peer, field, as, r, policy),
    name: r.text(peer, `${field}.name`, 'Dynamic'),
    prefix,
    limit: r.number(peer, `${field}.limit`, rangeLimit),
    families: readFamilies(peer, prefixFamily(prefix)),
  };
}

/** `"10.0.0.11/24"`, or the object that a plan has. */
function interfaceAddress(value: unknown, family: Family, r: Reader): { [F in Family]?: InterfaceAddress } {
  if (value === undefined) return {};
  const text = isObject(value)
    ? `${textOf(value['address'])}/${textOf(value['length'] ?? addressBits(family))}`
    : textOf(value);
  const parsed = parseInterfaceAddress(text);
  if (parsed.ok) return { [family]: parsed.value };
  r.fail(`local.addresses.${family}`, parsed.error.message);
  return {};
}

/** Reads fields and remembers the first problem. */
class Reader {
  problem: SpeakerError | undefined;

  fail(field: string, why: string): void {
    const failed = bad(field, why);
    if (!failed.ok) this.problem ??= failed.error;
  }

  #value(from: Json, field: string): unknown {
    return from[field.slice(field.lastIndexOf('.') + 1)];
  }

  object(from: Json, field: string): Json {
    const value = this.#value(from, field);
    if (value === undefined) return {};
    if (isObject(value)) return value;
    this.fail(field, 'is not an object');
    return {};
  }

  list(from: Json, field: string): readonly unknown[] {
    const value = this.#value(from, field);
    if (value === undefined) return [];
    if (Array.isArray(value)) return value;
    this.fail(field, 'is not a list');
    return [];
  }

  text(from: Json, field: string, otherwise: string): string {
    const value = this.#value(from, field);
    return value === undefined ? otherwise : textOf(value);
  }

  number(from: Json, field: string, otherwise: number): number {
    const value = this.#value(from, field);
    if (value === undefined) return otherwise;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 65535) return value;
    this.fail(field, `is ${JSON.stringify(value)}; expected a number from 0 to 65535`);
    return otherwise;
  }

  asn(from: Json, field: string): number {
    const value = this.#value(from, field);
    if (typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= 0xffffffff)
      return value;
    this.fail(field, `is ${JSON.stringify(value) ?? 'missing'}; expected an AS number`);
    return 0;
  }

  address(from: Json, field: string): Address {
    return this.parseAddress(this.#value(from, field), field);
  }

  optionalAddress(from: Json, field: string): Address | undefined {
    const value = this.#value(from, field);
    return value === undefined ? undefined : this.parseAddress(value, field);
  }

  parseAddress(value: unknown, field: string): Address {
    const parsed = parseAddress(typeof value === 'string' ? value : '');
    if (parsed.ok) return parsed.value;
    this.fail(field, `is ${JSON.stringify(value) ?? 'missing'}; expected an IP address`);
    return '0.0.0.0' as Address;
  }

  parsePrefix(value: unknown, field: string): Prefix {
    const parsed = parsePrefix(typeof value === 'string' ? value : '');
    if (parsed.ok) return parsed.value;
    this.fail(field, `is ${JSON.stringify(value) ?? 'missing'}; expected a prefix`);
    return '0.0.0.0/0' as Prefix;
  }
}

/** Text as it is, anything else as JSON: for fields that should be text and for messages about those that are not. */
const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : (JSON.stringify(value) ?? '');

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const bad = (field: string, why: string): Result<never, SpeakerError> =>
  err(failure('BadPlan', `The plan's ${field} ${why}.`, 'docs/bgp.md describes the file.'));
