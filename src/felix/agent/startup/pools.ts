// The pools a new cluster gets from the environment of its first node (BG-075, BG-076). Pure.
import {
  containsPrefix,
  parseNetwork,
  parsePrefix,
  prefix,
  prefixesOverlap,
  prefixFamily,
  prefixLength,
  type Family,
  type Prefix,
} from '../../../lib/ip/mod.ts';
import { err, failure, ok, type Failure, type Result } from '../../../lib/result.ts';
import type { IPPool } from '../../../model/mod.ts';
import { parseSelector } from '../../../selector/mod.ts';
import type { Environment } from './addresses.ts';

export type PoolError = Failure<'BadPool'>;
export type PoolPlanInputs = {
  readonly env: Environment;
  readonly existing: readonly { readonly cidr: string }[];
  /** podSubnet of kubeadm's ClusterConfiguration, when there is one. */
  readonly kubeadm?: { readonly ipv4?: string; readonly ipv6?: string };
  /** Networks of the host, which the default must not overlap. */
  readonly hostNetworks?: readonly Prefix[];
  /** Five random bytes make the unique local prefix of the IPv6 pool. */
  readonly randomBytes: (count: number) => Uint8Array;
};

const bad = (message: string): Result<never, PoolError> => err(failure('BadPool', message));

/** The pools to create: none, one, or one of each family. */
export function planDefaultPools(inputs: PoolPlanInputs): Result<IPPool[], PoolError> {
  const { env, existing } = inputs;
  const cidr4 = env['CALICO_IPV4POOL_CIDR']?.trim() ?? '';
  const cidr6 = env['CALICO_IPV6POOL_CIDR']?.trim() ?? '';
  if (env['NO_DEFAULT_POOLS']?.toLowerCase() === 'true') {
    if (cidr4 !== '' || cidr6 !== '') return bad('NO_DEFAULT_POOLS and a pool CIDR exclude each other.');
    return ok([]);
  }
  const has = (family: Family): boolean =>
    existing.some((pool) => pool.cidr.includes(':') === (family === 6));
  const pools: IPPool[] = [];
  // Both families are checked even when one exists: a bad variable is a mistake to be seen at once.
  for (const family of [4, 6] as const) {
    const planned = planPool(family, inputs);
    if (!planned.ok) return planned;
    if (planned.value !== undefined && !has(family)) pools.push(planned.value);
  }
  return ok(pools);
}

function planPool(family: Family, inputs: PoolPlanInputs): Result<IPPool | undefined, PoolError> {
  const { env } = inputs;
  const variable = (suffix: string): string => env[`CALICO_IPV${family}POOL_${suffix}`]?.trim() ?? '';
  if (variable('CIDR').toLowerCase() === 'none') return ok(undefined);
  const blockSize = readBlockSize(family, variable('BLOCK_SIZE'));
  if (!blockSize.ok) return blockSize;
  const ipip = readMode(variable('IPIP'), `CALICO_IPV${family}POOL_IPIP`);
  const vxlan = readMode(variable('VXLAN'), `CALICO_IPV${family}POOL_VXLAN`);
  if (!ipip.ok) return ipip;
  if (!vxlan.ok) return vxlan;
  if (family === 4 && ipip.value !== 'Never' && vxlan.value !== 'Never') {
    return bad('CALICO_IPV4POOL_IPIP and CALICO_IPV4POOL_VXLAN cannot both be on.');
  }
  const nodeSelector = variable('NODE_SELECTOR') === '' ? 'all()' : variable('NODE_SELECTOR');
  const parsed = parseSelector(nodeSelector);
  if (!parsed.ok) return bad(`CALICO_IPV${family}POOL_NODE_SELECTOR: ${parsed.error.message}`);
  const cidr = chooseCidr(family, variable('CIDR'), inputs);
  if (!cidr.ok || cidr.value === undefined) return cidr.ok ? ok(undefined) : cidr;
  if (prefixLength(cidr.value) > blockSize.value) {
    return bad(`Pool ${cidr.value} is smaller than one block of /${blockSize.value}.`);
  }
  const name = `default-ipv${family}-ippool`;
  return ok({
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPPool',
    metadata: { name },
    spec: {
      cidr: cidr.value,
      blockSize: blockSize.value,
      ipipMode: family === 4 ? ipip.value : 'Never',
      vxlanMode: vxlan.value,
      natOutgoing: readBoolean(variable('NAT_OUTGOING'), family === 4),
      nodeSelector,
      disableBGPExport: readBoolean(variable('DISABLE_BGP_EXPORT'), false),
      allowedUses: ['Workload', 'Tunnel'],
      assignmentMode: 'Automatic',
    },
  } as IPPool);
}

