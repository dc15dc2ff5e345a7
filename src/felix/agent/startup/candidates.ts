// Why an address became the node's: every address of the host, with the reason for or against it, for log, event and
// `margay get node -o yaml`. Pure.
import { familyOf, type Family, type InterfaceAddress } from '../../../lib/ip/mod.ts';
import {
  type DetectedInterface,
  formatInterfaceAddress,
  isCalicos,
  isNeverFirstFound,
  isUsable,
} from './detection.ts';

export type AddressCandidate = {
  readonly interface: string;
  readonly address: string;
  readonly chosen: boolean;
  readonly why: string;
};
/** How the address of a family was found. */
export type AddressChoice = {
  readonly family: Family;
  /** The text of IP_AUTODETECTION_METHOD; `first-found` when there is none. */
  readonly method: string;
  readonly candidates: readonly AddressCandidate[];
};

export function explainChoice(
  family: Family,
  method: string,
  interfaces: readonly DetectedInterface[],
  chosen: InterfaceAddress,
): AddressChoice {
  const used = method === '' ? 'first-found' : method;
  const name = used.split('=')[0] ?? '';
  let isPast = false;
  const candidates = interfaces.flatMap((one) =>
    one.addresses
      .filter((a) => familyOf(a.address) === family)
      .map((a): AddressCandidate => {
        const isChosen = a.address === chosen.address;
        const why = isChosen ? `chosen by ${used}` : whyNot(one.name, a, name, used, isPast);
        isPast ||= isChosen;
        return { interface: one.name, address: formatInterfaceAddress(a), chosen: isChosen, why };
      }),
  );
  return { family, method: used, candidates };
}

/** Methods that never look at interfaces of containers and tunnels. */
const skipping: ReadonlySet<string> = new Set(['first-found', 'skip-interface', 'cidr']);

function whyNot(
  interfaceName: string,
  address: InterfaceAddress,
  name: string,
  method: string,
  isPast: boolean,
): string {
  if (isCalicos(interfaceName) || (skipping.has(name) && isNeverFirstFound(interfaceName)))
    return 'never the way to other nodes';
  if (!isUsable(address)) return 'loopback or link-local';
  if (isPast && (name === 'first-found' || name === 'skip-interface')) return 'after the chosen one';
  return `not what ${method} asks for first`;
}

/** An event is short. */
const mostShown = 8;

/** One line: `IPv4 10.0.0.21/24 of eth0, chosen by first-found; not docker0 172.17.0.1/16 (…)`. */
export function choiceText({ family, candidates }: AddressChoice): string {
  const chosen = candidates.find((c) => c.chosen);
  // Pods' devices have link-local addresses only, and are many.
  const others = candidates
    .filter(
      (c) => !c.chosen && c.interface !== 'lo' && !(isCalicos(c.interface) && c.address.startsWith('fe80')),
    )
    .map((c) => `${c.interface} ${c.address} (${c.why})`);
  const shown = others.slice(0, mostShown).join(', ');
  const more = others.length > mostShown ? `, and ${others.length - mostShown} more` : '';
  const rest = others.length === 0 ? '' : `; not ${shown}${more}`;
  return chosen === undefined
    ? `IPv${family}: an address of no interface of this host`
    : `IPv${family} ${chosen.address} of ${chosen.interface}, ${chosen.why}${rest}`;
}
