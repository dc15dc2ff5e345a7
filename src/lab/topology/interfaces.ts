// Small constructors shared by the topologies.
import { type InterfaceAddress, type Prefix, prefixOf } from '../../lib/ip/mod.ts';
import type { Interface } from './types.ts';

/** A cable's end. Its MAC is 02:00 and the four bytes of its IPv4 address, so that a capture can be read by eye. */
export function port(name: string, addresses: readonly InterfaceAddress[], bridgeName?: string): Interface {
  const mac = macOf(addresses);
  return {
    name,
    kind: 'port',
    addresses,
    ...(mac === undefined ? {} : { mac }),
    ...(bridgeName === undefined ? {} : { bridge: bridgeName }),
  };
}

export function bridge(name: string, addresses: readonly InterfaceAddress[]): Interface {
  const mac = macOf(addresses);
  return { name, kind: 'bridge', addresses, ...(mac === undefined ? {} : { mac }) };
}

export const subnetOf = (at: InterfaceAddress): Prefix => prefixOf(at.address, at.length);

function macOf(addresses: readonly InterfaceAddress[]): string | undefined {
  const v4 = addresses.find((a) => !a.address.includes(':'));
  if (v4 === undefined) return undefined;
  const bytes = v4.address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'));
  return ['02', '00', ...bytes].join(':');
}
