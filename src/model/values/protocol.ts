// IP protocols of rules: a number, or one of the names below.

export type Protocol = number | string;

const numbers: Readonly<Record<string, number>> = {
  ICMP: 1,
  TCP: 6,
  UDP: 17,
  ICMPv6: 58,
  SCTP: 132,
  UDPLite: 136,
};
export const protocolNames: readonly string[] = Object.keys(numbers);

/** The name in its usual spelling when it is known in any case; everything else as it is. */
export function normaliseProtocol(protocol: Protocol): Protocol {
  if (typeof protocol === 'number') return protocol;
  if (/^\d{1,3}$/.test(protocol) && Number(protocol) <= 255) return Number(protocol);
  return protocolNames.find((name) => name.toLowerCase() === protocol.toLowerCase()) ?? protocol;
}

/** The number, or undefined for an unknown name. */
export function protocolNumber(protocol: Protocol): number | undefined {
  const normal = normaliseProtocol(protocol);
  return typeof normal === 'number' ? normal : numbers[normal];
}

/** Whether rules may name ports with the protocol. */
export const protocolHasPorts = (protocol: Protocol): boolean =>
  [6, 17, 132].includes(protocolNumber(protocol) ?? -1);