function readBlockSize(family: Family, text: string): Result<number, PoolError> {
  if (text === '') return ok(family === 4 ? 26 : 122);
  const size = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  const [min, max] = family === 4 ? [20, 32] : [116, 128];
  return size >= min && size <= max
    ? ok(size)
    : bad(`CALICO_IPV${family}POOL_BLOCK_SIZE is "${text}"; it is ${min} to ${max}.`);
}

const modes: Readonly<Record<string, 'Never' | 'Always' | 'CrossSubnet'>> = {
  '': 'Never',
  off: 'Never',
  never: 'Never',
  always: 'Always',
  crosssubnet: 'CrossSubnet',
  'cross-subnet': 'CrossSubnet',
};
function readMode(text: string, variable: string): Result<'Never' | 'Always' | 'CrossSubnet', PoolError> {
  const mode = modes[text.toLowerCase()];
  return mode === undefined
    ? bad(`${variable} is "${text}"; it is Always, CrossSubnet, Never or Off.`)
    : ok(mode);
}

/** Everything but the words for no means yes, as with Calico: `Enabled` does. */
const readBoolean = (text: string, fallback: boolean): boolean =>
  text === '' ? fallback : !['false', '0', 'f', 'no', 'n'].includes(text.toLowerCase());

/** undefined: no pool of this family. */
function chooseCidr(
  family: Family,
  text: string,
  inputs: PoolPlanInputs,
): Result<Prefix | undefined, PoolError> {
  if (text !== '') {
    const parsed = parseNetwork(text);
    if (!parsed.ok || prefixFamily(parsed.value) !== family) {
      return bad(`CALICO_IPV${family}POOL_CIDR is "${text}", which is not an IPv${family} network.`);
    }
    return ok(parsed.value);
  }
  const fromKubeadm = family === 4 ? inputs.kubeadm?.ipv4 : inputs.kubeadm?.ipv6;
  if (fromKubeadm !== undefined && fromKubeadm !== '') {
    const parsed = parsePrefix(fromKubeadm);
    if (!parsed.ok) return bad(`kubeadm's podSubnet ${fromKubeadm} is not a network.`);
    return ok(parsed.value);
  }
  if (family === 4) return ok(freeIPv4(inputs.hostNetworks ?? []));
  if (!readBoolean(inputs.env['FELIX_IPV6SUPPORT'] ?? '', true)) return ok(undefined);
  return ok(uniqueLocalPrefix(inputs.randomBytes(5)));
}

/** 192.168.0.0/16, or the first private /16 that no network of the host overlaps. */
function freeIPv4(hostNetworks: readonly Prefix[]): Prefix {
  const usual = prefix('192.168.0.0/16');
  const candidates = [usual];
  for (let n = 16; n < 32; n++) candidates.push(prefix(`172.${n}.0.0/16`));
  for (let n = 0; n < 256; n++) candidates.push(prefix(`10.${n}.0.0/16`));
  const clashes = (candidate: Prefix): boolean =>
    hostNetworks.some(
      (network) =>
        prefixFamily(network) === 4 &&
        prefixesOverlap(candidate, network) &&
        !containsPrefix(network, prefix('0.0.0.0/0')),
    );
  return candidates.find((candidate) => !clashes(candidate)) ?? usual;
}

/** fdxx:xxxx:xxxx::/48 (RFC 4193). */
function uniqueLocalPrefix(random: Uint8Array): Prefix {
  const hex = [...random].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return prefix(`fd${hex.slice(0, 2)}:${hex.slice(2, 6)}:${hex.slice(6, 10)}::/48`);
}

/** podSubnet of kubeadm's configuration, by family: the first of each. What is no network ends the list, and an error is only
 *  when there is no configuration at all. */
export function kubeadmPodSubnets(
  configMap: { readonly data?: Readonly<Record<string, string>> } | null | undefined,
): Result<{ readonly ipv4: string; readonly ipv6: string }, PoolError> {
  if (configMap === null || configMap === undefined) return bad('There is no configuration of kubeadm.');
  const lines = Object.values(configMap.data ?? {}).map(
    (text) => /^[ \t]*podSubnet:[ \t]*["']?([^"'\s]*)["']?[ \t]*$/m.exec(text)?.[1],
  );
  const subnets = lines.find((line) => line !== undefined) ?? '';
  const found = { ipv4: '', ipv6: '' };
  for (const subnet of subnets.split(',').filter((part) => part !== '')) {
    const parsed = parsePrefix(subnet);
    if (!parsed.ok) break;
    found[prefixFamily(parsed.value) === 4 ? 'ipv4' : 'ipv6'] ||= parsed.value;
  }
  return ok(found);
}
