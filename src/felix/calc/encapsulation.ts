// Which encapsulations are in use, and what they leave of the MTU (FX-093).

import { goPattern } from '../../lib/go-pattern.ts';
import { type FelixConfig, programmedRoutes } from './configuration.ts';
import type { Encapsulation, HostInterface, Mtus } from './types.ts';

export type PoolModes = { readonly cidr: string; readonly ipipMode?: string; readonly vxlanMode?: string };

const on = (mode: string | undefined): boolean =>
  mode !== undefined && mode !== '' && mode.toLowerCase() !== 'never';

/** From the pools' modes, unless the parameters switch an encapsulation on or off for good. */
export function resolveEncapsulation(
  config: {
    readonly programClusterRoutes: string;
    readonly ipipEnabled: boolean | null;
    readonly vxlanEnabled: boolean | null;
  },
  pools: Iterable<PoolModes>,
): Encapsulation {
  let ipip = false;
  let vxlan = false;
  let vxlanV6 = false;
  let noEncap = false;
  for (const pool of pools) {
    const v6 = pool.cidr.includes(':');
    if (on(pool.ipipMode)) ipip = true;
    if (on(pool.vxlanMode)) {
      if (v6) vxlanV6 = true;
      else vxlan = true;
    }
    if (!on(pool.ipipMode) && !on(pool.vxlanMode)) noEncap = true;
  }
  return {
    ipip: config.ipipEnabled ?? ipip,
    vxlan: config.vxlanEnabled ?? vxlan,
    vxlanV6: config.vxlanEnabled === false ? false : vxlanV6,
    noEncapNeeded: noEncap && programmedRoutes(config.programClusterRoutes).noEncap,
  };
}

export const encapsulationOf = (config: FelixConfig, pools: Iterable<PoolModes>): Encapsulation => ({
  ...resolveEncapsulation(
    {
      programClusterRoutes: config.text('ProgramClusterRoutes'),
      ipipEnabled: config.value('IpInIpEnabled') as boolean | null,
      vxlanEnabled: config.value('VXLANEnabled') as boolean | null,
    },
    pools,
  ),
  wireguard: {
    ...(config.boolean('WireguardEnabled') ? { 4: config.text('WireguardInterfaceName') } : {}),
    ...(config.boolean('WireguardEnabledV6') ? { 6: config.text('WireguardInterfaceNameV6') } : {}),
  },
});

const overhead = { ipip: 20, vxlan: 50, vxlanV6: 70, wireguard: 60, wireguardV6: 80 } as const;
const usualMtu = 1500;

/** The smallest MTU of the interfaces that match MTUIfacePattern, less what the enabled encapsulations add. */
export function resolveMtus(
  config: FelixConfig,
  encapsulation: Encapsulation,
  interfaces: Iterable<HostInterface>,
): Mtus {
  const pattern = goPattern(config.text('MTUIfacePattern'));
  let host = 0;
  for (const { name, mtu, up } of interfaces) {
    if (up && pattern?.test(name) && (host === 0 || mtu < host)) host = mtu;
  }
  if (host === 0) host = usualMtu;
  const of = (parameter: string, bytes: number): number => {
    const explicit = config.number(parameter);
    return explicit > 0 ? explicit : host - bytes;
  };
  const ipip = of('IpInIpMtu', overhead.ipip);
  const vxlan = of('VXLANMTU', overhead.vxlan);
  const vxlanV6 = of('VXLANMTUV6', overhead.vxlanV6);
  const wireguard = of('WireguardMTU', overhead.wireguard);
  const wireguardV6 = of('WireguardMTUV6', overhead.wireguardV6);
  const inUse = [
    { mtu: host, bytes: 0 },
    ...(encapsulation.ipip ? [{ mtu: ipip, bytes: overhead.ipip }] : []),
    ...(encapsulation.vxlan ? [{ mtu: vxlan, bytes: overhead.vxlan }] : []),
    ...(encapsulation.vxlanV6 ? [{ mtu: vxlanV6, bytes: overhead.vxlanV6 }] : []),
    ...(config.boolean('WireguardEnabled') ? [{ mtu: wireguard, bytes: overhead.wireguard }] : []),
    ...(config.boolean('WireguardEnabledV6') ? [{ mtu: wireguardV6, bytes: overhead.wireguardV6 }] : []),
  ];
  const pod = Math.min(...inUse.map(({ mtu }) => mtu));
  const wire = Math.min(host, pod + Math.max(...inUse.map(({ bytes }) => bytes)));
  return { host, pod, wire, ipip, vxlan, vxlanV6, wireguard, wireguardV6 };
}
