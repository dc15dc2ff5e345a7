// Frontends as nftables rows. A packet pays for two or three lookups, however many services there are:
//
//   nat prerouting, output:   address . protocol . port    vmap @services    : goto lb-<n>     one chain per number of
//                             protocol . port (own address) vmap @node-ports : goto np-<n>     endpoints, not per service
//   lb-<n>:                   dnat to address . protocol . port . numgen random mod <n> map @endpoints
//   nat postrouting:          who reached itself by a service, and whose answer must come back here: masquerade
//   filter:                   address . protocol . port vmap @empty : goto refused
//
// Keys of `endpoints` end in a number below n. A client that keeps its endpoint gets it by a hash of its address.
import type { Family } from '../../lib/ip/mod.ts';
import type { NftChain, NftElement } from '../../kernel/mod.ts';
import type { NftRow, NftTableFamily } from '../../felix/dataplane/mod.ts';
import type { Frontend } from './plan.ts';

export const proxyTable = 'margay-proxy';

/** The bit that kube-proxy marks packets with whose source is to be hidden. */
const masqueradeBit = '0x4000';
const seed = '0x6d61';

const tableOf = (family: Family): NftTableFamily => (family === 4 ? 'ip' : 'ip6');
const addressType = (family: Family): string => (family === 4 ? 'ipv4_addr' : 'ipv6_addr');

/** What is there whatever the services are. */
export function fixedRows(families: readonly Family[]): NftRow[] {
  return families.flatMap((number) => {
    const family = tableOf(number);
    const address = addressType(number);
    const set = (name: string, key: readonly string[], data?: readonly string[]): NftRow => ({
      kind: 'set',
      family,
      set: { name, key, ...(data === undefined ? {} : { data }) },
    });
    const chain = (name: string, rules: readonly string[], base?: NftChain['base']): NftRow => ({
      kind: 'chain',
      family,
      chain: { name, ...(base === undefined ? {} : { base }) },
      rules,
    });
    const place = `${family} daddr . meta l4proto . th dport`;
    const refusal = `ct state new ${place} vmap @empty`;
    return [
      { kind: 'table', family },
      set('services', [address, 'inet_proto', 'inet_service'], ['verdict']),
      set('endpoints', [address, 'inet_proto', 'inet_service', 'mark'], [address, 'inet_service']),
      set('node-ports', ['inet_proto', 'inet_service'], ['verdict']),
      set('node-endpoints', ['inet_proto', 'inet_service', 'mark'], [address, 'inet_service']),
      set('cluster-addresses', [address]),
      set('hairpin', [address, address]),
      set('empty', [address, 'inet_proto', 'inet_service'], ['verdict']),
      chain('refused', ['meta l4proto tcp reject with tcp reset', 'reject']),
      chain('dispatch', [
        `${place} vmap @services`,
        `${family} daddr != ${number === 4 ? '127.0.0.0/8' : '::1'} fib daddr type local meta l4proto . th dport vmap @node-ports`,
      ]),
      chain(
        'nat-prerouting',
        [
          // As kube-proxy does it for clients that are no pods: the answer of a pod elsewhere must come back here.
          `iifname != "cali*" ${family} daddr @cluster-addresses meta mark set meta mark or ${masqueradeBit}`,
          'jump dispatch',
        ],
        nat('prerouting', -100),
      ),
      chain('nat-output', ['jump dispatch'], nat('output', -100)),
      chain(
        'nat-postrouting',
        [
          `meta mark and ${masqueradeBit} == ${masqueradeBit} masquerade`,
          `ct status dnat ${family} saddr . ${family} daddr @hairpin masquerade`,
        ],
        nat('postrouting', 99),
      ),
      ...(['input', 'forward', 'output'] as const).map((hook) =>
        chain(`filter-${hook}`, [refusal], { type: 'filter', hook, priority: -10 }),
      ),
    ];
  });
}

const nat = (hook: 'prerouting' | 'output' | 'postrouting', priority: number): NftChain['base'] => ({
  type: 'nat',
  hook,
  priority,
});

/** Rows of one frontend. Chains stand for all frontends of their kind. */
export function frontendRows(front: Frontend): NftRow[] {
  const family = tableOf(front.family);
  const { address, backends } = front;
  const key = [...(address === undefined ? [] : [address]), front.protocol, String(front.port)];
  const element = (set: string, one: NftElement): NftRow => ({ kind: 'element', family, set, element: one });
  const map = address === undefined ? 'node-ports' : 'services';
  if (backends.length === 0) {
    // A node port without endpoints is a port where nobody listens, unless other nodes have the endpoints.
    if (front.empty === 'drop') return [element(map, { key, data: 'drop' })];
    return address === undefined ? [] : [element('empty', { key, data: 'goto refused' })];
  }
  const chain = balancer(front);
  return [
    { kind: 'chain', family, chain: { name: chain.name }, rules: chain.rules },
    element(map, { key, data: `goto ${chain.name}` }),
    ...backends.map((one, slot) =>
      element(address === undefined ? 'node-endpoints' : 'endpoints', {
        key: [...key, hex(slot)],
        data: [one.address, String(one.port)],
      }),
    ),
    ...backends.map((one) => element('hairpin', { key: [one.address, one.address] })),
    ...(front.masqueradeOutsiders && address !== undefined
      ? [element('cluster-addresses', { key: [address] })]
      : []),
  ];
}

const hex = (slot: number): string => `0x${slot.toString(16).padStart(8, '0')}`;

function balancer(front: Frontend): { readonly name: string; readonly rules: readonly string[] } {
  const family = tableOf(front.family);
  const count = front.backends.length;
  const isNodePort = front.address === undefined;
  const slot = front.sticky
    ? `jhash ${family} saddr mod ${count} seed ${seed}`
    : `numgen random mod ${count}`;
  const key = `${isNodePort ? '' : `${family} daddr . `}meta l4proto . th dport . ${slot}`;
  const kinds = `${isNodePort ? 'np' : 'lb'}${front.masquerade ? '-masq' : ''}${front.sticky ? '-sticky' : ''}`;
  return {
    name: `${kinds}-${count}`,
    rules: [
      ...(front.masquerade ? [`meta mark set meta mark or ${masqueradeBit}`] : []),
      `dnat ${family} to ${key} map @${isNodePort ? 'node-endpoints' : 'endpoints'}`,
    ],
  };
}
