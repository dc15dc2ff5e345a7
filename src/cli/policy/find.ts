// From what people call endpoints and policies to those of a world: `shop/web`, `hep/node1-eth0`, `node/worker1`,
// `10.0.0.1`; `np/web`, `gnp/deny-all`, `shop/web`.
import { err, failure, ok, type Result } from '../../lib/result.ts';
import { familyOf, parseAddress, type Address, type Family } from '../../lib/ip/mod.ts';
import { policyText, type CompiledPolicy, type Endpoint, type Place, type World } from '../../policy/mod.ts';
import type { CliError } from '../calicoctl/program.ts';

const notFound = (message: string, hint?: string): Result<never, CliError> =>
  err(failure('NotFound', message, hint));

const hostWords = new Set(['hep', 'hostendpoint', 'hostendpoints', 'heps']);
const podWords = new Set(['pod', 'pods', 'po', 'wep', 'workloadendpoint', 'workloadendpoints']);

/** `[pod/][NAMESPACE/]NAME`, `hep/NAME`, or an address that one endpoint has. A namespace is also found as `NAMESPACE.NAME`. */
export function findEndpoint(world: World, text: string, namespace: string): Result<Endpoint, CliError> {
  const words = text.split('/');
  if (words.length === 2 && hostWords.has(words[0] ?? '')) return hostEndpoint(world, words[1] ?? '');
  const isPodWord = podWords.has(words[0] ?? '') && (words.length === 3 || !isPod(world, words));
  const name = isPodWord ? words.slice(1) : words;
  const parsed = parseAddress(text);
  if (parsed.ok) {
    const holder = [...world.workloads, ...world.hostEndpoints].find(({ addresses }) =>
      addresses.includes(parsed.value),
    );
    return holder === undefined ? notFound(`No endpoint has the address ${text}.`) : ok(holder);
  }
  const [wanted = '', where = namespace] = name.toReversed();
  const found = world.workloads.filter((one) => one.namespace === where && (one.pod ?? one.name) === wanted);
  if (found[0] !== undefined) return ok(found[0]);
  const elsewhere = world.workloads.filter((one) => (one.pod ?? one.name) === wanted);
  // A name that is unique needs no namespace.
  if (name.length === 1 && elsewhere.length === 1 && elsewhere[0] !== undefined) return ok(elsewhere[0]);
  if (name.length === 1 && elsewhere.length === 0) {
    const host = world.hostEndpoints.find((one) => one.name === wanted);
    if (host !== undefined) return ok(host);
  }
  return notFound(
    `There is no pod ${where}/${wanted} with an endpoint.`,
    elsewhere.length > 0
      ? `There is ${elsewhere.map(endpointName).join(', ')}.`
      : 'Pods in the network of their host have none; name a host endpoint as hep/NAME.',
  );
}

const isPod = (world: World, [namespace, name]: readonly string[]): boolean =>
  world.workloads.some((one) => one.namespace === namespace && (one.pod ?? one.name) === name);

function hostEndpoint(world: World, name: string): Result<Endpoint, CliError> {
  const found = world.hostEndpoints.find((one) => one.name === name);
  const names = world.hostEndpoints.map((one) => one.name).join(', ');
  return found === undefined
    ? notFound(
        `There is no host endpoint ${name}.`,
        names === '' ? 'There are none.' : `There are: ${names}.`,
      )
    : ok(found);
}

export const endpointName = ({ kind, namespace = '', name, pod }: Endpoint): string =>
  kind === 'workload' ? `${namespace}/${pod ?? name}` : `hep/${name}`;

export type End = {
  readonly place: Place;
  readonly addresses: readonly Address[];
  readonly name: string;
};

