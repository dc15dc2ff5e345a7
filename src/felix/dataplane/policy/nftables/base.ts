// The chains at the kernel's hooks and what all endpoints share. What is here for a packet of nobody's concern is one lookup
// of the connection's state and a comparison of interface names; packets of other tables' traffic pass untouched.
//
//   raw-prerouting       prerouting -300   source of what workloads send; untracked policy of hosts
//   raw-output           output     -300   untracked policy of hosts
//   mangle-prerouting    prerouting -150   policy of hosts before translation
//   mangle-postrouting   postrouting -150   DSCP of workloads
//   filter-input         input         0   workloads to their host; normal policy of hosts
//   filter-forward       forward       0   host in · from workload · to workload · host out
//   filter-output        output        0   normal policy of hosts
//
// from-workload and to-workload end in drop: an interface whose endpoint is not known is closed (FX-020).
import type { Family } from '../../../../lib/ip/mod.ts';
import type { NftChain } from '../../../../kernel/mod.ts';
import type { NftRow, NftRuleText } from '../../nftables.ts';
import { gatewayAddress } from '../../routes.ts';
import type { PolicySettings } from '../types.ts';
import type { LimitKinds } from './limits.ts';
import { portProtocols, portProtocolsSet } from './match.ts';
import { addressType, nftFamily } from './rows.ts';
import { unsetWaived } from './rule-chains.ts';
import { protocolWord } from './sets.ts';

/** Which stages of host endpoints there are; what nobody asks for is left out. */
export type HostStages = {
  readonly normal: boolean;
  readonly forward: boolean;
  readonly untracked: boolean;
  readonly preDnat: boolean;
  /** Interfaces that one stands for: those in `host-interfaces`, or all. */
  readonly interfaces: 'none' | 'named' | 'all';
};
export const noHosts: HostStages = {
  normal: false,
  forward: false,
  untracked: false,
  preDnat: false,
  interfaces: 'none',
};

/** Multicast listener discovery and neighbour discovery, without which IPv6 does not work (FX-053). */
const neighbourTypes = 'icmpv6 type { 130, 131, 132, 133, 135, 136 }';

type Rules = readonly (string | NftRuleText)[];

export function baseRows(
  settings: PolicySettings,
  family: Family,
  hosts: HostStages,
  limits: LimitKinds,
): readonly NftRow[] {
  const table = nftFamily(family);
  const address = addressType(family);
  const chain = (name: string, rules: Rules, base?: NftChain['base']): NftRow => ({
    kind: 'chain',
    family: table,
    chain: { name, ...(base === undefined ? {} : { base }) },
    rules,
  });
  const atHook = (
    name: string,
    hook: NonNullable<NftChain['base']>['hook'],
    priority: number,
    rules: Rules,
  ): readonly NftRow[] =>
    rules.length === 0 ? [] : [chain(name, rules, { type: 'filter', hook, priority, policy: 'accept' })];
  const set = (name: string, key: readonly string[], more: object = {}): NftRow => ({
    kind: 'set',
    family: table,
    set: { name, key, ...more },
  });
  const isEarly = hosts.untracked || hosts.preDnat;
  const host = (isThere: boolean, name: string): Rules => (isThere ? [`jump ${name}`] : []);
  return [
    set(portProtocolsSet, ['inet_proto']),
    ...portProtocols.map(
      (protocol): NftRow => ({
        kind: 'element',
        family: table,
        set: portProtocolsSet,
        element: { key: protocolWord(protocol) },
      }),
    ),
    set('from-workload', ['ifname'], { data: ['verdict'] }),
    set('to-workload', ['ifname'], { data: ['verdict'] }),
    set('workload-sources', ['ifname', address]),
    ...(settings.allowsForeignSources
      ? [set('foreign-sources', ['ifname', address], { interval: true })]
      : []),
    chain('invalid', invalidRules(settings, hosts)),
    chain('from-workload', [...tunnelRules(settings), 'iifname vmap @from-workload', 'counter drop']),
    chain('to-workload', ['oifname vmap @to-workload', 'counter drop']),
    chain('source-check', sourceRules(settings, family)),
    chain('workload-to-host', [
      ...(family === 6 ? [`${neighbourTypes} accept`] : []),
      'jump from-workload',
      settings.endpointToHost,
    ]),
    ...atHook('raw-prerouting', 'prerouting', -300, [
      ...(isEarly ? [unsetWaived(settings)] : []),
      ...workloads(settings, 'iifname', 'jump source-check'),
      ...host(hosts.untracked, 'untracked-in'),
    ]),
    ...atHook(
      'raw-output',
      'output',
      -300,
      hosts.untracked ? [unsetWaived(settings), 'jump untracked-out'] : [],
    ),
    ...atHook(
      'mangle-prerouting',
      'prerouting',
      -150,
      hosts.preDnat ? [`ct state established,related ${settings.mangleAllowance}`, 'jump pre-dnat'] : [],
    ),
    ...(limits.rates ? ['from-rates', 'to-rates'] : []).map((name) =>
      set(name, ['ifname'], { data: ['verdict'] }),
    ),
    ...(limits.dscp ? [set('dscp', [address], { data: ['verdict'] })] : []),
    ...atHook(
      'mangle-postrouting',
      'postrouting',
      -150,
      limits.dscp ? [`${table} daddr != @all-pools ${table} saddr vmap @dscp`] : [],
    ),
    ...atHook('filter-input', 'input', 0, [
      ...(limits.rates ? ['iifname vmap @from-rates'] : []),
      stateRule(settings),
      ...workloads(settings, 'iifname', 'jump workload-to-host'),
      ...host(hosts.normal, 'host-in'),
    ]),
    ...atHook('filter-forward', 'forward', 0, [
      ...(limits.rates ? ['iifname vmap @from-rates', 'oifname vmap @to-rates'] : []),
      stateRule(settings),
      ...(family === 4 ? [`ip daddr ${gatewayAddress} drop`] : []),
      ...host(hosts.forward, 'forward-in'),
      ...workloads(settings, 'iifname', 'jump from-workload'),
      ...workloads(settings, 'oifname', 'jump to-workload'),
      ...host(hosts.forward, 'forward-out'),
    ]),
    // A host reaches its own workloads, whatever connection tracking makes of the packet (FX-045).
    ...atHook(
      'filter-output',
      'output',
      0,
      hosts.normal ? [...workloads(settings, 'oifname', 'return'), stateRule(settings), 'jump host-out'] : [],
    ),
  ];
}

