// The node's addresses for BGP, from IP and IP6: a value, `autodetect`, `none`, or empty for what the datastore has.
import { familyOf, parseAddress, parseInterfaceAddress, type Family } from '../../../lib/ip/mod.ts';
import { err, failure, ok, type Failure, type Result } from '../../../lib/result.ts';
import { type AddressChoice, explainChoice } from './candidates.ts';
import { detectAddress, type DetectionInputs, formatInterfaceAddress, localCidr } from './detection.ts';

export type Environment = Readonly<Record<string, string | undefined>>;
export type NodeAddresses = { readonly ipv4Address?: string; readonly ipv6Address?: string };
export type AddressError = Failure<'BadAddress' | 'NoAddress'>;
export type AddressInputs = Omit<DetectionInputs, 'family'>;

export type ConfiguredAddresses = {
  readonly addresses: NodeAddresses;
  readonly changed: boolean;
  /** How those that were detected were found. */
  readonly choices: readonly AddressChoice[];
};

/** What the node's addresses should be now, given what they were. */
export async function configureAddresses(
  env: Environment,
  current: NodeAddresses,
  inputs: AddressInputs,
): Promise<Result<ConfiguredAddresses, AddressError>> {
  const ip = env['IP']?.trim() ?? '';
  const ip6 = env['IP6']?.trim() ?? '';
  const v4 = await configureOne(4, ip, env['IP_AUTODETECTION_METHOD'] ?? '', current.ipv4Address, inputs);
  if (!v4.ok) return v4;
  const v6 = await configureOne(6, ip6, env['IP6_AUTODETECTION_METHOD'] ?? '', current.ipv6Address, inputs);
  if (!v6.ok) return v6;
  const networking = (env['CALICO_NETWORKING_BACKEND'] ?? 'bird') !== 'none';
  if (ip === 'none' && (ip6 === '' || ip6 === 'none') && networking) {
    return err(
      failure('NoAddress', 'IP and IP6 switch both families off, but Calico is to do the networking.'),
    );
  }
  const addresses = {
    ...(v4.value.address === undefined ? {} : { ipv4Address: v4.value.address }),
    ...(v6.value.address === undefined ? {} : { ipv6Address: v6.value.address }),
  };
  const changed =
    addresses.ipv4Address !== current.ipv4Address || addresses.ipv6Address !== current.ipv6Address;
  const choices = [v4.value.choice, v6.value.choice].filter((choice) => choice !== undefined);
  return ok({ addresses, changed, choices });
}

type Configured = { readonly address?: string; readonly choice?: AddressChoice };
const fixed = (address: string | undefined): Result<Configured, AddressError> =>
  ok(address === undefined ? {} : { address });

async function configureOne(
  family: Family,
  wanted: string,
  method: string,
  current: string | undefined,
  inputs: AddressInputs,
): Promise<Result<Configured, AddressError>> {
  if (wanted === 'none') return fixed(undefined);
  // IPv4 is detected unless something is known; IPv6 only when asked for.
  if (wanted === 'autodetect' || (wanted === '' && family === 4 && current === undefined)) {
    const found = await detectAddress(method, { ...inputs, family });
    if (found.ok) {
      const choice = explainChoice(family, method, inputs.interfaces, found.value);
      return ok({ address: formatInterfaceAddress(found.value), choice });
    }
    return current === undefined
      ? err(failure('NoAddress', found.error.message, found.error.hint))
      : fixed(current);
  }
  if (wanted === '') return fixed(current);
  const parsed = wanted.includes('/') ? parseInterfaceAddress(wanted) : parseAddress(wanted);
  const address = !parsed.ok
    ? undefined
    : typeof parsed.value === 'string'
      ? parsed.value
      : parsed.value.address;
  if (address === undefined || familyOf(address) !== family) {
    const variable = family === 4 ? 'IP' : 'IP6';
    return err(
      failure(
        'BadAddress',
        `${variable} is "${wanted}", which is not an IPv${family} address or address/length.`,
      ),
    );
  }
  return fixed(localCidr(wanted, inputs.interfaces));
}
