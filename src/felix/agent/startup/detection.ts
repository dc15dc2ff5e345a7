// Finding the node's own address (BG-071…073): which interface, which address of it. Pure: the interfaces come in as data,
// what needs asking the kernel (can-reach) or DNS comes in as a function.
import {
  containsAddress,
  familyOf,
  parseAddress,
  parseInterfaceAddress,
  parsePrefix,
  type Address,
  type Family,
  type InterfaceAddress,
  type Prefix,
} from '../../../lib/ip/mod.ts';
import { goPattern } from '../../../lib/go-pattern.ts';
import { err, failure, ok, type Failure, type Result } from '../../../lib/result.ts';

export type DetectedInterface = {
  readonly name: string;
  readonly addresses: readonly InterfaceAddress[];
  /** Absent where it does not matter. */
  readonly mac?: string;
};
export type DetectionError = Failure<'BadMethod' | 'NothingFound'>;

export type DetectionInputs = {
  readonly family: Family;
  readonly interfaces: readonly DetectedInterface[];
  /** Addresses the Kubernetes Node reports as InternalIP. */
  readonly kubernetesAddresses?: readonly string[];
  /** The source address the kernel would use towards a host. */
  readonly sourceTowards?: (host: string, family: Family) => Promise<Address | undefined>;
};

/** Calico's own devices: no method chooses them. */
const calicoDevices: readonly RegExp[] = [
  /^cali/,
  /^tunl/,
  /^vxlan\.calico/,
  /^vxlan-v6\.calico/,
  /^wireguard\.cali/,
  /^wg-v6\.cali/,
  /^bpf(in|out)\.cali$/,
];

/** Interfaces that are never the way to other nodes; who names one in `interface=` gets it nevertheless. */
const neverFirstFound: readonly RegExp[] = [
  ...calicoDevices,
  /^docker/,
  /^br-/,
  /^cbr/,
  /^dummy/,
  /^podman/,
  /^virbr/,
  /^lxcbr/,
  /^veth/,
  /^lo$/,
  /^flannel/,
  /^kube-ipvs/,
  /^cni/,
  /^nodelocaldns/,
];

export const isCalicos = (name: string): boolean => calicoDevices.some((pattern) => pattern.test(name));
export const isNeverFirstFound = (name: string): boolean =>
  neverFirstFound.some((pattern) => pattern.test(name));

/** Interfaces first-found and skip-interface may choose from, in the order given. */
export const firstFoundCandidates = <I extends { readonly name: string }>(
  interfaces: readonly I[],
  skip: readonly RegExp[] = [],
): I[] =>
  interfaces.filter(({ name }) => ![...neverFirstFound, ...skip].some((pattern) => pattern.test(name)));

/** The address by a method of IP_AUTODETECTION_METHOD; '' means first-found. */
export async function detectAddress(
  method: string,
  given: DetectionInputs,
): Promise<Result<InterfaceAddress, DetectionError>> {
  const inputs = { ...given, interfaces: given.interfaces.filter(({ name }) => !isCalicos(name)) };
  const [name, argument] = splitMethod(method);
  switch (name) {
    case '':
    case 'first-found':
      return firstUsable(firstFoundCandidates(inputs.interfaces), inputs.family, method);
    case 'interface': {
      const patterns = patternList(argument);
      if (!patterns.ok) return patterns;
      // The order of the patterns counts, then that of the interfaces.
      const chosen = patterns.value.flatMap((p) => inputs.interfaces.filter((i) => p.test(i.name)));
      return firstUsable(chosen, inputs.family, method);
    }
    case 'skip-interface': {
      const patterns = patternList(argument);
      if (!patterns.ok) return patterns;
      return firstUsable(firstFoundCandidates(inputs.interfaces, patterns.value), inputs.family, method);
    }
    case 'cidr':
      return byNetworks(argument, inputs);
    case 'can-reach':
      return byRoute(argument, inputs);
    case 'kubernetes-internal-ip':
      return byKubernetes(inputs);
    default:
      return err(
        failure(
          'BadMethod',
          `"${method}" is not a way to detect the node's address.`,
          'Use first-found, interface=REGEX, skip-interface=REGEX, cidr=CIDR, can-reach=HOST or kubernetes-internal-ip.',
        ),
      );
  }
}

function splitMethod(method: string): [string, string] {
  const at = method.indexOf('=');
  return at < 0 ? [method.trim(), ''] : [method.slice(0, at).trim(), method.slice(at + 1).trim()];
}