/** One line per prefix of interface names. */
export const workloads = (
  { interfacePrefixes }: PolicySettings,
  key: 'iifname' | 'oifname',
  verdict: string,
): readonly string[] => interfacePrefixes.map((prefix) => `${key} "${prefix}*" ${verdict}`);

const stateRule = ({ filterAllowance, dropsInvalidConnections }: PolicySettings): string =>
  `ct state vmap { established : ${filterAllowance}, related : ${filterAllowance}${
    dropsInvalidConnections ? ', invalid : jump invalid' : ''
  } }`;

/** Only at interfaces that policy is about; others' packets are theirs to judge. */
function invalidRules(settings: PolicySettings, hosts: HostStages): Rules {
  const hostRules = {
    none: [],
    named: ['iifname @host-interfaces counter drop', 'oifname @host-interfaces counter drop'],
    all: ['iifname != "lo" counter drop', 'oifname != "lo" counter drop'],
  }[hosts.interfaces];
  return [
    ...workloads(settings, 'iifname', 'counter drop'),
    ...workloads(settings, 'oifname', 'counter drop'),
    ...hostRules,
  ];
}

/** Workloads must not speak to tunnels of nodes (FX-047). */
const tunnelRules = (settings: PolicySettings): Rules => [
  ...(settings.allowsVxlanFromWorkloads ? [] : [`udp dport ${settings.vxlanPort} counter drop`]),
  ...(settings.allowsIpipFromWorkloads ? [] : ['meta l4proto 4 counter drop']),
];

/** What a workload sends comes from its own addresses, from those that it may forge (FX-138), or from where it is the way to
 *  (FX-040): networks behind a pod that peers by BGP. Other workloads of the node have routes of their own, which lead
 *  elsewhere. */
function sourceRules(settings: PolicySettings, family: Family): Rules {
  const source = `iifname . ${nftFamily(family)} saddr`;
  return [
    `${source} @workload-sources return`,
    ...(settings.allowsForeignSources ? [`${source} @foreign-sources return`] : []),
    ...(family === 6
      ? [
          // The way back to an address of the link is the link.
          'ip6 saddr fe80::/10 return',
          `${neighbourTypes} fib daddr type { local, multicast, anycast } return`,
        ]
      : []),
    'fib saddr . mark . iif oif exists return',
    'counter drop',
  ];
}
