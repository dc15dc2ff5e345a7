// What configuration says about policy, as both back ends read it. Names of nftables' own parameters and of iptables' differ;
// which of them count says the back end.
import { parseNetwork, type Prefix } from '../../../../lib/ip/mod.ts';
import { protocolNumber } from '../../../../model/mod.ts';
import type { FailsafePort } from '../../../../policy/mod.ts';
import type { FelixConfig } from '../../../calc/mod.ts';
import type { PolicySettings } from '../types.ts';

export type PolicyBackEnd = 'nftables' | 'iptables';

export function policySettings(config: FelixConfig, backEnd: PolicyBackEnd): PolicySettings {
  const own = (name: string): string =>
    config.text(`${backEnd === 'nftables' ? 'Nftables' : 'Iptables'}${name}`).toLowerCase();
  const toHost = config.text('DefaultEndpointToHostAction').toLowerCase();
  return {
    families: config.boolean('Ipv6Support') ? [4, 6] : [4],
    interfacePrefixes: config
      .text('InterfacePrefix')
      .split(',')
      .filter((prefix) => prefix !== ''),
    endpointToHost: toHost === 'accept' || toHost === 'return' ? toHost : 'drop',
    failsafe: {
      inbound: failsafePorts(config, 'FailsafeInboundHostPorts'),
      outbound: failsafePorts(config, 'FailsafeOutboundHostPorts'),
    },
    denial: own('FilterDenyAction') === 'reject' ? 'reject' : 'drop',
    filterAllowance: own('FilterAllowAction') === 'return' ? 'return' : 'accept',
    mangleAllowance: own('MangleAllowAction') === 'return' ? 'return' : 'accept',
    logPrefix: config.text('LogPrefix'),
    logRate: config.text('LogActionRateLimit'),
    logBurst: config.number('LogActionRateLimitBurst'),
    markMask: config.number(backEnd === 'nftables' ? 'NftablesMarkMask' : 'IptablesMarkMask'),
    dropsInvalidConnections: !config.boolean('DisableConntrackInvalidCheck'),
    allowsVxlanFromWorkloads: config.boolean('AllowVXLANPacketsFromWorkloads'),
    allowsIpipFromWorkloads: config.boolean('AllowIPIPPacketsFromWorkloads'),
    allowsForeignSources: config.text('WorkloadSourceSpoofing').toLowerCase() === 'any',
    vxlanPort: config.number('VXLANPort'),
    wireguardPorts: {
      ...(config.boolean('WireguardEnabled') ? { 4: config.number('WireguardListeningPort') } : {}),
      ...(config.boolean('WireguardEnabledV6') ? { 6: config.number('WireguardListeningPortV6') } : {}),
    },
  };
}

type ConfiguredPort = { readonly protocol: string; readonly port: number; readonly net?: Prefix };

/** `none` keeps nothing open. */
function failsafePorts(config: FelixConfig, name: string): readonly FailsafePort[] {
  const list = config.value(name) as readonly ConfiguredPort[] | null;
  return (list ?? []).flatMap(({ protocol, port, net }): readonly FailsafePort[] => {
    const number = protocolNumber(protocol);
    const network = net === undefined ? undefined : parseNetwork(net);
    // An entry that cannot be made out keeps nothing open.
    if (number === undefined || network?.ok === false) return [];
    return [{ protocol: number, port, ...(network === undefined ? {} : { net: network.value }) }];
  });
}
