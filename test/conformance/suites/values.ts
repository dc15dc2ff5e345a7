// Suites `numorstring`, `names` and `ip-math`: single values.
import * as ip from '../../../src/lib/ip/mod.ts';
import * as model from '../../../src/model/mod.ts';

type NumOrString = {
  readonly op: string;
  readonly type?: string;
  readonly json?: string;
  readonly value?: number | string;
};

export function answerNumOrString(input: NumOrString): unknown {
  const value = input.value ?? '';
  switch (input.op) {
    case 'parse':
      return parse(input.type ?? '', input.json ?? '');
    case 'toJSON':
      return { json: JSON.stringify(printed(input.type ?? '', value)) };
    case 'toString':
      return { string: String(printed(input.type ?? '', value)) };
    case 'protocolSupportsPorts':
      return { result: model.protocolHasPorts(value) };
    case 'normaliseProtocol':
      return { result: model.normaliseProtocol(value) };
    case 'parseNamedPort':
      return { valid: model.isPortName(String(value)) };
    case 'normaliseDSCP':
      return { result: model.normaliseDscp(value) };
    case 'dscpToNumber':
      return { result: model.dscpNumber(value) ?? 0 };
    case 'validateDSCP':
      return { valid: model.dscpNumber(value) !== undefined };
    default:
      return undefined;
  }
}

/** Reads the JSON text of a value; its form is checked, not whether a protocol of that name exists. */
function parse(type: string, json: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return { valid: false };
  }
  if (type === 'ASNumber') {
    const number = model.parseAsNumber(value);
    return number === undefined ? { valid: false } : { valid: true, value: number };
  }
  if (type === 'Port') {
    const port = model.parsePort(value);
    return typeof port === 'string' ? { valid: false } : { valid: true, value: model.formatPort(port) };
  }
  if (typeof value === 'string') {
    const isNumber = /^\d+$/.test(value) && Number(value) <= 255;
    return { valid: true, value: isNumber ? Number(value) : value };
  }
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 255
    ? { valid: true, value }
    : { valid: false };
}

function printed(type: string, value: number | string): number | string {
  if (type === 'ASNumber') return model.parseAsNumber(value) ?? value;
  if (type !== 'Port') return value;
  const port = model.parsePort(value);
  return typeof port === 'string' ? value : model.formatPort(port);
}

type Names = {
  readonly op: string;
  readonly identifiers?: model.WorkloadEndpointIdentifiers;
  readonly allowPrefix?: boolean;
  readonly name?: string;
};

export function answerNames({ op, identifiers = {}, allowPrefix, name = '' }: Names): unknown {
  switch (op) {
    case 'workloadEndpointName': {
      const build = allowPrefix ? model.workloadEndpointNamePrefix : model.workloadEndpointName;
      const made = build(identifiers);
      return made.ok ? { name: made.value } : { error: made.error.field };
    }
    case 'workloadEndpointNameMatches':
      return { match: model.workloadEndpointNameMatches(identifiers, name) };
    case 'parseWorkloadEndpointName': {
      const parsed = model.parseWorkloadEndpointName(name);
      return parsed.ok ? { identifiers: parsed.value } : { error: true };
    }
    default:
      return undefined;
  }
}

type IpMath = {
  readonly op: string;
  readonly value?: string;
  readonly address?: string;
  readonly cidr?: string;
  readonly n?: number;
};

export function answerIpMath(input: IpMath): unknown {
  const { value = '', n = 0 } = input;
  switch (input.op) {
    case 'parseAddress': {
      const parsed = ip.parseAddress(value);
      return parsed.ok ? { canonical: parsed.value, version: ip.familyOf(parsed.value) } : { error: true };
    }
    case 'parseCIDR': {
      const parsed = ip.parseNetwork(value);
      return parsed.ok
        ? {
            canonical: parsed.value,
            version: ip.prefixFamily(parsed.value),
            prefixLength: ip.prefixLength(parsed.value),
          }
        : { error: true };
    }
    case 'addToAddress':
      return { address: ip.addToAddress(ip.address(input.address ?? ''), n) };
    case 'nthBit': {
      // Bits count from 1, the most significant first; there is none before it.
      const bytes = ip.addressToBytes(ip.address(input.address ?? ''));
      return { bit: n < 1 ? 0 : ((bytes[(n - 1) >> 3] ?? 0) >> (7 - ((n - 1) & 7))) & 1 };
    }
    case 'cidrContains': {
      const network = ip.parseNetwork(input.cidr ?? '');
      return { contains: network.ok && ip.containsAddress(network.value, ip.address(input.address ?? '')) };
    }
    case 'isSingleAddress': {
      const parsed = ip.parseNetwork(value);
      return { single: parsed.ok && ip.isSingleAddress(parsed.value) };
    }
    default:
      return undefined;
  }
}
