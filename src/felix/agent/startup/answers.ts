// Node start-up in the form conformance cases ask: plain data in, plain data out.
import { goPattern } from '../../../lib/go-pattern.ts';
import { configureAddresses } from './addresses.ts';
import { firstFoundCandidates, localCidr, parseInterfaces } from './detection.ts';
import { resolveNodeName } from './node-name.ts';
import { kubeadmPodSubnets, planDefaultPools } from './pools.ts';

type Interfaces = readonly { readonly name: string; readonly cidrs: readonly string[] }[];
export type StartupQuestion =
  | {
      readonly op: 'nodeName';
      readonly NODENAME?: string;
      readonly HOSTNAME?: string;
      readonly systemHostname: string;
    }
  | {
      readonly op: 'localCIDR';
      readonly value: string;
      readonly ipVersion: 4 | 6;
      readonly interfaces: Interfaces;
    }
  | { readonly op: 'kubeadmCIDRs'; readonly configMap: { readonly data?: Record<string, string> } | null }
  | {
      readonly op: 'autodetectInterface';
      readonly method: string;
      readonly ipVersion: 4 | 6;
      readonly interfaces: readonly string[];
    }
  | {
      readonly op: 'configureIPs';
      readonly env: Record<string, string>;
      readonly current: { readonly ipv4Address?: string; readonly ipv6Address?: string };
      readonly interfaces: Interfaces;
      readonly kubernetesNodeAddresses?: readonly string[];
    }
  | {
      readonly op: 'defaultPools';
      readonly env: Record<string, string>;
      readonly existingPools: readonly {
        readonly cidr?: string;
        readonly spec?: { readonly cidr: string };
      }[];
      readonly kubeadmConfig: Record<string, string> | null;
    };

export async function answerStartup(question: StartupQuestion): Promise<unknown> {
  switch (question.op) {
    case 'nodeName':
      return { name: resolveNodeName(question) };
    case 'localCIDR':
      return { cidr: localCidr(question.value, parseInterfaces(question.interfaces)) };
    case 'kubeadmCIDRs': {
      const found = kubeadmPodSubnets(question.configMap);
      return found.ok ? { ...found.value, error: false } : { ipv4: '', ipv6: '', error: true };
    }
    case 'autodetectInterface': {
      const skip = question.method.startsWith('skip-interface=')
        ? question.method
            .slice('skip-interface='.length)
            .split(',')
            .flatMap((source) => goPattern(source) ?? [])
        : [];
      const [found] = firstFoundCandidates(
        question.interfaces.map((name) => ({ name })),
        skip,
      );
      return found === undefined ? { found: false } : { found: true, name: found.name };
    }
    case 'configureIPs': {
      const configured = await configureAddresses(question.env, question.current, {
        interfaces: parseInterfaces(question.interfaces),
        kubernetesAddresses: question.kubernetesNodeAddresses ?? [],
      });
      return configured.ok
        ? { changed: configured.value.changed, exit: false }
        : { changed: false, exit: true };
    }
    case 'defaultPools':
      return answerPools(question);
    default:
      return { unsupported: true };
  }
}

function answerPools(question: Extract<StartupQuestion, { op: 'defaultPools' }>): unknown {
  const subnets = kubeadmPodSubnets(
    question.kubeadmConfig === null ? null : { data: question.kubeadmConfig },
  );
  const planned = planDefaultPools({
    env: question.env,
    existing: question.existingPools.map((pool) => ({ cidr: pool.cidr ?? pool.spec?.cidr ?? '' })),
    ...(subnets.ok ? { kubeadm: subnets.value } : {}),
    randomBytes: (count) => new Uint8Array(count).fill(0x5a),
  });
  if (!planned.ok) return { exit: true };
  const spec = (family: 4 | 6) =>
    planned.value.find((pool) => pool.spec.cidr.includes(':') === (family === 6))?.spec;
  const [ipv4, ipv6] = [spec(4), spec(6)];
  return {
    ...(ipv4 === undefined ? {} : { ipv4 }),
    ...(ipv6 === undefined ? {} : { ipv6 }),
    poolCount: question.existingPools.length + planned.value.length,
    ipv4Created: ipv4 !== undefined,
    ipv6Created: ipv6 !== undefined,
  };
}
