// Sets of the calculation as sets of ipset (FX-036): one for each family, under Calico's name.
import type { Family } from '../../../lib/ip/mod.ts';
import type { SetDefinition } from '../../../policy/mod.ts';
import type { SetType } from './types.ts';

export const setTypeOf = (definition: SetDefinition): SetType =>
  definition.kind === 'named-port' || (definition.kind === 'service' && definition.withPorts)
    ? 'hash:ip,port'
    : 'hash:net';

export const familyOfMember = (member: string): Family =>
  member.slice(0, member.includes(',') ? member.indexOf(',') : undefined).includes(':') ? 6 : 4;

const everything: Readonly<Record<string, readonly string[]>> = {
  '0.0.0.0/0': ['0.0.0.0/1', '128.0.0.0/1'],
  '::/0': ['::/1', '8000::/1'],
};

/** A member of `memberText` as ipset lists it. A set of networks has no place for all addresses but in halves, and the kernel
 *  knows ports of these protocols only. */
export function setMembers(member: string): readonly string[] {
  if (member.includes(',')) return /,(tcp|udp|sctp):/.test(member) ? [member] : [];
  const halves = everything[member];
  if (halves !== undefined) return halves;
  const single = member.includes(':') ? '/128' : '/32';
  return [member.endsWith(single) ? member.slice(0, -single.length) : member];
}
