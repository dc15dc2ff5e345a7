// The network configuration on standard input: versions, defaults, and the keys of CN-005. Unknown keys are ignored, as the
// specification asks (other plugins of the chain have theirs); known keys with a wrong type are refused by name.
import { err, ok, type Result } from '../lib/result.ts';
import { type CniError, cniCodes, cniError } from './errors.ts';
import type { NetworkConfiguration } from './types.ts';

/** Oldest first. 0.2.0 is what a configuration without cniVersion means (CN-001). */
export const supportedVersions = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

type Json = Readonly<Record<string, unknown>>;
const isObject = (v: unknown): v is Json => typeof v === 'object' && v !== null && !Array.isArray(v);

class Reader {
  problem: string | undefined;
  readonly #object: Json;
  readonly #path: string;

  constructor(object: Json, path: string) {
    this.#object = object;
    this.#path = path;
  }

  object(key: string): Json {
    const value = this.#object[key];
    if (value === undefined || value === null) return {};
    return isObject(value) ? value : this.#refuse(key, 'an object', {});
  }

  string(key: string, fallback: string): string {
    const value = this.#object[key];
    if (value === undefined || value === null) return fallback;
    return typeof value === 'string' ? value : this.#refuse(key, 'a string', fallback);
  }

  number(key: string, fallback: number): number {
    const value = this.#object[key];
    if (value === undefined || value === null) return fallback;
    return typeof value === 'number' && Number.isInteger(value) && value >= 0
      ? value
      : this.#refuse(key, 'a whole number of 0 or more', fallback);
  }

  /** Booleans may come as the strings "true" and "false" (assign_ipv4 does). */
  boolean(key: string, fallback: boolean): boolean {
    const value = this.#object[key];
    if (value === undefined || value === null || value === '') return fallback;
    if (typeof value === 'boolean') return value;
    if (value === 'true' || value === 'false') return value === 'true';
    return this.#refuse(key, 'true or false', fallback);
  }

  strings(key: string): readonly string[] {
    const value = this.#object[key];
    if (value === undefined || value === null) return [];
    return Array.isArray(value) && value.every((v) => typeof v === 'string')
      ? value
      : this.#refuse(key, 'a list of strings', []);
  }

  #refuse<T>(key: string, expected: string, fallback: T): T {
    this.problem ??= `${this.#path}${key}: ${JSON.stringify(this.#object[key])} is not ${expected}`;
    return fallback;
  }
}

/** Parses and checks; every error names the key and the value. */
export function parseConfiguration(text: string): Result<NetworkConfiguration, CniError> {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return err(cniError(cniCodes.decoding, 'BadJson', `The network configuration is not JSON: ${why}.`));
  }
  if (!isObject(raw))
    return err(cniError(cniCodes.decoding, 'BadJson', 'The network configuration is not a JSON object.'));
  const version = checkVersion(raw['cniVersion']);
  if (!version.ok) return version;

  const top = new Reader(raw, '');
  const ipam = new Reader(top.object('ipam'), 'ipam.');
  const feature = new Reader(top.object('feature_control'), 'feature_control.');
  const policy = new Reader(top.object('policy'), 'policy.');
  const kubernetes = new Reader(top.object('kubernetes'), 'kubernetes.');
  const container = new Reader(top.object('container_settings'), 'container_settings.');
  const configuration: NetworkConfiguration = {
    name: top.string('name', ''),
    cniVersion: version.value,
    mtu: top.number('mtu', 0),
    ipam: {
      type: ipam.string('type', 'calico-ipam'),
      assignIpv4: ipam.boolean('assign_ipv4', true),
      assignIpv6: ipam.boolean('assign_ipv6', false),
      ipv4Pools: ipam.strings('ipv4_pools'),
      ipv6Pools: ipam.strings('ipv6_pools'),
    },
    featureControl: {
      ipAddrsNoIpam: feature.boolean('ip_addrs_no_ipam', false),
      floatingIps: feature.boolean('floating_ips', false),
    },
    allowIpForwarding: container.boolean('allow_ip_forwarding', false),
    includeDefaultRoutes: top.boolean('include_default_routes', true),
    readinessGates: top.strings('readiness_gates'),
    policySetupTimeoutSeconds: top.number('policy_setup_timeout_seconds', 0),
    endpointStatusDirectory: top.string('endpoint_status_dir', '/var/run/calico/endpoint-status'),
    datastoreType: top.string('datastore_type', ''),
    policyType: policy.string('type', ''),
    kubeconfig: kubernetes.string('kubeconfig', ''),
    ...attachments(raw),
    ...(raw['prevResult'] === undefined ? {} : { prevResult: raw['prevResult'] }),
    raw,
  };
  const problem = [top, ipam, feature, container, policy, kubernetes].find(
    (r) => r.problem !== undefined,
  )?.problem;
  if (problem !== undefined) return err(invalid(`${problem}.`));
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(configuration.name)) {
    return err(
      invalid(`name: "${configuration.name}" is not a network name (letters, digits, "_", "." and "-").`),
    );
  }
  return ok(configuration);
}

const invalid = (message: string): CniError =>
  cniError(cniCodes.invalidConfiguration, 'BadConfiguration', message);

function checkVersion(version: unknown): Result<string, CniError> {
  if (version === undefined || version === '') return ok('0.2.0');
  if (typeof version !== 'string')
    return err(invalid(`cniVersion: ${JSON.stringify(version)} is not a string.`));
  if (supportedVersions.some((v) => v === version)) return ok(version);
  return err(
    cniError(
      cniCodes.incompatibleVersion,
      'IncompatibleVersion',
      `cniVersion "${version}" is not supported; supported are ${supportedVersions.join(', ')}.`,
    ),
  );
}

/** GC's list of what the runtime still knows (CNI 1.1). */
function attachments(raw: Json): Pick<NetworkConfiguration, 'validAttachments'> {
  const list = raw['cni.dev/valid-attachments'] ?? raw['cni.dev/attachments'];
  if (!Array.isArray(list)) return {};
  const valid: { containerID: string; ifname: string }[] = [];
  for (const entry of list) {
    if (isObject(entry))
      valid.push({ containerID: String(entry['containerID']), ifname: String(entry['ifname']) });
  }
  return { validAttachments: valid };
}