function patternList(text: string): Result<RegExp[], DetectionError> {
  const patterns: RegExp[] = [];
  for (const source of text.split(',').map((part) => part.trim())) {
    if (source === '') continue;
    const pattern = goPattern(source);
    if (pattern === undefined) return err(failure('BadMethod', `"${source}" is not a regular expression.`));
    patterns.push(pattern);
  }
  return patterns.length > 0
    ? ok(patterns)
    : err(failure('BadMethod', 'The detection method names no interface.'));
}

const nothingFound = (family: Family, method: string): Result<InterfaceAddress, DetectionError> =>
  err(
    failure(
      'NothingFound',
      `No IPv${family} address of this node was found by "${method === '' ? 'first-found' : method}".`,
      'Choose another IP_AUTODETECTION_METHOD or give the address in IP.',
    ),
  );

/** Loopback and link-local addresses are of no use to other nodes. */
export const isUsable = ({ address }: InterfaceAddress): boolean =>
  !containsAddress((familyOf(address) === 4 ? '127.0.0.0/8' : '::1/128') as Prefix, address) &&
  !containsAddress((familyOf(address) === 4 ? '169.254.0.0/16' : 'fe80::/10') as Prefix, address);

const usable = ({ addresses }: DetectedInterface, family: Family): InterfaceAddress | undefined =>
  addresses.find((a) => familyOf(a.address) === family && isUsable(a));

function firstUsable(
  interfaces: readonly DetectedInterface[],
  family: Family,
  method: string,
): Result<InterfaceAddress, DetectionError> {
  for (const candidate of interfaces) {
    const found = usable(candidate, family);
    if (found !== undefined) return ok(found);
  }
  return nothingFound(family, method);
}

function byNetworks(
  text: string,
  { interfaces, family }: DetectionInputs,
): Result<InterfaceAddress, DetectionError> {
  const networks: Prefix[] = [];
  for (const part of text.split(',').map((p) => p.trim())) {
    const parsed = parsePrefix(part);
    if (!parsed.ok) return err(failure('BadMethod', `"${part}" is not a network.`));
    networks.push(parsed.value);
  }
  for (const network of networks) {
    for (const { addresses } of firstFoundCandidates(interfaces)) {
      const found = addresses.find(
        (a) => familyOf(a.address) === family && containsAddress(network, a.address),
      );
      if (found !== undefined) return ok(found);
    }
  }
  return nothingFound(family, `cidr=${text}`);
}

async function byRoute(
  host: string,
  inputs: DetectionInputs,
): Promise<Result<InterfaceAddress, DetectionError>> {
  const source = await inputs.sourceTowards?.(host, inputs.family);
  const found = source === undefined ? undefined : withLength(source, inputs.interfaces);
  return found === undefined ? nothingFound(inputs.family, `can-reach=${host}`) : ok(found);
}

function byKubernetes(inputs: DetectionInputs): Result<InterfaceAddress, DetectionError> {
  for (const text of inputs.kubernetesAddresses ?? []) {
    const parsed = parseAddress(text);
    if (!parsed.ok || familyOf(parsed.value) !== inputs.family) continue;
    const length = inputs.family === 4 ? 32 : 128;
    return ok(withLength(parsed.value, inputs.interfaces) ?? { address: parsed.value, length });
  }
  return nothingFound(inputs.family, 'kubernetes-internal-ip');
}

const withLength = (
  address: Address,
  interfaces: readonly DetectedInterface[],
): InterfaceAddress | undefined => interfaces.flatMap((i) => i.addresses).find((a) => a.address === address);

/** An address with the length of its network on this host; the text as it is when it has one or is not on this host. */
export function localCidr(text: string, interfaces: readonly DetectedInterface[]): string {
  const parsed = parseAddress(text);
  if (!parsed.ok) return text;
  const found = withLength(parsed.value, interfaces);
  return found === undefined ? text : formatInterfaceAddress(found);
}

export const formatInterfaceAddress = (a: InterfaceAddress): string => `${a.address}/${a.length}`;

export const parseInterfaces = (
  interfaces: readonly { readonly name: string; readonly cidrs: readonly string[] }[],
): DetectedInterface[] =>
  interfaces.map(({ name, cidrs }) => ({
    name,
    addresses: cidrs.flatMap((text) => {
      const parsed = parseInterfaceAddress(text);
      return parsed.ok ? [parsed.value] : [];
    }),
  }));
