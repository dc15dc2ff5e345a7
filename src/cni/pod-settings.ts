// What a pod asks for through annotations (RS-191, CN-012): fixed addresses, pools, families, MAC. The pod's annotation
// beats the namespace's, which beats the network configuration. A bad value fails the ADD and names the annotation, because
// a pod that asked for one address must not silently get another.
import { type Address, familyOf, parseAddress } from '../lib/ip/mod.ts';
import { err, ok, type Result } from '../lib/result.ts';
import { allowedSourcePrefixes } from '../model/mod.ts';
import { type CniError, cniCodes, cniError } from './errors.ts';
import type { NetworkConfiguration, PodSettings } from './types.ts';

type Annotations = Readonly<Record<string, string>>;
const key = (name: string): string => `cni.projectcalico.org/${name}`;

/** Settings of a pod; without annotations everything comes from the configuration. */
export function podSettings(
  pod: Annotations,
  namespace: Annotations,
  configuration: NetworkConfiguration,
): Result<PodSettings, CniError> {
  const requested = addressList(pod, 'ipAddrs');
  if (!requested.ok) return requested;
  const withoutIpam = addressList(pod, 'ipAddrsNoIpam');
  if (!withoutIpam.ok) return withoutIpam;
  if (withoutIpam.value.length > 0 && !configuration.featureControl.ipAddrsNoIpam) {
    return err(
      bad('ipAddrsNoIpam', 'is not allowed: set feature_control.ip_addrs_no_ipam in the CNI configuration'),
    );
  }
  if (withoutIpam.value.length > 0 && requested.value.length > 0) {
    return err(bad('ipAddrsNoIpam', 'cannot be combined with cni.projectcalico.org/ipAddrs'));
  }
  if (pod[key('floatingIPs')] !== undefined && !configuration.featureControl.floatingIps) {
    return err(
      bad('floatingIPs', 'is not allowed: set feature_control.floating_ips in the CNI configuration'),
    );
  }
  const pools4 = poolList(pod, namespace, 'ipv4pools', configuration.ipam.ipv4Pools);
  if (!pools4.ok) return pools4;
  const pools6 = poolList(pod, namespace, 'ipv6pools', configuration.ipam.ipv6Pools);
  if (!pools6.ok) return pools6;
  const families = familyList(pod);
  if (!families.ok) return families;
  const sources = allowedSourcePrefixes(pod);
  if (typeof sources === 'string')
    return err(cniError(cniCodes.addressAssignment, 'BadAnnotation', `Pod ${sources}`));
  const mac = pod[key('hwAddr')];
  if (mac !== undefined && !/^([0-9a-f][02468ace])(:[0-9a-f]{2}){5}$/i.test(mac)) {
    return err(bad('hwAddr', `"${mac}" is not a unicast MAC address`));
  }
  return ok({
    requestedAddresses: requested.value,
    addressesWithoutIpam: withoutIpam.value,
    ...(pools4.value === undefined ? {} : { ipv4Pools: pools4.value }),
    ...(pools6.value === undefined ? {} : { ipv6Pools: pools6.value }),
    ...(families.value === undefined ? {} : { families: families.value }),
    ...(mac === undefined ? {} : { mac: mac.toLowerCase() }),
    allowedSourcePrefixes: sources,
  });
}

const bad = (annotation: string, why: string): CniError =>
  cniError(cniCodes.addressAssignment, 'BadAnnotation', `Pod annotation ${key(annotation)} ${why}.`);

function stringList(annotations: Annotations, name: string): Result<readonly string[] | undefined, CniError> {
  const text = annotations[key(name)];
  if (text === undefined || text === '') return ok(undefined);
  try {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value) && value.every((v) => typeof v === 'string')) return ok(value);
  } catch {
    // falls through to the one sentence for both mistakes
  }
  return err(bad(name, `is not a JSON list of strings: ${text}`));
}

/** At most one address per family (CN-013). */
function addressList(annotations: Annotations, name: string): Result<readonly Address[], CniError> {
  const list = stringList(annotations, name);
  if (!list.ok) return list;
  const addresses: Address[] = [];
  for (const text of list.value ?? []) {
    const parsed = parseAddress(text);
    if (!parsed.ok) return err(bad(name, `holds "${text}", which is not an IP address`));
    if (addresses.some((a) => familyOf(a) === familyOf(parsed.value))) {
      return err(bad(name, `holds more than one IPv${familyOf(parsed.value)} address`));
    }
    addresses.push(parsed.value);
  }
  return ok(addresses);
}

function poolList(
  pod: Annotations,
  namespace: Annotations,
  name: string,
  configured: readonly string[],
): Result<readonly string[] | undefined, CniError> {
  const own = stringList(pod, name);
  if (!own.ok || own.value !== undefined) return own;
  const inherited = stringList(namespace, name);
  if (!inherited.ok || inherited.value !== undefined) return inherited;
  return ok(configured.length > 0 ? configured : undefined);
}

function familyList(pod: Annotations): Result<readonly (4 | 6)[] | undefined, CniError> {
  const list = stringList(pod, 'ipFamilies');
  if (!list.ok) return list;
  if (list.value === undefined) return ok(undefined);
  const families: (4 | 6)[] = [];
  for (const text of list.value) {
    const family = /^ipv4$/i.test(text) ? 4 : /^ipv6$/i.test(text) ? 6 : undefined;
    if (family === undefined) return err(bad('ipFamilies', `holds "${text}"; expected IPv4 or IPv6`));
    if (!families.includes(family)) families.push(family);
  }
  return families.length > 0 ? ok(families) : err(bad('ipFamilies', 'is an empty list'));
}
