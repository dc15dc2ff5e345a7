// What is printed: results in the shape of each specification version, and errors.
import { type Address, familyOf, hostPrefix } from '../lib/ip/mod.ts';
import type { CniError } from './errors.ts';
import type { CniResponse } from './types.ts';

export type AttachmentResult = {
  readonly hostInterface: { readonly name: string; readonly mac: string };
  readonly containerInterface: {
    readonly name: string;
    readonly mac: string;
    readonly netns: string;
    readonly mtu: number;
  };
  readonly addresses: readonly Address[];
};

/** A result for the version; before 0.3.0 there was one address per family and no interface. */
export function renderResult(version: string, result: AttachmentResult): CniResponse {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major === 0 && minor < 3) return succeed(renderLegacy(version, result));
  const withFamily = major === 0;
  const withMtu = major > 1 || (major === 1 && minor >= 1);
  const { name, mac, netns, mtu } = result.containerInterface;
  return succeed({
    cniVersion: version,
    interfaces: [
      { name: result.hostInterface.name, mac: result.hostInterface.mac },
      { name, mac, ...(withMtu ? { mtu } : {}), sandbox: netns },
    ],
    ips: result.addresses.map((a) => ({
      ...(withFamily ? { version: String(familyOf(a)) } : {}),
      interface: 1,
      address: hostPrefix(a),
    })),
    dns: {},
  });
}

function renderLegacy(version: string, result: AttachmentResult): object {
  const first = (family: 4 | 6) => result.addresses.find((a) => familyOf(a) === family);
  const v4 = first(4);
  const v6 = first(6);
  return {
    cniVersion: version,
    ...(v4 === undefined ? {} : { ip4: { ip: hostPrefix(v4) } }),
    ...(v6 === undefined ? {} : { ip6: { ip: hostPrefix(v6) } }),
    dns: {},
  };
}

/** calico-ipam on its own: addresses only. */
export function renderAddresses(version: string, addresses: readonly Address[]): CniResponse {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const placeholder = { name: '', mac: '' };
  if (major === 0 && minor < 3) {
    return succeed(
      renderLegacy(version, {
        hostInterface: placeholder,
        containerInterface: { ...placeholder, netns: '', mtu: 0 },
        addresses,
      }),
    );
  }
  return succeed({
    cniVersion: version,
    ips: addresses.map((a) => ({
      ...(major === 0 ? { version: String(familyOf(a)) } : {}),
      address: hostPrefix(a),
    })),
  });
}

export const succeed = (body?: object): CniResponse => ({
  exitCode: 0,
  output: body === undefined ? '' : `${JSON.stringify(body)}\n`,
});

export const fail = (version: string, error: CniError): CniResponse => ({
  exitCode: 1,
  output: `${JSON.stringify({
    cniVersion: version,
    code: error.cniCode,
    msg: error.message,
    ...(error.details === undefined ? {} : { details: error.details }),
  })}\n`,
});