/** An end of a packet's way: an endpoint as above, `node/NAME`, or any address. */
export function findEnd(world: World, text: string, namespace: string): Result<End, CliError> {
  if (text.startsWith('node/')) {
    const name = text.slice('node/'.length);
    const node = world.nodes.get(name);
    if (node === undefined)
      return notFound(
        `There is no node ${name}.`,
        `There are: ${[...world.nodes.keys()].join(', ') || 'none'}.`,
      );
    return ok({ place: { kind: 'host', node: name }, addresses: node.addresses, name: text });
  }
  const address = parseAddress(text);
  if (address.ok) {
    const holder = world.workloads.find(({ addresses }) => addresses.includes(address.value));
    const node = [...world.nodes.values()].find(({ addresses }) => addresses.includes(address.value));
    const place: Place =
      holder !== undefined
        ? { kind: 'workload', endpoint: holder }
        : node !== undefined
          ? { kind: 'host', node: node.name }
          : { kind: 'outside' };
    return ok({ place, addresses: [address.value], name: text });
  }
  const endpoint = findEndpoint(world, text, namespace);
  if (!endpoint.ok) return endpoint;
  const { value } = endpoint;
  const place: Place =
    value.kind === 'workload' ? { kind: 'workload', endpoint: value } : { kind: 'host', node: value.node };
  const addresses = value.kind === 'workload' ? value.addresses : addressesOfHost(world, value);
  return ok({ place, addresses, name: endpointName(value) });
}

const addressesOfHost = (world: World, { addresses, node }: Endpoint): readonly Address[] =>
  addresses.length > 0 ? addresses : (world.nodes.get(node)?.addresses ?? []);

/** Addresses of one family for both ends; the first family that both have when none is asked for. */
export function addressesFor(
  from: End,
  to: End,
  family: Family | undefined,
): Result<{ readonly source: Address; readonly destination: Address }, CliError> {
  for (const one of family === undefined ? ([4, 6] as const) : [family]) {
    const source = from.addresses.find((address) => familyOf(address) === one);
    const destination = to.addresses.find((address) => familyOf(address) === one);
    if (source !== undefined && destination !== undefined) return ok({ source, destination });
  }
  return notFound(
    `${from.name} and ${to.name} have no addresses of one family${family === undefined ? '' : ` IPv${family}`}.`,
    `${from.name}: ${from.addresses.join(', ') || 'none'}; ${to.name}: ${to.addresses.join(', ') || 'none'}.`,
  );
}

const kindWords: Readonly<
  Record<string, CompiledPolicy['id']['kind'] | readonly CompiledPolicy['id']['kind'][]>
> = {
  np: ['NetworkPolicy', 'KubernetesNetworkPolicy'],
  networkpolicy: ['NetworkPolicy', 'KubernetesNetworkPolicy'],
  gnp: 'GlobalNetworkPolicy',
  globalnetworkpolicy: 'GlobalNetworkPolicy',
  knp: 'KubernetesNetworkPolicy',
  kubernetesnetworkpolicy: 'KubernetesNetworkPolicy',
  kcnp: 'KubernetesClusterNetworkPolicy',
  cnp: 'KubernetesClusterNetworkPolicy',
  clusternetworkpolicy: 'KubernetesClusterNetworkPolicy',
  snp: 'StagedNetworkPolicy',
  stagednetworkpolicy: 'StagedNetworkPolicy',
  sgnp: 'StagedGlobalNetworkPolicy',
  stagedglobalnetworkpolicy: 'StagedGlobalNetworkPolicy',
  sknp: 'StagedKubernetesNetworkPolicy',
  stagedkubernetesnetworkpolicy: 'StagedKubernetesNetworkPolicy',
};

/** `[KIND/][NAMESPACE/]NAME` or `KIND:NAMESPACE/NAME`, as our own output writes policies. All that fit. */
export function findPolicies(
  world: World,
  text: string,
  namespace: string | undefined,
): Result<readonly CompiledPolicy[], CliError> {
  const words = text.split(/[/:]/);
  const kindWord = kindWords[(words.length > 1 ? (words[0] ?? '') : '').toLowerCase()];
  const kinds = kindWord === undefined ? undefined : [kindWord].flat();
  const [name = '', where = namespace] = (kinds === undefined ? words : words.slice(1)).toReversed();
  const named = world.policies.filter(
    ({ id }) => id.name === name && (kinds === undefined || kinds.includes(id.kind)),
  );
  const found = named.filter(
    ({ id }) => id.namespace === undefined || where === undefined || id.namespace === where,
  );
  if (found.length > 0) return ok(found);
  return notFound(
    `There is no policy ${text}${where === undefined ? '' : ` in namespace ${where}`}.`,
    named.length > 0 ? `There is ${named.map(({ id }) => policyText(id)).join(', ')}.` : undefined,
  );
}
